"""The jobs of one simulated cluster: those that were added, and series of them that go on by themselves."""

from __future__ import annotations

import math
import threading
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
    """What one cluster knows. Thread-safe."""

    def __init__(self) -> None:
        """Begin without any job."""
        self._lock = threading.Lock()
        self._scripts: dict[str, JobScript] = {}
        self._series: list[Series] = []

    def add(self, *scripts: JobScript) -> None:
        """Add jobs; one of an id that is there already replaces that."""
        with self._lock:
            self._scripts.update((script.job_id, script) for script in scripts)

    def add_series(self, *series: Series) -> None:
        """Add jobs that are run again and again."""
        with self._lock:
            self._series.extend(series)

    def remove(self, *job_ids: str) -> None:
        """Forget jobs that were added, as if they had never been."""
        with self._lock:
            for job_id in job_ids:
                self._scripts.pop(job_id, None)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._scripts.clear()
            self._series.clear()

    def find(self, job_id: str, time: float) -> JobScript | None:
        """The job of this id, if it is known at that scenario second."""
        with self._lock:
            script = self._scripts.get(job_id)
            series = tuple(self._series)
        if script is not None:
            return script if script.known(time) else None
        return next((run for each in series for run in each.present(time) if run.job_id == job_id), None)

    def present(self, time: float) -> list[JobScript]:
        """All jobs known at a scenario second, in an order that does not depend on it."""
        with self._lock:
            scripts, series = tuple(self._scripts.values()), tuple(self._series)
        known = [script for script in scripts if script.known(time)]
        return known + [run for each in series for run in each.present(time)]

    def collections(self, database: str) -> set[str]:
        """Names of the collections of a database that any job was ever written for."""
        with self._lock:
            scripts = [*self._scripts.values(), *(each.run(0, each.first) for each in self._series)]
        return {script.collection_name for script in scripts if script.db_name == database}
