"""One cluster across scrapes: shared queries, budgets, back-off, and lists read beside the jobs."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from exporter.api.errors import (
    ApiError,
    AuthError,
    CallTimeoutError,
    CodeError,
    ConnectError,
    HttpError,
    NotFoundError,
    RateLimitedError,
    TlsError,
)
from exporter.api.limiter import Limiter
from exporter.model import ErrorClass, Job, ListedJob, ListPage, Source, State
from exporter.watch.cluster import ClusterWatch
from exporter.watch.deadline import Deadline
from exporter.watch.memory import Named
from exporter.watch.plan import Rules
from exporter.watch.settings import Clock, Settings
from exporter.watch.sources import ListTarget
from exporter.watch.view import ClusterView, JobView

LONG = 20.0


class FakeApi:
    """Answers at once, unless a job or the list is told to behave otherwise."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.order: list[str] = []
        self.states: dict[str, State] = {}
        self.errors: dict[str, ApiError] = {}
        self.down: ApiError | None = None
        self.pages: Callable[[int], ListPage] = lambda _: ListPage(())
        self.lists: dict[str, Callable[[int], ListPage]] = {}
        self.most_at_once = 0
        self.deadlines: dict[str, float] = {}
        self._at_once = 0
        self._held: dict[str, threading.Event] = {}
        self.arrived = threading.Condition()

    @contextmanager
    def holding(self, *subjects: str) -> Iterator[threading.Event]:
        """Let calls about these hang until the event is set, or their deadline is there."""
        release = threading.Event()
        self._held.update(dict.fromkeys(subjects, release))
        try:
            yield release
        finally:
            release.set()
            for subject in subjects:
                self._held.pop(subject, None)

    def wait_for(self, subject: str, times: int = 1) -> None:
        """Wait until calls about the subject have arrived."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: self.asked[subject] >= times, LONG)

    def progress(
        self, job_id: str, deadline: Deadline, *, database: str = "", sent: Callable[[], None] | None = None
    ) -> Job:
        self._call(job_id, deadline)
        state = self.states.get(job_id, State.IMPORTING)
        return Job(job_id, "articles", state, progress=0.5)

    def list_page(
        self,
        page: int,
        deadline: Deadline,
        *,
        collection: str = "",
        database: str = "",
        sent: Callable[[], None] | None = None,
    ) -> ListPage:
        self._call(f"list {collection}".rstrip(), deadline)
        return self.lists.get(collection, self.pages)(page)

    def close(self) -> None:
        pass

    def _call(self, subject: str, deadline: Deadline) -> None:
        with self.arrived:
            self.asked[subject] += 1
            self.order.append(subject)
            self.deadlines[subject] = deadline.at
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            self.arrived.notify_all()
        try:
            held = self._held.get(subject) or self._held.get("*")
            while held is not None and not held.wait(max(0.0, deadline.remaining())):
                if deadline.remaining() <= 0:
                    raise CallTimeoutError("held")
            error = self.down or self.errors.get(subject)
            if error is not None:
                raise error
        finally:
            with self.arrived:
                self._at_once -= 1


class Journal:
    def __init__(self) -> None:
        self.lines: list[tuple[str, ErrorClass | None]] = []

    def trouble(self, cluster_id: str, subject: str, error: ApiError) -> None:
        self.lines.append((subject, error.error))

    def well(self, cluster_id: str, subject: str) -> None:
        self.lines.append((subject, None))


class Bench:
    """A watch of one cluster, and what it shows."""

    def __init__(self, *jobs: str, rate: float = 0.0, **settings: Any) -> None:
        self.api = FakeApi()
        self.journal = Journal()
        self.limiter = Limiter(rate)
        self.shift = 0.0
        base = Settings(
            cluster_id="in01",
            named=Named(jobs=jobs),
            rules=Rules(fresh_for=0),
            concurrency=16,
            requests_per_second=rate,
        )
        self.settings = replace(base, **settings)
        clock = Clock(lambda: time.monotonic() + self.shift, lambda: time.time() + self.shift, lambda: 0.5)
        self.watch = ClusterWatch(self.settings, self.api, self.limiter, clock, self.journal)
        self.clock = clock

    def scrape(self, seconds: float = LONG) -> ClusterView:
        return self.watch.end(self.watch.begin(self.clock.monotonic() + seconds))

    def views(self) -> dict[str, JobView]:
        views, _ = self.watch.changes(everything=True)
        return {view.job_id: view for view in views}

    def ups(self) -> dict[str, ErrorClass | None]:
        return {job_id: view.error for job_id, view in self.views().items()}


def discovering(*jobs: str, **settings: Any) -> Bench:
    return Bench(named=Named(jobs=jobs, discovery=True), lists=(ListTarget(),), refresh_interval=0.0, **settings)


def page(*job_ids: str, state: State = State.IMPORTING) -> ListPage:
    return ListPage(tuple(ListedJob(job_id, "articles", state) for job_id in job_ids))


def in_thread(call: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=call)
    thread.start()
    return thread


def test_each_due_job_is_asked_once_and_finished_ones_no_more() -> None:
    bench = Bench("1", "2", "3")
    bench.api.states["3"] = State.COMPLETED
    for _ in range(3):
        view = bench.scrape()
    assert bench.api.asked == {"1": 3, "2": 3, "3": 1}
    assert (view.up, view.waiting, view.jobs[Source.CONFIG]) == (True, 0, 3)
    assert bench.ups() == {"1": None, "2": None, "3": None}


def test_an_answer_younger_than_fresh_for_is_not_asked_for_again() -> None:
    bench = Bench("1", rules=Rules(fresh_for=60))
    bench.scrape()
    bench.scrape()
    assert bench.api.asked["1"] == 1
    bench.shift = 61
    bench.scrape()
    assert bench.api.asked["1"] == 2


def test_no_more_calls_are_in_flight_than_concurrency_allows() -> None:
    bench = Bench(*map(str, range(20)), concurrency=4)
    with bench.api.holding("*") as release:
        scrape = in_thread(bench.scrape)
        with bench.api.arrived:
            assert bench.api.arrived.wait_for(lambda: sum(bench.api.asked.values()) == 4, LONG)
        release.set()
        scrape.join(LONG)
    assert bench.api.most_at_once == 4
    assert len(bench.api.asked) == 20


def test_one_failing_job_leaves_the_others_alone() -> None:
    bench = Bench("1", "2", "3")
    bench.scrape()
    bench.api.errors["2"] = CodeError("code 1")
    bench.scrape()
    assert bench.ups() == {"1": None, "2": ErrorClass.API, "3": None}
    assert bench.views()["2"].collection_name == "articles"


def test_a_job_that_hangs_is_a_timeout_when_the_budget_ends_and_the_others_are_complete() -> None:
    bench = Bench("1", "2", "3")
    with bench.api.holding("2"):
        view = bench.scrape(0.2)
        assert bench.ups() == {"1": None, "2": ErrorClass.TIMEOUT, "3": None}
        assert view.up is True
    bench.scrape()
    assert bench.ups()["2"] is None


def test_a_call_that_never_returns_ends_with_its_scrape_and_its_late_answer_is_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench("1")
    stuck = threading.Event()
    answer = bench.api.progress
    monkeypatch.setattr(
        bench.api, "progress", lambda job_id, deadline, **more: (stuck.wait(LONG), answer(job_id, deadline))[1]
    )
    bench.scrape(0.1)
    assert bench.ups() == {"1": ErrorClass.TIMEOUT}
    stuck.set()
    bench.api.wait_for("1")
    monkeypatch.setattr(bench.api, "progress", answer)
    assert bench.ups() == {"1": ErrorClass.TIMEOUT}


def test_calls_that_never_return_never_outnumber_the_concurrency(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(*map(str, range(10)), concurrency=3)
    stuck = threading.Event()
    started: list[str] = []

    def hang(job_id: str, deadline: Deadline, **_: object) -> Job:
        started.append(job_id)
        stuck.wait(LONG)
        raise ConnectError("late")

    monkeypatch.setattr(bench.api, "progress", hang)
    for _ in range(5):
        view = bench.scrape(0.05)
    assert len(started) == 3
    assert view.waiting > 0
    stuck.set()


def test_two_scrapes_at_once_share_their_queries() -> None:
    bench = Bench("1", "2")
    with bench.api.holding("1", "2") as release:
        first = in_thread(bench.scrape)
        bench.api.wait_for("1")
        bench.api.wait_for("2")
        second = bench.watch.begin(bench.clock.monotonic() + LONG)
        release.set()
        assert bench.watch.end(second).waiting == 0
        first.join(LONG)
    assert bench.api.asked == {"1": 1, "2": 1}


def test_a_short_scrape_fails_no_job_that_a_longer_one_still_waits_for() -> None:
    bench = Bench("seen", "new")
    bench.watch.end(bench.watch.begin(bench.clock.monotonic() + LONG, only="seen"))
    with bench.api.holding("seen", "new") as release:
        long = bench.watch.begin(bench.clock.monotonic() + LONG)
        bench.api.wait_for("seen", 2)
        bench.api.wait_for("new")
        short = bench.scrape(0.05)
        assert bench.ups() == {"seen": None}
        assert short.waiting == 1
        release.set()
        view = bench.watch.end(long)
    assert bench.ups() == {"seen": None, "new": None}
    assert (view.up, view.waiting) == (True, 0)
    assert bench.api.asked == {"seen": 2, "new": 1}


def test_a_longer_scrape_that_joins_extends_the_deadline_of_the_query() -> None:
    bench = Bench("1")
    with bench.api.holding("1") as release:
        short = bench.watch.begin(bench.clock.monotonic() + 0.1)
        bench.api.wait_for("1")
        long = bench.watch.begin(bench.clock.monotonic() + LONG)
        bench.watch.end(short)
        release.set()
        bench.watch.end(long)
    assert bench.ups() == {"1": None}
    assert bench.api.asked["1"] == 1


def test_a_cluster_that_is_down_is_asked_once_per_scrape_and_recovers_at_once() -> None:
    bench = Bench(*map(str, range(8)))
    bench.scrape()
    bench.api.down = ConnectError("refused")
    bench.scrape()
    assert bench.api.asked.total() == 16
    for _ in range(3):
        view = bench.scrape()
    assert bench.api.asked.total() == 19
    assert set(bench.ups().values()) == {ErrorClass.CONNECT}
    assert (view.up, view.waiting) == (False, 0)
    bench.api.down = AuthError("the key was revoked")
    bench.scrape()
    assert set(bench.ups().values()) == {ErrorClass.AUTH}
    bench.api.down = None
    view = bench.scrape()
    assert set(bench.ups().values()) == {None}
    assert view.up is True


def test_jobs_never_asked_are_shown_as_down_with_the_class_of_a_dead_cluster() -> None:
    bench = Bench("1")
    bench.api.down = ConnectError("refused")
    bench.scrape()
    bench.watch.reconfigure(replace(bench.settings, named=Named(jobs=("1", "2", "3"))), bench.api, bench.limiter)
    bench.scrape()
    assert bench.ups() == dict.fromkeys("123", ErrorClass.CONNECT)
    assert bench.api.asked.total() == 2


def test_errors_that_are_answers_do_not_make_a_cluster_look_down() -> None:
    bench = Bench("1", "2", "3")
    bench.api.down = NotFoundError("no such job")
    view = bench.scrape()
    bench.scrape()
    assert bench.api.asked.total() == 6
    assert view.up is True


def test_a_dead_cluster_is_not_asked_for_its_list_either() -> None:
    bench = discovering("1", "2")
    bench.api.down = ConnectError("refused")
    bench.scrape()
    bench.api.asked.clear()
    bench.scrape()
    assert bench.api.asked.total() == 1
    bench.api.down = None
    bench.api.pages = lambda _: page("3")
    view = bench.scrape()
    assert view.up is True
    assert bench.ups() == {"1": None, "2": None, "3": None}


def test_a_job_that_always_fails_does_not_keep_the_list_from_being_read() -> None:
    bench = discovering("1")
    bench.api.down = HttpError("HTTP 502")
    bench.scrape()
    bench.api.down = None
    bench.api.errors["1"] = HttpError("HTTP 500")
    bench.api.pages = lambda number: page("2") if number == 1 else page()
    bench.scrape()
    view = bench.scrape()
    assert bench.ups() == {"1": ErrorClass.HTTP, "2": None}
    assert view.up is True


def test_a_list_that_always_fails_does_not_keep_the_jobs_from_being_asked() -> None:
    bench = discovering("1", "2")
    bench.api.down = HttpError("HTTP 502")
    bench.scrape()
    bench.api.down = None
    bench.api.errors["list"] = HttpError("HTTP 500")
    bench.scrape()
    bench.scrape()
    assert bench.ups() == {"1": None, "2": None}


def test_a_list_whose_time_is_over_after_some_pages_is_no_failure_and_goes_on() -> None:
    bench = discovering("1")
    asked: list[int] = []
    stuck = threading.Event()

    def pages(number: int) -> ListPage:
        asked.append(number)
        if number == 2 and asked.count(2) == 1:
            stuck.wait(LONG)
        return page(*(f"{number}-{job}" for job in range(3))) if number < 3 else page()

    bench.api.pages = pages
    view = bench.scrape(0.6)
    assert view.up is True
    assert not any(subject == "list" for subject, _ in bench.journal.lines)
    stuck.set()
    bench.scrape()
    assert asked[:4] == [1, 2, 2, 3]
    assert {"2-0", "2-1", "2-2"} <= bench.ups().keys()


def test_two_clusters_with_one_key_share_its_rate_however_many_jobs_and_threads_each_has() -> None:
    first, second = Bench(*map(str, range(40)), rate=4.0), Bench(*map(str, range(40)), rate=4.0)
    second.settings = replace(second.settings, cluster_id="in02")
    for _ in range(2):
        second.watch.reconfigure(second.settings, second.api, first.limiter)
        rounds = [(bench, bench.watch.begin(bench.clock.monotonic() + 3.5)) for bench in (first, second)]
        for bench, opened in rounds:
            bench.watch.end(opened)
    assert first.api.asked.total() + second.api.asked.total() >= 16
    assert abs(first.api.asked.total() - second.api.asked.total()) <= 4


def test_a_thread_that_cannot_be_started_costs_one_scrape_and_not_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench("1", "2", concurrency=2)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", _no_thread)
        for _ in range(3):
            view = bench.scrape(0.05)
        assert view.waiting == 2
    bench.scrape()
    assert bench.ups() == {"1": None, "2": None}
    assert ("a thread to ask with", ErrorClass.CONNECT) in bench.journal.lines


def _no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_a_scrape_lasts_until_its_last_answer_however_late_it_is_looked_at() -> None:
    bench = Bench("1")
    opened = bench.watch.begin(bench.clock.monotonic() + LONG)
    opened.done.wait(LONG)
    bench.shift = 100
    assert bench.watch.end(opened).scrape_duration < 100


def test_a_scrape_that_broke_off_leaves_no_round_behind() -> None:
    bench = Bench("1")
    with bench.api.holding("1"):
        opened = bench.watch.begin(bench.clock.monotonic() + LONG)
        bench.api.wait_for("1")
        bench.watch.abandon(opened)
        bench.watch.abandon(opened)
    assert bench.watch._desk._rounds == []


def test_nothing_is_sent_while_retry_after_holds_and_only_the_job_that_got_it_fails() -> None:
    bench = Bench("1", "2", concurrency=1)
    bench.scrape()
    bench.api.errors["1"] = RateLimitedError("slow down", retry_after=60)
    view = bench.scrape(5)
    assert bench.ups() == {"1": ErrorClass.RATE_LIMITED, "2": None}
    assert view.waiting == 1
    bench.api.asked.clear()
    assert bench.scrape(5).waiting == 2
    assert bench.api.asked.total() == 0


def test_a_scrape_that_outlasts_retry_after_waits_and_goes_on() -> None:
    bench = Bench("1", "2", concurrency=1)
    bench.api.errors["1"] = RateLimitedError("slow down", retry_after=0.2)
    bench.scrape(LONG)
    assert bench.ups() == {"1": ErrorClass.RATE_LIMITED, "2": None}


def test_jobs_whose_turn_does_not_come_are_counted_and_served_first_next_time() -> None:
    bench = Bench(*map(str, range(6)), rate=2.0)
    first = bench.scrape(0.5)
    assert first.waiting == 4
    assert len(bench.views()) == 2
    bench.api.asked.clear()
    bench.scrape(2.4)
    assert set(bench.api.asked) == set(map(str, range(6))) - set(bench.api.order[:2])


def test_the_list_is_read_beside_the_jobs_and_its_jobs_are_asked_in_the_same_scrape() -> None:
    bench = discovering("config")
    bench.api.pages = lambda number: page("new") if number == 1 else page()
    view = bench.scrape()
    assert bench.ups() == {"config": None, "new": None}
    assert view.jobs == {Source.CONFIG: 1, Source.LIST: 0, Source.DISCOVERY: 1}


def test_a_list_that_hangs_costs_no_job_its_turn_and_gets_half_of_the_budget() -> None:
    bench = discovering("1", "2")
    with bench.api.holding("list"):
        began = bench.clock.monotonic()
        view = bench.watch.end(bench.watch.begin(began + 0.6))
        assert bench.api.deadlines["list"] == pytest.approx(began + 0.3, abs=0.2)
    assert bench.ups() == {"1": None, "2": None}
    assert view.up is False
    assert ("list", ErrorClass.TIMEOUT) in bench.journal.lines


def test_a_list_whose_call_never_returns_is_given_up_at_half_of_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = discovering("1")
    stuck = threading.Event()
    monkeypatch.setattr(bench.api, "list_page", lambda *_, **__: (stuck.wait(LONG), page())[1])
    view = bench.scrape(0.2)
    assert bench.ups() == {"1": None}
    assert view.up is False
    stuck.set()


def test_a_failing_list_leaves_the_cluster_down_but_its_jobs_up() -> None:
    bench = discovering("1")
    bench.api.errors["list"] = CodeError("code 65535")
    view = bench.scrape()
    assert view.up is False
    assert bench.ups() == {"1": None}


def test_a_falsely_empty_list_ends_nothing() -> None:
    bench = discovering()
    bench.api.pages = lambda number: page("1", "2") if number == 1 else page()
    bench.scrape()
    bench.api.pages = lambda _: page()
    bench.scrape()
    assert bench.ups() == {"1": None, "2": None}
    assert bench.api.asked["1"] == 2


def test_a_list_is_read_at_most_once_in_refresh_interval() -> None:
    bench = discovering(rules=Rules())
    bench.settings = replace(bench.settings, refresh_interval=60.0)
    bench.watch.reconfigure(bench.settings, bench.api, bench.limiter)
    bench.api.pages = lambda number: page("1") if number == 1 else page()
    for _ in range(4):
        bench.scrape()
    assert bench.api.asked["list"] == 2
    bench.shift = 60
    bench.scrape()
    assert bench.api.asked["list"] == 4


def test_a_list_interrupted_by_an_error_goes_on_from_the_page_it_reached() -> None:
    bench = discovering()
    asked: list[int] = []

    def pages(number: int) -> ListPage:
        asked.append(number)
        if number == 2 and asked.count(2) == 1:
            raise CodeError("code 1")
        return page(*(f"{number}-{job}" for job in range(100))) if number < 3 else page("last")

    bench.api.pages = pages
    bench.scrape()
    bench.scrape()
    assert asked[:4] == [1, 2, 2, 3]


def failing(error: ApiError) -> Callable[[int], ListPage]:
    def answer(_: int) -> ListPage:
        raise error

    return answer


def two_lists(**settings: Any) -> Bench:
    """Discovery in the collections `bad` and `good`, read once in a minute; `good` names one unfinished job."""
    bench = Bench(
        named=Named(discovery=True),
        lists=(ListTarget(collection="bad"), ListTarget(collection="good")),
        refresh_interval=60.0,
        single_page=True,
        **settings,
    )
    bench.api.lists["good"] = lambda _: page("1")
    return bench


@pytest.mark.parametrize("error", [CodeError("code 100"), HttpError("HTTP 500"), TlsError("no")])
def test_a_list_that_fails_keeps_the_cluster_down_and_costs_the_other_lists_nothing(error: ApiError) -> None:
    bench = two_lists()
    bench.api.lists["bad"] = failing(error)
    assert [bench.scrape().up for _ in range(5)] == [False] * 5
    assert bench.api.asked["list bad"] >= 4
    assert bench.ups() == {"1": None}
    assert bench.api.asked["list good"] == 1
    bench.shift = 60
    assert [bench.scrape().up for _ in range(2)] == [False] * 2
    assert bench.api.asked["list good"] == 2
    assert set(bench.journal.lines) == {("list of collection bad", error.error)}
    bench.api.lists["bad"] = lambda _: page("2")
    assert bench.scrape().up is True
    bench.scrape()
    assert bench.ups() == {"1": None, "2": None}
    assert ("list of collection bad", None) in bench.journal.lines


@pytest.mark.parametrize("error", [AuthError("HTTP 403"), RateLimitedError("HTTP 429", 0.0), CodeError("code 100")])
def test_several_lists_that_fail_cost_one_that_works_nothing(error: ApiError) -> None:
    names = ("bad", "worse", "good")
    lists = tuple(ListTarget(collection=name) for name in names)
    bench = Bench(named=Named(discovery=True), lists=lists, refresh_interval=60.0, single_page=True)
    bench.api.lists = {"bad": failing(error), "worse": failing(error), "good": lambda _: page("1")}
    for _ in range(4):
        assert bench.scrape().up is False
    bench.api.lists["good"] = lambda _: page("1", "2", state=State.COMPLETED)
    for _ in range(4):
        bench.shift += 60
        assert bench.scrape().up is False
    assert set(bench.ups()) == {"1", "2"}
    assert bench.api.asked["list good"] == 5
    assert min(bench.api.asked["list bad"], bench.api.asked["list worse"]) >= 3
    bench.api.lists = dict.fromkeys(names, lambda _: page("1"))
    bench.shift += 60
    assert bench.scrape().up is True


def test_a_list_that_failed_keeps_the_cluster_down_where_no_time_is_left_to_ask_again() -> None:
    bench = two_lists()
    bench.api.lists["bad"] = failing(HttpError("HTTP 500"))
    assert bench.scrape().up is False

    def slow(_: int) -> ListPage:
        bench.shift += 0.4 * LONG
        return page("1")

    bench.api.lists["good"] = slow
    assert bench.scrape().up is False
    assert bench.api.asked == {"list bad": 1, "list good": 1, "1": 1}


def test_what_a_list_called_finished_before_it_was_read_to_its_end_was_so_before() -> None:
    bench = discovering()
    bench.api.states["old"] = State.FAILED
    broken = True

    def pages(number: int) -> ListPage:
        if number == 1:
            return page("run")
        if broken:
            raise CodeError("code 1")
        return page("old", state=State.FAILED)

    bench.api.pages = pages
    bench.scrape()
    broken = False
    bench.scrape()
    bench.scrape()
    assert set(bench.ups()) == {"run"}


def test_a_list_that_hangs_holds_up_the_others_for_one_scrape() -> None:
    bench = two_lists()
    with bench.api.holding("list bad"):
        assert bench.scrape(0.2).up is False
        assert bench.api.asked["list good"] == 0
        bench.scrape(0.2)
        assert bench.api.asked["list good"] == 1
    assert bench.ups() == {"1": None}


def test_a_list_whose_later_page_always_fails_is_read_from_its_beginning_again() -> None:
    bench = discovering()
    first = page(*(f"old-{job}" for job in range(100)))
    asked: list[int] = []

    def pages(number: int) -> ListPage:
        asked.append(number)
        if number == 2:
            raise CodeError("code 1")
        return first

    bench.api.pages = pages
    for _ in range(5):
        bench.scrape()
    assert asked == [1, 2, 2, 1, 2, 2, 1, 2]
    first = page("new")
    bench.scrape()
    bench.scrape()
    assert "new" in bench.ups()


def test_what_a_list_added_by_a_reload_calls_finished_was_so_before() -> None:
    bench = two_lists()
    bench.api.states = {"old": State.FAILED, "run": State.FAILED}
    bench.scrape()
    bench.api.lists["added"] = lambda _: ListPage((*page("old", state=State.FAILED).jobs, *page("run").jobs))
    lists = (*bench.settings.lists, ListTarget(collection="added"))
    bench.watch.reconfigure(replace(bench.settings, lists=lists), bench.api, bench.limiter)
    bench.scrape()
    assert bench.ups() == {"1": None, "run": None}
    bench.api.lists["good"] = lambda _: page("1", "failed", state=State.FAILED)
    bench.api.states["failed"] = State.FAILED
    bench.shift = 60
    bench.scrape()
    assert bench.ups() == {"1": None, "run": None, "failed": None}


def test_jobs_finished_before_the_start_are_asked_once_and_after_the_unfinished_ones() -> None:
    bench = discovering(concurrency=1, single_page=True)
    bench.api.pages = lambda _: ListPage((*page("old", state=State.COMPLETED).jobs, *page("run").jobs))
    bench.api.states["old"] = State.COMPLETED
    bench.scrape()
    bench.scrape()
    assert bench.api.order == ["list", "run", "old", "list", "run"]
    assert set(bench.ups()) == {"run"}


def test_a_probe_of_a_job_that_is_not_watched_leaves_nothing_behind() -> None:
    bench = Bench("1")
    probe = bench.watch.begin(bench.clock.monotonic() + LONG, only="other")
    bench.watch.end(probe)
    assert isinstance(probe.outcome, Job)
    assert bench.ups() == {}
    assert bench.api.asked == {"other": 1}
    bench.api.errors["other"] = NotFoundError("unknown")
    probe = bench.watch.begin(bench.clock.monotonic() + LONG, only="other")
    bench.watch.end(probe)
    assert isinstance(probe.outcome, NotFoundError)
    assert bench.journal.lines == []


def test_a_probe_that_hangs_ends_with_its_budget() -> None:
    bench = Bench()
    with bench.api.holding("other"):
        probe = bench.watch.begin(bench.clock.monotonic() + 0.05, only="other")
        bench.watch.end(probe)
    assert isinstance(probe.outcome, CallTimeoutError)


def test_probes_of_single_jobs_say_nothing_about_the_cluster() -> None:
    bench = Bench("1", "2")
    bench.api.down = ConnectError("refused")
    bench.watch.end(bench.watch.begin(bench.clock.monotonic() + LONG, only="1"))
    bench.api.down = None
    bench.scrape()
    assert bench.api.asked == {"1": 2, "2": 1}


def test_a_scrape_follows_a_configuration_that_changes_under_way() -> None:
    bench = Bench("1", "2")
    with bench.api.holding("1") as release:
        running = bench.watch.begin(bench.clock.monotonic() + LONG)
        bench.api.wait_for("1")
        bench.watch.reconfigure(replace(bench.settings, named=Named(jobs=("1", "3"))), bench.api, bench.limiter)
        release.set()
        bench.watch.end(running)
    assert bench.ups() == {"1": None, "3": None}


def test_a_fault_of_ours_costs_one_job_its_answer_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench("1", "2")
    answer = bench.api.progress

    def broken(job_id: str, deadline: Deadline, **more: object) -> Job:
        if job_id == "2":
            raise ZeroDivisionError("a bug")
        return answer(job_id, deadline)

    monkeypatch.setattr(bench.api, "progress", broken)
    bench.scrape()
    assert bench.ups() == {"1": None, "2": ErrorClass.PAYLOAD}


def test_trouble_is_told_once_it_happens_and_recovery_once_it_is_over() -> None:
    bench = Bench("1")
    bench.scrape()
    bench.api.errors["1"] = CodeError("code 1")
    bench.scrape()
    bench.api.errors.clear()
    bench.scrape()
    bench.scrape()
    assert bench.journal.lines == [("1", ErrorClass.API), ("1", None)]


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_a_scrape_without_time_says_what_is_known(seconds: float) -> None:
    bench = Bench("1")
    bench.scrape()
    bench.scrape(seconds)
    assert bench.ups() == {"1": None}


def test_no_thread_is_left_when_nothing_is_asked() -> None:
    bench = Bench(*map(str, range(50)))
    before = set(threading.enumerate())
    bench.scrape()
    for thread in set(threading.enumerate()) - before:
        thread.join(LONG)
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("page_size", [100, 20])
def test_the_youngest_jobs_are_chosen_whatever_the_order_and_the_pages_of_the_first_list(page_size: int) -> None:
    jobs = [f"{number:03}" for number in range(100)]
    bench = discovering(max_jobs=10, single_page=page_size == 100)
    bench.api.pages = lambda number: page(*jobs[(number - 1) * page_size : number * page_size])
    assert bench.scrape().omitted == 90
    assert set(bench.ups()) == set(jobs[90:])


def test_a_job_that_turns_out_to_be_over_max_jobs_is_not_asked() -> None:
    bench = discovering(max_jobs=1, concurrency=1)
    with bench.api.holding("1"):
        bench.api.pages = lambda number: page(str(number)) if number < 4 else page()
        bench.scrape(1.0)
    assert set(bench.api.asked) <= {"list", "1", "3"}


def test_the_list_and_a_reload_leave_a_waiting_probe_its_turn() -> None:
    bench = discovering("busy", concurrency=1, max_jobs=5)
    bench.api.pages = lambda number: page("found") if number == 1 else page()
    with bench.api.holding("list") as release:
        scrape = in_thread(bench.scrape)
        bench.api.wait_for("list")
        probe = bench.watch.begin(bench.clock.monotonic() + LONG, only="other")
        bench.watch.reconfigure(replace(bench.settings, concurrency=2), bench.api, bench.limiter)
        release.set()
        bench.watch.end(probe)
        scrape.join(LONG)
    assert isinstance(probe.outcome, Job)


def test_what_waits_for_its_turn_during_a_reload_is_asked_with_the_new_key_at_its_rate() -> None:
    bench = discovering("1", rate=1.0)
    before, after = bench.api, FakeApi()
    assert bench.limiter.acquire(bench.clock.monotonic() + LONG)
    scrape = in_thread(bench.scrape)
    until = time.monotonic() + LONG
    while bench.limiter.waiting < 2 and time.monotonic() < until:
        time.sleep(0.001)
    bench.watch.reconfigure(bench.settings, after, Limiter(0))
    bench.limiter.set_rate(0)
    scrape.join(LONG)
    assert before.asked.total() == 0
    assert after.asked == {"1": 1, "list": 1}


def test_a_job_that_one_reload_drops_and_the_next_brings_back_is_asked_again_by_the_same_scrape() -> None:
    bench = Bench("1", "2")
    without = replace(bench.settings, named=Named(jobs=("2",)))
    with bench.api.holding("2") as release:
        opened = bench.watch.begin(bench.clock.monotonic() + LONG)
        bench.api.wait_for("2")
        while bench.ups() != {"1": None}:
            time.sleep(0.001)
        bench.watch.reconfigure(without, bench.api, bench.limiter)
        bench.watch.reconfigure(bench.settings, bench.api, bench.limiter)
        release.set()
        bench.watch.end(opened)
    bench.watch.reconfigure(without, bench.api, bench.limiter)
    bench.watch.reconfigure(bench.settings, bench.api, bench.limiter)
    bench.watch.end(bench.watch.begin(bench.clock.monotonic() + LONG, after=opened))
    assert bench.ups() == {"1": None, "2": None}
    assert bench.api.asked == {"1": 3, "2": 1}


def test_what_a_scrape_did_before_a_reload_counts_in_what_it_says_of_itself() -> None:
    bench = Bench("1", "2", "3")
    bench.scrape()
    # The three calls of that scrape leave no room for others within the second.
    bench.limiter.set_rate(1.0)
    deadline = bench.clock.monotonic() + 0.2
    opened = bench.watch.begin(deadline)
    assert bench.watch.end(opened).waiting == 3
    bench.shift = 10
    view = bench.watch.end(bench.watch.begin(deadline, after=opened))
    assert view.waiting == 3
    assert view.scrape_duration >= 10
    assert bench.api.asked.total() == 3


def test_a_call_that_could_not_be_answered_in_time_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench("1", "2", rate=1.0)
    answer = bench.api.progress

    def slow(job_id: str, deadline: Deadline, **more: object) -> Job:
        bench.shift += 2.0
        return answer(job_id, deadline)

    monkeypatch.setattr(bench.api, "progress", slow)
    view = bench.scrape(5.0)
    assert bench.ups() == {"1": None}
    assert view.waiting == 1


def test_no_worker_is_started_for_a_scrape_whose_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench("1", "2", concurrency=1)
    started: list[str] = []
    start = threading.Thread.start

    def count(thread: threading.Thread) -> None:
        started.append(thread.name)
        start(thread)

    with bench.api.holding("1"):
        scrape = bench.watch.begin(bench.clock.monotonic() + 5)
        bench.api.wait_for("1")
        bench.shift = 10
        monkeypatch.setattr(threading.Thread, "start", count)
    while bench.watch._workers:
        time.sleep(0.001)
    assert started == []
    bench.watch.end(scrape)


def test_a_query_is_given_up_when_it_is_twenty_seconds_old_however_long_the_scrape_may_last() -> None:
    bench = Bench("1")
    with bench.api.holding("1", "list"):
        began = bench.clock.monotonic()
        scrape = bench.watch.begin(began + 300)
        bench.api.wait_for("1")
        assert began + 20 <= bench.api.deadlines["1"] <= bench.clock.monotonic() + 20
        bench.shift = 21
        bench.watch.end(scrape)
    assert bench.ups() == {"1": ErrorClass.TIMEOUT}
