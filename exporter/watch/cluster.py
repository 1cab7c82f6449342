"""One cluster across scrapes: whose turn it is, which calls are under way, and what became of them.

Each scrape opens a round and waits for it. Worker threads, at most `concurrency`, take the next job of the
oldest round; they exist only while there is something to ask. A query belongs to all rounds that want its
job. A round that ends leaves nothing behind: what nobody waits for is a timeout, and a worker stuck where
Python cannot interrupt it (name resolution) keeps its place among the workers until it returns.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TypeVar

from exporter.api.deadline import Deadline
from exporter.api.errors import ApiError, CallTimeoutError, PayloadError, RateLimitedError
from exporter.model import ErrorClass, Job, ListPage
from exporter.watch.memory import JobMemory, Named
from exporter.watch.plan import Moment, Rules, Turn
from exporter.watch.rounds import OLDEST_QUERY, Query, Round
from exporter.watch.sources import PAGES_PER_SCRAPE, ListReading, ListTarget
from exporter.watch.view import ClusterView, JobView

DOWN = frozenset({ErrorClass.TIMEOUT, ErrorClass.CONNECT, ErrorClass.TLS, ErrorClass.AUTH, ErrorClass.HTTP})
Answer = TypeVar("Answer")
Sent = Callable[[], None]
BACK_OFF = 1.0
RECHECK_SHARE = 0.1
RECHECK_CREDIT = 60.0


class Api(Protocol):
    """The calls that a cluster's API answers; both raise `ApiError` only."""

    def progress(self, job_id: str, deadline: Deadline, *, database: str = "", sent: Sent | None = None) -> Job:
        """Ask about one job; `sent` is called when the request is on its way."""

    def list_page(
        self, page: int, deadline: Deadline, *, collection: str = "", database: str = "", sent: Sent | None = None
    ) -> ListPage:
        """Ask for one page of the list, counted from 1."""

    def close(self) -> None:
        """Drop the kept connections."""


class Slot(Protocol):
    """The right to send one request."""

    def sent(self) -> None:
        """The request is on its way."""

    def done(self) -> None:
        """The reply is here, or will not come."""


class Limiter(Protocol):
    """The rate that clusters with one key share."""

    def acquire(self, until: float) -> Slot | None:
        """Wait for a turn; None if none comes before `until` (monotonic)."""

    def hold(self, until: float) -> None:
        """Let nothing begin before `until` (monotonic)."""


class Journal(Protocol):
    """Where troubles and recoveries are told; it decides how often."""

    def trouble(self, cluster_id: str, subject: str, error: ApiError) -> None:
        """A call about `subject` (a job id, or the list) failed."""

    def well(self, cluster_id: str, subject: str) -> None:
        """A call about `subject` worked."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the configuration says about watching one cluster; `requests_per_second` 0 is without limit."""

    cluster_id: str
    named: Named
    rules: Rules
    concurrency: int
    requests_per_second: float
    lists: tuple[ListTarget, ...] = ()
    refresh_interval: float = 60.0
    max_jobs: int = 500
    single_page: bool = False


@dataclass(frozen=True, slots=True)
class Clock:
    """Where the time comes from: monotonic seconds, seconds since the epoch, and chance from 0 to 1."""

    monotonic: Callable[[], float]
    epoch: Callable[[], float]
    chance: Callable[[], float]

    def now(self) -> Moment:
        """This moment on both clocks."""
        return Moment(self.monotonic(), self.epoch())


@dataclass(eq=False, slots=True)
class Listing:
    """The list being read by a worker, for the rounds that wait for it; `call` is the deadline of a call under way."""

    deadline: float
    rounds: list[Round]
    call: Deadline | None = None


class ClusterWatch:
    """Watches the import jobs of one cluster. All methods are thread-safe."""

    def __init__(self, settings: Settings, api: Api, limiter: Limiter, clock: Clock, journal: Journal) -> None:
        self._settings = settings
        self._api = api
        self._limiter = limiter
        self._clock = clock
        self._journal = journal
        self._lock = threading.Lock()
        at = clock.now()
        self._memory = JobMemory(settings.cluster_id, settings.named, settings.rules, at, clock.chance)
        self._rounds: list[Round] = []
        self._queries: dict[str, Query] = {}
        self._workers = 0
        self._untold: list[tuple[str, ApiError | None]] = []
        self._troubled: set[str] = set()
        self._suspect: ErrorClass | None = None
        self._up: bool | None = None
        self._last_error = ""
        self._last_view: ClusterView | None = None
        self._reading: ListReading | None = None
        self._listing: Listing | None = None
        self._listed_at: float | None = None
        self._first_list_read = False
        self._omitted = 0
        self._recheck_credit = 1.0
        self._credited_at = at.monotonic

    @property
    def settings(self) -> Settings:
        """What is configured now."""
        return self._settings

    @property
    def last_error(self) -> str:
        """The last failure of a call, empty after a round in which all calls worked."""
        return self._last_error

    @property
    def last_view(self) -> ClusterView | None:
        """How the last scrape of the whole cluster went; None before the first."""
        return self._last_view

    def reconfigure(self, settings: Settings, api: Api, limiter: Limiter) -> None:
        """Go on under another configuration; the answers of jobs that stay are kept, running scrapes follow."""
        with self._lock:
            at = self._clock.now()
            if settings.lists != self._settings.lists or settings.single_page != self._settings.single_page:
                self._reading = None
                self._listed_at = None
            if api is not self._api:
                self._suspect = None
            self._settings, self._api, self._limiter = settings, api, limiter
            self._memory.reconfigure(settings.named, settings.rules, at)
            if not settings.lists:
                self._omitted = 0
            for waiter in self._rounds:
                for job_id in [job_id for job_id in waiter.wanted if job_id not in self._memory]:
                    waiter.wanted.discard(job_id)
                    waiter.settle()
                self._fill(waiter, at.monotonic)
            self._spawn()

    def retire(self) -> None:
        """Watch nothing any more; `changes` names all jobs as gone."""
        self.reconfigure(replace(self._settings, named=Named(), lists=()), self._api, self._limiter)

    def begin(self, deadline: float, *, only: str | None = None, seen: Collection[str] = ()) -> Round:
        """Open a round that may last until `deadline` (monotonic).

        `only`: about this job alone. `seen`: jobs that the same scrape has asked in a round before.
        """
        with self._lock:
            now = self._clock.monotonic()
            new = Round(now, deadline, only=only, counted=only is None, seen=set(seen))
            self._rounds.append(new)
            if only is not None and only not in self._memory:
                new.await_more()
                new.wanted.add(only)
                new.queue.append(only)
            else:
                self._fill(new, now)
            if new.open == 0:
                new.done.set()
            self._spawn()
            return new

    def end(self, ending: Round) -> ClusterView:
        """Wait until everything that the round asked is known, or its deadline is there, and say how it went."""
        while True:
            with self._lock:
                now = self._clock.monotonic()
                self._drop_overdue(ending, now)
                view = self._close(ending, now) if ending.open <= 0 or now >= ending.deadline else None
                pause = self._next_deadline(ending) - now
            self._tell()
            if view is not None:
                return view
            ending.done.wait(pause)

    def changes(self, *, everything: bool = False) -> tuple[list[JobView], list[str]]:
        """The jobs to show anew and the ids to forget since the last call; `everything` shows all again."""
        with self._lock:
            return self._memory.changes(self._clock.monotonic(), everything=everything)

    def view(self, job_id: str) -> JobView | None:
        """What to say of one job; None if it is not watched or was never asked."""
        with self._lock:
            return self._memory.view(job_id, self._clock.monotonic())

    def worst(self, most: int) -> tuple[list[JobView], int]:
        """At most `most` jobs for a person, worst first, and how many are watched."""
        with self._lock:
            return self._memory.worst(self._clock.monotonic(), most), len(self._memory)

    def _fill(self, waiter: Round, now: float) -> None:
        order = self._memory.due(now, self._rechecks(now))
        for turn, job_id in order:
            if job_id in waiter.seen or waiter.only not in (None, job_id):
                continue
            waiter.seen.add(job_id)
            if turn is not Turn.RECHECK:
                waiter.due.add(job_id)
            waiter.await_more()
            query = self._queries.get(job_id)
            if query is None:
                waiter.wanted.add(job_id)
            else:
                query.join(waiter)
        waiter.queue = deque(job_id for _, job_id in order if job_id in waiter.wanted)
        if waiter.only is None and not waiter.list_seen and self._list_due(now):
            waiter.list_seen = True
            waiter.await_more()
            if self._listing is None:
                waiter.wants_list = True
            else:
                self._listing.rounds.append(waiter)

    def _list_due(self, now: float) -> bool:
        if not self._settings.lists:
            return False
        return (
            self._reading is not None
            or self._listed_at is None
            or now - self._listed_at >= self._settings.refresh_interval
        )

    def _rechecks(self, now: float) -> int | None:
        share = self._settings.requests_per_second * RECHECK_SHARE
        if share == 0:
            return None
        earned = (now - self._credited_at) * share
        self._credited_at = now
        self._recheck_credit = min(self._recheck_credit + earned, max(1.0, share * RECHECK_CREDIT))
        return int(self._recheck_credit)

    def _spawn(self) -> None:
        pending = sum(len(waiter.wanted) + waiter.wants_list for waiter in self._rounds)
        if self._suspect is not None:
            pending = min(pending, 0 if self._asking else 1)
        for _ in range(min(pending, self._settings.concurrency - self._workers)):
            self._workers += 1
            threading.Thread(target=self._work, name=f"ask-{self._settings.cluster_id}", daemon=True).start()

    @property
    def _asking(self) -> bool:
        return bool(self._queries) or self._listing is not None

    def _work(self) -> None:
        while True:
            with self._lock:
                task = self._next_task()
                if task is None:
                    self._workers -= 1
                    return
                api, limiter = self._api, self._limiter
            if isinstance(task, Listing):
                self._read_list(task, api, limiter)
            else:
                self._ask(task, api, limiter)
            self._tell()

    def _next_task(self) -> Listing | Query | None:
        now = self._clock.monotonic()
        alone = self._suspect is not None
        if alone and self._asking:
            return None
        rounds = [waiter for waiter in self._rounds if waiter.deadline > now]
        jobs_first = alone and any(waiter.wanted for waiter in rounds)
        waiting = [waiter for waiter in rounds if waiter.wants_list]
        if waiting and self._listing is None and not jobs_first:
            for waiter in waiting:
                waiter.wants_list = False
            self._listing = Listing(waiting[0].began + (waiting[0].deadline - waiting[0].began) / 2, waiting)
            return self._listing
        for waiter in rounds:
            while waiter.queue:
                job_id = waiter.queue.popleft()
                if job_id in waiter.wanted:
                    return self._new_query(job_id, waiter)
        return None

    def _new_query(self, job_id: str, waiter: Round) -> Query:
        query = Query(job_id, remember=job_id in self._memory)
        waiters = [waiter]
        if query.remember:
            self._queries[job_id] = query
            waiters = [other for other in self._rounds if job_id in other.wanted]
        for other in waiters:
            other.wanted.discard(job_id)
            query.join(other)
        return query

    def _ask(self, query: Query, api: Api, limiter: Limiter) -> None:
        slot = None
        while slot is None:
            until = query.until
            slot = limiter.acquire(until)
            if slot is None and query.until <= until:
                self._unask(query)
                return
        try:
            with self._lock:
                if query.over:
                    return
                deadline = query.begin(self._clock.monotonic())
                database = self._memory.database(query.job_id)
            ask = partial(api.progress, query.job_id, deadline, database=database, sent=slot.sent)
            outcome = self._call(query.job_id, ask)
        finally:
            slot.done()
        if isinstance(outcome, RateLimitedError):
            limiter.hold(self._clock.monotonic() + _back_off(outcome))
        self._finish(query, outcome)

    @staticmethod
    def _call(subject: str, call: Callable[[], Answer]) -> Answer | ApiError:
        try:
            return call()
        except ApiError as error:
            return error
        except Exception as error:  # noqa: BLE001 - the boundary: a fault of ours costs one job its answer, no more
            return PayloadError(f"{type(error).__name__} while reading the reply about {subject}: {error}")

    def _unask(self, query: Query) -> None:
        with self._lock:
            if query.over:
                return
            self._forget_query(query)
            for waiter in query.rounds:
                waiter.left.add(query.job_id)
                waiter.settle()

    def _finish(self, query: Query, outcome: Job | ApiError) -> None:
        with self._lock:
            if not query.over:
                self._conclude_query(query, outcome)

    def _conclude_query(self, query: Query, outcome: Job | ApiError) -> None:
        self._forget_query(query)
        error = outcome.error if isinstance(outcome, ApiError) else None
        if query.remember:
            self._remember(query, outcome)
        for waiter in query.rounds:
            waiter.outcome = outcome
            waiter.progress_results.append(error)
            waiter.settle()
        if any(waiter.counted for waiter in query.rounds):
            self._judge(error)

    def _forget_query(self, query: Query) -> None:
        query.over = True
        if self._queries.get(query.job_id) is query:
            del self._queries[query.job_id]
        for waiter in query.rounds:
            waiter.joined.discard(query)

    def _remember(self, query: Query, outcome: Job | ApiError) -> None:
        began, at = query.began, self._clock.now()
        if query.job_id in self._memory and self._memory[query.job_id].settled:
            self._recheck_credit = max(0.0, self._recheck_credit - 1)
        if isinstance(outcome, ApiError):
            self._memory.failed(query.job_id, outcome.error, began, at)
        else:
            self._memory.answered(query.job_id, outcome, at.monotonic if began is None else began, at)
        self._note(query.job_id, outcome if isinstance(outcome, ApiError) else None)

    def _note(self, subject: str, error: ApiError | None) -> None:
        """Keep what is to be told; it is told when the lock is free, since a log may block."""
        if error is not None:
            self._last_error = str(error)
            self._troubled.add(subject)
            self._untold.append((subject, error))
        elif subject in self._troubled:
            self._troubled.discard(subject)
            self._untold.append((subject, None))

    def _tell(self) -> None:
        with self._lock:
            untold, self._untold = self._untold, []
        for subject, error in untold:
            if error is None:
                self._journal.well(self._settings.cluster_id, subject)
            else:
                self._journal.trouble(self._settings.cluster_id, subject, error)

    def _judge(self, error: ErrorClass | None) -> None:
        """After a scrape in which all calls failed alike, the first call decides for all others."""
        if self._suspect is None:
            return
        if error not in DOWN:
            self._suspect = None
            self._spawn()
            return
        self._suspect = error
        at = self._clock.now()
        for waiter in self._rounds:
            if not waiter.counted:
                continue
            for job_id in waiter.give_up():
                waiter.due.discard(job_id)
                if job_id in self._memory and not self._memory[job_id].settled:
                    self._memory.failed(job_id, error, None, at)
            if waiter.wants_list:
                waiter.wants_list = False
                waiter.list_results.append(error)
                waiter.settle()

    def _next_deadline(self, waiter: Round) -> float:
        listing = self._listing
        if listing is not None and listing.call is not None and waiter in listing.rounds:
            return min(waiter.next_deadline(), listing.call.at)
        return waiter.next_deadline()

    def _drop_overdue(self, waiter: Round, now: float) -> None:
        for query in [query for query in waiter.joined if query.overdue(now)]:
            self._time_out(query)
        listing = self._listing
        if listing is not None and listing.call is not None and now >= listing.call.at and waiter in listing.rounds:
            self._take_page(listing, None, CallTimeoutError("the list did not answer within half of the budget"))
            self._end_listing(listing, None)

    def _time_out(self, query: Query) -> None:
        self._conclude_query(query, CallTimeoutError("no answer within the time that the scrape had"))

    def _close(self, ending: Round, now: float) -> ClusterView:
        self._rounds.remove(ending)
        for query in list(ending.joined):
            query.rounds.remove(ending)
            ending.joined.discard(query)
            if query.rounds:
                ending.left.add(query.job_id)
            elif query.began is None:
                self._forget_query(query)
                ending.left.add(query.job_id)
            else:
                query.rounds.append(ending)
                self._time_out(query)
        if self._listing is not None and ending in self._listing.rounds:
            self._listing.rounds.remove(ending)
        if ending.counted:
            self._conclude(ending)
        view = ClusterView(
            cluster_id=self._settings.cluster_id,
            up=self._up,
            jobs=self._memory.counts(),
            waiting=len((ending.wanted | ending.left) & ending.due),
            omitted=self._omitted,
            scrape_duration=now - ending.began,
        )
        if ending.counted:
            self._last_view = view
        return view

    def _conclude(self, ending: Round) -> None:
        results = set(ending.progress_results) | set(ending.list_results)
        if not results:
            return
        alike = next(iter(results)) if len(results) == 1 else None
        self._suspect = alike if alike in DOWN else None
        if results == {None}:
            self._last_error = ""
        answers = ending.progress_results or ending.list_results
        usable = any(error is None or error is ErrorClass.NOT_FOUND for error in answers)
        self._up = usable and all(error is None for error in ending.list_results)

    def _read_list(self, listing: Listing, api: Api, limiter: Limiter) -> None:
        """Read on where the last scrape stopped, for at most half of the budget."""
        with self._lock:
            reading = self._reading
            if reading is None:
                reading = self._reading = ListReading(self._settings.lists, self._settings.single_page)
                self._listed_at = self._clock.monotonic()
        failure: ApiError | None = None
        for _ in range(PAGES_PER_SCRAPE):
            if reading.complete:
                break
            slot = limiter.acquire(listing.deadline)
            if slot is None:
                break
            deadline = Deadline(min(listing.deadline, self._clock.monotonic() + OLDEST_QUERY))
            listing.call = deadline
            target, page = reading.next_page
            ask = partial(
                api.list_page,
                page,
                deadline,
                collection=target.collection,
                database=target.database,
                sent=slot.sent,
            )
            try:
                outcome = self._call("the list", ask)
            finally:
                slot.done()
            with self._lock:
                listing.call = None
                if self._listing is not listing or self._reading is not reading:
                    break
                if isinstance(outcome, ApiError):
                    failure = outcome
                self._take_page(listing, reading, outcome)
            if failure is not None:
                break
        if isinstance(failure, RateLimitedError):
            limiter.hold(self._clock.monotonic() + _back_off(failure))
        with self._lock:
            self._end_listing(listing, reading)

    def _take_page(self, listing: Listing, reading: ListReading | None, outcome: ListPage | ApiError) -> None:
        error = outcome.error if isinstance(outcome, ApiError) else None
        for waiter in listing.rounds:
            waiter.list_results.append(error)
        self._note("list", outcome if isinstance(outcome, ApiError) else None)
        if reading is not None and isinstance(outcome, ListPage):
            at = self._clock.now()
            unfinished = [name for name in reading.add(outcome) if not name.listed.state.finished]
            known = [name for name in unfinished if name.listed.job_id in self._memory]
            new = [name for name in unfinished if name.listed.job_id not in self._memory]
            room = max(0, self._settings.max_jobs - self._memory.unfinished_discovered())
            self._memory.discover(known + new[:room], at)
            if new[:room]:
                self._fill_all(at.monotonic)
        self._judge(error)

    def _end_listing(self, listing: Listing, reading: ListReading | None) -> None:
        if self._listing is not listing:
            return
        self._listing = None
        if reading is not None and self._reading is reading and reading.complete:
            self._reading = None
            at = self._clock.now()
            inherited = not self._first_list_read and bool(reading.jobs)
            self._omitted = self._memory.choose_discovered(
                reading.jobs, self._settings.max_jobs, at, inherited=inherited
            )
            self._first_list_read = self._first_list_read or bool(reading.jobs)
            self._fill_all(at.monotonic)
        for waiter in listing.rounds:
            waiter.settle()

    def _fill_all(self, now: float) -> None:
        for waiter in self._rounds:
            self._fill(waiter, now)
        self._spawn()


def _back_off(error: RateLimitedError) -> float:
    return BACK_OFF if error.retry_after is None else error.retry_after
