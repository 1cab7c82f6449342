"""Durations as Prometheus writes them: `30s`, `10m`, `1h30m`, `1d`, `0s`."""

from __future__ import annotations

import re

UNITS = {  # largest first, each at most once: the order that Prometheus enforces; in milliseconds
    "y": 365 * 24 * 3_600_000,
    "w": 7 * 24 * 3_600_000,
    "d": 24 * 3_600_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1_000,
    "ms": 1,
}
_PATTERN = re.compile("".join(f"(?:([0-9]{{1,20}}){unit})?" for unit in UNITS))
_LONGEST = (2**63 - 1) // 1_000_000  # Prometheus counts int64 nanoseconds


def parse_duration(text: str) -> float:
    """Return seconds, 0 or more. `0` needs no unit. Raises ValueError, whose text does not repeat the input."""
    if text == "0":
        return 0.0
    match = _PATTERN.fullmatch(text)
    if not text or match is None:
        raise ValueError("must be a duration such as 30s, 10m or 1h30m")
    total = sum(int(count) * unit for count, unit in zip(match.groups(), UNITS.values(), strict=True) if count)
    if total > _LONGEST:
        raise ValueError("must be a duration below 292 years")
    return total / 1_000
