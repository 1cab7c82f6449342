"""Reading lists that lie, and choosing which of the jobs found are watched."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collector.discovery import LONGEST_LIST, PAGES_PER_READING, Candidate, Discovery, Reading, choose
from exporter.model import ListedJob, ListPage, ListTarget, State
from tests.collector.bench import settings

ALL = (ListTarget(),)
ONE_AND_TWO = (ListTarget("", "one"), ListTarget("", "two"))


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


def read(server: PagedServer, targets: tuple[ListTarget, ...] = ALL, *, single_page: bool = False) -> Reading:
    reading = Reading(targets, single_page)
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
    reading = Reading(ALL, single_page=False)
    while not reading.complete:
        _, number = reading.next_page
        reading.add(ListPage((listed(str(number)),)))
    assert reading.pages_read == PAGES_PER_READING


def test_a_list_that_names_200_000_jobs_is_read_no_further_and_counts_as_complete() -> None:
    discovery = Discovery(ALL, single_page=False)
    reading = discovery.start(0, 60)
    while not reading.complete:
        _, number = reading.next_page
        discovery.add(ListPage(tuple(listed(f"{number}-{job}") for job in range(1000))), 0.1)
    assert len(reading.jobs) == LONGEST_LIST == 200_000
    assert (reading.cut_off, reading.tried, reading.failed) == (True, True, frozenset())
    assert discovery.end() is reading
    assert discovery.reading is None
    assert not discovery.due(59, 60)


def test_a_list_that_repeats_its_only_page_endlessly_ends() -> None:
    reading = Reading(ALL, single_page=False)
    page = ListPage(tuple(records(100)))
    while not reading.complete:
        reading.add(page)
    assert reading.pages_read == 2


def test_milvus_answers_everything_at_once_and_is_asked_once() -> None:
    assert read(PagedServer(records(700), page_size=1000), single_page=True).pages_read == 1


def test_each_database_and_collection_is_a_list_of_its_own_and_names_its_jobs() -> None:
    targets = settings(discovery={"databases": ["one", "two"], "collections": ["articles"]}).cluster.lists
    assert targets == (ListTarget("one", "articles"), ListTarget("two", "articles"))
    reading = Reading(targets, single_page=True)
    reading.add(ListPage((listed("1"), listed("2"))))
    reading.add(ListPage((listed("2"), listed("3"))))
    assert reading.complete
    assert {job_id: name.database for job_id, name in reading.jobs.items()} == {"1": "one", "2": "one", "3": "two"}


def test_a_list_that_fails_is_left_to_the_end_and_then_read_on() -> None:
    targets = ONE_AND_TWO
    reading = Reading(targets, single_page=False)
    reading.add(ListPage((listed("1"),)))
    assert reading.next_page == (targets[0], 2)
    reading.skip()
    assert reading.next_page == (targets[1], 1)
    reading.add(ListPage(()))
    assert (reading.complete, reading.failed) == (True, frozenset(targets[:1]))
    assert reading.left()[targets[0]].page == 2
    reading.resume()
    assert (reading.complete, reading.next_page) == (False, (targets[0], 2))
    again = Reading(targets, single_page=False, before=reading)
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


def test_while_there_is_room_every_job_is_chosen() -> None:
    candidates = {"1": Candidate(State.COMPLETED), "2": Candidate(State.PENDING)}
    assert choose(candidates, 2) == {"1", "2"}
    assert choose({}, 1) == set()


IN_ORDER = {
    "polled, though the list calls it Completed": ("5", Candidate(State.COMPLETED, seen=True, polled=True)),
    "Importing, young": ("30", Candidate(State.IMPORTING)),
    "of an unknown word": ("29", Candidate(State.UNKNOWN)),
    "Importing, old": ("4", Candidate(State.IMPORTING)),
    "Uncommitted": ("3", Candidate(State.UNCOMMITTED)),
    "Failed, not seen before": ("2", Candidate(State.FAILED)),
    "Failed, seen before, young": ("28", Candidate(State.FAILED, seen=True)),
    "Failed, seen before, old": ("1", Candidate(State.FAILED, seen=True)),
    "Pending, old": ("8", Candidate(State.PENDING)),
    "Pending, young": ("26", Candidate(State.PENDING)),
    "Completed, young": ("100", Candidate(State.COMPLETED)),
    "Completed, old": ("0", Candidate(State.COMPLETED, seen=True)),
}


@pytest.mark.parametrize("room", range(1, len(IN_ORDER)))
def test_what_runs_is_chosen_first_then_what_failed_then_what_is_served_next(room: int) -> None:
    ids = [job_id for job_id, _ in IN_ORDER.values()]
    candidates = dict(sorted(IN_ORDER.values()))
    assert choose(candidates, room) == set(ids[:room])


CANDIDATES = st.dictionaries(
    st.text("0123456789", min_size=1, max_size=4),
    st.builds(Candidate, st.sampled_from(State), st.booleans(), st.booleans()),
    max_size=40,
)


@given(CANDIDATES, st.integers(1, 40))
def test_the_choice_is_stable(candidates: dict[str, Candidate], most: int) -> None:
    chosen = choose(candidates, most)
    assert len(chosen) == min(most, len(candidates))
    assert choose({job_id: candidates[job_id] for job_id in reversed(candidates)}, most) == chosen
    watched = {
        job_id: replace(candidate, seen=True, polled=not candidate.state.finished) if job_id in chosen else candidate
        for job_id, candidate in candidates.items()
    }
    unfinished = {job_id for job_id in chosen if watched[job_id].polled}
    assert unfinished <= choose(watched, most) or any(each.polled for each in candidates.values())


def read_all(discovery: Discovery, at: float, *pages: ListPage) -> Reading | None:
    """Read at that time: one of these pages for each list, where an empty one follows."""
    reading = discovery.start(at, 60)
    for page in pages:
        discovery.add(page, 0.1)
        discovery.add(ListPage(()), 0.1)
    assert reading.complete
    return discovery.end()


def test_lists_are_due_once_in_refresh_interval_and_those_that_failed_at_every_scrape() -> None:
    discovery = Discovery(ONE_AND_TWO, single_page=False)
    assert discovery.due(0, 60)
    reading = discovery.start(0, 60)
    reading.skip()
    discovery.add(ListPage(()), 0.1)
    failing = [discovery.failing]
    discovery.end()
    assert discovery.due(1, 60)
    assert discovery.start(1, 60).next_page == (ONE_AND_TWO[0], 1)
    discovery.add(ListPage(()), 0.1)
    discovery.end()
    assert [*failing, discovery.failing] == [True, False]
    assert [discovery.due(at, 60) for at in (1, 59.9, 60)] == [False, False, True]
    assert discovery.due(1, 0)


def test_a_reading_that_brought_nothing_more_is_decided_on_once() -> None:
    discovery = Discovery(ONE_AND_TWO, single_page=True)
    reading = discovery.start(0, 60)
    discovery.add(ListPage((listed("1"),)), 0.1)
    reading.skip()
    assert discovery.end() is reading
    assert discovery.end() is None


def test_the_first_reading_of_each_list_is_told_from_later_ones_also_after_a_reload() -> None:
    discovery = Discovery(ONE_AND_TWO[:1], single_page=False)
    first = read_all(discovery, 0, ListPage((listed("1"),)))
    assert first is not None
    assert discovery.first_read(first) == {"1"}
    discovery = discovery.under(ONE_AND_TWO, single_page=False)
    second = read_all(discovery, 1, ListPage((listed("1"), listed("2"))), ListPage((listed("3"),)))
    assert second is not None
    assert discovery.first_read(second) == {"3"}
    third = read_all(discovery, 100, ListPage((listed("4"),)), ListPage((listed("5"),)))
    assert third is not None
    assert discovery.first_read(third) == set()


def test_the_same_lists_under_another_configuration_are_read_on() -> None:
    discovery = Discovery(ONE_AND_TWO, single_page=False)
    discovery.start(0, 60)
    discovery.add(ListPage((listed("1"),)), 0.1)
    assert discovery.under(ONE_AND_TWO, single_page=False) is discovery
    other = discovery.under(ONE_AND_TWO[1:], single_page=False)
    assert other is not discovery
    assert other.due(1, 60)
