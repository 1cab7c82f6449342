"""What one cluster's jobs have said so far, and what has changed since it was last shown.

Not thread-safe: `ClusterWatch` guards it. Finished jobs are kept as compressed bytes and looked at only when
an event of theirs is due, so that they cost a scrape nothing.
"""

from __future__ import annotations

import heapq
import pickle
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from exporter.model import ErrorClass, Job, Source, State
from exporter.watch import plan
from exporter.watch.plan import Exposure, Moment, Rules, Turn, Watched
from exporter.watch.sources import NamedJob, choose
from exporter.watch.view import JobView

DISMISSED_IDS = 200_000


@dataclass(frozen=True, slots=True)
class Named:
    """Who names jobs by configuration: ids under `jobs`, ids of `job_lists`, and whether discovery adds more."""

    jobs: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()
    discovery: bool = False
    db_name: str = ""


class JobMemory:
    """The watched jobs of one cluster."""

    def __init__(self, cluster_id: str, named: Named, rules: Rules, at: Moment, chance: Callable[[], float]) -> None:
        self._cluster_id = cluster_id
        self._rules = rules
        self._chance = chance
        self._db_name = named.db_name
        self._watched: dict[str, Watched] = {}
        self._counts: Counter[Source] = Counter()
        self._unsettled: dict[str, None] = {}
        self._recheck_due: dict[str, None] = {}
        self._events: list[tuple[float, str]] = []
        self._ends_noted: dict[str, float] = {}
        self._packed: dict[str, bytes] = {}
        self._discovered: dict[str, str] = {}
        self._dismissed: dict[str, None] = {}
        self._inherited: set[str] = set()
        self._shown: dict[str, tuple[Watched, Exposure]] = {}
        self._changed: set[str] = set()
        self._gone: set[str] = set()
        self._stale_at = float("-inf")
        self.reconfigure(named, rules, at)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._watched

    def __getitem__(self, job_id: str) -> Watched:
        return self._watched[job_id]

    def counts(self) -> Mapping[Source, int]:
        """How many jobs are watched, by who named them."""
        return {source: self._counts[source] for source in Source}

    def unanswered(self, job_id: str) -> bool:
        """Whether nothing can be said of the job yet."""
        return job_id not in self._watched or self._watched[job_id].answered_at is None

    def database(self, job_id: str) -> str:
        """The database whose list named the job, empty if none did."""
        return self._discovered.get(job_id, "")

    def reconfigure(self, named: Named, rules: Rules, at: Moment) -> None:
        """Watch what is named now; what stays keeps its answers."""
        self._rules = rules
        self._db_name = named.db_name
        if not named.discovery:
            self._discovered.clear()
            self._dismissed.clear()
            self._inherited.clear()
        sources = dict.fromkeys(self._discovered, Source.DISCOVERY)
        sources.update(dict.fromkeys(named.listed, Source.LIST))
        sources.update(dict.fromkeys(named.jobs, Source.CONFIG))
        for job_id in self._watched.keys() - sources.keys():
            self._forget(job_id)
        for job_id in (*named.jobs, *named.listed, *self._discovered):
            self._put(self._named(job_id, sources[job_id], at))
        self._events = [(at.monotonic, job_id) for job_id, watched in self._watched.items() if watched.settled]
        heapq.heapify(self._events)
        self._ends_noted.clear()
        self._stale_at = float("-inf")

    def discover(self, named: Iterable[NamedJob], at: Moment) -> None:
        """Watch the jobs that a list named."""
        for name in named:
            job_id, finished = name.listed.job_id, name.listed.state.finished
            if job_id in self._dismissed:
                if finished:
                    continue
                del self._dismissed[job_id]
            self._discovered[job_id] = sys.intern(name.database)
            watched = self._watched.get(job_id)
            if watched is None:
                watched = self._named(job_id, Source.DISCOVERY, at)
                watched = replace(watched, inherited=finished and job_id in self._inherited)
            self._inherited.discard(job_id)
            if watched.state is None:
                collection_name = sys.intern(name.listed.collection_name) or watched.collection_name
                watched = replace(watched, listed_finished=finished, collection_name=collection_name)
            self._put(replace(watched, db_name=name.database or watched.db_name))

    def choose_discovered(
        self,
        named: Mapping[str, NamedJob],
        max_jobs: int,
        at: Moment,
        *,
        inherited: Collection[str] = (),
        early: Collection[str] = (),
    ) -> int:
        """Settle which discovered jobs are watched after a reading of the list; return how many are left out.

        Those that are watched only since this reading (`early`) have no precedence over others. `inherited`: jobs of
        lists that were read for the first time; what these call finished was so before, also where such a job is
        taken up only after a later reading.
        """
        self._inherited.update(job_id for job_id in inherited if named[job_id].listed.state.finished)
        candidates = {
            job_id: name.listed.state.finished
            for job_id, name in named.items()
            if not (name.listed.state.finished and job_id in self._dismissed)
        }
        for job_id in self._discovered:
            watched = self._watched[job_id]
            if watched.state is not None or watched.vanished or job_id not in candidates:
                candidates[job_id] = watched.settled or watched.listed_finished
        for job_id in [job_id for job_id in candidates if self._configured(job_id)]:
            del candidates[job_id]
        chosen = choose(candidates, self._discovered.keys() - early, max_jobs)
        for job_id in candidates.keys() - chosen:
            if self._discovered.pop(job_id, None) is not None:
                self._forget(job_id)
        self.discover((name for job_id, name in named.items() if job_id in chosen or self._configured(job_id)), at)
        return len(candidates) - len(chosen)

    def unfinished_discovered(self) -> int:
        """How many discovered jobs are not known to be over."""
        return sum(1 for job_id in self._unsettled if self._watched[job_id].source is Source.DISCOVERY)

    def due(self, now: float, rechecks: int | None) -> list[tuple[Turn, str]]:
        """The jobs to ask now, in order; see `plan.ask_order`."""
        self._turn_events(now)
        candidates = (self._watched[job_id] for ids in (self._unsettled, self._recheck_due) for job_id in ids)
        return plan.ask_order(candidates, now, self._rules, rechecks)

    def answered(self, job_id: str, job: Job, began: float, at: Moment) -> None:
        """Take in an answer to a call that began at `began` (monotonic)."""
        watched = self._watched.get(job_id)
        if watched is None:
            return
        self._settle(job_id, plan.answered(watched, job, began, at, self._rules, self._chance()), at)

    def failed(self, job_id: str, error: ErrorClass, began: float | None, at: Moment) -> None:
        """Take in a failure; see `plan.failed` for `began`."""
        watched = self._watched.get(job_id)
        if watched is None:
            return
        self._settle(job_id, plan.failed(watched, error, began, at.monotonic, self._rules, self._chance()), at)

    def changes(self, now: float, *, everything: bool = False) -> tuple[list[JobView], list[str]]:
        """The jobs to show anew and the ids to forget, since this was last called; `everything` shows all again."""
        self._turn_events(now)
        gone, self._gone = list(self._gone), set()
        # Time alone changes only what is said of answers that get too old.
        ages = everything or now >= self._stale_at
        job_ids: Iterable[str] = self._changed
        if everything:
            job_ids = self._watched.keys()
        elif ages:
            job_ids = self._changed | self._unsettled.keys()
        self._changed = set()
        stale_at = now + self._rules.max_age
        views = []
        for job_id in job_ids:
            watched = self._watched[job_id]
            exposure = plan.exposure(watched, now, self._rules)
            if exposure is None:
                continue
            if exposure.up:
                stale_at = min(stale_at, plan.stale_at(watched, self._rules))
            before = self._shown.get(job_id)
            if everything or before is None or before[0] is not watched or before[1] != exposure:
                views.append(self._view(watched, exposure))
            if watched.settled:
                self._shown.pop(job_id, None)
            else:
                self._shown[job_id] = (watched, exposure)
        if ages:
            self._stale_at = stale_at
        return views, gone

    def view(self, job_id: str, now: float) -> JobView | None:
        """What to say of one job; None if it is not watched, or was never asked."""
        watched = self._watched.get(job_id)
        exposure = None if watched is None else plan.exposure(watched, now, self._rules)
        return None if watched is None or exposure is None else self._view(watched, exposure)

    def worst(self, now: float, most: int) -> list[JobView]:
        """At most `most` jobs for a person: unreadable first, then failed, uncommitted, unfinished and completed."""
        ids = heapq.nlargest(most, self._watched, key=self._worth)
        return [self._view(watched, plan.exposure(watched, now, self._rules)) for watched in map(self.__getitem__, ids)]

    def __len__(self) -> int:
        return len(self._watched)

    def _worth(self, job_id: str) -> tuple[bool, bool, bool, bool, float]:
        watched = self._watched[job_id]
        failed, waits = watched.state is State.FAILED, watched.state is State.UNCOMMITTED
        latest = watched.first_seen if watched.ended_at is None else watched.ended_at
        return (watched.error is not None, failed, waits, not watched.settled, latest)

    def _configured(self, job_id: str) -> bool:
        watched = self._watched.get(job_id)
        return watched is not None and watched.source is not Source.DISCOVERY

    def _named(self, job_id: str, source: Source, at: Moment) -> Watched:
        db_name = self._discovered.get(job_id) or self._db_name
        watched = self._watched.get(job_id)
        if watched is None:
            return Watched(job_id=job_id, source=source, first_seen=at.epoch, db_name=db_name)
        if watched.source is source and watched.db_name == db_name:
            return watched
        return replace(watched, source=source, db_name=db_name)

    def _view(self, watched: Watched, exposure: Exposure | None) -> JobView:
        job = None
        if exposure is not None and exposure.up:
            packed = self._packed.get(watched.job_id)
            job = watched.job if packed is None else _unpack(packed)
        return JobView(
            cluster_id=self._cluster_id,
            job_id=watched.job_id,
            source=watched.source,
            collection_name=watched.collection_name,
            db_name=watched.db_name,
            first_seen=watched.first_seen,
            up=None if exposure is None else exposure.up,
            error=None if exposure is None else exposure.error,
            refreshed=watched.refreshed,
            job=job,
        )

    def _settle(self, job_id: str, watched: Watched | None, at: Moment) -> None:
        if watched is None:
            self._dismiss(job_id)
            return
        self._recheck_due.pop(job_id, None)
        if watched.job is not None and watched.finished:
            self._packed[job_id] = _pack(watched.job)
            watched = replace(watched, job=None)
        elif not watched.finished:
            self._packed.pop(job_id, None)
        self._put(watched)
        if watched.settled:
            heapq.heappush(self._events, (plan.next_event(watched, at.monotonic, self._rules), job_id))

    def _put(self, watched: Watched) -> None:
        job_id = watched.job_id
        before = self._watched.get(job_id)
        if before == watched:
            return
        if before is not None:
            self._counts[before.source] -= 1
        self._counts[watched.source] += 1
        self._watched[job_id] = watched
        self._changed.add(job_id)
        if watched.settled:
            self._unsettled.pop(job_id, None)
        else:
            self._unsettled[job_id] = None

    def _turn_events(self, now: float) -> None:
        while self._events and self._events[0][0] <= now:
            _, job_id = heapq.heappop(self._events)
            watched = self._watched.get(job_id)
            if watched is None or not watched.settled:
                continue
            if plan.over(watched, now, self._rules):
                self._dismiss(job_id)
                continue
            end = plan.ends_at(watched, self._rules)
            if end <= now:
                self._changed.add(job_id)
            if watched.recheck_at is not None and watched.recheck_at > now:
                heapq.heappush(self._events, (plan.next_event(watched, now, self._rules), job_id))
                continue
            self._recheck_due[job_id] = None
            if now < end < float("inf") and self._ends_noted.get(job_id) != end:
                self._ends_noted[job_id] = end
                heapq.heappush(self._events, (end, job_id))

    def _dismiss(self, job_id: str) -> None:
        self._discovered.pop(job_id, None)
        self._dismissed[job_id] = None
        if len(self._dismissed) > DISMISSED_IDS:
            del self._dismissed[next(iter(self._dismissed))]
        self._forget(job_id)

    def _forget(self, job_id: str) -> None:
        watched = self._watched.pop(job_id, None)
        if watched is not None:
            self._counts[watched.source] -= 1
        for memory in (self._unsettled, self._recheck_due, self._ends_noted, self._packed, self._shown):
            memory.pop(job_id, None)
        self._changed.discard(job_id)
        self._gone.add(job_id)


def _pack(job: Job) -> bytes:
    return zlib.compress(pickle.dumps(job, pickle.HIGHEST_PROTOCOL), 1)


def _unpack(packed: bytes) -> Job:
    job: Job = pickle.loads(zlib.decompress(packed))  # noqa: S301 - bytes that this process made
    return job
