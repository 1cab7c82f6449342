"""The jobs of one simulated cluster, which start again and again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from exporter.demo.scenario import JobScript


@dataclass(frozen=True)
class Series:
    """A job that is run every `every` scenario seconds, for the first time at `first`.

    `run` makes the script of a run from its number, which counts from 0, and its start. A run is forgotten at most
    `lifetime` seconds after it began.
    """

    run: Callable[[int, float], JobScript]
    first: float
    every: float
    lifetime: float

    def present(self, time: float) -> Iterator[JobScript]:
        """The runs that are known at a scenario second, the youngest first."""
        oldest = max(0, math.ceil((time - self.lifetime - self.first) / self.every))
        newest = math.floor((time - self.first) / self.every)
        for number in range(newest, oldest - 1, -1):
            script = self.run(number, self.first + number * self.every)
            if script.known(time):
                yield script


class Jobs:
    """What one cluster knows."""

    def __init__(self, *series: Series) -> None:
        """The jobs never change; which of them there are depends on the time."""
        self._series = series

    def find(self, job_id: str, time: float) -> JobScript | None:
        """The job of this id, if it is known at that scenario second."""
        return next((run for each in self._series for run in each.present(time) if run.job_id == job_id), None)

    def present(self, time: float) -> list[JobScript]:
        """All jobs known at a scenario second, in an order that does not depend on it."""
        return [run for each in self._series for run in each.present(time)]
