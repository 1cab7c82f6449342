"""Whom to ask now, what to expose, what to forget: pure functions over what is remembered of a job.

All ages are measured on the monotonic clock, so that a stepped wall clock ends nothing. The wall clock is
read only to place `completeTime`, a time of the server's, on the monotonic one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum

from exporter.model import ErrorClass, Job, Source, State, id_order


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides about the jobs of one cluster, in seconds.

    `forgets_finished`: the server drops finished jobs by itself after hours (Milvus), so that a finished job
    without a finish time cannot be an old one.
    """

    fresh_for: float = 2.0
    recheck_finished: float = 600.0
    max_age: float = 300.0
    finished_for: float = 86400.0
    forgets_finished: bool = False


@dataclass(frozen=True, slots=True)
class Moment:
    """The time at which something happened: seconds on the monotonic clock, and since the epoch."""

    monotonic: float
    epoch: float


@dataclass(frozen=True, slots=True)
class Watched:
    """What is remembered of one job. Times are monotonic seconds, except `first_seen` and `refreshed` (epoch).

    `inherited`: finished already when its list was first read. `listed_finished`: what the list last said before the
    first answer, and from then on that answer. `tried_at`: when the last attempt began,
    answered or not. `state` and `completed_at` are those of the last answer, `job` is that answer.
    `ended_at`: when it finished. `vanished_at`: when the API first did not know an unfinished job.
    `forgotten`: the API does not know a job that was seen finished.
    """

    job_id: str
    source: Source
    first_seen: float
    collection_name: str = ""
    db_name: str = ""
    inherited: bool = False
    listed_finished: bool = False
    tried_at: float | None = None
    error: ErrorClass | None = None
    answered_at: float | None = None
    refreshed: float | None = None
    state: State | None = None
    completed_at: float | None = None
    job: Job | None = None
    ended_at: float | None = None
    vanished_at: float | None = None
    forgotten: bool = False
    recheck_at: float | None = None

    @property
    def finished(self) -> bool:
        """Whether the last answer called the job over."""
        return self.state is not None and self.state.finished

    @property
    def vanished(self) -> bool:
        """Whether the API no longer knows a discovered job that it never called finished."""
        return self.vanished_at is not None and self.source is Source.DISCOVERY

    @property
    def settled(self) -> bool:
        """Whether the job costs nothing until its next re-check: it is finished, or it vanished."""
        return self.finished or self.vanished


class Turn(IntEnum):
    """Why a job is due; lower is asked first."""

    NEW = 0
    UNFINISHED = 1
    LISTED_FINISHED = 2
    RECHECK = 3


@dataclass(frozen=True, slots=True)
class Exposure:
    """What may be said of a job: up with its answer, or not up with the class of the error."""

    up: bool
    error: ErrorClass | None = None


def answered(watched: Watched, job: Job, began: float, at: Moment, rules: Rules, chance: float) -> Watched | None:
    """What is remembered after an answer; None where the job turns out to be too old to be watched.

    `began` is when the call began (monotonic), `chance` a random number from 0 to 1 that spreads re-checks.
    """
    ended_at = _ended_at(watched, job, at) if job.state.finished else None
    now_watched = replace(
        watched,
        collection_name=job.collection_name or watched.collection_name,
        listed_finished=job.state.finished,
        tried_at=began,
        error=None,
        answered_at=at.monotonic,
        refreshed=at.epoch,
        state=job.state,
        completed_at=job.completed_at,
        job=job,
        ended_at=ended_at,
        vanished_at=None,
        forgotten=False,
        recheck_at=_recheck_at(at.monotonic, rules, chance) if job.state.finished else None,
    )
    ageless = watched.inherited and job.state.finished and job.completed_at is None and not rules.forgets_finished
    if watched.source is Source.DISCOVERY and (ageless or over(now_watched, at.monotonic, rules)):
        return None
    return now_watched


def failed(
    watched: Watched, error: ErrorClass, began: float | None, now: float, rules: Rules, chance: float
) -> Watched | None:
    """What is remembered after a failure; None where the API does not know a job that its list called finished.

    `began` is None for a job that was not asked itself because its cluster is down.
    """
    tried_at = watched.tried_at if began is None else began
    not_found = error is ErrorClass.NOT_FOUND
    if watched.finished:
        recheck_at = _recheck_at(now, rules, chance)
        return replace(watched, tried_at=tried_at, forgotten=watched.forgotten or not_found, recheck_at=recheck_at)
    if watched.vanished:
        return replace(watched, tried_at=tried_at, recheck_at=_recheck_at(now, rules, chance))
    if not_found and watched.listed_finished:
        if watched.source is Source.DISCOVERY:
            return None
        return replace(watched, tried_at=tried_at, error=ErrorClass.EXPIRED)
    if not_found and watched.source is Source.DISCOVERY:
        recheck_at = _recheck_at(now, rules, chance)
        return replace(watched, tried_at=tried_at, error=error, vanished_at=now, recheck_at=recheck_at)
    return replace(watched, tried_at=tried_at, error=error)


def turn(watched: Watched, now: float, rules: Rules) -> Turn | None:
    """Why the job is due now; None if it is not."""
    if watched.answered_at is not None and now - watched.answered_at < rules.fresh_for:
        return None
    if watched.settled:
        return Turn.RECHECK if watched.recheck_at is None or now >= watched.recheck_at else None
    if watched.state is None and watched.listed_finished:
        return Turn.LISTED_FINISHED
    if watched.state is None and watched.tried_at is None:
        return Turn.NEW
    return Turn.UNFINISHED


def ask_order(watched: Iterable[Watched], now: float, rules: Rules, rechecks: int | None) -> list[tuple[Turn, str]]:
    """The jobs that are due, in the order in which to ask; at most `rechecks` re-checks (None: no limit)."""
    due: list[tuple[Turn, int, float, tuple[int, str], str]] = []
    for job in watched:
        why = turn(job, now, rules)
        if why is None:
            continue
        discovered = int(why is Turn.NEW and job.source is Source.DISCOVERY)
        since = job.recheck_at if why is Turn.RECHECK else job.tried_at
        due.append((why, discovered, float("-inf") if since is None else since, id_order(job.job_id), job.job_id))
    due.sort()
    order = [(why, job_id) for why, _, _, _, job_id in due]
    if rechecks is None:
        return order
    first_recheck = next((place for place, (why, _) in enumerate(order) if why is Turn.RECHECK), len(order))
    return order[: first_recheck + rechecks]


def exposure(watched: Watched, now: float, rules: Rules) -> Exposure | None:
    """What to expose of the job now; None while it was never asked."""
    if watched.finished:
        if watched.forgotten and watched.source is not Source.DISCOVERY and now >= ends_at(watched, rules):
            return Exposure(up=False, error=ErrorClass.EXPIRED)
        return Exposure(up=True)
    if watched.error is not None:
        return Exposure(up=False, error=watched.error)
    if watched.answered_at is None:
        return None
    if now < stale_at(watched, rules):
        return Exposure(up=True)
    return Exposure(up=False, error=ErrorClass.STARVED)


def stale_at(watched: Watched, rules: Rules) -> float:
    """When the answer of an unfinished job is too old to be exposed (monotonic); a fact does not age."""
    if watched.finished or watched.answered_at is None:
        return float("inf")
    return watched.answered_at + rules.max_age


def over(watched: Watched, now: float, rules: Rules) -> bool:
    """Whether a discovered job has been finished, or gone, for so long that it is watched no more."""
    return watched.source is Source.DISCOVERY and watched.settled and now >= ends_at(watched, rules)


def ends_at(watched: Watched, rules: Rules) -> float:
    """When `finished_for` is over for a settled job (monotonic)."""
    since = watched.ended_at if watched.finished else watched.vanished_at
    return float("inf") if since is None else since + rules.finished_for


def next_event(watched: Watched, now: float, rules: Rules) -> float:
    """When a settled job next needs a look (monotonic): its re-check, or the end of `finished_for`."""
    recheck_at = now if watched.recheck_at is None else watched.recheck_at
    end = ends_at(watched, rules)
    return min(recheck_at, end) if end > now else recheck_at


def _ended_at(watched: Watched, job: Job, at: Moment) -> float:
    if watched.finished and watched.ended_at is not None and watched.completed_at == job.completed_at:
        return watched.ended_at
    if job.completed_at is None:
        return watched.ended_at if watched.finished and watched.ended_at is not None else at.monotonic
    ended_at = at.monotonic - max(0.0, at.epoch - job.completed_at)
    if watched.state is not None and not watched.finished and watched.answered_at is not None:
        # It was seen unfinished after that: the server's clock is behind ours.
        return max(ended_at, watched.answered_at)
    return ended_at


def _recheck_at(now: float, rules: Rules, chance: float) -> float:
    return now + rules.recheck_finished * (0.5 + 0.5 * chance)
