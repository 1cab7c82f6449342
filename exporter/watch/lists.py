"""The lists of one cluster: when they are due, how far their reading has come, and what it makes be watched."""

from __future__ import annotations

from exporter.model import ListPage, id_order
from exporter.watch.memory import JobMemory
from exporter.watch.plan import Moment
from exporter.watch.rounds import Listing, Round
from exporter.watch.settings import Settings
from exporter.watch.sources import ListReading, ListTarget

USUAL_FADES = 0.95


class Lists:
    """Bookkeeping of discovery, part of the desk. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.reading: ListReading | None = None
        """What was read so far, where the last scrape did not come to the end."""
        self.listing: Listing | None = None
        """The worker that reads now, for the scrapes that wait for it."""
        self.omitted = 0
        """Jobs that the last complete reading named and `max_jobs` left out."""
        self._listed_at: float | None = None
        # Something was read that was not settled yet, by choosing what is watched.
        self._unsettled = False
        # The lists that held a record in a complete reading.
        self._known: set[ListTarget] = set()
        # How long a page takes at most, as lately seen.
        self._usual_seconds = 0.0

    def reconfigure(self, before: Settings, now: Settings) -> None:
        """Begin anew where other lists are read now."""
        if (now.lists, now.single_page) != (before.lists, before.single_page):
            self.reading = None
            self._unsettled = False
            self._listed_at = None
        self._known.intersection_update(now.lists)
        if not now.lists:
            self.omitted = 0

    def due(self, settings: Settings, now: float) -> bool:
        """Whether a scrape that begins now has lists read: those that failed at every scrape, all as configured."""
        return bool(settings.lists) and (self.reading is not None or not self._fresh(settings, now))

    def _fresh(self, settings: Settings, now: float) -> bool:
        return self._listed_at is not None and now - self._listed_at < settings.refresh_interval

    def open(self, waiting: list[Round]) -> Listing:
        """Let a worker read for these scrapes, for at most half of their time."""
        until = max(waiter.began + (waiter.deadline - waiter.began) / 2 for waiter in waiting)
        self.listing = Listing(until, waiting)
        return self.listing

    def start(self, settings: Settings, now: float) -> ListReading:
        """The reading to go on with: that of the last scrape where it was not complete, or where a list failed."""
        if self.reading is not None and (self._fresh(settings, now) or not self.reading.tried):
            self.reading.resume()
        else:
            self.reading = ListReading(settings.lists, settings.single_page, self.reading)
            self._listed_at = now
        return self.reading

    def take(self, page: ListPage, memory: JobMemory, settings: Settings, at: Moment) -> bool:
        """Watch at once what a page calls unfinished, as far as `max_jobs` has room; whether that is any new job."""
        listing, reading = self.listing, self.reading
        if listing is None or reading is None:
            return False
        listing.pages += 1
        self._usual_seconds = max(at.monotonic - listing.call_began, USUAL_FADES * self._usual_seconds)
        self._unsettled = True
        unfinished = [name for name in reading.add(page) if not name.listed.state.finished]
        known = [name for name in unfinished if name.listed.job_id in memory]
        new = [name for name in unfinished if name.listed.job_id not in memory]
        room = 0 if reading.complete else max(0, settings.max_jobs - memory.unfinished_discovered())
        new = sorted(new, key=lambda name: id_order(name.listed.job_id), reverse=True)[:room]
        reading.early.update(name.listed.job_id for name in new)
        memory.discover(known + new, at)
        return bool(new)

    def too_late_for_a_page(self, listing: Listing, now: float) -> bool:
        """Whether a further page would be cut off by the list's part of the scrape; the first is always tried."""
        return listing.pages > 0 and now + self._usual_seconds > listing.deadline

    def end(self, memory: JobMemory, settings: Settings, at: Moment) -> bool:
        """Let the worker go; where every list was tried, choose what is watched, and say so."""
        self.listing = None
        reading = self.reading
        if reading is None or not reading.tried:
            return False
        if not reading.failed:
            self.reading = None
        if not self._unsettled:
            return False
        self._unsettled = False
        first = {job_id for target, ids in reading.ids() if target not in self._known for job_id in ids}
        self._known.update(target for target, ids in reading.ids() if ids and target not in reading.failed)
        self.omitted = memory.choose_discovered(
            reading.jobs, settings.max_jobs, at, early=reading.early, inherited=first & reading.jobs.keys()
        )
        return True

    @property
    def failing(self) -> bool:
        """Whether a list failed and was not read since."""
        return self.reading is not None and bool(self.reading.failed)

    def skip(self) -> str:
        """Leave the list that is read now, which failed, to the next scrape, and return its name."""
        if self.reading is None or self.reading.complete:
            return "list"
        name = str(self.reading.next_page[0])
        self.reading.skip()
        return name

    def deadline(self, waiter: Round) -> float:
        """When the call under way, for which this scrape waits, is out of time; infinity if there is none."""
        listing = self.listing
        if listing is None or listing.call is None or waiter not in listing.rounds:
            return float("inf")
        return listing.call.at

    def leave(self, waiter: Round) -> None:
        """Let a scrape wait no longer."""
        if self.listing is not None and waiter in self.listing.rounds:
            self.listing.rounds.remove(waiter)
