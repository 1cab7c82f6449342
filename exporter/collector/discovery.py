"""Discovery: reading the lists of a cluster page by page, and choosing which of the jobs found are watched.

A list only adds ids: it shuffles, repeats, gives a wrong count, and can be falsely empty, so that its silence about a
job means nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from exporter.model import ListedJob, ListPage, ListTarget, State, id_order

PAGES_PER_SCRAPE = 200
PAGES_PER_READING = 2000
LONGEST_LIST = 200_000
"""How many job ids a reading takes at most."""
USUAL_FADES = 0.95
"""By how much the longest time of a call, as lately seen, counts less with each further call."""


@dataclass(frozen=True, slots=True)
class FoundJob:
    """A job as a list named it, with the database of that list."""

    listed: ListedJob
    database: str


@dataclass(eq=False, slots=True)
class _Place:
    """How far one list was read: the next page, the ids that it named so far, and how often that page failed."""

    target: ListTarget
    page: int = 1
    ids: set[str] = field(default_factory=set)
    failures: int = 0


class Reading:
    """One reading of all lists, which may go on over several scrapes.

    `single_page`: the server answers every request with all jobs. `early`: jobs that are watched since a page of this
    reading named them, before it was decided which are.
    """

    def __init__(self, targets: tuple[ListTarget, ...], single_page: bool, before: Reading | None = None) -> None:
        """`before`: the reading before, in which lists failed; these are read last, so that they hold up no other."""
        left = {} if before is None else before.left()
        self._places = (*(_Place(target) for target in targets if target not in left), *left.values())
        self.jobs: dict[str, FoundJob] = {}
        if before is not None:
            self.jobs.update((job_id, before.jobs[job_id]) for place in self._places for job_id in place.ids)
        self.early: set[str] = set()
        self.pages_read = 0
        self._single_page = single_page
        self._pending = deque(self._places)
        self._failed: list[_Place] = []

    @property
    def cut_off(self) -> bool:
        """Whether the lists are longer than one reading takes."""
        return bool(self._pending) and (self.pages_read >= PAGES_PER_READING or len(self.jobs) >= LONGEST_LIST)

    @property
    def complete(self) -> bool:
        """Whether there is nothing to read now: every list was read or failed, or they are longer than is read."""
        return not self._pending or self.cut_off

    @property
    def tried(self) -> bool:
        """Whether every list was read as far as it could be, so that no more can be had now."""
        return self.complete or all(place.failures for place in self._pending)

    @property
    def failed(self) -> frozenset[ListTarget]:
        """The lists that failed and were not read since."""
        return frozenset(place.target for place in self._places if place.failures)

    @property
    def next_page(self) -> tuple[ListTarget, int]:
        """The list and the page number (from 1) to read next; not of a complete reading."""
        return self._pending[0].target, self._pending[0].page

    def add(self, page: ListPage) -> list[FoundJob]:
        """Take in the page that `next_page` named, move on, and return the jobs that it names for the first time.

        A list ends where a page brings no id that the list had not brought yet, and nowhere else: a server may return
        fewer records than were asked for, and its `count` may be that of this page.
        """
        place = self._pending[0]
        new_in_list = [record for record in page.jobs if record.job_id not in place.ids]
        place.ids.update(record.job_id for record in new_in_list)
        place.failures = 0
        found = []
        for record in new_in_list:
            if record.job_id not in self.jobs:
                self.jobs[record.job_id] = FoundJob(record, place.target.database)
                found.append(self.jobs[record.job_id])
        self.pages_read += 1
        if new_in_list and not self._single_page:
            place.page += 1
        else:
            self._pending.popleft()
        return found

    def skip(self) -> ListTarget:
        """Leave the list that `next_page` names, which failed, so that it does not hold up the others; return it."""
        place = self._pending.popleft()
        place.failures += 1
        self._failed.append(place)
        return place.target

    def resume(self) -> None:
        """Read the lists that failed again, after those that are left."""
        self._pending.extend(self._failed)
        self._failed.clear()

    def left(self) -> Mapping[ListTarget, _Place]:
        """Return where to begin next time in lists that failed: at the page that did, or, if it did again, at page 1.

        The list that failed last comes last.
        """
        return {
            place.target: place if place.failures == 1 else _Place(place.target, failures=place.failures)
            for place in (*self._pending, *self._failed)
            if place.failures
        }

    def ids(self) -> Iterator[tuple[ListTarget, Collection[str]]]:
        """Return what each list named so far."""
        for place in self._places:
            yield place.target, place.ids


class Discovery:
    """The lists of one cluster: when they are due, and how far their reading has come. Times are monotonic seconds."""

    def __init__(self, lists: tuple[ListTarget, ...], *, single_page: bool) -> None:
        self.lists = lists
        self.reading: Reading | None = None
        """The reading under way, or that in which lists failed; None after a complete one."""
        self.reading_ended: asyncio.Event | None = None
        """Set at the end of the reading under way, for the scrapes that wait for it; None while no scrape reads."""
        self.listed: Mapping[State, int] | None = None
        """Jobs by state in the last complete reading, watched or not; None before it."""
        self.omitted = 0
        """Jobs that the last complete reading named and `max_jobs` left out."""
        self._single_page = single_page
        self._read_at: float | None = None
        # Something was read since it was last chosen what is watched.
        self._undecided = False
        # The lists that were read to their end once.
        self._known: set[ListTarget] = set()
        # How long a page takes at most, as lately seen.
        self._usual_seconds = 0.0

    def under(self, lists: tuple[ListTarget, ...], *, single_page: bool) -> Discovery:
        """Return the discovery of another configuration: this one, where it reads the same lists."""
        if (lists, single_page) == (self.lists, self._single_page):
            return self
        other = Discovery(lists, single_page=single_page)
        other._known = self._known & set(lists)
        return other

    @property
    def failing(self) -> bool:
        """Whether a list failed and was not read since."""
        return self.reading is not None and bool(self.reading.failed)

    def due(self, now: float, refresh_interval: float) -> bool:
        """Return whether a scrape reads lists: those that failed at every scrape, all of them as configured."""
        return self.reading is not None or not self._fresh(now, refresh_interval)

    def start(self, now: float, refresh_interval: float) -> Reading:
        """Return the reading to go on with: the last one, where it was not complete or a list failed."""
        if self.reading is not None and (self._fresh(now, refresh_interval) or not self.reading.tried):
            self.reading.resume()
        else:
            self.reading = Reading(self.lists, self._single_page, self.reading)
            self._read_at = now
        return self.reading

    def add(self, page: ListPage, seconds: float) -> list[FoundJob]:
        """Take in the next page, which took so many seconds; return the jobs that it names for the first time."""
        if self.reading is None:
            return []
        self._usual_seconds = max(seconds, USUAL_FADES * self._usual_seconds)
        self._undecided = True
        return self.reading.add(page)

    def has_time(self, left: float) -> bool:
        """Return whether a further page is likely to come within so many seconds."""
        return self._usual_seconds <= left

    def end(self) -> Reading | None:
        """Return the reading if every list was tried, and it brought something that was not decided on yet."""
        reading = self.reading
        if reading is None or not reading.tried:
            return None
        if not reading.failed:
            self.reading = None
            self.listed = Counter(each.listed.state for each in reading.jobs.values())
        if not self._undecided:
            return None
        self._undecided = False
        return reading

    def first_read(self, reading: Reading) -> set[str]:
        """Return the jobs of lists that were read for the first time, and note that they were."""
        first = {job_id for target, ids in reading.ids() if target not in self._known for job_id in ids}
        self._known.update(target for target, _ in reading.ids() if target not in reading.failed)
        return first & reading.jobs.keys()

    def _fresh(self, now: float, refresh_interval: float) -> bool:
        return self._read_at is not None and now - self._read_at < refresh_interval


@dataclass(frozen=True, slots=True)
class Candidate:
    """A discovered job that may be watched: its state, as the API or else a list says.

    `seen`: it was known before this reading. `polled`: it is watched already, and unfinished.
    """

    state: State
    seen: bool = False
    polled: bool = False


def choose(candidates: Mapping[str, Candidate], max_jobs: int) -> set[str]:
    """Choose the discovered jobs to watch out of the candidates, by job id.

    First those that are polled already; then Importing and unknown ones, Uncommitted, Failed (those not seen before
    first), Pending (lowest id first, since servers serve in that order), Completed; else the highest id first.
    """
    if len(candidates) <= max_jobs:
        return set(candidates)
    oldest_first = sorted(candidates, key=id_order)
    pending = [job_id for job_id in oldest_first if candidates[job_id].state is State.PENDING]
    others = [job_id for job_id in reversed(oldest_first) if candidates[job_id].state is not State.PENDING]
    by_worth = sorted(pending + others, key=lambda job_id: _worth(candidates[job_id]))
    return set(by_worth[:max_jobs])


_RANK = {
    State.IMPORTING: 0,
    State.UNKNOWN: 0,
    State.UNCOMMITTED: 1,
    State.FAILED: 2,
    State.PENDING: 3,
    State.COMPLETED: 4,
}


def _worth(candidate: Candidate) -> tuple[bool, int, bool]:
    """Return the order of preference; lower is better."""
    return (not candidate.polled, _RANK[candidate.state], candidate.state is State.FAILED and candidate.seen)
