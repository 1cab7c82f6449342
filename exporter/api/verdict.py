"""What a reply as a whole means: its `data`, or the class of error that its status and `code` name."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final

from exporter.api.errors import (
    ApiError,
    AuthError,
    CallTimeoutError,
    CodeError,
    HttpError,
    NotFoundError,
    PayloadError,
    RateLimitedError,
)
from exporter.api.values import shortened, text_of, whole_reason

LONGEST_RETRY_AFTER: Final = 3600.0
LONGEST_MESSAGE: Final = 200
"""Bytes of UTF-8 of what an error of the API says."""
MOST_OBJECTS: Final = 500_000
"""Objects and lists in a reply: those of some hundred thousand files. Small ones cost twenty times their text."""

_SUCCESS: Final = frozenset({"0", "200"})
_AUTH: Final = frozenset({"1800", "21119", "80001", "80002", "96012", "96013", "96014", "96015", "96016", "96027"})
_RATE_LIMITED: Final = frozenset({"8", "9", "1807"})
_TIMEOUT: Final = "10001"
_NOT_FOUND: Final = "96026"
# Milvus uses these for malformed ids too, so its sentence decides.
_NOT_FOUND_IF_SAID: Final = frozenset({"2100", "2101"})
_SECONDS = re.compile(r"\d+(\.\d+)?", re.ASCII)


def reply_data(status: int, body: bytes, retry_after: float | None = None) -> dict[str, Any]:
    """Return the `data` object of a reply; both dialects mean the same by status and `code`.

    `retry_after`: seconds that the reply asks to wait. Raises ApiError: the first class that matches.
    """
    if body.count(b"{") + body.count(b"[") > MOST_OBJECTS:
        raise PayloadError(f"the reply holds more than {MOST_OBJECTS:,} objects")
    reply = _json_object(body)
    code = _code(reply.get("code"))
    if code in _SUCCESS and 200 <= status < 300:
        data = reply.get("data")
        if isinstance(data, dict):
            return data
        raise PayloadError(f"code {code} without a data object")
    if not code and (mistake := _likely_mistake(status, body)):
        raise HttpError(f"HTTP {status}{mistake}")
    raise _error(status, code, reply, retry_after)


def _likely_mistake(status: int, body: bytes) -> str:
    """Say what is probably wrong with the configuration where the server is no import API."""
    if status == 404:
        return ", no such path there: is `api` right?"
    if status == 400 and b"HTTPS" in body[:1024]:  # the words of nginx and Go
        return "; is its URL https?"
    return ""


def _error(status: int, code: str, reply: dict[str, Any], retry_after: float | None) -> ApiError:
    message = text_of(reply.get("message"))
    kind: type[ApiError]
    if status in (401, 403) or code in _AUTH:
        kind = AuthError
    elif status == 429 or code in _RATE_LIMITED:
        return RateLimitedError(_said(status, code, message), retry_after)
    elif status == 408 or code == _TIMEOUT:
        kind = CallTimeoutError
    elif code == _NOT_FOUND or (code in _NOT_FOUND_IF_SAID and "does not exist" in message):
        kind = NotFoundError
    elif 300 <= status < 400 or (status != 200 and code in ("", *_SUCCESS)):
        kind = HttpError
    elif code:
        kind = CodeError
    else:
        return PayloadError("the reply is not a JSON object with a code")
    return kind(_said(status, code, message), retry_after if status >= 500 else None)


def _said(status: int, code: str, message: str) -> str:
    return f"HTTP {status}" + (f", code {code}" if code else "") + (f": {_short(message)}" if message else "")


def seconds_to_wait(header: str | None, now: float) -> float | None:
    """Read Retry-After, seconds or an HTTP date, as seconds from `now` (epoch): 0 to an hour, None for junk."""
    if header is None:
        return None
    header = header.strip()
    if _SECONDS.fullmatch(header):
        seconds = float(header)
    else:
        try:
            date = parsedate_to_datetime(header)
            # HTTP's dates are in GMT; one without a zone would be read in the zone of this machine.
            seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


def _json_object(body: bytes) -> dict[str, Any]:
    """Decode a body; {} for anything that is not a JSON object."""
    try:
        try:
            reply = json.loads(body)
        except (json.JSONDecodeError, UnicodeDecodeError):
            return {}
        except ValueError:
            # An integer of more digits than Python converts: no value, but no reason to lose the rest.
            reply = json.loads(body, parse_int=_long_int)
    except (ValueError, RecursionError):
        return {}
    return reply if isinstance(reply, dict) else {}


def _long_int(digits: str) -> int | float:
    return int(digits) if len(digits) <= 640 else math.inf


def _code(value: object) -> str:
    """Write `code` one way, whether it came as number or string; "" where there is none."""
    if type(value) is int:
        return str(value)
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return _short(value)


def _short(value: object) -> str:
    return shortened(whole_reason(value), LONGEST_MESSAGE)
