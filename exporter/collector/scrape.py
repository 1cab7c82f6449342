"""One scrape of one cluster: what it is to query, what it waits for, and how its calls ended."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from exporter.api.errors import ApiError
from exporter.collector.breaker import Operation
from exporter.collector.jobs import Jobs
from exporter.collector.record import New, Priority
from exporter.collector.request import Request
from exporter.model import ErrorClass, Job


def about_cluster(error: ApiError | None) -> ErrorClass | None:
    """Return what an outcome says about the cluster; a refusal that concerns one job alone counts as an answer."""
    if error is None:
        return None
    return ErrorClass.API if error.of_one_job else error.error


class DueJobs:
    """The jobs that a scrape is to query: those that may be unfinished, and finished ones, each in order."""

    def __init__(self, order: Iterable[tuple[Priority, str]] = ()) -> None:
        self._urgent: deque[str] = deque()
        self._finished: deque[str] = deque()
        for why, job_id in order:
            (self._urgent if why < Priority.LISTED_FINISHED else self._finished).append(job_id)

    def __bool__(self) -> bool:
        return bool(self._urgent or self._finished)

    def __iter__(self) -> Iterator[str]:
        return chain(self._urgent, self._finished)

    def take(self, *, finished: bool) -> str:
        """Take the next job, a finished one where these have the turn, or where there is no other."""
        return (self._finished if self._finished and (finished or not self._urgent) else self._urgent).popleft()


@dataclass(eq=False, slots=True)
class Scrape:
    """One scrape under way. `began` is in monotonic seconds, `started` and `deadline` are times of the event loop.

    `due` are the jobs to query, in order, `requests` those whose turn came. `expected` are all jobs that it is about,
    re-checks left out. `changed` is set when more is due, or no list is read any more. `counted`: whether its calls
    say something about the cluster, as those of a probe of one job do not. `down`: the cluster turned out to be down.
    `outcomes` are those of all its calls: the operation, the job or list, and the error if any.
    """

    jobs: Jobs
    began: float
    started: float
    deadline: float
    counted: bool
    due: DueJobs = field(default_factory=DueJobs)
    requests: dict[str, Request[Job]] = field(default_factory=dict)
    expected: set[str] = field(default_factory=set)
    reads_lists: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    timeout: asyncio.Timeout | None = None
    down: bool = False
    outcomes: list[tuple[Operation, str, ApiError | None]] = field(default_factory=list)

    def errors(self, *operations: Operation) -> list[ErrorClass | None]:
        """Return what each such call says about the cluster: its class of error, None where it worked."""
        return [about_cluster(error) for kind, _, error in self.outcomes if kind in operations]

    def wanted(self) -> list[Operation]:
        """Return the kinds of calls that are still to be made."""
        if self.down:
            return []
        wanted: list[Operation] = ["progress"] if self.due else []
        return [*wanted, "list"] if self.reads_lists else wanted

    def served(self, job_id: str) -> bool:
        """Return whether an attempt that began, or an answer that came, after the scrape began serves it."""
        record = self.jobs[job_id]
        answer = record.state.answer
        return record.tried_at >= self.began or (answer is not None and answer.at.monotonic >= self.began)

    def waiting(self) -> int:
        """Return how many jobs had no turn, or had one that the scrape could not wait for, with nothing known yet."""
        return sum(map(self._waits, self.expected))

    def _waits(self, job_id: str) -> bool:
        record = self.jobs.get(job_id)
        if record is None:
            return False
        return isinstance(record.state, New) or not (job_id in self.requests or self.served(job_id))
