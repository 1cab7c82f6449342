"""One gzip member put together from parts that were compressed apart, so that what did not change stays compressed.

Why one member: RFC 1952 allows several in a row, but curl, httpx and Chromium stop after the first.

Why parts can be joined: `Z_SYNC_FLUSH` ends a run of raw deflate data at a byte border without a final mark, and a
compressor that starts afresh for each run never refers back into another one. Runs can therefore be written one after
another; an empty final block (`03 00`) ends the stream.

The member ends with the CRC-32 of the whole text, which must come from the CRCs of the parts. A CRC is the remainder
of a polynomial over GF(2): addition is xor, and appending n bytes to a text multiplies its polynomial by x^(8n). So

    crc(A + B) = shift(crc(A), len(B)) xor crc(B)

where shift by n bytes is a linear map of 32 bits. Shifts compose: shift by 13 is shift by 8, then by 4, then by 1.
One map is kept for each power of two, as four tables of 256: the images of all values of each of the four bytes,
whose xor is the image of the whole.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # deflate, no name, no time, unknown system
_FINAL_BLOCK = b"\x03\x00"
_RAW = -zlib.MAX_WBITS
_FED_BYTES = 16 * 1024

_Tables = tuple[list[int], list[int], list[int], list[int]]


@dataclass(frozen=True, slots=True)
class Run:
    """Raw deflate data, byte-aligned and not final, with the length in bytes and the CRC-32 of its text."""

    parts: tuple[bytes, ...] = ()
    length: int = 0
    crc: int = 0


EMPTY = Run()


def deflate(text: bytes, level: int) -> Run:
    """Compresses a text so that it can be joined with others; `level` as in zlib, 1 (fast) to 9 (small)."""
    if not text:
        return EMPTY
    compressor = zlib.compressobj(level, zlib.DEFLATED, _RAW)
    data = compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return Run((data,), len(text), zlib.crc32(text))


def join(runs: Iterable[Run]) -> Run:
    """The run whose text is the texts of all of them, one after another."""
    parts: list[bytes] = []
    length = 0
    crc = 0
    for run in runs:
        parts += run.parts
        length += run.length
        crc = _shift(crc, run.length) ^ run.crc
    return Run(tuple(parts), length, crc)


def gzip_member(run: Run) -> Iterator[bytes]:
    """The pieces of the gzip member that holds the run's text."""
    yield _GZIP_HEADER
    yield from run.parts
    yield _FINAL_BLOCK + run.crc.to_bytes(4, "little") + (run.length % 2**32).to_bytes(4, "little")


def gzip_size(run: Run) -> int:
    """Bytes that `gzip_member` yields."""
    return len(_GZIP_HEADER) + sum(map(len, run.parts)) + len(_FINAL_BLOCK) + 8


def inflate(run: Run, most: int) -> Iterator[bytes]:
    """The run's text in pieces of at most `most` bytes, so that a large one is never in memory as a whole."""
    for part in run.parts:
        decompressor = zlib.decompressobj(_RAW)
        # zlib copies what it has not consumed.
        for start in range(0, len(part), _FED_BYTES):
            rest = part[start : start + _FED_BYTES]
            while rest:
                if piece := decompressor.decompress(rest, most):
                    yield piece
                rest = decompressor.unconsumed_tail


def _shift(crc: int, length: int) -> int:
    """The remainder after `length` more bytes of zeros: one table look-up per byte of the CRC and bit of `length`."""
    power = 0
    while length and crc:
        if length & 1:
            a, b, c, d = _shift_tables(power)
            crc = a[crc & 255] ^ b[crc >> 8 & 255] ^ c[crc >> 16 & 255] ^ d[crc >> 24]
        length >>= 1
        power += 1
    return crc


@cache
def _shift_tables(power: int) -> _Tables:
    """The map that shifts by 2^power bytes."""
    if power == 0:
        columns = [_shift_one_byte(1 << bit) for bit in range(32)]
    else:
        half = 2 ** (power - 1)
        columns = [_shift(_shift(1 << bit, half), half) for bit in range(32)]
    first, second, third, fourth = (_images(columns[byte : byte + 8]) for byte in range(0, 32, 8))
    return first, second, third, fourth


def _images(columns: list[int]) -> list[int]:
    """The images of 0 to 255 under the linear map that sends bit i to `columns[i]`."""
    images = [0]
    for column in columns:
        images += [image ^ column for image in images]
    return images


def _shift_one_byte(crc: int) -> int:
    """Eight steps of the CRC's shift register; zlib's bit order is reversed, so a shift goes to the right."""
    for _ in range(8):
        crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    return crc
