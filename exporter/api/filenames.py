"""File names as the servers write them, made into one form that is fit for a label."""

from __future__ import annotations

import hashlib
import re

from exporter.api.values import LONGEST_NAME, encodable, text, without_credentials

# What nearly all names look like; nothing below would change one, brackets aside.
_PLAIN = re.compile(r"[A-Za-z0-9_./ =,+-]{1,512}")
_PATHS = re.compile(r'paths:\s*"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|.)", re.DOTALL)
_ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def file_name(value: object) -> str:
    """Normalise `fileName`: `[a b]`, `id:1 paths:"a" ` and plain names; URLs lose what may be secret.

    At most 512 characters; a longer name is cut in the middle and holds a hash that keeps it unique.
    """
    name = text(value)
    if name[:1] == "[" and name[-1:] == "]":
        name = name[1:-1]
    if _PLAIN.fullmatch(name) and "paths:" not in name:
        return name
    paths = _PATHS.findall(name) if "paths:" in name else []
    if paths:
        name = " ".join(map(_unescape, paths))
    name = without_credentials(name)
    return name if len(name) <= LONGEST_NAME else _cut(name)


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


def _cut(name: str) -> str:
    middle = f"…{hashlib.sha256(name.encode()).hexdigest()[:12]}…"
    kept = LONGEST_NAME - len(middle)
    return name[: kept - kept // 2] + middle + name[-(kept // 2) :]
