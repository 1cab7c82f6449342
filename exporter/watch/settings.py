"""What a watch is told: the configuration of its cluster, and where it has its time from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from exporter.watch.memory import Named
from exporter.watch.plan import Moment, Rules
from exporter.watch.sources import ListTarget


@dataclass(frozen=True, slots=True)
class Settings:
    """What the configuration says about watching one cluster.

    `requests_per_second` is its part of the rate that clusters with one key share; 0 is without limit.
    """

    cluster_id: str
    named: Named
    rules: Rules
    concurrency: int
    requests_per_second: float
    lists: tuple[ListTarget, ...] = ()
    refresh_interval: float = 60.0
    max_jobs: int = 500
    single_page: bool = False


@dataclass(frozen=True, slots=True)
class Clock:
    """Where the time comes from: monotonic seconds, seconds since the epoch, and chance from 0 to 1."""

    monotonic: Callable[[], float]
    epoch: Callable[[], float]
    chance: Callable[[], float]

    def now(self) -> Moment:
        """This moment on both clocks."""
        return Moment(self.monotonic(), self.epoch())
