"""A scenario clock that tests set by hand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from exporter.demo.clock import Clock


class ScenarioClock(Clock):
    """Scenario seconds, which may be negative, and the calendar time at which each of them happens.

    `speed` is scenario seconds per real second; 0 stands still until `set` or `advance`, and a scenario second then is
    a calendar second after `epoch`. A running clock maps scenario times to the real moments at which it shows them, so
    that a completeTime is never in the future. Thread-safe.
    """

    def __init__(
        self, speed: float = 0.0, *, epoch: float | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        """`epoch`: calendar time of scenario second 0, seconds since 1970; the present where not given."""
        if speed < 0:
            raise ValueError(f"speed {speed}: a scenario cannot run backwards")
        super().__init__(speed)
        self._now = now
        self._lock = threading.Lock()
        self._reading = 0.0
        self._taken_at = now()
        if epoch is not None:
            self._epoch = epoch

    def time(self) -> float:
        """The present, in scenario seconds."""
        with self._lock:
            return self._time()

    def set(self, reading: float) -> None:
        """Jump to a scenario second; a running clock runs on from there."""
        with self._lock:
            self._jump(reading)

    def advance(self, seconds: float) -> None:
        """Jump forward by scenario seconds."""
        with self._lock:
            self._jump(self._time() + seconds)

    def calendar(self, reading: float) -> float:
        """When a scenario second happens or happened, in seconds since 1970."""
        with self._lock:
            return self._epoch + reading / (self._speed or 1.0)

    def _time(self) -> float:
        return self._reading + self._speed * (self._now() - self._taken_at)

    def _jump(self, reading: float) -> None:
        if self._speed:
            self._epoch += (self._time() - reading) / self._speed
        self._reading = reading
        self._taken_at = self._now()
