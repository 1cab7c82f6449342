"""Where the collector has its time and its chance from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment on two clocks: seconds on the monotonic clock, and since the epoch."""

    monotonic: float
    epoch: float


@dataclass(frozen=True, slots=True)
class Clock:
    """Monotonic seconds, seconds since the epoch, and random numbers from 0 to 1.

    Ages are measured on it. Deadlines are times of the event loop.
    """

    monotonic: Callable[[], float]
    epoch: Callable[[], float]
    chance: Callable[[], float]

    def now(self) -> Moment:
        """Return this moment on both clocks."""
        return Moment(self.monotonic(), self.epoch())
