"""Single values of a reply, read as leniently as the servers write them: numbers, percents, times, texts.

Nothing here raises: what cannot be read is None, or "" for a text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from exporter.api.masking import without_credentials

# Bytes of UTF-8.
LONGEST_REASON: Final = 512
LONGEST_WHOLE_REASON: Final = 16 * 1024
LONGEST_COLLECTION_NAME: Final = 255

# Characters of each end of a text that patterns are applied to, and some more, so that nothing secret is cut into.
_END: Final = 8 * 1024
_MARGIN: Final = 4 * 1024
_LONGEST_NUMBER: Final = 64
# Epoch seconds end here (the year 5138); what is larger counts milliseconds.
_MILLISECONDS_FROM = 1e11
_JSON: Final = json.JSONEncoder(ensure_ascii=False)
_UNENCODABLE = re.compile("[\ud800-\udfff\0]")


def number(value: object) -> float | None:
    """Read a finite number, also one written as a string; booleans are none."""
    kind = type(value)
    if kind is str:
        text: str = value  # type: ignore[assignment]  # mypy does not narrow by type()
        if len(text) > _LONGEST_NUMBER or "_" in text:  # 1_000 is a number to Python alone
            return None
    elif kind is not int and kind is not float:
        return None
    try:
        read = float(value)  # type: ignore[arg-type]  # one of str, int and float, as checked above
    except (ValueError, OverflowError):
        return None
    return read if math.isfinite(read) else None


def amount(value: object) -> float | None:
    """Read a size or a number of rows: finite and not negative."""
    read = number(value)
    # Adding 0.0 turns a negative zero into zero.
    return None if read is None or read < 0 else read + 0.0


def ratio(value: object) -> float | None:
    """Read a percent as a ratio of 0 to 1; servers send negative ones and ones above 100."""
    read = number(value)
    if read is None:
        return None
    if read <= 0:
        return 0.0
    # Rounded, so that 66.3 does not become 0.6629999999999999.
    return 1.0 if read >= 100 else round(read / 100, 12)


def timestamp(value: object) -> float | None:
    """Read a moment as seconds since the epoch: RFC 3339, or epoch seconds or milliseconds."""
    if value is None or value == "":
        return None
    read = number(value)
    if read is None:
        if not isinstance(value, str) or len(value) > _LONGEST_NUMBER:
            return None
        try:
            moment = datetime.fromisoformat(value.strip().upper())
            read = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            return None
    elif read >= _MILLISECONDS_FROM:
        read /= 1000
    # Zero and the year 1 are how servers write "not yet".
    return read if 0 < read < _MILLISECONDS_FROM else None


def text(value: object, longest: int) -> str:
    """Read a name or an id, a string or a number that stands for one: at most `longest` bytes, "" for anything else."""
    if type(value) is str:
        if len(value) > 2 * longest:
            # Neither end can hold more than this.
            value = value[:longest] + value[-longest:]
        return shortened(encodable(value), longest)
    if type(value) is int:
        try:
            return shortened(str(value), longest)
        except ValueError:  # more digits than Python converts
            return ""
    return ""


def encodable(value: str) -> str:
    """Replace what UTF-8 cannot encode (lone surrogates) and what ends strings elsewhere (NUL)."""
    return value if value.isascii() and "\0" not in value else _UNENCODABLE.sub("\ufffd", value)


def shortened(value: str, longest: int, middle: str = "…") -> str:
    """Cut an encodable text to at most `longest` bytes of UTF-8: whole characters of both ends, `middle` between."""
    if len(value) <= longest and (value.isascii() or len(value.encode()) <= longest):
        return value
    kept = longest - len(middle.encode())
    head = value[:kept].encode()[: kept - kept // 2].decode(errors="ignore")
    tail = value[-kept:].encode()[-(kept // 2) :].decode(errors="ignore")
    return head + middle + tail


def text_of(value: object) -> str:
    """Write what should have been a text but may be any JSON, of which a long one is cut; "" for null."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    parts: list[str] = []
    length = 0
    try:
        for part in _JSON.iterencode(value):
            parts.append(part)
            length += len(part)
            if length > _END:
                break
    except (ValueError, RecursionError):
        return ""
    return "".join(parts)


def reason(value: object) -> str:
    """Read why something failed: one line of at most 512 bytes, cut in the middle, without credentials."""
    return shortened(whole_reason(value), LONGEST_REASON) if value else ""


def whole_reason(value: object) -> str:
    """Read why something failed: one line of at most 16 KiB, without credentials."""
    return shortened(by_ends(text_of(value), _line), LONGEST_WHOLE_REASON)


def by_ends(value: str, change: Callable[[str], str]) -> str:
    """Change a text of any length at bounded cost: of a long one only the ends, of some thousand characters each."""
    if len(value) <= 2 * _END:
        return change(value)
    head = change(value[: _END + _MARGIN])[:-_MARGIN]
    tail = change(value[-_END - _MARGIN :])[_MARGIN:]
    return f"{head[:_END]}…{tail[-_END:]}"


def _line(value: str) -> str:
    return without_credentials(" ".join(encodable(value).split()))
