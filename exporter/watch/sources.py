"""Who names the jobs of a cluster: reading the list page by page, and choosing what discovery watches.

A list only adds ids: it shuffles, repeats, lies about its count, and can be falsely empty, so its silence about
a job means nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product

from exporter.model import ListedJob, ListPage, ListTarget, id_order

__all__ = ["ListReading", "ListTarget", "NamedJob", "choose", "list_targets"]

PAGES_PER_SCRAPE = 200
PAGES_PER_READING = 2000


@dataclass(frozen=True, slots=True)
class NamedJob:
    """A job as a list named it, with the database of that list."""

    listed: ListedJob
    database: str


def list_targets(databases: Iterable[str], collections: Iterable[str]) -> tuple[ListTarget, ...]:
    """The lists that cover these databases and collections."""
    return tuple(
        ListTarget(database, collection)
        for database, collection in product(tuple(databases) or ("",), tuple(collections) or ("",))
    )


@dataclass(eq=False, slots=True)
class _Place:
    """How far one list was read: the page to ask for next, and the ids that it named so far.

    `failures`: how often that page failed.
    """

    target: ListTarget
    page: int = 1
    ids: set[str] = field(default_factory=set)
    failures: int = 0


class ListReading:
    """One reading of all lists, which may go on over several scrapes.

    `single_page`: the server answers every call with everything (Milvus). `early`: jobs that are watched since a page
    of this reading named them, before it was decided which are.
    """

    def __init__(self, targets: tuple[ListTarget, ...], single_page: bool, before: ListReading | None = None) -> None:
        """`before`: the reading before, in which lists failed; these are read last, so that they hold up no other."""
        left = {} if before is None else before.left()
        self._places = (*(_Place(target) for target in targets if target not in left), *left.values())
        self.jobs: dict[str, NamedJob] = {}
        if before is not None:
            self.jobs.update((job_id, before.jobs[job_id]) for place in self._places for job_id in place.ids)
        self.early: set[str] = set()
        self.pages_read = 0
        self._single_page = single_page
        self._pending = deque(self._places)
        self._failed: list[_Place] = []

    @property
    def complete(self) -> bool:
        """Whether there is nothing to ask for now: all was read or failed, or the most pages for one reading were."""
        return not self._pending or self.pages_read >= PAGES_PER_READING

    @property
    def tried(self) -> bool:
        """Whether every list was read as far as it could be, so that no more is to be had than there is."""
        return self.complete or all(place.failures for place in self._pending)

    @property
    def failed(self) -> frozenset[ListTarget]:
        """The lists that failed and were not read since."""
        return frozenset(place.target for place in self._places if place.failures)

    @property
    def next_page(self) -> tuple[ListTarget, int]:
        """The list and the page number (from 1) to ask for next; not of a complete reading."""
        return self._pending[0].target, self._pending[0].page

    def add(self, page: ListPage) -> list[NamedJob]:
        """Take in the page that `next_page` named, move on, and return the jobs that it names for the first time.

        A list ends where a page brings no id that the list had not brought yet, and nowhere else: a server may hand
        out fewer records than were asked for, and its `count` may be that of this page.
        """
        place = self._pending[0]
        new_in_list = [record for record in page.jobs if record.job_id not in place.ids]
        place.ids.update(record.job_id for record in new_in_list)
        place.failures = 0
        found = []
        for record in new_in_list:
            if record.job_id not in self.jobs:
                self.jobs[record.job_id] = NamedJob(record, place.target.database)
                found.append(self.jobs[record.job_id])
        self.pages_read += 1
        if new_in_list and not self._single_page:
            place.page += 1
        else:
            self._pending.popleft()
        return found

    def skip(self) -> None:
        """Leave the list that `next_page` names, which failed, so that it does not hold up the others."""
        self._pending[0].failures += 1
        self._failed.append(self._pending.popleft())

    def resume(self) -> None:
        """Read the lists that failed again, after those that are left."""
        self._pending.extend(self._failed)
        self._failed.clear()

    def left(self) -> Mapping[ListTarget, _Place]:
        """Where to begin next time in lists that failed: at the page that did, or, if it did so again, at page 1.

        The list that failed last comes last.
        """
        return {
            place.target: place if place.failures == 1 else _Place(place.target, failures=place.failures)
            for place in (*self._pending, *self._failed)
            if place.failures
        }

    def ids(self) -> Iterator[tuple[ListTarget, Collection[str]]]:
        """What each list named so far."""
        for place in self._places:
            yield place.target, place.ids


def choose(finished: Mapping[str, bool], watched: Iterable[str], max_jobs: int) -> set[str]:
    """The discovered jobs to watch out of the candidates `finished` (id to whether it is finished).

    Unfinished before finished; within each those already watched, then the highest id.
    """
    if len(finished) <= max_jobs:
        return set(finished)
    already = set(watched)
    by_worth = sorted(
        finished,
        key=lambda job_id: (not finished[job_id], job_id in already, id_order(job_id)),
        reverse=True,
    )
    return set(by_worth[:max_jobs])
