"""Values as a person reads them: sizes, counts, durations, moments, classes of errors, foreign text."""

from __future__ import annotations

from datetime import UTC, datetime

_SIZES = ("KiB", "MiB", "GiB", "TiB", "PiB")
_COUNTS = ("k", "M", "G", "T")
_DURATIONS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
_ERRORS = {
    "timeout": "the API did not answer in time",
    "connect": "the API cannot be reached",
    "tls": "there is no secure connection to the API",
    "auth": "the API refuses the key, or what it may do",
    "not_found": "the API does not know this job",
    "expired": "the API no longer knows this finished job",
    "vanished": "the API no longer knows this job, which was unfinished",
    "rate_limited": "the API allows no more requests at the moment",
    "http": "what answers is not the import API",
    "api": "the API returned an error",
    "payload": "the reply has no usable data",
    "starved": "the job was not queried for longer than max_age",
}


def size(value: float) -> str:
    """Bytes with a binary unit: `512 B`, `1.50 MiB`."""
    if abs(value) < 1024:
        return f"{value:.0f} B"
    for unit in _SIZES:
        value /= 1024
        if abs(value) < 1023.995 or unit == _SIZES[-1]:
            break
    return f"{_three_digits(value)} {unit}"


def count(value: float) -> str:
    """A number of things: `950`, `12,345`, from a million on `1.23 M`."""
    if abs(value) < 1e6:
        return f"{value:,.0f}"
    value /= 1000
    for unit in _COUNTS[1:]:
        value /= 1000
        if abs(value) < 999.995 or unit == _COUNTS[-1]:
            break
    return f"{_three_digits(value)} {unit}"


def duration(seconds: float) -> str:
    """Seconds in their two largest units: `< 0.01 s`, `0.25 s`, `42 s`, `3 m 20 s`, `2 d 4 h`; never negative."""
    if seconds < 0:
        return "0 s"
    if seconds < 0.01:
        return "< 0.01 s"
    if seconds < 10:
        return f"{seconds:.2g} s"
    left = int(seconds)
    parts: list[str] = []
    for unit, length in _DURATIONS:
        amount, left = divmod(left, length)
        if amount or parts:
            parts.append(f"{amount} {unit}")
    return " ".join(part for part in parts[:2] if not part.startswith("0 "))


def age(seconds: float) -> str:
    """How long ago, in whole seconds: `just now`, `4 s ago`."""
    return f"{duration(float(int(seconds)))} ago" if seconds >= 1 else "just now"


def moment(timestamp: float) -> str:
    """Seconds since the epoch as a time in ISO 8601, UTC, of the years 1 to 9999: `2026-11-24T16:07:14Z`."""
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def error(error_class: str) -> str:
    """Why a job or a list could not be read, by the class of the error (`ErrorClass`). Raises KeyError."""
    return _ERRORS[error_class]


def printable(text: str) -> str:
    r"""The text with what cannot be seen, or changes how the rest is seen, as its escape: `\x1b`, `\u202e`."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def _three_digits(value: float) -> str:
    magnitude = abs(value)
    return f"{value:.2f}" if magnitude < 9.995 else f"{value:.1f}" if magnitude < 99.95 else f"{value:.0f}"
