"""Single values of a reply, read as leniently as the servers write them: numbers, percents, times, texts.

Nothing here raises: what cannot be read is None, or "" for a text.
"""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime

LONGEST_REASON = 200
LONGEST_NAME = 512

# Epoch seconds end here (the year 5138); what is larger counts milliseconds.
_MILLISECONDS_FROM = 1e11
_UNENCODABLE = re.compile("[\ud800-\udfff\0]")
# Quotes end a URL in prose and in JSON.
_WORD = re.compile(r'[^\s"]+')
# A secret key may hold a slash, unencoded though it should not be. What looks like ports, a drive of Windows or a file
# name does not begin one.
_USER_INFO = re.compile(
    r"^[^[/?#@:]+:(?!/)(?![0-9]{1,5}(?:[,/?#]|$))(?:[^@/]*@|[^@]*@(?=[^@/]+/))",
)


def number(value: object) -> float | None:
    """Read a finite number, also one written as a string; booleans are none."""
    kind = type(value)
    if kind is str:
        text: str = value  # type: ignore[assignment]  # mypy does not narrow by type()
        if "_" in text:  # 1_000 is a number to Python alone
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
        if not isinstance(value, str):
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


def text(value: object) -> str:
    """Read a name or an id: a string, or a number that stands for one; "" for anything else."""
    if type(value) is str:
        return encodable(value)
    if type(value) is int:
        try:
            return str(value)
        except ValueError:  # more digits than Python converts
            return ""
    return ""


def encodable(value: str) -> str:
    """Replace what UTF-8 cannot encode (lone surrogates) and what ends strings elsewhere (NUL)."""
    return value if value.isascii() and "\0" not in value else _UNENCODABLE.sub("\ufffd", value)


def text_of(value: object) -> str:
    """Write what should have been a text but may be any JSON; "" for null."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        return ""


def reason(value: object) -> str:
    """Read why something failed: one line of at most 200 characters, without query strings of URLs."""
    line = " ".join(without_credentials(encodable(text_of(value))).split())
    return line if len(line) <= LONGEST_REASON else f"{line[: LONGEST_REASON - 1]}…"


def without_credentials(value: str) -> str:
    """Drop user-info, query strings and fragments of the URLs in a text."""
    if "://" in value or ("?" in value and "=" in value):
        return _WORD.sub(_word_without_credentials, value)
    return value


def _word_without_credentials(found: re.Match[str]) -> str:
    word = found[0]
    before, url, address = word.partition("://")
    if not url:
        # A pre-signed path without its host is still a secret.
        head, mark, query = word.partition("?")
        return head if mark and "=" in query else word
    parts = [before]
    address = _USER_INFO.sub("", address)
    for part in re.split("[?#]", address, maxsplit=1)[0].split("://"):
        authority, slash, path = _USER_INFO.sub("", part).partition("/")
        parts.append(authority.rpartition("@")[2] + slash + path)
    return "://".join(parts)
