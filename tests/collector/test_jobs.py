"""Which jobs of a cluster are watched, which are due and in which order, and what a reload and time make of them."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from exporter.api.client import ImportApi
from exporter.collector.clock import Clock
from exporter.collector.discovery import FoundJob, Reading
from exporter.collector.jobs import Jobs
from exporter.collector.ratelimit import RateLimit
from exporter.collector.record import Priority, Record
from exporter.collector.request import Endpoint
from exporter.model import ErrorClass, File, Job, ListedJob, ListPage, ListTarget, Source, State
from exporter.threads import Threads
from tests.collector.bench import EPOCH, errors, settings

DAY = 86_400.0


def job(job_id: str, state: State = State.IMPORTING, completed_at: float | None = None) -> Job:
    files = (File("a.parquet", state, progress=0.5, size=10.0),)
    return Job(job_id, "articles", state, progress=0.5, completed_at=completed_at, files=files)


def found(job_id: str, state: State = State.IMPORTING, database: str = "") -> FoundJob:
    return FoundJob(ListedJob(job_id, "listed", state), database)


def reading(*jobs: FoundJob) -> Reading:
    """A complete reading that named these jobs."""
    made = Reading((ListTarget(),), single_page=True)
    made.add(ListPage(tuple(each.listed for each in jobs)))
    return made


class Store:
    """The jobs of one cluster, on a clock that the test sets; `rate` in requests per second, 0 = unlimited."""

    def __init__(self, *jobs: str, rate: float = 0.0, **more: Any) -> None:
        self.now = 0.0
        self.clock = Clock(lambda: self.now, lambda: EPOCH + self.now, lambda: 0.5)
        self._endpoint = Endpoint(
            cast("ImportApi", None), cast("Threads", None), asyncio.Semaphore(1), RateLimit(rate), rate
        )
        self.jobs = Jobs(settings(*jobs, **more), self._endpoint, self.clock)
        self._seen: Mapping[str, Record] = {}

    def configure(self, *jobs: str, **more: Any) -> None:
        """Go on under another configuration."""
        self.jobs = Jobs(settings(*jobs, **more), self._endpoint, self.clock, self.jobs.known)

    def answers(self, at: float, *jobs: Job) -> None:
        """Take in answers at that time."""
        self.now = at
        for each in jobs:
            self.jobs.answered(each.job_id, each, at, self.clock.now())

    def fails(self, at: float, job_id: str, error: ErrorClass) -> None:
        """Take in a failure at that time."""
        self.now = at
        self.jobs.failed(job_id, error, at, self.clock.now())

    def finds(self, at: float, *jobs: FoundJob) -> None:
        """Watch what a list names at that time."""
        self.now = at
        self.jobs.discover(jobs, self.clock.now())

    def chooses(self, at: float, *jobs: FoundJob, first_read: Iterable[str] = ()) -> int:
        """End a reading of the list at that time; return how many jobs are left out."""
        self.now = at
        return self.jobs.choose_discovered(reading(*jobs), self.clock.now(), list(first_read))

    def due(self, at: float) -> list[str]:
        """What is due at that time, in order."""
        self.now = at
        return [job_id for _, job_id in self.jobs.due()]

    def errors(self, at: float) -> dict[str, ErrorClass | None]:
        """Why each job of which something is known cannot be read at that time."""
        self.now = at
        return errors(self.jobs.shown())

    def changed(self, at: float) -> set[str]:
        """The jobs shown, or shown no more, that are not what they were at the last call."""
        self.now = at
        before, self._seen = self._seen, self.jobs.shown()
        return {
            job_id for job_id in before.keys() | self._seen.keys() if before.get(job_id) is not self._seen.get(job_id)
        }


def test_a_job_of_which_nothing_is_new_stays_the_same_object() -> None:
    store = Store("1", "2", "3")
    store.answers(1, *map(job, "123"))
    assert store.changed(1) == {"1", "2", "3"}
    assert store.changed(2) == set()
    store.answers(16, job("2"))
    assert store.changed(16) == {"2"}


def test_each_answer_grows_old_in_its_own_time_without_a_query() -> None:
    store = Store("1", "2", "3")
    for second, job_id in ((1, "1"), (2, "2"), (3, "3")):
        store.answers(second, job(job_id))
    assert store.changed(5) == {"1", "2", "3"}
    assert store.changed(300.9) == set()
    assert store.changed(301) == {"1"}
    assert store.errors(301) == {"1": ErrorClass.STARVED, "2": None, "3": None}
    store.answers(301.5, job("2"))
    assert store.changed(303) == {"2", "3"}
    assert store.changed(601) == set()
    assert store.changed(601.5) == {"2"}


def test_another_max_age_makes_answers_old_at_once() -> None:
    store = Store("1")
    store.answers(1, job("1"))
    assert store.errors(20) == {"1": None}
    store.configure("1", scrape={"max_age": "10s"})
    assert store.errors(20) == {"1": ErrorClass.STARVED}


def test_finished_jobs_are_due_only_for_their_rechecks() -> None:
    names = [str(number) for number in range(1000)]
    store = Store(*names)
    store.answers(1, *(job(name, State.COMPLETED) for name in names))
    store.changed(1)
    assert store.due(15) == []
    assert store.changed(15) == set()
    store.now = 451
    assert {why for why, _ in store.jobs.due()} == {Priority.RECHECK}
    assert sorted(store.due(451)) == sorted(names)


def test_a_recheck_that_is_due_does_not_outlive_the_end_of_finished_for() -> None:
    store = Store(discovery={})
    store.finds(0, found("1"))
    store.answers(1, job("1", State.COMPLETED))
    assert store.due(1000) == ["1"]
    assert store.errors(DAY) == {"1": None}
    assert store.errors(1 + DAY) == {}
    assert "1" not in store.jobs


def test_a_job_over_finished_for_is_not_taken_up_from_the_list_again_unless_it_runs_again() -> None:
    store = Store(discovery={})
    store.finds(0, found("1"))
    store.answers(1, job("1", State.COMPLETED))
    assert store.errors(1 + DAY) == {}
    store.finds(2 + DAY, found("1", State.COMPLETED))
    store.chooses(2 + DAY, found("1", State.COMPLETED))
    assert "1" not in store.jobs
    store.finds(3 + DAY, found("1", State.IMPORTING))
    assert "1" in store.jobs


def test_an_expired_configured_job_is_shown_as_expired_when_its_time_is_over() -> None:
    store = Store("1")
    store.answers(1, job("1", State.COMPLETED))
    store.fails(700, "1", ErrorClass.NOT_FOUND)
    assert store.errors(DAY) == {"1": None}
    assert store.errors(DAY + 2) == {"1": ErrorClass.EXPIRED}


def test_reading_the_list_again_changes_nothing_that_is_shown() -> None:
    store = Store(discovery={})
    jobs = [found(str(number)) for number in range(10)]
    store.chooses(0, *jobs)
    store.answers(1, *(job(str(number), State.COMPLETED) for number in range(10)))
    assert len(store.changed(1)) == 10
    store.chooses(2, *jobs)
    assert store.changed(2) == set()


def test_a_job_that_one_reload_drops_and_the_next_brings_back_is_forgotten_in_between() -> None:
    store = Store("1", "2")
    store.answers(1, job("1"), job("2"))
    store.configure("2")
    store.configure("1", "2")
    assert store.errors(4) == {"2": None}
    assert store.due(4) == ["1", "2"]


def test_absence_from_a_list_ends_nothing() -> None:
    store = Store(discovery={})
    store.chooses(0, found("1"), found("2"))
    assert store.chooses(60) == 0
    assert store.due(60) == ["1", "2"]


def test_jobs_over_max_jobs_are_left_out_and_counted() -> None:
    store = Store("config", discovery={"max_jobs": 6})
    jobs = [found(str(number), State.COMPLETED if number % 2 else State.IMPORTING) for number in range(10)]
    assert store.chooses(0, *jobs, found("config")) == 4
    assert store.jobs.counts() == {Source.CONFIG: 1, Source.LIST: 0, Source.DISCOVERY: 6}
    assert [each.listed.job_id for each in jobs if each.listed.job_id in store.jobs] == ["0", "2", "4", "6", "8", "9"]
    store.answers(1, job("8", State.COMPLETED))
    assert store.errors(1) == {"8": None}
    store.configure("config", discovery={"max_jobs": 5})
    assert store.chooses(60, *jobs) == 5
    assert [each.listed.job_id for each in jobs if each.listed.job_id in store.jobs] == ["0", "2", "4", "6", "9"]
    assert store.errors(60) == {}


def test_until_a_reading_ends_only_unfinished_jobs_are_watched_as_far_as_there_is_room() -> None:
    store = Store(discovery={"max_jobs": 3})
    assert store.jobs.discovery is not None
    store.jobs.discovery.start(0, 60)
    at = store.clock.now()
    page = [found("done", State.COMPLETED), *map(found, "1234")]
    assert store.jobs.discover_early(page, at)
    assert sorted(store.due(0)) == ["2", "3", "4"]
    assert not store.jobs.discover_early([found("5")], at)


def test_a_job_named_by_configuration_and_list_counts_as_configured_and_keeps_the_database_of_its_list() -> None:
    store = Store("1", discovery={}, db_name="mine")
    store.answers(1, job("1"))
    store.finds(2, found("1", database="theirs"))
    record = store.jobs["1"]
    assert (record.source, record.db_name) == (Source.CONFIG, "theirs")
    store.configure(discovery={}, db_name="mine")
    record = store.jobs["1"]
    assert (record.source, record.db_name, record.first_seen) == (Source.DISCOVERY, "theirs", EPOCH)


def test_the_first_that_names_a_job_is_its_source_and_without_discovery_a_found_job_is_forgotten() -> None:
    store = Store("1", "2", listed=["2", "3"], discovery={})
    store.finds(0, *map(found, "1234"))
    assert store.jobs.counts() == {Source.CONFIG: 2, Source.LIST: 1, Source.DISCOVERY: 1}
    store.configure("1", listed=["3"], db_name="mine")
    assert store.jobs.counts() == {Source.CONFIG: 1, Source.LIST: 1, Source.DISCOVERY: 0}
    assert store.jobs["1"].db_name == "mine"


def test_before_the_first_answer_the_collection_is_that_of_the_list() -> None:
    store = Store(discovery={})
    store.finds(0, found("1"))
    assert store.errors(0) == {}
    store.fails(1, "1", ErrorClass.HTTP)
    assert store.errors(1) == {"1": ErrorClass.HTTP}
    assert store.jobs["1"].collection_name == "listed"


def test_a_reload_keeps_the_answers_of_jobs_that_stay_and_forgets_the_others() -> None:
    store = Store("1", "2")
    store.answers(1, job("1"), job("2"))
    before = store.jobs["2"]
    store.configure("2", "3")
    assert store.errors(2) == {"2": None}
    assert store.jobs["2"] is before
    assert store.due(10) == ["3", "2"]
    assert store.jobs.counts()[Source.CONFIG] == 2


def test_a_shorter_finished_for_takes_effect_at_the_reload() -> None:
    store = Store(discovery={})
    store.finds(0, found("1"))
    store.answers(1, job("1", State.COMPLETED))
    store.now = 100
    store.configure(discovery={"finished_for": "1m"})
    assert store.errors(100) == {}


def test_a_job_that_is_not_known_to_the_api_is_queried_at_each_scrape_once_it_is_configured() -> None:
    store = Store(discovery={})
    store.finds(0, found("1"))
    store.answers(1, job("1"))
    store.fails(10, "1", ErrorClass.NOT_FOUND)
    assert store.due(20) == []
    store.configure("1", discovery={})
    assert store.due(20) == ["1"]
    assert store.errors(20) == {"1": ErrorClass.VANISHED}


def test_of_more_failed_jobs_than_there_is_room_for_the_same_stay_and_none_is_new_again() -> None:
    store = Store(discovery={"max_jobs": 2})
    ids = ["1", "2", "3"]
    store.chooses(0)
    store.chooses(1, *(found(job_id, State.FAILED) for job_id in ids))
    assert store.due(1) == ["2", "3"]
    store.answers(2, job("2", State.FAILED), job("3", State.FAILED))
    # What was never seen goes before what was, and then the youngest stay.
    store.chooses(3, *(found(job_id, State.FAILED) for job_id in ids))
    assert store.due(3) == ["1"]
    store.answers(4, job("1", State.FAILED))
    for at in (5, 6, 7):
        store.chooses(at, *(found(job_id, State.FAILED) for job_id in ids))
        store.answers(at, *(job(job_id, State.FAILED) for job_id in store.due(at)))
        assert set(store.errors(at)) == {"2", "3"}
    assert not store.jobs["2"].new_in_list
    assert store.jobs["3"].new_in_list


def test_answers_about_jobs_that_are_not_watched_are_ignored() -> None:
    store = Store("1")
    store.answers(1, job("2"))
    store.fails(1, "3", ErrorClass.HTTP)
    assert len(store.jobs) == 1
    assert store.jobs.get("2") is None


def test_the_page_lists_unreadable_failed_uncommitted_and_running_jobs_before_completed_ones() -> None:
    store = Store("done", "running", "failed", "unreadable", "new", "waits")
    store.answers(1, job("waits", State.UNCOMMITTED), job("done", State.COMPLETED), job("running"))
    store.answers(1, job("failed", State.FAILED))
    store.fails(1, "unreadable", ErrorClass.TIMEOUT)
    store.now = 2
    order = [record.job_id for record in store.jobs.worst(10)]
    assert order[:3] == ["unreadable", "failed", "waits"]
    assert order[-1] == "done"
    assert set(order[3:-1]) == {"running", "new"}
    assert len(store.jobs.worst(3)) == 3


def test_new_jobs_are_due_first_and_the_longest_untried_next() -> None:
    store = Store("tried-late", "failing", "tried-early", "recheck-late", "recheck-early", discovery={})
    store.answers(100, job("recheck-early", State.COMPLETED))
    store.answers(120, job("recheck-late", State.COMPLETED))
    store.answers(130, job("tried-early"))
    store.fails(140, "failing", ErrorClass.TIMEOUT)
    store.answers(150, job("tried-late"))
    store.configure(*(record.job_id for record in store.jobs.worst(9)), "new-configured", discovery={})
    store.finds(160, found("new-found"), found("list-says-finished", State.COMPLETED))
    assert store.due(1000) == [
        "new-configured",
        "new-found",
        "tried-early",
        "failing",
        "tried-late",
        "list-says-finished",
        "recheck-early",
        "recheck-late",
    ]


def test_an_answer_that_is_fresh_is_not_due() -> None:
    store = Store("1", scrape={"fresh_for": "1m"})
    store.answers(1, job("1"))
    assert store.due(60.9) == []
    assert store.due(61) == ["1"]


def test_rechecks_get_a_tenth_of_the_rate_and_may_save_up_a_minute_of_it() -> None:
    names = [str(number) for number in range(1000)]
    store = Store("running", *names, rate=20)
    store.answers(0, *(job(name, State.COMPLETED) for name in names))
    assert len(store.due(450)) == 1 + 2 * 60
    store.answers(450, *(job(name, State.COMPLETED) for name in store.due(450)[1:]))
    assert store.due(450) == ["running"]
    assert len(store.due(455)) == 1 + 2 * 5


def test_failing_jobs_never_starve_the_others() -> None:
    """Two calls a scrape for six jobs, four of which always fail: each job is queried equally often."""
    store = Store(*"abcdef")
    queried: Counter[str] = Counter()
    for scrape in range(30):
        now = scrape * 15.0
        for name in store.due(now)[:2]:
            queried[name] += 1
            if name in "abcd":
                store.fails(now, name, ErrorClass.HTTP)
            else:
                store.answers(now, job(name))
    assert set(queried.values()) == {10}


def test_a_job_that_is_probed_alone_is_watched_as_if_it_were_configured() -> None:
    store = Store("1", discovery={})
    alone = store.jobs.alone("other")
    assert [job_id for _, job_id in alone.due()] == ["other"]
    alone.failed("other", ErrorClass.NOT_FOUND, 0, store.clock.now())
    assert errors(alone.shown()) == {"other": ErrorClass.NOT_FOUND}
    assert "other" not in store.jobs
    assert len(store.jobs) == 1


def test_a_job_that_is_rechecked_for_months_is_remembered_in_the_same_space() -> None:
    store = Store("1", scrape={"recheck_finished": "10m"})
    sizes = []
    tracemalloc.start()
    for cycle in range(2000):
        store.answers(cycle * 600.0, job("1", State.COMPLETED))
        assert store.due((cycle + 1) * 600.0) == ["1"]
        if cycle in (500, 1999):
            sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert sizes[1] - sizes[0] < 10_000


NAMES = [f"job-{number}" for number in range(6)]
some = st.lists(st.sampled_from(NAMES), unique=True, max_size=6).map(tuple)
states = st.sampled_from(State)
configurations = st.fixed_dictionaries(
    {
        "jobs": some,
        "listed": some,
        "discovery": st.none() | st.fixed_dictionaries({"max_jobs": st.integers(1, 6)}),
        "api": st.sampled_from(["zilliz", "milvus"]),
        "scrape": st.sampled_from([{}, {"fresh_for": "0s"}, {"max_age": "5s"}]),
    }
)
steps = st.one_of(
    st.tuples(st.just("answer"), st.tuples(st.sampled_from(NAMES), states, st.none() | st.floats(-2 * DAY, 10))),
    st.tuples(st.just("failure"), st.tuples(st.sampled_from(NAMES), st.sampled_from(ErrorClass))),
    st.tuples(st.just("page"), st.lists(st.tuples(st.sampled_from(NAMES), states), max_size=6)),
    st.tuples(st.just("reading"), st.lists(st.tuples(st.sampled_from(NAMES), states), max_size=6)),
    st.tuples(st.just("reload"), configurations),
    st.tuples(st.just("time"), st.floats(0, 1000) | st.floats(0, 2 * DAY)),
)


@given(start=configurations, course=st.lists(steps, min_size=5, max_size=40), rate=st.sampled_from([0.0, 1.0]))
def test_the_store_is_consistent_whatever_happens(
    start: dict[str, Any], course: list[tuple[str, Any]], rate: float
) -> None:
    store = Store(*start["jobs"], rate=rate, **{key: value for key, value in start.items() if key != "jobs"})
    check(store)
    for kind, what in course:
        step(store, kind, what)
        check(store)
    store.now += 3 * DAY
    check(store)
    over = [record for record in store.jobs.shown().values() if record.source is Source.DISCOVERY]
    assert all(record.polled for record in over)


def step(store: Store, kind: str, what: Any) -> None:
    """Do one thing of those that may happen."""
    if kind == "answer":
        name, state, completed_at = what
        store.answers(store.now, job(name, state, None if completed_at is None else EPOCH + store.now + completed_at))
    elif kind == "failure":
        store.fails(store.now, *what)
    elif kind == "page" and store.jobs.discovery is not None:
        store.jobs.discovery.start(store.now, 60)
        store.jobs.discover_early([found(name, state) for name, state in what], store.clock.now())
    elif kind == "reading" and store.jobs.discovery is not None:
        store.chooses(store.now, *(found(name, state) for name, state in what), first_read={name for name, _ in what})
        discovery = store.jobs.settings.cluster.discovery
        assert discovery is not None
        assert store.jobs.counts()[Source.DISCOVERY] <= discovery.max_jobs
    elif kind == "reload":
        store.configure(*what["jobs"], **{key: value for key, value in what.items() if key != "jobs"})
    elif kind == "time":
        store.now += what


def check(store: Store) -> None:
    jobs = store.jobs
    due = store.due(store.now)
    assert len(due) == len(set(due))
    assert all(job_id in jobs for job_id in due)
    shown = jobs.shown()
    records = jobs.worst(100)
    assert len(records) == len(jobs) == sum(jobs.counts().values())
    assert Counter(record.source for record in records) == Counter(jobs.counts())
    assert shown == {record.job_id: record for record in records if record.up is not None}
    watched = {record.job_id for record in records}
    configured = {*jobs.settings.cluster.jobs, *jobs.settings.listed}
    assert configured <= watched
    assert {record.job_id for record in records if record.source is not Source.DISCOVERY} == configured
    if jobs.settings.cluster.discovery is None:
        assert watched == configured


def test_a_job_that_was_over_and_is_configured_now_has_the_database_of_its_list() -> None:
    store = Store(discovery={"databases": ["b"]})
    store.finds(0, found("7", database="b"))
    store.answers(1, job("7", State.COMPLETED, EPOCH - 2 * DAY))
    assert "7" not in store.jobs
    store.configure("7", discovery={"databases": ["b"]})
    store.finds(2, found("7", State.COMPLETED, database="b"))
    record = store.jobs["7"]
    assert (record.list_database, record.listed, record.source) == ("b", State.COMPLETED, Source.CONFIG)
