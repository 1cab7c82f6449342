"""Reading lists that lie, and choosing which of the jobs found are watched."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import ListedJob, ListPage, State
from exporter.watch.sources import PAGES_PER_READING, ListReading, ListTarget, choose, list_targets

ALL = (ListTarget(),)


def listed(job_id: str, state: State = State.IMPORTING) -> ListedJob:
    return ListedJob(job_id, "articles", state)


def records(count: int, first: int = 0) -> list[ListedJob]:
    return [listed(str(448761313698322000 + number)) for number in range(first, first + count)]


class PagedServer:
    """A list of jobs as a server would page it, with the given bad habits."""

    def __init__(
        self,
        jobs: list[ListedJob],
        *,
        page_size: int = 100,
        overlap: int = 0,
        shuffled_pages: random.Random | None = None,
        repeat: int = 1,
    ) -> None:
        self._jobs = jobs
        self._page_size = page_size
        self._step = max(1, page_size - overlap)
        self._shuffled = shuffled_pages
        self._repeat = repeat

    def page(self, number: int) -> ListPage:
        start = (number - 1) * self._step
        page = self._jobs[start : start + self._page_size] * self._repeat
        if self._shuffled:
            self._shuffled.shuffle(page)
        return ListPage(tuple(page))


def read(server: PagedServer, targets: tuple[ListTarget, ...] = ALL, *, single_page: bool = False) -> ListReading:
    reading = ListReading(targets, single_page)
    while not reading.complete:
        _, number = reading.next_page
        reading.add(server.page(number))
    return reading


@given(
    jobs=st.integers(0, 450),
    page_size=st.integers(1, 150),
    overlap=st.integers(0, 149),
    repeat=st.integers(1, 3),
    seed=st.integers(0, 9),
)
def test_a_reading_finds_every_job_of_servers_that_shuffle_repeat_truncate_and_overlap(
    jobs: int, page_size: int, overlap: int, repeat: int, seed: int
) -> None:
    server = PagedServer(
        records(jobs),
        page_size=page_size,
        overlap=min(overlap, page_size - 1),
        shuffled_pages=random.Random(seed),
        repeat=repeat,
    )
    assert set(read(server).jobs) == {record.job_id for record in records(jobs)}


@pytest.mark.parametrize(("jobs", "pages"), [(0, 1), (37, 2), (100, 2), (250, 4), (2000, 21)])
def test_a_reading_takes_no_more_pages_than_it_must(jobs: int, pages: int) -> None:
    assert read(PagedServer(records(jobs))).pages_read == pages


def test_a_list_that_never_ends_is_given_up() -> None:
    reading = ListReading(ALL, single_page=False)
    while not reading.complete:
        _, number = reading.next_page
        reading.add(ListPage((listed(str(number)),)))
    assert reading.pages_read == PAGES_PER_READING


def test_a_list_that_repeats_its_only_page_for_ever_ends() -> None:
    reading = ListReading(ALL, single_page=False)
    page = ListPage(tuple(records(100)))
    while not reading.complete:
        reading.add(page)
    assert reading.pages_read == 2


def test_milvus_answers_everything_at_once_and_is_asked_once() -> None:
    assert read(PagedServer(records(700), page_size=1000), single_page=True).pages_read == 1


def test_each_database_and_collection_is_a_list_of_its_own_and_names_its_jobs() -> None:
    targets = list_targets(["one", "two"], ["articles"])
    assert targets == (ListTarget("one", "articles"), ListTarget("two", "articles"))
    reading = ListReading(targets, single_page=True)
    reading.add(ListPage((listed("1"), listed("2"))))
    reading.add(ListPage((listed("2"), listed("3"))))
    assert reading.complete
    assert {job_id: name.database for job_id, name in reading.jobs.items()} == {"1": "one", "2": "one", "3": "two"}


def test_a_list_that_fails_is_left_to_the_end_and_then_read_on() -> None:
    targets = list_targets([], ["one", "two"])
    reading = ListReading(targets, single_page=False)
    reading.add(ListPage((listed("1"),)))
    assert reading.next_page == (targets[0], 2)
    reading.skip()
    assert reading.next_page == (targets[1], 1)
    reading.add(ListPage(()))
    assert (reading.complete, reading.failed) == (True, frozenset(targets[:1]))
    assert reading.left()[targets[0]].page == 2
    reading.resume()
    assert (reading.complete, reading.next_page) == (False, (targets[0], 2))
    again = ListReading(targets, single_page=False, before=reading)
    assert again.next_page == (targets[1], 1)
    assert set(again.jobs) == {"1"}
    reading.skip()
    assert reading.left()[targets[0]].page == 1


def test_a_list_has_a_name_for_people() -> None:
    assert [str(target) for target in (ListTarget(), ListTarget("d"), ListTarget("", "c"), ListTarget("d", "c"))] == [
        "list",
        "list of database d",
        "list of collection c",
        "list of collection c of database d",
    ]


def test_unfinished_jobs_are_chosen_first_then_those_already_watched_then_the_youngest() -> None:
    finished = {"1": True, "2": False, "3": True, "4": False, "10": True, "5": True}
    assert choose(finished, ["3"], 6) == set(finished)
    assert choose(finished, ["3"], 3) == {"2", "4", "3"}
    assert choose(finished, ["3"], 4) == {"2", "4", "3", "10"}
    assert choose(finished, [], 1) == {"4"}


@given(st.dictionaries(st.text("0123456789", min_size=1, max_size=4), st.booleans(), max_size=40), st.integers(1, 40))
def test_the_choice_is_stable(finished: dict[str, bool], most: int) -> None:
    chosen = choose(finished, [], most)
    assert len(chosen) == min(most, len(finished))
    assert choose(finished, chosen, most) == chosen
