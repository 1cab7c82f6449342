"""The jobs of one simulated cluster: imports that are run again and again."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from exporter.demo.scenario import FileScript, JobScript


@dataclass(frozen=True, eq=False)
class RecurringJob:
    """An import that is run every `every` scenario seconds, for the first time at `first`.

    Each run is like `script`, with an id of its own, which `job_id` makes from its start, and with files that are up to
    a fifth smaller or larger. The same script gives the same runs.
    """

    script: JobScript
    job_id: Callable[[float, random.Random], str]
    first: float
    every: float

    def present(self, time: float) -> Iterator[JobScript]:
        """The runs that are known at a scenario second, the youngest first."""
        oldest = max(0, math.ceil((time - self.script.forgotten_after - self.first) / self.every))
        newest = math.floor((time - self.first) / self.every)
        for number in range(newest, oldest - 1, -1):
            run = _run(self, number)
            if run.known(time):
                yield run


@lru_cache(maxsize=256)
def _run(job: RecurringJob, number: int) -> JobScript:
    chance = random.Random(f"{job.script.collection_name}/{number}")  # noqa: S311 - no secret
    starts_at = job.first + number * job.every
    files = tuple(_varied(file, chance.uniform(0.8, 1.2)) for file in job.script.files)
    return replace(job.script, job_id=job.job_id(starts_at, chance), files=files, starts_at=starts_at)


def _varied(file: FileScript, factor: float) -> FileScript:
    return replace(file, size=int(file.size * factor), rows=int(file.rows * factor))


class Jobs:
    """What one cluster knows."""

    def __init__(self, jobs: tuple[RecurringJob, ...] = ()) -> None:
        """Which runs of `jobs` there are depends on the time alone."""
        self._jobs = jobs

    def find(self, job_id: str, time: float) -> JobScript | None:
        """The job of this id, if it is known at that scenario second."""
        return next((job for job in self.present(time) if job.job_id == job_id), None)

    def present(self, time: float) -> list[JobScript]:
        """All jobs known at a scenario second, in an order that does not depend on it."""
        return [run for each in self._jobs for run in each.present(time)]
