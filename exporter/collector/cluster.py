"""One cluster across scrapes: which request goes next, requests that scrapes share, and what their outcomes mean."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from exporter.api.errors import ApiError, AuthError, CallTimeoutError
from exporter.collector.breaker import DOWN, Breaker, BreakerState, Operation
from exporter.collector.clock import Clock
from exporter.collector.discovery import PAGES_PER_SCRAPE, USUAL_FADES, Discovery, FoundJob, Reading
from exporter.collector.failures import ClusterLog, JobFinished
from exporter.collector.jobs import Jobs
from exporter.collector.ratelimit import Permit
from exporter.collector.record import Priority, Record
from exporter.collector.request import Endpoint, Request
from exporter.collector.scrape import DueJobs, Scrape, about_cluster
from exporter.collector.settings import Settings
from exporter.collector.snapshot import ClusterSnapshot
from exporter.log import FailureLog
from exporter.model import ErrorClass, Job, ListPage

Reply = TypeVar("Reply")

FINISHED_EVERY = 10
"""Every tenth request goes to a finished job while others wait, so that a backlog hides none of them."""


class Cluster:
    """Watches the import jobs of one cluster. Used on one event loop."""

    def __init__(
        self, settings: Settings, endpoint: Endpoint, clock: Clock, failures: FailureLog, finished: JobFinished
    ) -> None:
        """`finished` is called once for each job that this process sees finish."""
        self.jobs = Jobs(settings, endpoint, clock)
        """The watched jobs, under the configuration in force."""
        self.last_error = ""
        """The last failure of a call, empty after a scrape in which all calls worked."""
        self.last_error_class: ErrorClass | None = None
        """The class of that failure."""
        self.last_snapshot: ClusterSnapshot | None = None
        """How the last scrape of the whole cluster went; None before the first."""
        self.scraped_at: float | None = None
        """When that scrape ended, in seconds since the epoch."""
        self._clock = clock
        self._log = ClusterLog(settings.cluster.cluster_id, failures, finished)
        self._scrapes: set[Scrape] = set()
        self._in_flight: dict[str, Request[Job]] = {}
        self._breaker = Breaker()
        self._up: bool | None = None
        # Requests about jobs so far: finished jobs have every tenth turn, whatever else waits.
        self._turns = 1
        # The longest time that an answer took lately; it fades.
        self._usual_seconds = 0.0

    def configure(self, settings: Settings, endpoint: Endpoint) -> None:
        """Switch to another configuration. Jobs that stay keep their answers; running scrapes end under the old one."""
        if endpoint.api is not self.jobs.endpoint.api:
            self._breaker.close()
        self.jobs = Jobs(settings, endpoint, self._clock, self.jobs.known)

    def hurry(self, deadline: float) -> None:
        """Let no running scrape last longer than until this time of the loop."""
        for scrape in self._scrapes:
            if scrape.timeout is not None and deadline < scrape.deadline:
                scrape.deadline = deadline
                scrape.timeout.reschedule(deadline)

    async def scrape(self, jobs: Jobs, deadline: float) -> ClusterSnapshot:
        """Query the jobs that are due, and read the lists beside them, until `deadline` (time of the loop).

        `jobs` are those of the configuration under which the scrape began, which a reload may have replaced.
        """
        scrape = self._begin(jobs, deadline)
        await self._run(scrape)
        self._judge(scrape)
        self._log.scrape_ended(scrape, down=scrape.counted and self._breaker.state is BreakerState.OPEN)
        if not {None, ErrorClass.NOT_FOUND}.isdisjoint(scrape.errors("progress", "list")):
            self._log.first_answer(len(jobs))
        duration = asyncio.get_running_loop().time() - scrape.started
        snapshot = self.known(jobs, waiting=scrape.waiting(), duration=duration)
        if scrape.jobs is self.jobs:
            self.last_snapshot, self.scraped_at = snapshot, self._clock.epoch()
        return snapshot

    def known(self, jobs: Jobs, *, waiting: int = 0, duration: float = 0.0) -> ClusterSnapshot:
        """Return what is known at this moment."""
        return ClusterSnapshot(
            cluster_id=jobs.settings.cluster.cluster_id,
            up=self._up,
            counts=jobs.counts(),
            waiting=waiting,
            omitted=0 if jobs.discovery is None else jobs.discovery.omitted,
            listed=None if jobs.discovery is None else jobs.discovery.listed,
            scrape_duration=duration,
            jobs=jobs.shown(),
        )

    async def probe(self, job_id: str, deadline: float) -> Record | None:
        """Query this job alone, if it is due; it need not be watched. None if nothing is known of it."""
        watched = job_id in self.jobs
        scrape = self._begin(self.jobs if watched else self.jobs.alone(job_id), deadline, only=job_id)
        await self._run(scrape)
        if watched:
            self._log.scrape_ended(scrape, down=False)
        return scrape.jobs.shown().get(job_id)

    def _begin(self, jobs: Jobs, deadline: float, only: str | None = None) -> Scrape:
        began, started = self._clock.monotonic(), asyncio.get_running_loop().time()
        scrape = Scrape(jobs, began, started, deadline, counted=only is None)
        self._scrapes.add(scrape)
        if jobs.discovery is not None and scrape.counted:
            scrape.reads_lists = jobs.discovery.due(began, jobs.refresh_interval)
        self._find_due(scrape, only)
        return scrape

    def _find_due(self, scrape: Scrape, only: str | None = None) -> None:
        """Put the jobs that are due in order, and join the requests in flight about them."""
        due = []
        for why, job_id in scrape.jobs.due() if only is None else scrape.jobs.due_alone(only):
            if job_id in scrape.requests or scrape.down:
                continue
            if why is not Priority.RECHECK:
                scrape.expected.add(job_id)
            if not scrape.served(job_id) and not self._join(scrape, job_id):
                due.append((why, job_id))
        scrape.due = DueJobs(due)
        scrape.changed.set()

    async def _run(self, scrape: Scrape) -> None:
        """Query jobs and read lists, until the scrape has all that it wants or its time is over."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(scrape.deadline) as scrape.timeout, asyncio.TaskGroup() as calls:
                    if scrape.reads_lists:
                        calls.create_task(self._read_lists(scrape))
                    calls.create_task(self._query_jobs(scrape))
        finally:
            for job_id, request in scrape.requests.items():
                self._leave(scrape, job_id, request)
            self._scrapes.discard(scrape)

    async def _query_jobs(self, scrape: Scrape) -> None:
        """Query the jobs that are due, each when its turn has come, and wait for the answers."""
        while await self._more_due(scrape):
            until = scrape.deadline - min(2 * self._usual_seconds, (scrape.deadline - scrape.started) / 2)
            request = await self._call(scrape, "progress", until, partial(self._query_next, scrape))
            if request is None and scrape.due:
                break
        while pending := [each.outcome for each in scrape.requests.values() if not each.outcome.done()]:
            await asyncio.wait(pending)

    async def _more_due(self, scrape: Scrape) -> bool:
        """Wait until a job is due; False if none can become due any more in this scrape."""
        while not scrape.due and scrape.reads_lists:
            scrape.changed.clear()
            await scrape.changed.wait()
        return bool(scrape.due)

    async def _call(
        self, scrape: Scrape, operation: Operation, until: float, begin: Callable[[Permit], Request[Reply] | None]
    ) -> Request[Reply] | None:
        """Begin a request when its turn has come; None if `begin` has nothing to send, or no turn comes in time."""
        trial = scrape.counted and await self._breaker.admit(operation, scrape.wanted)
        request = None
        try:
            await scrape.jobs.endpoint.slots.acquire()
            try:
                if not scrape.down:
                    request = await scrape.jobs.endpoint.limit.acquire(until, begin)
            finally:
                if request is None:
                    scrape.jobs.endpoint.slots.release()
        finally:
            if trial and request is None:
                self._breaker.give_up_trial()
        if request is not None:
            request.trial = trial
        return request

    def _query_next(self, scrape: Scrape, permit: Permit) -> Request[Job] | None:
        """Begin a request for the job that is next now."""
        while scrape.due:
            job_id = scrape.due.take(finished=self._turns % FINISHED_EVERY == 0)
            record = scrape.jobs.get(job_id)
            if record is None or scrape.served(job_id) or self._join(scrape, job_id):
                continue
            call = partial(scrape.jobs.endpoint.api.progress, job_id, database=record.list_database)
            settled = partial(self._answered, job_id)
            request = Request(call, scrape.jobs.endpoint, permit, scrape.deadline, self._clock.monotonic(), settled)
            self._turns += 1
            self._in_flight[job_id] = request
            self._join(scrape, job_id)
            return request
        return None

    def _join(self, scrape: Scrape, job_id: str) -> bool:
        """Wait for the request in flight about a job; False if there is none."""
        request = self._in_flight.get(job_id)
        if request is None or request.endpoint.api is not scrape.jobs.endpoint.api:
            return False
        scrape.requests[job_id] = request
        request.extend(scrape.deadline)
        return True

    def _leave(self, scrape: Scrape, job_id: str, request: Request[Job]) -> None:
        """Wait no longer for a request: it is aborted, which is a failure, unless another scrape may wait longer."""
        if request.outcome.done():
            return
        others = [each.deadline for each in self._waiting(job_id, request) if each is not scrape]
        if others and max(others) > asyncio.get_running_loop().time():
            request.set_deadline(max(others))
        else:
            request.abort()

    def _waiting(self, job_id: str, request: Request[Job]) -> list[Scrape]:
        """Return the scrapes that wait for a request about a job."""
        return [scrape for scrape in self._scrapes if scrape.requests.get(job_id) is request]

    def _answered(self, job_id: str, request: Request[Job], outcome: Job | ApiError) -> None:
        """Take in the outcome of a request about a job, for all scrapes that wait for it."""
        if self._in_flight.get(job_id) is request:
            del self._in_flight[job_id]
        at, before = self._clock.now(), self.jobs.get(job_id)
        if isinstance(outcome, AuthError) and before is not None:
            outcome = _of_database(outcome, before, self.jobs.settings)
        for jobs in self._stores():
            if jobs.endpoint.api is not request.endpoint.api:
                continue
            if isinstance(outcome, ApiError):
                jobs.failed(job_id, outcome.error, request.begun_at, at)
            else:
                jobs.answered(job_id, outcome, request.begun_at, at)
        if not isinstance(outcome, ApiError) and self.jobs.endpoint.api is request.endpoint.api:
            self._log.job_answered(before, self.jobs.get(job_id), outcome)
        if not isinstance(outcome, ApiError):
            self._usual_seconds = max(at.monotonic - request.begun_at, USUAL_FADES * self._usual_seconds)
        self._settled("progress", job_id, request, outcome, self._waiting(job_id, request))

    def _settled(
        self,
        operation: Operation,
        subject: str,
        request: Request[Job] | Request[ListPage],
        outcome: Job | ListPage | ApiError,
        scrapes: Collection[Scrape],
    ) -> None:
        """Take in what the outcome of a call says about the cluster."""
        error = outcome if isinstance(outcome, ApiError) else None
        request.endpoint.limit.back_off(outcome)
        for scrape in scrapes:
            scrape.outcomes.append((operation, subject, error))
        if error is not None:
            self.last_error, self.last_error_class = str(error), error.error
        if self._up is None:
            self._up = error is None or error.error is ErrorClass.NOT_FOUND
        self._end_trial(request, error)

    def _end_trial(self, request: Request[Job] | Request[ListPage], error: ApiError | None) -> None:
        """Let a call that went alone decide for all others, whoever waits for it."""
        if request.trial:
            request.trial = False
            self._breaker.end_trial(about_cluster(error))
            if self._breaker.error is not None:
                self._give_up(self._breaker.error)

    def _give_up(self, error: ErrorClass) -> None:
        """Send nothing more in the running scrapes: the cluster is down, and so is every job that is due."""
        at = self._clock.now()
        for scrape in self._scrapes:
            if not scrape.counted:
                continue
            scrape.down = True
            for job_id in scrape.due:
                record = scrape.jobs.get(job_id)
                if record is not None and record.polled:
                    for jobs in self._stores():
                        jobs.failed(job_id, error, None, at)
            scrape.expected.difference_update(scrape.due)
            scrape.due = DueJobs()
            scrape.changed.set()

    def _stores(self) -> Iterable[Jobs]:
        """Return the jobs of the configuration in force, and of the scrapes that a reload overtook."""
        return {self.jobs, *(scrape.jobs for scrape in self._scrapes)}

    async def _read_lists(self, scrape: Scrape) -> None:
        """Read the lists, or wait for the scrape that does; its pages serve all scrapes."""
        discovery = scrape.jobs.discovery
        try:
            if discovery is not None and discovery.reading_ended is None:
                await self._read_pages(scrape, discovery)
            elif discovery is not None and discovery.reading_ended is not None:
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(_lists_until(scrape)):
                        await discovery.reading_ended.wait()
        finally:
            scrape.reads_lists = False
            scrape.changed.set()
            self._breaker.notify()

    async def _read_pages(self, scrape: Scrape, discovery: Discovery) -> None:
        """Read on where the last scrape stopped, for at most half of the scrape's time."""
        until = _lists_until(scrape)
        ended = discovery.reading_ended = asyncio.Event()
        reading = discovery.start(scrape.began, scrape.jobs.refresh_interval)
        pages = 0
        try:
            while not reading.complete and not scrape.down and pages < PAGES_PER_SCRAPE:
                if pages and not discovery.has_time(until - asyncio.get_running_loop().time()):
                    break
                request = await self._call(scrape, "list", until, partial(self._read_next, scrape, reading, until))
                if request is None:
                    break
                try:
                    outcome = await request
                except asyncio.CancelledError:
                    if request.trial:
                        request.trial = False
                        self._breaker.give_up_trial()
                    request.abort()
                    raise
                if isinstance(outcome, CallTimeoutError) and pages and asyncio.get_running_loop().time() >= until:
                    # The time for lists is over: the next scrape goes on with this page.
                    break
                if isinstance(outcome, ApiError):
                    self._listed(discovery, str(reading.skip()), request, outcome)
                    if outcome.error is ErrorClass.RATE_LIMITED or outcome.error in DOWN:
                        break
                else:
                    self._listed(discovery, str(reading.next_page[0]), request, outcome)
                    self._log.page_read(str(reading.next_page[0]), outcome)
                    self._find_jobs(discovery, discovery.add(outcome, self._clock.monotonic() - request.begun_at))
                pages += 1
        finally:
            discovery.reading_ended = None
            ended.set()
            self._choose_jobs(discovery)

    def _read_next(self, scrape: Scrape, reading: Reading, until: float, permit: Permit) -> Request[ListPage]:
        """Begin a request for the next page."""
        target, page = reading.next_page
        call = partial(scrape.jobs.endpoint.api.list_page, page, collection=target.collection, database=target.database)
        return Request(call, scrape.jobs.endpoint, permit, until, self._clock.monotonic(), self._page_settled)

    def _page_settled(self, request: Request[ListPage], outcome: ListPage | ApiError) -> None:
        """Note the end of a request about a page, also where its scrape has ended."""
        self._end_trial(request, outcome if isinstance(outcome, ApiError) else None)

    def _listed(
        self, discovery: Discovery, subject: str, request: Request[ListPage], outcome: ListPage | ApiError
    ) -> None:
        """Take in what the outcome of a list request says, for all scrapes that wait for the list."""
        waiting = [each for each in self._scrapes if each.reads_lists and each.jobs.discovery is discovery]
        self._settled("list", subject, request, outcome, waiting)

    def _find_jobs(self, discovery: Discovery, found: Collection[FoundJob]) -> None:
        """Watch at once the unfinished jobs that a page names, and query them in the running scrapes."""
        at = self._clock.now()
        for jobs in self._stores():
            if jobs.discovery is discovery and jobs.discover_early(found, at):
                self._find_due_again(discovery)

    def _choose_jobs(self, discovery: Discovery) -> None:
        """Decide which discovered jobs are watched, if every list was tried."""
        reading = discovery.end()
        if reading is None:
            return
        self._log.lists_read(len(reading.jobs), cut_off=reading.cut_off)
        at, first_read = self._clock.now(), discovery.first_read(reading)
        for jobs in self._stores():
            if jobs.discovery is discovery:
                omitted = jobs.choose_discovered(reading, at, first_read)
                if jobs is self.jobs or self.jobs.discovery is not discovery:
                    discovery.omitted = omitted
        self._find_due_again(discovery)

    def _find_due_again(self, discovery: Discovery) -> None:
        for scrape in self._scrapes:
            if scrape.counted and scrape.jobs.discovery is discovery:
                self._find_due(scrape)

    def _judge(self, scrape: Scrape) -> None:
        """Conclude from a whole scrape whether the cluster is up, and whether the breaker opens."""
        errors = scrape.errors("progress", "list")
        if not errors or scrape.jobs.endpoint.api is not self.jobs.endpoint.api:
            return
        self._breaker.scrape_ended(errors)
        if set(errors) == {None}:
            self.last_error, self.last_error_class = "", None
        answers = scrape.errors("progress") or errors
        usable = any(error in (None, ErrorClass.NOT_FOUND) for error in answers)
        discovery = scrape.jobs.discovery
        lists_work = set(scrape.errors("list")) <= {None} and not (discovery is not None and discovery.failing)
        self._up = usable and lists_work


def _lists_until(scrape: Scrape) -> float:
    """Return the time of the loop up to which a scrape reads lists: half of its own."""
    return scrape.started + (scrape.deadline - scrape.started) / 2


def _of_database(refusal: AuthError, record: Record, settings: Settings) -> AuthError:
    """Say what a refusal may mean where the database of a job is not known; then it concerns that job alone."""
    configured = settings.cluster.db_name
    if not (configured and settings.lists_all_databases and record.discovered and not record.list_database):
        return refusal
    message = f"{refusal}; the job may belong to another database than db_name: {configured}"
    return AuthError(message, refusal.retry_after, of_one_job=True)
