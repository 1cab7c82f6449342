"""The text of one cluster's jobs, in blocks: what changed is made again with the other jobs of its block only.

A block holds up to `BLOCK_JOBS` jobs. The number is a compromise: larger blocks compress better and are joined faster,
but one job that changes costs the text of its block.
"""

from __future__ import annotations

from collections.abc import Mapping

from exporter.collector.record import Record
from exporter.metrics.families import JOB_FAMILIES
from exporter.metrics.files import JobSeries
from exporter.metrics.render import sample_lines
from exporter.metrics.splice import EMPTY, Run, deflate, join

BLOCK_JOBS = 48

LIVE_LEVEL = 1
"""Compression of what is sent once or a few times."""

FINISHED_LEVEL = 6
"""Compression of what is made once and sent many times."""


class _Block:
    """Some jobs, and per family the compressed text of their samples."""

    __slots__ = ("changes", "jobs", "outdated", "runs")

    def __init__(self) -> None:
        self.jobs: dict[str, JobSeries] = {}
        self.runs = [EMPTY] * len(JOB_FAMILIES)
        self.outdated: set[int] = set()
        """The families whose run is not the text of `jobs`, by index."""
        self.changes = 0
        """How often a job changed since the runs were made."""

    def put(self, job_id: str, new: JobSeries | None) -> None:
        """Exposes a job from the next rendering on, in place of what was exposed of it; None: no longer."""
        old = self.jobs.get(job_id)
        if new is None:
            del self.jobs[job_id]
        else:
            self.jobs[job_id] = new
        for index, family in enumerate(JOB_FAMILIES):
            if index not in self.outdated and (old is None or new is None or family.differs(old, new)):
                self.outdated.add(index)
        self.changes += 1

    def render(self, level: int) -> None:
        """Makes the runs that are outdated."""
        for index in sorted(self.outdated):
            family = JOB_FAMILIES[index]
            rows = (row for series in self.jobs.values() for row in family.rows(series))
            self.runs[index] = deflate(sample_lines(family, rows), level)
        self.outdated.clear()
        self.changes = 0


class Blocks:
    """Jobs in blocks. After an exception in one of its methods it must be dropped."""

    def __init__(self, level: int) -> None:
        """`level` of compression, as in zlib."""
        self._level = level
        self._blocks: list[_Block] = []
        self._block_of: dict[str, _Block] = {}
        self._joined: list[Run | None] = [None] * len(JOB_FAMILIES)

    def put(self, series: JobSeries) -> None:
        """Exposes a job in place of what was exposed of it."""
        job_id = series.record.job_id
        block = self._block_of.get(job_id)
        if block is None:
            self._add(series)
        elif not _same(block.jobs[job_id], series):
            block.put(job_id, series)

    def remove(self, job_id: str) -> None:
        """Exposes a job no longer; one that is not here is no error."""
        if (block := self._block_of.pop(job_id, None)) is not None:
            block.put(job_id, None)

    def render(self, *, ahead: bool) -> None:
        """Makes the text of what changed; with `ahead` only where little of it may have to be made again soon."""
        self._merge()
        for block in self._blocks:
            if block.outdated and not (ahead and self._may_change_soon(block)):
                self._joined = [None if index in block.outdated else run for index, run in enumerate(self._joined)]
                block.render(self._level)

    def run(self, family: int) -> Run:
        """The text of a family, without HELP and TYPE."""
        joined = self._joined[family]
        if joined is None:
            joined = self._joined[family] = join(block.runs[family] for block in self._blocks)
        return joined

    def _add(self, series: JobSeries) -> None:
        if not self._blocks or len(self._blocks[-1].jobs) >= BLOCK_JOBS:
            self._blocks.append(_Block())
        self._blocks[-1].put(series.record.job_id, series)
        self._block_of[series.record.job_id] = self._blocks[-1]

    def _merge(self) -> None:
        """Puts the jobs of blocks that are less than half full together; afterwards there is at most one."""
        sparse = [block for block in self._blocks if len(block.jobs) < BLOCK_JOBS // 2]
        if len(sparse) < 2:
            return
        self._blocks = [block for block in self._blocks if len(block.jobs) >= BLOCK_JOBS // 2]
        self._joined = [None] * len(JOB_FAMILIES)
        for block in sparse:
            for series in block.jobs.values():
                self._add(series)

    def _may_change_soon(self, block: _Block) -> bool:
        is_open = block is self._blocks[-1] and len(block.jobs) < BLOCK_JOBS
        return is_open or block.changes < len(block.jobs)


def _same(one: JobSeries, other: JobSeries) -> bool:
    return one.record is other.record and one.omitted == other.omitted and one.files == other.files


class ClusterText:
    """The text of one cluster's jobs: unfinished and finished ones apart, since the latter hardly change."""

    def __init__(self) -> None:
        self.jobs: Mapping[str, Record] = {}
        """The jobs exposed, as the snapshot gave them."""
        self._unfinished = Blocks(LIVE_LEVEL)
        self._finished = Blocks(FINISHED_LEVEL)

    def put(self, series: JobSeries) -> None:
        """Exposes a job in place of what was exposed of it."""
        job = series.record.job
        finished = job is not None and job.state.finished
        joins, leaves = (self._finished, self._unfinished) if finished else (self._unfinished, self._finished)
        leaves.remove(series.record.job_id)
        joins.put(series)

    def remove(self, job_id: str) -> None:
        """Exposes a job no longer."""
        self._unfinished.remove(job_id)
        self._finished.remove(job_id)

    def render(self, *, ahead: bool) -> None:
        """Makes the text of what changed; `ahead` as for `Blocks.render`."""
        self._unfinished.render(ahead=ahead)
        self._finished.render(ahead=ahead)

    def runs(self, family: int) -> tuple[Run, Run]:
        """The text of a family, without HELP and TYPE."""
        return self._unfinished.run(family), self._finished.run(family)
