"""Who names the jobs of a cluster: reading the list page by page, and choosing what discovery watches.

A list only adds ids: it shuffles, repeats, lies about its count, and can be falsely empty, so its silence about
a job means nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product

from exporter.model import ListedJob, ListPage, id_order

PAGES_PER_SCRAPE = 200
PAGES_PER_READING = 2000


@dataclass(frozen=True, slots=True)
class ListTarget:
    """One list to read: a database and a collection, each empty for the API's default or for all."""

    database: str = ""
    collection: str = ""


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


@dataclass(slots=True)
class ListReading:
    """One reading of all lists, which may go on over several scrapes.

    `single_page`: the server answers every call with everything (Milvus). `early`: jobs that are watched since a page
    of this reading named them, before it was decided which are.
    """

    targets: tuple[ListTarget, ...]
    single_page: bool
    jobs: dict[str, NamedJob] = field(default_factory=dict)
    early: set[str] = field(default_factory=set)
    pages_read: int = 0
    _target: int = 0
    _page: int = 1
    _ids_of_target: set[str] = field(default_factory=set)

    @property
    def complete(self) -> bool:
        """Whether every list was read to its end, or to the most pages that one reading may take."""
        return self._target >= len(self.targets) or self.pages_read >= PAGES_PER_READING

    @property
    def next_page(self) -> tuple[ListTarget, int]:
        """The list and the page number (from 1) to ask for next."""
        return self.targets[self._target], self._page

    def add(self, page: ListPage) -> list[NamedJob]:
        """Take in the page that `next_page` named, move on, and return the jobs that it names for the first time.

        A list ends where a page brings no id that the list had not brought yet, and nowhere else: a server may hand
        out fewer records than were asked for, and its `count` may be that of this page.
        """
        database = self.targets[self._target].database
        new_in_list = [record for record in page.jobs if record.job_id not in self._ids_of_target]
        self._ids_of_target.update(record.job_id for record in new_in_list)
        found = []
        for record in new_in_list:
            if record.job_id not in self.jobs:
                self.jobs[record.job_id] = NamedJob(record, database)
                found.append(self.jobs[record.job_id])
        self.pages_read += 1
        if new_in_list and not self.single_page:
            self._page += 1
        else:
            self._target += 1
            self._page = 1
            self._ids_of_target = set()
        return found


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
