"""File names as the servers write them, made into one form that is fit for a label."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from exporter.api.masking import without_credentials, without_url_credentials
from exporter.api.values import by_ends, encodable, shortened, text_of

# Bytes of UTF-8.
LONGEST_NAME: Final = 512
# Characters: no path is as long, and no pattern is applied to more of a name.
_LONGEST_READ: Final = 16 * 1024
# What nearly all names look like; nothing below would change one, brackets aside.
_PLAIN = re.compile(r"[A-Za-z0-9_./ =,+-]{1,512}")
_PATHS = re.compile(r'paths:\s*+"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|.)", re.DOTALL)
_ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def file_name(value: object) -> str:
    """Normalise `fileName`: `[a b]`, `id:1 paths:"a" ` and plain names; URLs lose what may be secret.

    At most 512 bytes; a longer name is cut in the middle and holds a hash that keeps it unique.
    """
    name = value if type(value) is str else text_of(value) if type(value) is int else ""
    if name[:1] == "[" and name[-1:] == "]":
        name = name[1:-1]
    if len(name) > _LONGEST_READ:
        return _cut(by_ends(name, lambda end: without_credentials(encodable(end))), name)
    if _PLAIN.fullmatch(name) and "paths:" not in name:
        return name
    name = encodable(name)
    paths = _PATHS.findall(name) if "paths:" in name else []
    if paths:
        name = " ".join(map(_unescape, paths))
    name = without_url_credentials(name)
    return _cut(name, name)


def _unescape(quoted: str) -> str:
    """Undo the escapes of protobuf's text form, which writes bytes that are not ASCII in octal."""
    if "\\" not in quoted:
        return quoted
    raw = _ESCAPE.sub(_escaped_bytes, quoted.encode())
    return encodable(raw.decode(errors="replace"))


def _escaped_bytes(found: re.Match[bytes]) -> bytes:
    escaped = found[1]
    if escaped[:1].isdigit() and escaped < b"8":
        return bytes([int(escaped, 8) & 0xFF])
    return _ESCAPED.get(escaped, escaped)


def _cut(name: str, whole: str) -> str:
    if len(name.encode()) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(whole.encode(errors="surrogatepass")).hexdigest()[:12]
    return shortened(name, LONGEST_NAME, f"…{digest}…")
