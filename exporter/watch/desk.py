"""Whose turn it is at one cluster, and what every outcome means for the scrapes that wait: bookkeeping, no calls.

Nothing here blocks or is thread-safe: `ClusterWatch` holds its lock around every call and does what is decided.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from exporter.api.errors import ApiError, CallTimeoutError
from exporter.model import ErrorClass, Job, ListPage
from exporter.watch.deadline import Deadline
from exporter.watch.lists import USUAL_FADES, Lists
from exporter.watch.memory import JobMemory
from exporter.watch.plan import Turn
from exporter.watch.rounds import Listing, Query, Round
from exporter.watch.settings import Clock, Settings
from exporter.watch.sources import ListReading
from exporter.watch.view import ClusterView

DOWN = frozenset({ErrorClass.TIMEOUT, ErrorClass.CONNECT, ErrorClass.TLS, ErrorClass.AUTH, ErrorClass.HTTP})
RECHECK_SHARE = 0.1
RECHECK_CREDIT = 60.0


class Desk:
    """One cluster's rounds, queries and list, and what its calls have said about the cluster itself."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.last_error = ""
        """The last failure of a call, empty after a round in which all calls worked."""
        self.last_view: ClusterView | None = None
        """How the last scrape of the whole cluster went."""
        self._clock = clock
        at = clock.now()
        self.memory = JobMemory(settings.cluster_id, settings.named, settings.rules, at, clock.chance)
        self._rounds: list[Round] = []
        self._queries: dict[str, Query] = {}
        # Those that wait for a turn at the rate, in the order of asking; each has a worker, and any worker serves any.
        self._in_line: dict[Query, None] = {}
        self._late: set[Query] = set()
        self._suspect: ErrorClass | None = None
        self._up: bool | None = None
        self._lists = Lists()
        self._lone_call_is_job = False
        # How long an answer takes at most, as lately seen.
        self._usual_seconds = 0.0
        self._recheck_credit = 1.0
        self._credited_at = at.monotonic
        self._untold: list[tuple[str, ApiError | None]] = []
        self._troubled: set[str] = set()

    @property
    def late(self) -> int:
        """Calls that were given up at their deadline and still hold a worker."""
        return len(self._late)

    @property
    def tasks(self) -> int:
        """How many workers could begin something now."""
        now = self._clock.monotonic()
        pending = sum(len(waiter.wanted) + waiter.wants_list for waiter in self._rounds if waiter.deadline > now)
        return pending if self._suspect is None else min(pending, 0 if self._asking else 1)

    @property
    def _asking(self) -> bool:
        return bool(self._queries) or self._lists.listing is not None

    def reconfigure(self, settings: Settings, *, other_api: bool) -> None:
        """Go on under another configuration; running rounds follow it. `other_api`: what was learnt of it is void."""
        at = self._clock.now()
        self._lists.reconfigure(self.settings, settings)
        if other_api:
            self._suspect = None
        self.settings = settings
        self.memory.reconfigure(settings.named, settings.rules, at)
        for waiter in self._rounds:
            waiter.seen = {job_id for job_id in waiter.seen if job_id in self.memory}
        self._fill_all(at.monotonic)

    def open(self, deadline: float, only: str | None, after: Round | None) -> Round:
        """Open a round; see `ClusterWatch.begin`."""
        now = self._clock.monotonic()
        new = Round(now, deadline, self._clock.monotonic, since=now, only=only, counted=only is None)
        if after is not None:
            new.since = after.since
            # A job whose answer was forgotten meanwhile, by one reload before another, is asked again.
            kept = (job_id for job_id in after.asked if job_id in self.memory)
            new.seen = {job_id for job_id in kept if self.memory[job_id].tried_at is not None}
        self._rounds.append(new)
        if only is not None and only not in self.memory:
            new.await_more()
            new.wanted.add(only)
            new.queue.append(only)
        else:
            self._fill(new, now)
        if new.open == 0:
            new.ended = now
            new.done.set()
        return new

    def next_task(self) -> Listing | Query | None:
        """What a worker should do next: read the list, ask about a job, or nothing."""
        now = self._clock.monotonic()
        alone = self._suspect is not None
        if alone and self._asking:
            return None
        rounds = [waiter for waiter in self._rounds if waiter.deadline > now]
        waiting = [waiter for waiter in rounds if waiter.wants_list]
        # One kind of call that always fails must not keep the other from showing that the API is back.
        jobs_first = alone and self._lone_call_is_job and any(waiter.wanted for waiter in rounds)
        self._lone_call_is_job = alone and not jobs_first
        if waiting and self._lists.listing is None and not jobs_first:
            for waiter in waiting:
                waiter.wants_list = False
            return self._lists.open(waiting)
        for waiter in rounds:
            while waiter.queue:
                job_id = waiter.queue.popleft()
                if job_id in waiter.wanted:
                    return self._new_query(job_id, waiter)
        return None

    def _new_query(self, job_id: str, waiter: Round) -> Query:
        query = Query(job_id, remember=job_id in self.memory)
        self._in_line[query] = None
        waiters = [waiter]
        if query.remember:
            self._queries[job_id] = query
            waiters = [other for other in self._rounds if job_id in other.wanted]
        for other in waiters:
            other.wanted.discard(job_id)
            query.join(other)
        return query

    def begin_by(self) -> float | None:
        """The last moment at which one of the queries in line may begin (monotonic); None if there is none."""
        return max((query.begin_by(self._usual_seconds) for query in self._in_line), default=None)

    def begin(self) -> tuple[Query, Deadline, str] | None:
        """Start the query that is first in line, now that a turn at the rate has come, with its deadline and database.

        None if none is left: it was too late for those in line, or nobody waits for them any more.
        """
        now = self._clock.monotonic()
        while self._in_line:
            query = next(iter(self._in_line))
            if now <= query.begin_by(self._usual_seconds):
                del self._in_line[query]
                return query, query.begin(now), self.memory.database(query.job_id)
            self._leave_out(query)
        return None

    def returned(self, query: Query) -> None:
        """Note that the call of a query has come back, in time or not."""
        self._late.discard(query)

    def leave_out(self) -> None:
        """Note that no turn comes for the last one in line."""
        if self._in_line:
            self._leave_out(next(reversed(self._in_line)))

    def _leave_out(self, query: Query) -> None:
        self._forget(query)
        for waiter in query.rounds:
            waiter.left.add(query.job_id)
            waiter.settle()

    def conclude(self, query: Query, outcome: Job | ApiError) -> None:
        """Take in the outcome of a query; one that comes too late changes nothing."""
        if query.over:
            return
        self._forget(query)
        error = outcome.error if isinstance(outcome, ApiError) else None
        if error is None and query.began is not None:
            self._usual_seconds = max(self._clock.monotonic() - query.began, USUAL_FADES * self._usual_seconds)
        if query.remember:
            self._remember(query, outcome)
        for waiter in query.rounds:
            waiter.outcome = outcome
            waiter.progress_results.append(error)
            waiter.settle()
        if any(waiter.counted for waiter in query.rounds):
            self._judge(error)

    def start_listing(self) -> ListReading:
        """The reading to go on with: that of the last scrape where it was not complete."""
        return self._lists.start(self.settings, self._clock.monotonic())

    def take_page(self, listing: Listing, reading: ListReading, outcome: ListPage | ApiError) -> bool:
        """Take in one page of the list; whether to go on with it."""
        listing.call = None
        if self._lists.listing is not listing or self._lists.reading is not reading:
            return False
        if isinstance(outcome, ApiError):
            return self._list_failed(listing, outcome)
        self._list_said(listing, str(reading.next_page[0]), None)
        at = self._clock.now()
        if self._lists.take(outcome, self.memory, self.settings, at):
            self._fill_all(at.monotonic)
        return True

    def too_late_for_a_page(self, listing: Listing) -> bool:
        """Whether a further page would be cut off by the list's part of the scrape."""
        return self._lists.too_late_for_a_page(listing, self._clock.monotonic())

    def end_listing(self, listing: Listing) -> None:
        """Let the scrapes go that wait for the list, and ask what a complete reading makes be watched."""
        if self._lists.listing is not listing:
            return
        at = self._clock.now()
        if self._lists.end(self.memory, self.settings, at):
            self._fill_all(at.monotonic)
        for waiter in listing.rounds:
            waiter.settle()

    def drop_overdue(self, waiter: Round, now: float) -> None:
        """Give up what this round waits for and what is past its deadline."""
        for query in [query for query in waiter.joined if query.overdue(now)]:
            self._time_out(query)
        listing = self._lists.listing
        if listing is not None and now >= self._lists.deadline(waiter):
            self._list_failed(listing, CallTimeoutError("the list did not answer within half of the scrape's time"))
            self.end_listing(listing)

    def next_deadline(self, waiter: Round) -> float:
        """When something that the round waits for is out of time, or the round itself (monotonic)."""
        return min(waiter.next_deadline(), self._lists.deadline(waiter))

    def close(self, ending: Round, now: float) -> ClusterView | None:
        """End the round if all is known or its time is over, and say how it went; None if it goes on.

        What is overdue must have been dropped at the same `now`: what is left is other scrapes' to wait for.
        """
        if ending.open > 0 and now < ending.deadline:
            return None
        self._rounds.remove(ending)
        for query in list(ending.joined):
            self._leave(ending, query)
        self._lists.leave(ending)
        if ending.counted:
            self._weigh(ending)
        view = ClusterView(
            cluster_id=self.settings.cluster_id,
            up=self._up,
            jobs=self.memory.counts(),
            waiting=len((ending.wanted | ending.left) & ending.due),
            omitted=self._lists.omitted,
            scrape_duration=(now if ending.ended is None else ending.ended) - ending.since,
        )
        if ending.counted:
            self.last_view = view
        return view

    def abandon(self, waiter: Round) -> None:
        """Let a round go whose scrape broke off; one that was closed is no error."""
        if waiter in self._rounds:
            waiter.deadline = now = self._clock.monotonic()
            self.drop_overdue(waiter, now)
            self.close(waiter, now)

    def gone(self, job_ids: Collection[str]) -> None:
        """Forget the troubles of jobs that are watched no more."""
        self._troubled.difference_update(job_ids)

    def untold(self) -> list[tuple[str, ApiError | None]]:
        """The troubles (a job id or the name of a list, and the error) and recoveries (None) since the last call."""
        untold, self._untold = self._untold, []
        return untold

    def _fill(self, waiter: Round, now: float) -> None:
        order = self.memory.due(now, self._rechecks(now))
        for turn, job_id in order:
            if job_id in waiter.seen or waiter.only not in (None, job_id):
                continue
            waiter.seen.add(job_id)
            if turn is not Turn.RECHECK:
                waiter.due.add(job_id)
            query = self._queries.get(job_id)
            if query is not None and waiter in query.rounds:
                continue
            waiter.await_more()
            if query is None:
                waiter.wanted.add(job_id)
            else:
                query.join(waiter)
        for job_id in [job_id for job_id in waiter.wanted if job_id not in self.memory]:
            waiter.wanted.discard(job_id)
            waiter.settle()
        in_order = [job_id for _, job_id in order if job_id in waiter.wanted]
        waiter.queue = deque(dict.fromkeys([*in_order, *waiter.wanted]))
        if waiter.only is None and not waiter.list_seen and self._lists.due(self.settings, now):
            waiter.list_seen = True
            waiter.await_more()
            if self._lists.listing is None:
                waiter.wants_list = True
            else:
                self._lists.listing.rounds.append(waiter)

    def _rechecks(self, now: float) -> int | None:
        share = self.settings.requests_per_second * RECHECK_SHARE
        if share == 0:
            return None
        earned = (now - self._credited_at) * share
        self._credited_at = now
        self._recheck_credit = min(self._recheck_credit + earned, max(1.0, share * RECHECK_CREDIT))
        return int(self._recheck_credit)

    def _fill_all(self, now: float) -> None:
        """Let the running scrapes ask what is watched now, and no more what is not."""
        for waiter in self._rounds:
            if waiter.only is None:
                self._fill(waiter, now)

    def _forget(self, query: Query) -> None:
        query.over = True
        self._in_line.pop(query, None)
        if self._queries.get(query.job_id) is query:
            del self._queries[query.job_id]
        for waiter in query.rounds:
            waiter.joined.discard(query)

    def _remember(self, query: Query, outcome: Job | ApiError) -> None:
        began, at = query.began, self._clock.now()
        if query.job_id in self.memory and self.memory[query.job_id].settled:
            self._recheck_credit = max(0.0, self._recheck_credit - 1)
        if isinstance(outcome, ApiError):
            self.memory.failed(query.job_id, outcome.error, began, at)
            self.note(query.job_id, outcome)
        else:
            self.memory.answered(query.job_id, outcome, at.monotonic if began is None else began, at)
            self.note(query.job_id, None)

    def _list_failed(self, listing: Listing, error: ApiError) -> bool:
        """Take in a failure; whether to go on with the other lists, which an answer allows.

        A list whose time is over after some pages goes on next time, which is no failure.
        """
        out_of_time = isinstance(error, CallTimeoutError) and self._clock.monotonic() >= listing.deadline
        if out_of_time and listing.pages:
            return False
        self._list_said(listing, self._lists.skip(), error)
        return error.error is not ErrorClass.RATE_LIMITED and error.error not in DOWN

    def _list_said(self, listing: Listing, subject: str, error: ApiError | None) -> None:
        for waiter in listing.rounds:
            waiter.list_results.append(None if error is None else error.error)
        self.note(subject, error)
        self._judge(None if error is None else error.error)

    def note(self, subject: str, error: ApiError | None) -> None:
        """Keep a trouble, or a recovery from one, until it is told."""
        if error is not None:
            self.last_error = str(error)
            self._troubled.add(subject)
            self._untold.append((subject, error))
        elif subject in self._troubled:
            self._troubled.discard(subject)
            self._untold.append((subject, None))

    def _judge(self, error: ErrorClass | None) -> None:
        """After a scrape in which all calls failed alike, the first call decides for all others."""
        if self._suspect is None:
            return
        self._suspect = error if error in DOWN else None
        if self._suspect is None:
            return
        at = self._clock.now()
        for waiter in self._rounds:
            if not waiter.counted:
                continue
            for job_id in waiter.give_up():
                waiter.due.discard(job_id)
                if job_id in self.memory and not self.memory[job_id].settled:
                    self.memory.failed(job_id, self._suspect, None, at)
            if waiter.wants_list:
                waiter.wants_list = False
                waiter.list_results.append(error)
                waiter.settle()

    def _time_out(self, query: Query) -> None:
        self._late.add(query)
        self.conclude(query, CallTimeoutError("no answer within the time that the scrape had"))

    def _leave(self, ending: Round, query: Query) -> None:
        """End a round's wait for a query under way: a failure only where nobody waits for it any longer."""
        if query.rounds == [ending] and query.began is not None:
            self._time_out(query)
            return
        if query.began is None or self.memory.unanswered(query.job_id):
            ending.left.add(query.job_id)
        query.rounds.remove(ending)
        ending.joined.discard(query)
        if not query.rounds:
            self._forget(query)

    def _weigh(self, ending: Round) -> None:
        """Conclude from a whole scrape whether the cluster is up, and whether it may be down altogether."""
        results = set(ending.progress_results) | set(ending.list_results)
        if not results:
            return
        alike = next(iter(results)) if len(results) == 1 else None
        self._suspect = alike if alike in DOWN else None
        if results == {None}:
            self.last_error = ""
        answers = ending.progress_results or ending.list_results
        usable = any(error is None or error is ErrorClass.NOT_FOUND for error in answers)
        lists_work = all(error is None for error in ending.list_results) and not self._lists.failing
        self._up = usable and lists_work
