"""One cluster across scrapes: the threads that ask its API, and the scrapes that wait for them.

Each scrape opens a round and waits for it. Worker threads, at most `concurrency`, take the next task of the
oldest round; they exist only while there is something to ask. A query belongs to all rounds that want its
job. A round that ends leaves nothing behind: what nobody waits for is a timeout, and a worker stuck where
Python cannot interrupt it (name resolution) keeps its place among the workers until it returns.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import partial
from typing import Protocol, TypeVar

from exporter.api.errors import ApiError, ConnectError, PayloadError
from exporter.model import Job, ListPage
from exporter.watch.deadline import Deadline
from exporter.watch.desk import Desk
from exporter.watch.memory import Named
from exporter.watch.rounds import OLDEST_QUERY, Listing, Query, Round
from exporter.watch.settings import Clock, Settings
from exporter.watch.sources import PAGES_PER_SCRAPE, ListReading
from exporter.watch.view import ClusterView, JobView

Answer = TypeVar("Answer")
Sent = Callable[[], None]
"""Seconds without requests after a refusal that names none (Retry-After)."""
MEANWHILE = 0.02


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

    def acquire(self, until: float, who: Hashable = "") -> Slot | None:
        """Wait for a turn of `who`, fairly among all; None if none comes before `until` (monotonic)."""

    def back_off(self, outcome: object) -> None:
        """Send nothing for as long as an outcome, where it is an error, asks for."""


class Journal(Protocol):
    """Where troubles and recoveries are told; it decides how often."""

    def trouble(self, cluster_id: str, subject: str, error: ApiError) -> None:
        """A call about `subject` (a job id, or the list) failed."""

    def well(self, cluster_id: str, subject: str) -> None:
        """A call about `subject` worked."""


class ClusterWatch:
    """Watches the import jobs of one cluster. All methods are thread-safe."""

    def __init__(self, settings: Settings, api: Api, limiter: Limiter, clock: Clock, journal: Journal) -> None:
        self._api = api
        self._limiter = limiter
        self._clock = clock
        self._journal = journal
        self._lock = threading.Lock()
        self._desk = Desk(settings, clock)
        self._workers = 0

    @property
    def last_error(self) -> str:
        """The last failure of a call, empty after a round in which all calls worked."""
        return self._desk.last_error

    @property
    def last_view(self) -> ClusterView | None:
        """How the last scrape of the whole cluster went; None before the first."""
        return self._desk.last_view

    @property
    def late_calls(self) -> int:
        """Calls that were given up at their deadline and have not returned yet; at most `concurrency`."""
        return self._desk.late

    def reconfigure(self, settings: Settings, api: Api, limiter: Limiter) -> None:
        """Go on under another configuration; the answers of jobs that stay are kept, running scrapes follow."""
        with self._lock:
            self._desk.reconfigure(settings, other_api=api is not self._api)
            self._api, self._limiter = api, limiter
            self._spawn()

    def retire(self) -> None:
        """Watch nothing any more; `changes` names all jobs as gone."""
        self.reconfigure(replace(self._desk.settings, named=Named(), lists=()), self._api, self._limiter)

    def begin(self, deadline: float, *, only: str | None = None, after: Round | None = None) -> Round:
        """Open a round that may last until `deadline` (monotonic).

        `only`: about this job alone. `after`: a round of the same scrape, which is over.
        """
        with self._lock:
            opened = self._desk.open(deadline, only, after)
            self._spawn()
            return opened

    def end(self, ending: Round, meanwhile: Callable[[], None] | None = None) -> ClusterView:
        """Wait until everything that the round asked is known, or its deadline is there, and say how it went.

        `meanwhile` is called every 20 ms as long as there is something to wait for.
        """
        while True:
            with self._lock:
                now = self._clock.monotonic()
                self._desk.drop_overdue(ending, now)
                view = self._desk.close(ending, now)
                pause = self._desk.next_deadline(ending) - now
                self._spawn()
            self._tell()
            if view is not None:
                return view
            if meanwhile is None:
                ending.done.wait(pause)
            elif not ending.done.wait(min(pause, MEANWHILE)):
                meanwhile()

    def abandon(self, waiter: Round) -> None:
        """Let a round go whose scrape broke off before its end; one that has ended is no error."""
        with self._lock:
            self._desk.abandon(waiter)

    def changes(self, *, everything: bool = False) -> tuple[list[JobView], list[str]]:
        """The jobs to show anew and the ids to forget since the last call; `everything` shows all again."""
        with self._lock:
            views, gone = self._desk.memory.changes(self._clock.monotonic(), everything=everything)
            self._desk.gone(gone)
            return views, gone

    def view(self, job_id: str) -> JobView | None:
        """What to say of one job; None if it is not watched or was never asked."""
        with self._lock:
            return self._desk.memory.view(job_id, self._clock.monotonic())

    def database(self, job_id: str) -> str:
        """The database whose list named the job, empty if none did."""
        with self._lock:
            return self._desk.memory.database(job_id)

    def worst(self, most: int) -> tuple[list[JobView], int]:
        """At most `most` jobs for a person, worst first, and how many are watched."""
        with self._lock:
            memory = self._desk.memory
            return memory.worst(self._clock.monotonic(), most), len(memory)

    def _spawn(self) -> None:
        for _ in range(min(self._desk.tasks, self._desk.settings.concurrency - self._workers)):
            worker = threading.Thread(target=self._work, name=f"ask-{self._desk.settings.cluster_id}", daemon=True)
            try:
                worker.start()
            except RuntimeError as error:
                # No thread is to be had now: those that run go on, and the next scrape tries again.
                self._desk.note("a thread to ask with", ConnectError(f"cannot ask: {error}"))
                return
            self._workers += 1

    def _work(self) -> None:
        try:
            while (task := self._next_task()) is not None:
                if isinstance(task, Listing):
                    self._read_list(task)
                else:
                    self._ask()
                self._tell()
        finally:
            with self._lock:
                self._workers -= 1
                self._spawn()

    def _next_task(self) -> Listing | Query | None:
        with self._lock:
            return self._desk.next_task()

    def _ask(self) -> None:
        """Wait for a turn at the rate, and ask about the job that is first in line when it comes."""
        slot = None
        while slot is None:
            with self._lock:
                until = self._desk.begin_by()
            if until is None:
                return
            api, limiter, slot = self._turn(until, "jobs")
            if slot is None:
                with self._lock:
                    later = self._desk.begin_by()
                    if later is None or later <= until:
                        self._desk.leave_out()
                        return
        try:
            with self._lock:
                begun = self._desk.begin()
            if begun is None:
                return
            query, deadline, database = begun
            outcome = _call(partial(api.progress, query.job_id, deadline, database=database, sent=slot.sent))
        finally:
            slot.done()
        limiter.back_off(outcome)
        with self._lock:
            self._desk.returned(query)
            self._desk.conclude(query, outcome)
            self._spawn()

    def _read_list(self, listing: Listing) -> None:
        """Read on where the last scrape stopped, for at most half of its time."""
        with self._lock:
            reading = self._desk.start_listing()
        try:
            for _ in range(PAGES_PER_SCRAPE):
                if reading.complete or not self._read_page(listing, reading):
                    break
        finally:
            with self._lock:
                self._desk.end_listing(listing)
                self._spawn()

    def _turn(self, until: float, of: str) -> tuple[Api, Limiter, Slot | None]:
        """Wait for a turn at the rate that holds now, also where a reload brings another key meanwhile."""
        while True:
            with self._lock:
                api, limiter = self._api, self._limiter
            slot = limiter.acquire(until, (self._desk.settings.cluster_id, of))
            if limiter is self._limiter:
                return api, limiter, slot
            if slot is not None:
                slot.done()

    def _read_page(self, listing: Listing, reading: ListReading) -> bool:
        if self._desk.too_late_for_a_page(listing):
            return False
        api, limiter, slot = self._turn(listing.deadline, "list")
        if slot is None:
            return False
        target, page = reading.next_page
        listing.call_began = self._clock.monotonic()
        listing.call = deadline = Deadline(min(listing.deadline, listing.call_began + OLDEST_QUERY))
        where = {"collection": target.collection, "database": target.database}
        try:
            outcome = _call(partial(api.list_page, page, deadline, **where, sent=slot.sent))
        finally:
            slot.done()
        limiter.back_off(outcome)
        with self._lock:
            go_on = self._desk.take_page(listing, reading, outcome)
            self._spawn()
        return go_on

    def _tell(self) -> None:
        """Tell the journal, without the lock, since a log may block."""
        with self._lock:
            untold = self._desk.untold()
        for subject, error in untold:
            if error is None:
                self._journal.well(self._desk.settings.cluster_id, subject)
            else:
                self._journal.trouble(self._desk.settings.cluster_id, subject, error)


def _call(call: Callable[[], Answer]) -> Answer | ApiError:
    try:
        return call()
    except ApiError as error:
        return error
    except Exception as error:  # noqa: BLE001 - the boundary: a fault of ours costs one job its answer, no more
        return PayloadError(f"{type(error).__name__} while reading the reply: {error}")
