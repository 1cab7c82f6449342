"""The simulation's time: scenario seconds, which pass faster than real ones."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """Scenario seconds since the clock was made, and the calendar time at which each of them happens."""

    def __init__(self, speed: float) -> None:
        """`speed` is scenario seconds per real second, above 0."""
        self._speed = speed
        self._epoch = time.time()
        self._began = time.monotonic()

    def time(self) -> float:
        """The present, in scenario seconds."""
        return self._speed * (time.monotonic() - self._began)

    def calendar(self, reading: float) -> float:
        """When a scenario second happens, or happened if it is negative, in seconds since 1970."""
        return self._epoch + reading / self._speed

    def timestamp(self, reading: float) -> str:
        """The same as the APIs write it: RFC 3339 in whole seconds, UTC."""
        return datetime.fromtimestamp(self.calendar(reading), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
