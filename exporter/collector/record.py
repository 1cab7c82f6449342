"""The record of one job: its states, and the transitions that answers, failures and time make.

Transitions are pure functions. Each returns the next record, or None where the job is not watched any more; where
nothing changes it returns the same object. All ages are measured on the monotonic clock, so that a stepped wall clock
ends nothing. The wall clock serves only to place `completeTime`, a time of the server's, on the monotonic one.

| state | means | left by |
| --- | --- | --- |
| New | no attempt has had an outcome | any answer or failure |
| Polling | unfinished, and the last answer is current | a failure, or `max_age` |
| Failing | the last attempt failed, or the turn did not come for `max_age` | an answer |
| Finished | Completed or Failed; checked again every `recheck_finished` | `finished_for`, or another answer |
| Missing | a discovered job that the API does not know | `finished_for`, or an answer |
| Expired | a finished job that is configured, and that the API has forgotten | an answer |
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from enum import IntEnum

from exporter.collector.clock import Moment
from exporter.collector.settings import Settings
from exporter.model import ErrorClass, Job, ListedJob, Source, State

NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API said about the job, and when.

    `changed_at`: when state, progress or imported rows last changed, as far as this process saw it; of a finished job
    when it ended. Seconds since the epoch, None where that is not known.
    """

    job: Job
    at: Moment
    changed_at: float | None = None


@dataclass(frozen=True, slots=True)
class New:
    """No attempt has had an outcome."""

    up = None
    error = None
    answer = None


@dataclass(frozen=True, slots=True)
class Polling:
    """The job is unfinished, and its last answer is current."""

    answer: Answer

    up = True
    error = None


@dataclass(frozen=True, slots=True)
class Failing:
    """The last attempt failed, or the job was not queried for `max_age`; `answer` is the last one, if any."""

    error: ErrorClass
    answer: Answer | None

    up = False


@dataclass(frozen=True, slots=True)
class Finished:
    """The API said Completed or Failed. `ended_at` and `recheck_at` are monotonic seconds.

    `forgotten`: the API did not know the job at the last check.
    """

    answer: Answer
    ended_at: float
    recheck_at: float
    forgotten: bool = False

    up = True
    error = None


@dataclass(frozen=True, slots=True)
class Missing:
    """The API does not know this discovered job, since `since`; both times are monotonic seconds."""

    error: ErrorClass
    answer: Answer | None
    since: float
    recheck_at: float

    up = False


@dataclass(frozen=True, slots=True)
class Expired:
    """A configured job that finished, and that the API does not know any more; `recheck_at` in monotonic seconds."""

    answer: Answer | None
    recheck_at: float

    up = False
    error = ErrorClass.EXPIRED


JobState = New | Polling | Failing | Finished | Missing | Expired


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one watched job.

    `first_seen` is in seconds since the epoch, `tried_at` is when the last attempt with an outcome began (monotonic).
    `collection_name` and `db_name` are the last known identity. `list_database` is the database of the list that named
    the job, `listed` the state and `listed_created_at` the time of creation that the list gave it last. `discovered`:
    a list named it, whatever else also did. `finished_before_start`: the first complete reading of its list called it
    finished.
    `new_in_list`: a later one was the first to name it, and called it finished. `seen_unfinished`: a list or the API
    called it unfinished. `seen_finished`: the API called it finished.
    """

    cluster_id: str
    job_id: str
    source: Source
    first_seen: float
    collection_name: str = ""
    db_name: str = ""
    list_database: str = ""
    listed: State | None = None
    discovered: bool = False
    listed_created_at: float | None = None
    finished_before_start: bool = False
    new_in_list: bool = False
    seen_unfinished: bool = False
    seen_finished: bool = False
    tried_at: float = NEVER
    state: JobState = New()

    @property
    def up(self) -> bool | None:
        """Whether the data is current; None as long as no attempt has had an outcome."""
        return self.state.up

    @property
    def error(self) -> ErrorClass | None:
        """Why the job cannot be read; set exactly while `up` is False."""
        return self.state.error

    @property
    def job(self) -> Job | None:
        """What the API said last; set exactly while `up` is True."""
        return self.state.answer.job if self.state.up and self.state.answer is not None else None

    @property
    def file_name(self) -> str:
        """The last known `fileName` of the job itself, empty where the API gave none."""
        return "" if self.state.answer is None else self.state.answer.job.file_name

    @property
    def created_at(self) -> float | None:
        """When the job was created (seconds since the epoch), while its data is current and says so."""
        job = self.job
        return None if job is None else self.listed_created_at if job.created_at is None else job.created_at

    @property
    def changed_at(self) -> float | None:
        """When the job last changed, or ended (seconds since the epoch), while the data is current."""
        return self.state.answer.changed_at if self.state.up and self.state.answer is not None else None

    @property
    def refreshed(self) -> float | None:
        """When the API last answered about the job, in seconds since the epoch."""
        return None if self.state.answer is None else self.state.answer.at.epoch

    @property
    def polled(self) -> bool:
        """Whether the job is queried at each scrape; the others cost nothing until their next check."""
        return isinstance(self.state, New | Polling | Failing)

    @property
    def listed_finished(self) -> bool:
        """Whether a list calls a job finished that the API has not been asked about with success."""
        return self.state.answer is None and self.listed is not None and self.listed.finished

    @property
    def finished(self) -> bool:
        """Whether the job is over, as far as is known."""
        return not self.polled or self.listed_finished


class Priority(IntEnum):
    """Why a job is due; a lower one is queried first. LISTED_FINISHED and RECHECK get every tenth turn all the same."""

    LISTED_FAILED = 0
    NEW = 1
    UNFINISHED = 2
    LISTED_FINISHED = 3
    RECHECK = 4


def answered(record: Record, job: Job, began: float, at: Moment, settings: Settings, chance: float) -> Record | None:
    """Take in an answer to an attempt that began at `began` (monotonic); `chance` from 0 to 1 spreads the checks."""
    name = job.collection_name or record.collection_name
    answer = Answer(job, at, _changed_at(record, job, at, settings))
    if not job.state.finished:
        return replace(record, tried_at=began, collection_name=name, state=Polling(answer), seen_unfinished=True)
    ended_at = _ended_at(record.state, job, at, settings)
    finished = Finished(answer, ended_at, _recheck_at(at.monotonic, settings, chance))
    if record.source is Source.DISCOVERY and record.finished_before_start and job.state is State.COMPLETED:
        of_unknown_age = _completed_at(job, settings) is None and not settings.forgets_finished
        if of_unknown_age:
            return None
    record = replace(record, tried_at=began, collection_name=name, state=finished, seen_finished=True)
    return aged(record, at.monotonic, settings)


def failed(
    record: Record, error: ErrorClass, began: float | None, now: float, settings: Settings, chance: float
) -> Record | None:
    """Take in a failure; `began` is None for a job that was not queried itself, since its cluster is down."""
    record = record if began is None else replace(record, tried_at=began)
    state = record.state
    unknown = error is ErrorClass.NOT_FOUND
    if unknown and state.answer is not None and not state.answer.job.state.finished:
        error = ErrorClass.VANISHED
    recheck_at = _recheck_at(now, settings, chance)
    if isinstance(state, Finished):
        checked = replace(state, recheck_at=recheck_at, forgotten=state.forgotten or unknown)
        return aged(replace(record, state=checked), now, settings)
    if isinstance(state, Missing | Expired):
        return replace(record, state=replace(state, recheck_at=recheck_at))
    if unknown and record.listed_finished:
        if record.source is Source.DISCOVERY:
            return None
        return replace(record, state=Expired(None, recheck_at))
    if unknown and record.source is Source.DISCOVERY:
        return replace(record, state=Missing(error, state.answer, now, recheck_at))
    return replace(record, state=Failing(error, state.answer))


def aged(record: Record, now: float, settings: Settings) -> Record | None:
    """Let time pass: `max_age` and `finished_for`."""
    state = record.state
    if isinstance(state, Polling):
        current = now < state.answer.at.monotonic + settings.scrape.max_age
        return record if current else replace(record, state=Failing(ErrorClass.STARVED, state.answer))
    if isinstance(state, Finished | Missing) and now >= ends_at(state, settings):
        if record.source is Source.DISCOVERY:
            return None
        if isinstance(state, Finished) and state.forgotten:
            return replace(record, state=Expired(state.answer, state.recheck_at))
    if isinstance(state, Expired) and record.source is Source.DISCOVERY:
        return None
    return record


def listed(record: Record, job: ListedJob, database: str, settings: Settings) -> Record:
    """Take in what a list says of the job; an answer about the job itself counts for more. `database`: of the list.

    A finished job of which the list now says something else than the kept answer is due for a check, and so is one that
    the API does not know while the list calls it unfinished.
    """
    state, name = record.state, record.collection_name
    if state.answer is None:
        name = job.collection_name or name
    if isinstance(state, Finished) and job.state not in (record.listed, state.answer.job.state):
        state = replace(state, recheck_at=NEVER)
    if isinstance(state, Missing) and not job.state.finished:
        state = replace(state, recheck_at=NEVER)
    following = replace(
        record,
        state=state,
        discovered=True,
        listed=job.state,
        listed_created_at=job.created_at,
        list_database=database,
        collection_name=sys.intern(name),
        db_name=db_name(record.source, database, settings),
        seen_unfinished=record.seen_unfinished or not job.state.finished,
    )
    return record if following == record else following


def renamed(record: Record, source: Source, settings: Settings) -> Record:
    """Take in what another configuration says of the job."""
    name = db_name(source, record.list_database, settings)
    if (source, name) == (record.source, record.db_name):
        return record
    state = record.state
    if isinstance(state, Missing) and source is not Source.DISCOVERY:
        state = Failing(state.error, state.answer)
    return replace(record, source=source, db_name=name, state=state)


def db_name(source: Source, list_database: str, settings: Settings) -> str:
    """Return the database to claim for a job: that of its list, else the configured one.

    On Milvus a list without a database names the jobs of all of them, so that none is claimed for those.
    """
    if list_database or (source is Source.DISCOVERY and settings.lists_all_databases):
        return list_database
    return settings.cluster.db_name or ""


def ends_at(state: Finished | Missing, settings: Settings) -> float:
    """Return when `finished_for` is over (monotonic seconds)."""
    since = state.ended_at if isinstance(state, Finished) else state.since
    return since + settings.cluster.finished_for


def wakes_at(record: Record, settings: Settings) -> float:
    """Return when a job that is not polled next needs a look (monotonic seconds): its check, or its end."""
    state = record.state
    if isinstance(state, Finished | Missing) and record.source is Source.DISCOVERY:
        return min(state.recheck_at, ends_at(state, settings))
    if isinstance(state, Finished) and state.forgotten:
        return min(state.recheck_at, ends_at(state, settings))
    if isinstance(state, Expired) and record.source is Source.DISCOVERY:
        return NEVER
    return NEVER if isinstance(state, New | Polling | Failing) else state.recheck_at


def priority(record: Record, now: float, settings: Settings) -> Priority | None:
    """Return why the job is due now; None if it is not."""
    state = record.state
    if state.answer is not None and now - state.answer.at.monotonic < settings.scrape.fresh_for:
        return None
    if isinstance(state, Finished | Missing | Expired):
        return Priority.RECHECK if now >= state.recheck_at else None
    if record.listed_finished:
        fails_now = record.listed is State.FAILED and not record.finished_before_start and isinstance(state, New)
        return Priority.LISTED_FAILED if fails_now else Priority.LISTED_FINISHED
    return Priority.NEW if isinstance(state, New) else Priority.UNFINISHED


def _completed_at(job: Job, settings: Settings) -> float | None:
    """Return when a finished job ended (seconds since the epoch), as far as the API says so.

    Zilliz Cloud may give that of the files alone. The files of Milvus are done hours before their job is.
    """
    if job.completed_at is not None or settings.forgets_finished:
        return job.completed_at
    return max((file.completed_at for file in job.files or () if file.completed_at is not None), default=None)


def _ended_at(before: JobState, job: Job, at: Moment, settings: Settings) -> float:
    completed_at = _completed_at(job, settings)
    if isinstance(before, Finished) and _completed_at(before.answer.job, settings) == completed_at:
        return before.ended_at
    if completed_at is None:
        return before.ended_at if isinstance(before, Finished) else at.monotonic
    ended_at = at.monotonic - max(0.0, at.epoch - completed_at)
    if before.answer is not None and not before.answer.job.state.finished:
        # The job was unfinished after that: the server's clock is behind this one.
        return max(ended_at, before.answer.at.monotonic)
    return ended_at


def _changed_at(record: Record, job: Job, at: Moment, settings: Settings) -> float | None:
    """Return when the job last changed, or ended; see `Answer`."""
    before = record.state.answer
    if before is not None and before.job.state is not job.state and before.job.state.finished:
        return at.epoch
    if not job.state.finished:
        same = before is not None and _observed(before.job) == _observed(job)
        return before.changed_at if before is not None and same else at.epoch
    if before is not None and before.job.state.finished and before.changed_at is not None:
        return before.changed_at
    if job.completed_at is None and record.seen_unfinished:
        return at.epoch
    completed_at = _completed_at(job, settings)
    if completed_at is not None:
        # Not before the job was last seen unfinished, nor in the future: the server's clock may differ.
        earliest = before.at.epoch if before is not None and not before.job.state.finished else completed_at
        return min(max(completed_at, earliest), at.epoch)
    return record.first_seen if record.new_in_list else None


def _observed(job: Job) -> tuple[object, ...]:
    """Return what makes a job change, as far as alerts are concerned."""
    return job.state, job.progress, job.imported_rows


def _recheck_at(now: float, settings: Settings, chance: float) -> float:
    return now + settings.scrape.recheck_finished * (0.5 + 0.5 * chance)
