from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.metrics.splice import EMPTY, Run, deflate, gzip_member, gzip_size, inflate, join

PARTS = st.lists(
    st.tuples(
        st.binary(max_size=300) | st.binary(min_size=1, max_size=20).map(lambda some: some * 5000),
        st.sampled_from([0, 1, 6, 9]),
    ),
    max_size=8,
)


def joined(parts: list[tuple[bytes, int]]) -> tuple[bytes, Run]:
    return b"".join(text for text, _ in parts), join(deflate(text, level) for text, level in parts)


@given(PARTS)
def test_any_split_of_any_bytes_is_one_gzip_member_of_the_whole(parts: list[tuple[bytes, int]]) -> None:
    whole, run = joined(parts)
    member = b"".join(gzip_member(run))
    decompressor = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    assert decompressor.decompress(member) == whole
    assert decompressor.eof
    assert not decompressor.unused_data
    assert gzip.decompress(member) == whole


@given(PARTS)
def test_length_and_crc_follow_from_those_of_the_parts(parts: list[tuple[bytes, int]]) -> None:
    whole, run = joined(parts)
    assert (run.length, run.crc) == (len(whole), zlib.crc32(whole))
    assert gzip_size(run) == len(b"".join(gzip_member(run)))


@given(PARTS, st.integers(0, 8))
def test_joining_joined_runs_makes_no_difference(parts: list[tuple[bytes, int]], at: int) -> None:
    _, run = joined(parts)
    assert join((joined(parts[:at])[1], joined(parts[at:])[1])).crc == run.crc


@given(PARTS, st.integers(1, 1000))
def test_inflating_gives_the_text_back_in_pieces_of_the_size_asked_for(
    parts: list[tuple[bytes, int]], most: int
) -> None:
    whole, run = joined(parts)
    pieces = list(inflate(run, most))
    assert b"".join(pieces) == whole
    assert all(0 < len(piece) <= most for piece in pieces)


@pytest.mark.parametrize("length", [1, 2**16, 2**31, 2**32 - 1, 2**32, 2**40 + 7])
def test_a_crc_can_be_shifted_further_than_any_text_is_long(length: int) -> None:
    half = length // 2
    zeros = Run((), length - half, 0)
    text = deflate(b"text", 1)
    assert join((text, Run((), half, 0), zeros)).crc == join((text, Run((), length, 0))).crc


def test_the_length_in_the_trailer_wraps_at_4_gib() -> None:
    trailer = list(gzip_member(Run((), 2**32 + 5, 0)))[-1]
    assert trailer[-4:] == (5).to_bytes(4, "little")


def test_no_text_is_no_run() -> None:
    assert deflate(b"", 6) is EMPTY
    assert gzip.decompress(b"".join(gzip_member(join([])))) == b""
