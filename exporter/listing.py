"""Which files get series of their own: the policy of `files`, and how `max_total` is shared out among the jobs."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from exporter.model import File, Job, State, id_order

Series = Literal["all", "unfinished", "none"]

JobKey = tuple[str, str]
"""Cluster id and job id."""


class FilePolicy(Protocol):
    """`files` of the configuration: which series, and at most how many per job and over all jobs."""

    @property
    def series(self) -> Series: ...
    @property
    def max_per_job(self) -> int: ...
    @property
    def max_total(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Listed:
    """The files of one job that have series, ordered by name, and how many the caps left out."""

    files: tuple[File, ...] = ()
    omitted: int = 0


def eligible(job: Job | None, series: Series) -> tuple[File, ...]:
    """The files that `series` lets through, before any cap: a Completed one is not `unfinished`, a Failed one is."""
    if job is None or job.files is None or series == "none":
        return ()
    if series == "unfinished":
        return tuple(file for file in job.files if file.state is not State.COMPLETED)
    return job.files


def wish(job: Job | None, policy: FilePolicy) -> int:
    """For how many files the job has series where `max_total` leaves room for all of them."""
    return min(len(eligible(job, policy.series)), policy.max_per_job)


def listed(job: Job | None, policy: FilePolicy, share: int) -> Listed:
    """The files of the job that have series where `max_total` leaves it `share` of them: the first by name."""
    files = eligible(job, policy.series)
    number = min(len(files), policy.max_per_job, share)
    return Listed(files[:number], len(files) - number)


class Shares:
    """Shares `max_total` out among the jobs: unfinished ones first, then the highest id, the last one cut.

    The jobs that wish for series are kept in order, so nothing is sorted anew; and while all wishes fit, only the
    jobs whose wish changed are looked at.
    """

    def __init__(self, max_total: int) -> None:
        self._max_total = max_total
        self._wishes: dict[JobKey, tuple[bool, int]] = {}
        self._order: list[tuple[bool, tuple[int, str], str]] = []
        self._sum = 0
        self._crowded = False
        self._touched: set[JobKey] = set()
        self._shares: dict[JobKey, int] = {}

    def wish(self, key: JobKey, files: int, *, finished: bool) -> None:
        """Says for how many files a job wants series; 0 for one that is gone."""
        old = self._wishes.get(key)
        new = (not finished, files) if files else None
        if new == old:
            return
        cluster_id, job_id = key
        if old is not None:
            del self._wishes[key]
            del self._order[bisect_left(self._order, (old[0], id_order(job_id), cluster_id))]
            self._sum -= old[1]
        if new is not None:
            self._wishes[key] = new
            insort(self._order, (new[0], id_order(job_id), cluster_id))
            self._sum += new[1]
        self._touched.add(key)

    @property
    def contested(self) -> bool:
        """Whether `settle` would take from some jobs to give to others, which the next wish may turn over."""
        return bool(self._touched) and self._sum > self._max_total

    def share(self, key: JobKey) -> int:
        """For how many files the job has series, as of the last `settle`."""
        return self._shares.get(key, 0)

    def settle(self) -> list[JobKey]:
        """Shares out anew and returns the jobs whose share changed."""
        if not self._touched:
            return []
        was_crowded, self._crowded = self._crowded, self._sum > self._max_total
        if self._crowded or was_crowded:
            dealt = dict(self._deal())
            changes = {key: dealt.get(key, 0) for key in self._shares.keys() | dealt.keys()}
        else:
            changes = {key: self._wishes[key][1] if key in self._wishes else 0 for key in self._touched}
        self._touched = set()
        changed = sorted(key for key, share in changes.items() if self._shares.get(key, 0) != share)
        for key in changed:
            if changes[key]:
                self._shares[key] = changes[key]
            else:
                del self._shares[key]
        return changed

    def _deal(self) -> Iterator[tuple[JobKey, int]]:
        left = self._max_total
        for _unfinished, (_length, job_id), cluster_id in reversed(self._order):
            if left == 0:
                return
            share = min(left, self._wishes[cluster_id, job_id][1])
            left -= share
            yield (cluster_id, job_id), share
