"""The records of one cluster under one configuration: which are watched, which are due, and in which order."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from exporter.collector import record as transitions
from exporter.collector.clock import Clock, Moment
from exporter.collector.discovery import Candidate, Discovery, FoundJob, Reading, choose
from exporter.collector.record import Expired, Finished, Missing, Priority, Record
from exporter.collector.request import Endpoint
from exporter.collector.settings import Settings
from exporter.model import ErrorClass, Job, Source, State, id_order

RETIRED_IDS = 200_000
RECHECK_SHARE = 0.1
RECHECK_SAVINGS = 60.0
"""How many seconds of its share of the rate the re-checks may save up."""


class RecheckBudget:
    """How many finished jobs may be checked again: a tenth of the rate, some of which may be saved up."""

    def __init__(self, now: float) -> None:
        self._credit = 1.0
        self._credited_at = now

    def allowed(self, now: float, rate: float) -> int | None:
        """Return how many re-checks may begin now (monotonic seconds) at that rate; None without a limit."""
        share = rate * RECHECK_SHARE
        if share == 0:
            return None
        earned = (now - self._credited_at) * share
        self._credited_at = now
        self._credit = min(self._credit + earned, max(1.0, share * RECHECK_SAVINGS))
        return int(self._credit)

    def spend(self) -> None:
        """Count one re-check."""
        self._credit = max(0.0, self._credit - 1)


@dataclass(slots=True)
class Known:
    """What the jobs under another configuration take over.

    `retired` are jobs that were over, and that lists do not bring back while they call them finished.
    `finished_earlier` are finished jobs that are no news and not watched now: what the first complete reading of a list
    called finished and is not watched yet, and what `max_jobs` left out after it was seen to finish.
    """

    rechecks: RecheckBudget
    records: dict[str, Record] = field(default_factory=dict)
    discovery: Discovery | None = None
    retired: dict[str, None] = field(default_factory=dict)
    finished_earlier: set[str] = field(default_factory=set)


class Jobs:
    """The watched jobs of one cluster.

    A reload makes another store from this one. A scrape that it overtakes keeps this one to its end.
    """

    def __init__(self, settings: Settings, endpoint: Endpoint, clock: Clock, known: Known | None = None) -> None:
        """`endpoint`: how the API is called under this configuration."""
        known = known or Known(RecheckBudget(clock.monotonic()))
        discovers = settings.cluster.discovery is not None
        self.settings = settings
        self.endpoint = endpoint
        self.discovery = _discovery(settings, known.discovery)
        self._clock = clock
        self._records: dict[str, Record] = {}
        self._counts: Counter[Source] = Counter()
        self._polled: dict[str, None] = {}
        self._wakes: list[tuple[float, str]] = []
        self._recheck_due: dict[str, None] = {}
        self._rechecks = known.rechecks
        self._retired = known.retired if discovers else {}
        self._finished_earlier = known.finished_earlier if discovers else set()
        self._take_over(known.records)

    @property
    def known(self) -> Known:
        """What the jobs under another configuration take over."""
        return Known(self._rechecks, self._records, self.discovery, self._retired, self._finished_earlier)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._records

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, job_id: str) -> Record:
        return self._records[job_id]

    def get(self, job_id: str) -> Record | None:
        """Return the record of a job, None if it is not watched."""
        return self._records.get(job_id)

    def alone(self, job_id: str) -> Jobs:
        """Return a store that watches this one job, as if the configuration named it."""
        cluster = self.settings.cluster.model_copy(update={"jobs": (job_id,), "discovery": None})
        return Jobs(Settings(cluster, self.settings.scrape), self.endpoint, self._clock)

    def counts(self) -> Mapping[Source, int]:
        """Return how many jobs are watched, by what named them."""
        return {source: self._counts[source] for source in Source}

    def shown(self) -> dict[str, Record]:
        """Return the jobs of which something is known now."""
        self._let_time_pass()
        shown = self._records.copy()
        # Most jobs are finished, and are not looked at.
        for job_id in self._polled:
            if shown[job_id].up is None:
                del shown[job_id]
        return shown

    def watched(self) -> list[Record]:
        """Return all jobs."""
        self._let_time_pass()
        return list(self._records.values())

    def worst(self, most: int) -> list[Record]:
        """Return at most `most` jobs: unreadable first, then failed, uncommitted, unfinished and completed ones."""
        self._let_time_pass()
        return heapq.nlargest(most, self._records.values(), key=_concern)

    def due(self) -> list[tuple[Priority, str]]:
        """Return the jobs to query now, in order; of the re-checks as many as their share of the rate allows."""
        now = self._let_time_pass()
        order = []
        for job_ids in (self._polled, self._recheck_due):
            for job_id in job_ids:
                record = self._records[job_id]
                why = transitions.priority(record, now, self.settings)
                if why is not None:
                    order.append((why, _rank(record, why), id_order(job_id), job_id))
        order.sort()
        rechecks = self._rechecks.allowed(now, self.endpoint.rate)
        due = [(why, job_id) for why, _, _, job_id in order]
        if rechecks is None:
            return due
        polled = next((place for place, (why, _) in enumerate(due) if why is Priority.RECHECK), len(due))
        return due[: polled + rechecks]

    def due_alone(self, job_id: str) -> list[tuple[Priority, str]]:
        """Return this job if it is due, whatever the re-checks may take of the rate."""
        now = self._let_time_pass()
        record = self._records.get(job_id)
        why = None if record is None else transitions.priority(record, now, self.settings)
        return [] if why is None else [(why, job_id)]

    def answered(self, job_id: str, job: Job, began: float, at: Moment) -> None:
        """Take in an answer to an attempt that began at `began` (monotonic). A job that is not watched is ignored."""
        record = self._records.get(job_id)
        if record is not None:
            self._count_recheck(record)
            chance = self._clock.chance()
            self._replace(record, transitions.answered(record, job, began, at, self.settings, chance))

    def failed(self, job_id: str, error: ErrorClass, began: float | None, at: Moment) -> None:
        """Take in a failure; `began` is None for a job that was not queried itself, since its cluster is down."""
        record = self._records.get(job_id)
        if record is not None:
            self._count_recheck(record)
            chance = self._clock.chance()
            self._replace(record, transitions.failed(record, error, began, at.monotonic, self.settings, chance))

    def discover(self, found: Iterable[FoundJob], at: Moment) -> None:
        """Watch the jobs that a list named."""
        for each in found:
            job_id, finished = each.listed.job_id, each.listed.state.finished
            if job_id in self._retired and job_id not in self._records:
                if finished:
                    continue
                del self._retired[job_id]
            before_start = job_id in self._finished_earlier
            self._finished_earlier.discard(job_id)
            record = self._records.get(job_id)
            if record is None:
                record = self._new(job_id, Source.DISCOVERY, at)
                record = replace(
                    record,
                    finished_before_start=finished and before_start,
                    new_in_list=finished and not before_start,
                )
            self._replace(record, transitions.listed(record, each.listed, each.database, self.settings))

    def discover_early(self, found: Iterable[FoundJob], at: Moment) -> bool:
        """Watch at once what a page calls unfinished, as far as `max_jobs` has room; return whether any is new.

        What a complete reading brings is for `choose_discovered` alone.
        """
        reading = None if self.discovery is None else self.discovery.reading
        if reading is None:
            return False
        unfinished = [each for each in found if not each.listed.state.finished]
        known = [each for each in unfinished if each.listed.job_id in self]
        new = [each for each in unfinished if each.listed.job_id not in self]
        room = 0 if reading.complete else max(0, self._max_jobs - self._unfinished_discovered())
        new = sorted(new, key=lambda each: id_order(each.listed.job_id), reverse=True)[:room]
        reading.early.update(each.listed.job_id for each in new)
        self.discover(known + new, at)
        return bool(new)

    def choose_discovered(self, reading: Reading, at: Moment, first_read: Collection[str]) -> int:
        """Decide which discovered jobs are watched after a reading of the lists; return how many are left out.

        Those that are watched only since this reading have no precedence over others. `first_read` are jobs of lists
        that were read for the first time: what these call finished was so before the start, also where such a job is
        watched only after a later reading.
        """
        found = reading.jobs
        self._finished_earlier.update(job_id for job_id in first_read if found[job_id].listed.state.finished)
        candidates = {
            job_id: self._candidate(job_id, each.listed.state, reading)
            for job_id, each in found.items()
            if not (each.listed.state.finished and job_id in self._retired)
        }
        for record in self._records.values():
            answered = record.state.answer is not None and record.job_id not in reading.early
            if record.discovered and (answered or not record.polled or record.job_id not in candidates):
                candidates[record.job_id] = self._candidate(record.job_id, _known_state(record), reading)
        for job_id in [job_id for job_id in candidates if self._configured(job_id)]:
            del candidates[job_id]
        chosen = choose(candidates, self._max_jobs)
        for job_id in candidates.keys() - chosen:
            if job_id in self and isinstance(self[job_id].state, Finished):
                # It was seen to finish: that it is watched again, once there is room, is no news.
                self._finished_earlier.add(job_id)
            self._forget(job_id)
        self.discover((each for job_id, each in found.items() if job_id in chosen or self._configured(job_id)), at)
        return len(candidates) - len(chosen)

    def _candidate(self, job_id: str, state: State, reading: Reading) -> Candidate:
        record = self._records.get(job_id)
        if record is None or job_id in reading.early:
            return Candidate(state, seen=job_id in self._finished_earlier)
        return Candidate(state, seen=record.state.answer is not None, polled=not record.finished)

    @property
    def refresh_interval(self) -> float:
        """Seconds within which the lists are not read again."""
        discovery = self.settings.cluster.discovery
        return 0.0 if discovery is None else discovery.refresh_interval

    @property
    def _max_jobs(self) -> int:
        discovery = self.settings.cluster.discovery
        return 0 if discovery is None else discovery.max_jobs

    def _unfinished_discovered(self) -> int:
        records = (self._records[job_id] for job_id in self._polled)
        return sum(record.source is Source.DISCOVERY and not record.finished for record in records)

    def _take_over(self, known: Mapping[str, Record]) -> None:
        """Watch what the configuration names, with what is known of it."""
        at = self._clock.now()
        cluster = self.settings.cluster
        sources = {}
        if cluster.discovery is not None:
            sources = {job_id: Source.DISCOVERY for job_id, record in known.items() if record.discovered}
        sources.update(dict.fromkeys(self.settings.listed, Source.LIST))
        sources.update(dict.fromkeys(cluster.jobs, Source.CONFIG))
        for job_id, source in sources.items():
            record = known.get(job_id)
            if record is None:
                self._put(self._new(job_id, source, at))
                continue
            if cluster.discovery is None and record.discovered:
                record = replace(record, discovered=False, list_database="")
            self._put(transitions.renamed(record, source, self.settings))

    def _new(self, job_id: str, source: Source, at: Moment) -> Record:
        db_name = transitions.db_name(source, "", self.settings)
        return Record(self.settings.cluster.cluster_id, job_id, source, at.epoch, db_name=db_name)

    def _configured(self, job_id: str) -> bool:
        record = self._records.get(job_id)
        return record is not None and record.source is not Source.DISCOVERY

    def _replace(self, record: Record, successor: Record | None) -> None:
        if successor is None:
            self._retire(record.job_id)
        elif successor is not record:
            self._put(successor)

    def _put(self, record: Record) -> None:
        job_id = record.job_id
        before = self._records.get(job_id)
        if before is not None:
            self._counts[before.source] -= 1
        self._counts[record.source] += 1
        self._records[job_id] = record
        self._recheck_due.pop(job_id, None)
        if record.polled:
            self._polled[job_id] = None
        else:
            self._polled.pop(job_id, None)
            heapq.heappush(self._wakes, (transitions.wakes_at(record, self.settings), job_id))

    def _let_time_pass(self) -> float:
        """Make the transitions that time makes, and return the time (monotonic)."""
        now = self._clock.monotonic()
        while self._wakes and self._wakes[0][0] <= now:
            _, job_id = heapq.heappop(self._wakes)
            record = self._records.get(job_id)
            if record is not None and not record.polled:
                self._recheck_due[job_id] = None
        for job_id in (*self._polled, *self._recheck_due):
            record = self._records[job_id]
            self._replace(record, transitions.aged(record, now, self.settings))
        for job_id in list(self._recheck_due):
            if transitions.wakes_at(self._records[job_id], self.settings) > now:
                del self._recheck_due[job_id]
        return now

    def _retire(self, job_id: str) -> None:
        """Stop watching a job that is over, and do not take it up again while lists call it finished."""
        self._retired[job_id] = None
        if len(self._retired) > RETIRED_IDS:
            del self._retired[next(iter(self._retired))]
        self._forget(job_id)

    def _forget(self, job_id: str) -> None:
        record = self._records.pop(job_id, None)
        if record is not None:
            self._counts[record.source] -= 1
        self._polled.pop(job_id, None)
        self._recheck_due.pop(job_id, None)

    def _count_recheck(self, record: Record) -> None:
        if not record.polled:
            self._rechecks.spend()


def _discovery(settings: Settings, before: Discovery | None) -> Discovery | None:
    lists = settings.cluster.lists
    if before is None or not lists:
        return Discovery(lists, single_page=settings.single_page) if lists else None
    return before.under(lists, single_page=settings.single_page)


def _rank(record: Record, why: Priority) -> tuple[bool, float]:
    """Order among jobs of one priority: configured ones first among new ones, else the longest untried first."""
    discovered = why is Priority.NEW and record.source is Source.DISCOVERY
    state = record.state
    return discovered, state.recheck_at if isinstance(state, Finished | Missing | Expired) else record.tried_at


def _known_state(record: Record) -> State:
    """Return what is known of a job for the choice of those that are watched."""
    if record.state.answer is not None:
        return record.state.answer.job.state
    return State.UNKNOWN if record.listed is None else record.listed


def _concern(record: Record) -> tuple[bool, bool, bool, bool, float]:
    job = record.job
    state = None if job is None else job.state
    latest = record.state.ended_at if isinstance(record.state, Finished) else record.first_seen
    return (record.up is False, state is State.FAILED, state is State.UNCOMMITTED, record.polled, latest)
