"""The life of an import job as a function of scenario time: no I/O, no dialect.

It follows what Milvus' coordinator does: stages with their bands of percent, files that appear only with the import
stage and share the percent of their task, a failure that resets percent and rows, and forgetting after a while.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property


class Phase(StrEnum):
    """States of a job as both products spell them in the reply about one job; no document knows `Suspended`."""

    PENDING = "Pending"
    IMPORTING = "Importing"
    SUSPENDED = "Suspended"
    UNCOMMITTED = "Uncommitted"
    COMPLETED = "Completed"
    FAILED = "Failed"


class TaskPhase(StrEnum):
    """States of a file, which are those of the import task that it belongs to."""

    PENDING = "Pending"
    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class FileScript:
    """One entry of an import: a file, or a set of NumPy files (several `paths`) that form one. `size` in bytes."""

    paths: tuple[str, ...]
    size: int
    rows: int


@dataclass(frozen=True, slots=True)
class Stages:
    """How long each stage of an import takes, in scenario seconds; `math.inf` never gets past it."""

    pending: float = 10.0
    preimporting: float = 20.0
    importing: float = 120.0
    sorting: float = 20.0
    indexing: float = 40.0


@dataclass(frozen=True, slots=True)
class Pause:
    """A job that makes no headway from `after` seconds since its start, for `lasts` seconds.

    With `node_lost` its unfinished tasks meanwhile stand at Pending with the percent that they had reached. With
    `suspended` the job itself is called Suspended meanwhile, if files are imported by then.
    """

    after: float
    lasts: float = math.inf
    node_lost: bool = False
    suspended: bool = False


@dataclass(frozen=True, slots=True)
class FileMoment:
    """One file at one moment. `progress` in percent, `size` in bytes, `completed_at` in scenario seconds."""

    paths: tuple[str, ...]
    size: int
    rows: int
    state: TaskPhase
    progress: int
    imported_rows: int
    completed_at: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Moment:
    """One job at one moment. `progress` in percent, `completed_at` in scenario seconds."""

    state: Phase
    progress: int = 0
    rows: int = 0
    imported_rows: int = 0
    files: tuple[FileMoment, ...] = ()
    completed_at: float | None = None
    reason: str = ""

    @property
    def size(self) -> int:
        """Bytes of the files that are known by now."""
        return sum(file.size for file in self.files)


def _files(count: int = 2) -> tuple[FileScript, ...]:
    return tuple(FileScript((f"run7/{number}.parquet",), 200 << 20, 500_000) for number in range(1, count + 1))


@dataclass(frozen=True)
class JobScript:
    """What becomes of one import job; all times are scenario seconds.

    The job exists from `starts_at` on. It fails `fails_after` seconds later: also when it is Completed by then, which
    is how Milvus ends a job whose collection is dropped. It is forgotten `retention` seconds after it finished, or
    `vanishes_after` seconds after its start whatever its state. Without `auto_commit` it waits in Uncommitted, for
    `commits_after` seconds.
    """

    job_id: str
    collection_name: str = "articles"
    files: tuple[FileScript, ...] = _files()
    db_name: str = "default"
    starts_at: float = 0.0
    stages: Stages = Stages()
    pause: Pause | None = None
    fails_after: float = math.inf
    reason: str = "import timeout"
    auto_commit: bool = True
    commits_after: float = math.inf
    retention: float = 10_800.0
    vanishes_after: float = math.inf
    files_per_task: int = 1
    tasks_at_once: int = 16
    tick: float = 2.0
    """How long the coordinator takes to notice that a stage is done, and to carry a failure to the files."""

    def at(self, time: float) -> Moment | None:
        """The job at a scenario second; None while it does not exist yet and once it is forgotten."""
        if not self.known(time):
            return None
        age = time - self.starts_at
        if age < self.fails_after:
            return self._unfailed(age)
        before = self._unfailed(self.fails_after)
        files = before.files
        if age >= self.fails_after + self.tick:
            files = tuple(replace(file, state=TaskPhase.FAILED, reason=self.reason) for file in files)
        return Moment(Phase.FAILED, files=files, completed_at=before.completed_at, reason=self.reason)

    def known(self, time: float) -> bool:
        """Whether the server knows the job at a scenario second."""
        return 0 <= time - self.starts_at < self.forgotten_after

    @cached_property
    def forgotten_after(self) -> float:
        """Age at which the server no longer knows the job."""
        finished_after = self._completed_after
        if self.fails_after < finished_after + self.retention:
            finished_after = self.fails_after
        return min(finished_after + self.retention, self.vanishes_after)

    @cached_property
    def _ends(self) -> tuple[float, float, float, float, float]:
        """Ages, pauses not counted, at which the five stages end."""
        stages = self.stages
        pending = stages.pending
        preimporting = pending + stages.preimporting
        importing = preimporting + stages.importing
        sorting = importing + stages.sorting
        return pending, preimporting, importing, sorting, sorting + stages.indexing

    @cached_property
    def _rows(self) -> int:
        return sum(file.rows for file in self.files)

    @cached_property
    def _completed_after(self) -> float:
        if not self._rows:
            return self._age_of(self._ends[1])
        ready_after = self._age_of(self._ends[4])
        return ready_after if self.auto_commit else ready_after + self.commits_after

    def _headway(self, age: float) -> float:
        """Age without the pause."""
        if self.pause is None or age <= self.pause.after:
            return age
        return max(self.pause.after, age - self.pause.lasts)

    def _age_of(self, headway: float) -> float:
        """Age at which the job has come that far."""
        if self.pause is None or headway <= self.pause.after:
            return headway
        return headway + self.pause.lasts

    def _unfailed(self, age: float) -> Moment:
        headway = self._headway(age)
        pending, preimporting, importing, sorting, indexing = self._ends
        if age >= self._completed_after:
            return self._completed()
        if headway < pending:
            return Moment(Phase.PENDING)
        if headway < preimporting:
            done = self._stepped(headway - pending, self.stages.preimporting, len(self.files))
            return Moment(Phase.IMPORTING, int(10 + 30 * done))
        pause = self.pause if self._paused(age) else None
        files, imported = self._import(headway, idle=pause is not None and pause.node_lost)
        if headway < importing:
            progress = 40 + 30 * imported / self._rows
        elif headway < sorting:
            progress = 70 + 10 * self._stepped(headway - importing, self.stages.sorting, self._tasks)
        elif headway < indexing:
            progress = 80 + 10 * self._stepped(headway - sorting, self.stages.indexing, self._tasks)
        else:
            return Moment(Phase.UNCOMMITTED, 99, self._rows, self._rows, files)
        state = Phase.SUSPENDED if pause is not None and pause.suspended else Phase.IMPORTING
        return Moment(state, int(progress), self._rows, imported, files)

    def _completed(self) -> Moment:
        if not self._rows:
            return Moment(Phase.COMPLETED, 100)
        files, _ = self._import(self._ends[4], idle=False)
        completed_at = self.starts_at + self._completed_after
        return Moment(Phase.COMPLETED, 100, self._rows, self._rows, files, completed_at)

    def _paused(self, age: float) -> bool:
        return self.pause is not None and self.pause.after <= age < self.pause.after + self.pause.lasts

    def _work(self, duration: float) -> float:
        """Seconds of a stage until its work is done; the coordinator notices that a tick later."""
        return max(duration - self.tick, duration / 2)

    def _stepped(self, elapsed: float, duration: float, steps: int) -> float:
        """Share of a stage that is done, from 0 to 1, in whole steps."""
        if not (work := self._work(duration)):
            return 1.0
        return min(1.0, math.floor(elapsed / work * steps) / max(1, steps))

    @cached_property
    def _tasks(self) -> int:
        return math.ceil(len(self.files) / self.files_per_task)

    def _import(self, headway: float, *, idle: bool) -> tuple[tuple[FileMoment, ...], int]:
        """The files at an age without pauses, and the rows imported by then."""
        moments: list[FileMoment] = []
        imported_rows = 0
        for task in range(self._tasks):
            begins, ends = self._task_span(task)
            share = 1.0 if headway >= ends else max(0.0, (headway - begins) / (ends - begins))
            files = self.files[task * self.files_per_task : (task + 1) * self.files_per_task]
            rows = sum(file.rows for file in files)
            task_rows = int(share * rows)
            imported_rows += task_rows
            percent = 100 if share == 1.0 else 100 * task_rows // max(1, rows)
            completed_at = self.starts_at + self._age_of(ends) if share == 1.0 else None
            if completed_at is not None:
                state = TaskPhase.COMPLETED
            else:
                state = TaskPhase.PENDING if idle or headway <= begins else TaskPhase.IN_PROGRESS
            moments.extend(
                FileMoment(file.paths, file.size, file.rows, state, percent, file.rows * percent // 100, completed_at)
                for file in files
            )
        return tuple(moments), imported_rows

    def _task_span(self, task: int) -> tuple[float, float]:
        """Ages without pauses between which a task runs: in waves of `tasks_at_once`, not all equally fast."""
        waves = math.ceil(self._tasks / self.tasks_at_once)
        seconds = self._work(self.stages.importing) / waves
        begins = self._ends[1] + task // self.tasks_at_once * seconds
        return begins, begins + seconds * (1 - 0.06 * (task * 7 % 5))
