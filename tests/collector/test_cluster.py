"""One cluster across scrapes: shared requests, budgets, back-off, the breaker, and lists read beside the jobs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.api.attempt import LONGEST_CALL
from exporter.api.errors import (
    ApiError,
    AuthError,
    CodeError,
    ConnectError,
    HttpError,
    NotFoundError,
    RateLimitedError,
    TlsError,
)
from exporter.collector.ratelimit import RateLimit
from exporter.model import ErrorClass, ListedJob, ListPage, Source, State
from tests.collector.bench import (
    EPOCH,
    LONG,
    Bench,
    FakeApi,
    Pages,
    discovering,
    errors,
    failing,
    page,
    pages,
    troubles,
)
from tests.collector.loop import VirtualLoop


def all_of(*jobs: str) -> dict[str, ErrorClass | None]:
    """These jobs, all current."""
    return dict.fromkeys(jobs)


def test_each_due_job_is_queried_once_and_finished_ones_no_more(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1", "2", "3")
    bench.api.states["3"] = State.COMPLETED
    for _ in range(3):
        snapshot = bench.scrape()
        loop.wait(15)
    assert bench.api.requested == {"1": 3, "2": 3, "3": 1}
    assert (snapshot.up, snapshot.waiting, snapshot.counts[Source.CONFIG]) == (True, 0, 3)
    assert errors(snapshot.jobs) == all_of("1", "2", "3")


def test_an_answer_younger_than_fresh_for_is_not_queried_again(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1", scrape={"fresh_for": "1m"})
    bench.scrape()
    loop.wait(59)
    bench.scrape()
    assert bench.api.requested["1"] == 1
    loop.wait(1)
    bench.scrape()
    assert bench.api.requested["1"] == 2


def test_no_more_requests_are_in_flight_than_concurrency_allows(loop: VirtualLoop) -> None:
    bench = Bench(loop, *map(str, range(20)), concurrency=4)
    bench.api.seconds["*"] = 1.0
    snapshot = bench.scrape()
    assert bench.api.most_at_once == 4
    assert len(bench.api.requested) == 20
    assert snapshot.scrape_duration == pytest.approx(5)


def test_one_failing_job_leaves_the_others_alone(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1", "2", "3")
    bench.scrape()
    bench.api.errors["2"] = CodeError("code 1")
    snapshot = bench.scrape()
    assert errors(snapshot.jobs) == {"1": None, "2": ErrorClass.API, "3": None}
    assert snapshot.jobs["2"].collection_name == "articles"


def test_a_job_that_hangs_is_a_timeout_when_the_budget_ends_and_the_others_are_complete(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1", "2", "3")
    with bench.api.holding("2"):
        snapshot = bench.scrape(5)
        assert errors(snapshot.jobs) == {"1": None, "2": ErrorClass.TIMEOUT, "3": None}
        assert snapshot.up is True
        assert snapshot.scrape_duration == pytest.approx(5)
    assert errors(bench.scrape().jobs) == all_of("1", "2", "3")


def test_a_call_that_never_returns_ends_with_its_scrape_and_its_late_answer_is_ignored(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1")
    bench.api.stuck.add("1")
    with bench.api.holding("1"):
        assert errors(bench.scrape(1).jobs) == {"1": ErrorClass.TIMEOUT}
    loop.wait(1)
    assert bench.api.at_once == 0
    assert bench.errors() == {"1": ErrorClass.TIMEOUT}


def test_calls_that_never_return_never_outnumber_the_concurrency(loop: VirtualLoop) -> None:
    bench = Bench(loop, *map(str, range(10)), concurrency=3)
    bench.api.stuck.update(map(str, range(10)))
    with bench.api.holding("*"):
        for _ in range(5):
            snapshot = bench.scrape(1)
        assert len(bench.api.order) == bench.api.at_once == 3
        assert snapshot.waiting > 0
    bench.api.stuck.clear()
    assert errors(bench.scrape().jobs) == all_of(*map(str, range(10)))


def test_two_scrapes_at_once_share_their_requests(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1", "2")
    with bench.api.holding("1", "2") as release:
        first, second = bench.begin(), bench.begin()
        release.set()
        assert bench.ended(second).waiting == bench.ended(first).waiting == 0
    assert bench.api.requested == {"1": 1, "2": 1}


def test_a_short_scrape_fails_no_job_that_a_longer_one_still_waits_for(loop: VirtualLoop) -> None:
    bench = Bench(loop, "seen", "new")
    bench.probe("seen")
    with bench.api.holding("seen", "new") as release:
        long = bench.begin()
        short = bench.scrape(1)
        assert errors(short.jobs) == all_of("seen")
        assert short.waiting == 1
        release.set()
        snapshot = bench.ended(long)
    assert errors(snapshot.jobs) == all_of("seen", "new")
    assert (snapshot.up, snapshot.waiting) == (True, 0)
    assert bench.api.requested == {"seen": 2, "new": 1}


def test_a_longer_scrape_that_joins_extends_the_deadline_of_the_request(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1")
    with bench.api.holding("1") as release:
        short, long = bench.begin(1), bench.begin(10)
        assert bench.ended(short).waiting == 1
        loop.wait(5)
        release.set()
        bench.ended(long)
    assert bench.errors() == all_of("1")
    assert bench.api.requested["1"] == 1


def test_the_deadline_of_a_request_is_that_of_the_scrapes_that_still_wait(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1")
    with bench.api.holding("1"):
        long, short = bench.begin(10), bench.begin(3)
        long.cancel()
        assert errors(bench.ended(short).jobs) == {"1": ErrorClass.TIMEOUT}
        assert bench.api.at_once == 0


@pytest.mark.parametrize("apart", [0.0, 1.0])
def test_two_scrapes_whose_time_ends_at_once_both_say_timeout(loop: VirtualLoop, apart: float) -> None:
    bench = Bench(loop, "1", "2")
    bench.api.errors["2"] = HttpError("HTTP 502")
    with bench.api.holding("1"):
        deadline = loop.time() + 5
        first = loop.create_task(bench.cluster.scrape(bench.cluster.jobs, deadline))
        loop.wait(apart)
        second = loop.create_task(bench.cluster.scrape(bench.cluster.jobs, deadline))
        snapshots = [bench.ended(first), bench.ended(second)]
    for snapshot in snapshots:
        assert errors(snapshot.jobs) == {"1": ErrorClass.TIMEOUT, "2": ErrorClass.HTTP}
        assert snapshot.waiting == 0
    assert bench.api.requested["1"] == 1


def test_a_cluster_that_is_down_is_queried_once_per_scrape_and_recovers_at_once(loop: VirtualLoop) -> None:
    bench = Bench(loop, *map(str, range(8)))
    bench.scrape()
    bench.api.down = ConnectError("refused")
    bench.scrape()
    assert bench.api.requested.total() == 16
    for _ in range(3):
        snapshot = bench.scrape()
    assert bench.api.requested.total() == 19
    assert set(errors(snapshot.jobs).values()) == {ErrorClass.CONNECT}
    assert (snapshot.up, snapshot.waiting) == (False, 0)
    bench.api.down = AuthError("the key was revoked")
    assert set(errors(bench.scrape().jobs).values()) == {ErrorClass.AUTH}
    bench.api.down = None
    snapshot = bench.scrape()
    assert set(errors(snapshot.jobs).values()) == {None}
    assert snapshot.up is True


def test_jobs_never_queried_are_shown_as_down_with_the_class_of_a_dead_cluster(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1")
    bench.api.down = ConnectError("refused")
    bench.scrape()
    bench.configure("1", "2", "3")
    assert errors(bench.scrape().jobs) == dict.fromkeys("123", ErrorClass.CONNECT)
    assert bench.api.requested.total() == 2


def test_another_way_to_the_api_lets_all_requests_go_after_an_outage(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1", "2", "3")
    bench.api.down = AuthError("HTTP 401")
    bench.scrape()
    bench.configure("1", "2", "3", api=FakeApi(loop))
    with bench.api.holding("*"):
        scrape = bench.begin()
        assert bench.api.requested.total() == 3
    assert errors(bench.ended(scrape).jobs) == all_of("1", "2", "3")


def test_errors_that_are_answers_do_not_make_a_cluster_look_down(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1", "2", "3")
    bench.api.down = NotFoundError("no such job")
    snapshot = bench.scrape()
    bench.scrape()
    assert bench.api.requested.total() == 6
    assert snapshot.up is True


def test_a_dead_cluster_is_not_queried_for_its_list_either(loop: VirtualLoop) -> None:
    bench = discovering(loop, "1", "2")
    bench.api.down = ConnectError("refused")
    bench.scrape()
    bench.api.order.clear()
    snapshot = bench.scrape()
    assert bench.api.requested.total() == 1
    assert (snapshot.up, snapshot.waiting) == (False, 0)
    bench.api.down = None
    bench.api.pages = pages(page("3"))
    snapshot = bench.scrape()
    assert snapshot.up is True
    assert errors(snapshot.jobs) == all_of("1", "2", "3")


def test_jobs_that_always_fail_do_not_keep_the_list_from_being_read_after_an_outage(loop: VirtualLoop) -> None:
    bench = discovering(loop, "1", "2")
    bench.api.down = HttpError("HTTP 502")
    for _ in range(3):
        bench.scrape()
    bench.api.down = None
    bench.api.errors = {"1": HttpError("HTTP 500"), "2": HttpError("HTTP 500")}
    bench.api.pages = pages(page("3"))
    bench.api.order.clear()
    for _ in range(2):
        snapshot = bench.scrape()
    assert errors(snapshot.jobs) == {"1": ErrorClass.HTTP, "2": ErrorClass.HTTP, "3": None}
    assert snapshot.up is True
    assert bench.api.requested["list"] >= 2


def test_while_everything_fails_a_job_and_the_list_take_turns(loop: VirtualLoop) -> None:
    bench = discovering(loop, "1", "2", "3")
    bench.api.down = HttpError("HTTP 502")
    bench.scrape()
    bench.api.order.clear()
    for _ in range(8):
        bench.scrape()
    assert len(bench.api.order) == 8
    assert [subject == "list" for subject in bench.api.order] in ([True, False] * 4, [False, True] * 4)


def test_a_scrape_that_ends_before_its_one_call_gets_a_slot_leaves_the_turn_to_the_next(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1", "2", concurrency=1)
    bench.api.stuck.update("12")
    with bench.api.holding("*"):
        for _ in range(3):
            bench.scrape(1)
    bench.api.stuck.clear()
    assert errors(bench.scrape().jobs) == all_of("1", "2")


@pytest.mark.parametrize("held", ["list", "1"])
def test_a_scrape_that_breaks_off_in_its_one_call_leaves_the_turn_to_the_next(loop: VirtualLoop, held: str) -> None:
    bench = discovering(loop, "1")
    bench.api.down = ConnectError("refused")
    bench.scrape()
    while bench.api.order[-1] == held:
        bench.scrape()
    bench.api.down = None
    with bench.api.holding(held):
        scrape = bench.begin()
        assert bench.api.order[-1] == held
        scrape.cancel()
        loop.wait()
        assert bench.api.at_once == 0
    snapshot = bench.scrape()
    assert errors(snapshot.jobs) == all_of("1")
    assert snapshot.waiting == 0


def test_a_list_that_always_fails_does_not_keep_the_jobs_from_being_queried(loop: VirtualLoop) -> None:
    bench = discovering(loop, "1", "2")
    bench.api.down = HttpError("HTTP 502")
    bench.scrape()
    bench.api.down = None
    bench.api.errors["list"] = HttpError("HTTP 500")
    bench.scrape()
    assert errors(bench.scrape().jobs) == all_of("1", "2")


def test_a_list_whose_time_is_over_after_some_pages_is_no_failure_and_goes_on(loop: VirtualLoop) -> None:
    bench = discovering(loop, "1")
    three = page("3-0", "3-1"), page("4-0"), page("5-0")

    def some(number: int) -> ListPage:
        if number == 1:
            bench.api.seconds["list"] = LONG
        return pages(*three)(number)

    bench.api.pages = some
    with troubles() as logs:
        snapshot = bench.scrape(6)
    assert snapshot.up is True
    assert logs == []
    bench.api.seconds.clear()
    snapshot = bench.scrape()
    assert [number for _, number in bench.api.pages_read] == [1, 2, 2, 3, 4]
    assert {"3-0", "4-0", "5-0"} <= snapshot.jobs.keys()


def test_two_clusters_with_one_key_share_its_rate_however_many_jobs_each_has(loop: VirtualLoop) -> None:
    limit = RateLimit(4.0)
    few, many = (
        Bench(loop, *map(str, range(jobs)), rate=4.0, share=2, limit=limit, cluster_id=f"in{jobs}")
        for jobs in (40, 400)
    )
    for _ in range(3):
        scrapes = [few.begin(10), many.begin(10)]
        for scrape in scrapes:
            few.ended(scrape)
        loop.wait(5)
    counts = [few.api.requested.total(), many.api.requested.total()]
    assert sum(counts) >= 3 * 36
    assert abs(counts[0] - counts[1]) <= 3
    times = sorted(few.api.began_at + many.api.began_at)
    assert all(late - early >= 1 - 1e-6 for early, late in zip(times, times[4:], strict=False))


def test_a_thread_that_cannot_be_started_costs_one_scrape_and_not_the_cluster(
    loop: VirtualLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(loop, "1", "2", concurrency=2)

    def no_thread(_: object) -> asyncio.Future[Any]:
        message = "can't start new thread"
        raise RuntimeError(message)

    with monkeypatch.context() as patched:
        patched.setattr(bench.api, "run", no_thread)
        bench.configure("1", "2")
        for _ in range(3):
            snapshot = bench.scrape(1)
    assert errors(snapshot.jobs) == {"1": ErrorClass.CONNECT, "2": ErrorClass.CONNECT}
    assert "can't start new thread" in bench.cluster.last_error
    bench.configure("1", "2")
    assert errors(bench.scrape().jobs) == all_of("1", "2")


def test_a_scrape_ends_with_its_last_answer_and_says_how_long_it_took(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1")
    bench.api.seconds["1"] = 2.5
    assert bench.scrape().scrape_duration == pytest.approx(2.5)


def test_a_scrape_that_broke_off_leaves_nothing_behind(loop: VirtualLoop) -> None:
    bench = discovering(loop, "1", "2", concurrency=3)
    with bench.api.holding("*"):
        scrape = bench.begin()
        assert bench.api.at_once == 3
        scrape.cancel()
        loop.wait()
        assert scrape.cancelled()
    loop.wait()
    assert bench.api.at_once == 0
    assert errors(bench.scrape().jobs)["1"] is None
    assert bench.api.requested["list"] == 2


def test_nothing_is_sent_while_retry_after_holds_and_only_the_job_that_got_it_fails(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1", "2", concurrency=1)
    bench.scrape()
    bench.api.errors["1"] = RateLimitedError("slow down", retry_after=60)
    snapshot = bench.scrape()
    assert errors(snapshot.jobs) == {"1": ErrorClass.RATE_LIMITED, "2": None}
    assert snapshot.waiting == 1
    bench.api.order.clear()
    assert bench.scrape().waiting == 2
    assert bench.api.order == []


def test_a_scrape_that_outlasts_retry_after_waits_and_goes_on(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1", "2", concurrency=1)
    bench.api.errors["1"] = RateLimitedError("slow down", retry_after=5)
    snapshot = bench.scrape()
    assert errors(snapshot.jobs) == {"1": ErrorClass.RATE_LIMITED, "2": None}
    assert snapshot.scrape_duration == pytest.approx(5)


def test_jobs_whose_turn_does_not_come_are_counted_and_served_first_next_time(loop: VirtualLoop) -> None:
    bench = Bench(loop, *map(str, range(6)), rate=2.0)
    first = bench.scrape(0.5)
    assert (first.waiting, len(first.jobs)) == (4, 2)
    served = set(bench.api.order)
    bench.api.order.clear()
    loop.wait(1)
    bench.scrape(1.5)
    assert set(bench.api.order) == set(map(str, range(6))) - served


def test_the_list_is_read_beside_the_jobs_and_its_jobs_are_queried_in_the_same_scrape(loop: VirtualLoop) -> None:
    bench = discovering(loop, "config")
    bench.api.pages = pages(page("new"))
    with bench.api.holding("config") as release:
        scrape = bench.begin()
        assert set(bench.api.order) == {"config", "list", "new"}
        release.set()
        snapshot = bench.ended(scrape)
    assert errors(snapshot.jobs) == all_of("config", "new")
    assert snapshot.counts == {Source.CONFIG: 1, Source.LIST: 0, Source.DISCOVERY: 1}


@pytest.mark.parametrize("stuck", [False, True], ids=["hangs", "never returns"])
def test_a_list_that_hangs_costs_no_job_its_turn_and_gets_half_of_the_budget(loop: VirtualLoop, stuck: bool) -> None:
    bench = discovering(loop, "1", "2")
    if stuck:
        bench.api.stuck.add("list")
    with troubles() as logs, bench.api.holding("list"):
        snapshot = bench.scrape(6)
    assert snapshot.scrape_duration == pytest.approx(3)
    assert errors(snapshot.jobs) == all_of("1", "2")
    assert snapshot.up is False
    assert [(line["request"], line["error"]) for line in logs] == [("list", "timeout")]


def test_a_failing_list_leaves_the_cluster_down_but_its_jobs_up(loop: VirtualLoop) -> None:
    bench = discovering(loop, "1")
    bench.api.errors["list"] = CodeError("code 65535")
    snapshot = bench.scrape()
    assert snapshot.up is False
    assert errors(snapshot.jobs) == all_of("1")


def test_a_falsely_empty_list_ends_nothing(loop: VirtualLoop) -> None:
    bench = discovering(loop)
    bench.api.pages = pages(page("1", "2"))
    bench.scrape()
    bench.api.pages = pages()
    assert errors(bench.scrape().jobs) == all_of("1", "2")
    assert bench.api.requested["1"] == 2


def test_a_list_is_read_at_most_once_in_refresh_interval(loop: VirtualLoop) -> None:
    bench = discovering(loop, discovery={"refresh_interval": "1m"})
    bench.api.pages = pages(page("1"))
    for _ in range(4):
        bench.scrape()
    assert bench.api.requested["list"] == 2
    loop.wait(60)
    bench.scrape()
    assert bench.api.requested["list"] == 4


def test_a_list_interrupted_by_an_error_goes_on_from_the_page_it_reached(loop: VirtualLoop) -> None:
    bench = discovering(loop)
    broken = True

    def some(number: int) -> ListPage:
        if number == 2 and broken:
            raise CodeError("code 1")
        return pages(page("1"), page("2"))(number)

    bench.api.pages = some
    bench.scrape()
    broken = False
    bench.scrape()
    assert [number for _, number in bench.api.pages_read] == [1, 2, 2, 3]


def two_lists(loop: VirtualLoop, *names: str, **more: Any) -> Bench:
    """Discovery in the collections `bad`, `good` and others, read once in a minute; `good` names an unfinished job."""
    collections = ["bad", *names, "good"]
    bench = Bench(loop, discovery={"collections": collections, "refresh_interval": "1m"}, **more)
    bench.api.lists["good"] = pages(page("1"))
    return bench


def readings(bench: Bench, name: str) -> int:
    """How often that list was read from its beginning."""
    return bench.api.pages_read.count((name, 1))


@pytest.mark.parametrize("error", [CodeError("code 100"), HttpError("HTTP 500"), TlsError("no")])
def test_a_list_that_fails_keeps_the_cluster_down_and_costs_the_other_lists_nothing(
    loop: VirtualLoop, error: ApiError
) -> None:
    bench = two_lists(loop)
    bench.api.lists["bad"] = failing(error)
    with troubles() as logs:
        assert [bench.scrape().up for _ in range(5)] == [False] * 5
        assert readings(bench, "bad") >= 4
        assert bench.errors() == all_of("1")
        assert readings(bench, "good") == 1
        loop.wait(60)
        assert [bench.scrape().up for _ in range(2)] == [False] * 2
        assert readings(bench, "good") == 2
        warnings = [line for line in logs if line["log_level"] == "warning"]
        assert {line["error"] for line in warnings} == {error.error}
        assert warnings[-1]["request"] == "list of collection bad"
        bench.api.lists["bad"] = pages(page("2"))
        assert bench.scrape().up is True
        assert errors(bench.scrape().jobs) == all_of("1", "2")
        assert logs[-1]["log_level"] == "info"


@pytest.mark.parametrize("error", [AuthError("HTTP 403"), RateLimitedError("HTTP 429", 0.0), CodeError("code 100")])
def test_several_lists_that_fail_cost_one_that_works_nothing(loop: VirtualLoop, error: ApiError) -> None:
    bench = two_lists(loop, "worse")
    bench.api.lists.update(bad=failing(error), worse=failing(error))
    for _ in range(4):
        assert bench.scrape().up is False
    bench.api.lists["good"] = pages(page("1", "2"))
    for _ in range(4):
        loop.wait(60)
        assert bench.scrape().up is False
    assert set(bench.errors()) == {"1", "2"}
    assert readings(bench, "good") == 5
    assert min(readings(bench, "bad"), readings(bench, "worse")) >= 3
    bench.api.lists = dict.fromkeys(("bad", "worse", "good"), pages(page("1")))
    loop.wait(60)
    assert bench.scrape().up is True


def test_a_list_that_failed_keeps_the_cluster_down_where_no_time_is_left_to_query_it_again(loop: VirtualLoop) -> None:
    bench = two_lists(loop, api="milvus")
    bench.api.lists["bad"] = failing(HttpError("HTTP 500"))
    assert bench.scrape().up is False
    bench.api.seconds["list good"] = 0.4 * LONG
    assert bench.scrape().up is False
    assert bench.api.requested == {"list bad": 1, "list good": 1, "1": 1}


def test_what_a_list_called_finished_before_it_was_read_to_its_end_was_so_before_the_start(loop: VirtualLoop) -> None:
    bench = discovering(loop)
    bench.api.states["old"] = State.COMPLETED
    broken = True

    def some(number: int) -> ListPage:
        if number == 2 and broken:
            raise CodeError("code 1")
        return pages(page("run"), page("old", state=State.COMPLETED))(number)

    bench.api.pages = some
    bench.scrape()
    broken = False
    bench.scrape()
    assert set(bench.scrape().jobs) == {"run"}
    assert bench.api.requested["old"] == 1


def test_a_list_that_hangs_holds_up_the_others_for_one_scrape(loop: VirtualLoop) -> None:
    bench = two_lists(loop)
    with bench.api.holding("list bad"):
        assert bench.scrape().up is False
        assert readings(bench, "good") == 0
        snapshot = bench.scrape()
        assert readings(bench, "good") == 1
    assert errors(snapshot.jobs) == all_of("1")


def test_a_list_whose_later_page_always_fails_is_read_from_its_beginning_again(loop: VirtualLoop) -> None:
    bench = discovering(loop)
    first = page("old")

    def some(number: int) -> ListPage:
        if number == 2:
            raise CodeError("code 1")
        return first

    bench.api.pages = some
    for _ in range(5):
        bench.scrape()
    assert [number for _, number in bench.api.pages_read] == [1, 2, 2, 1, 2, 2, 1, 2]
    first = page("new")
    bench.scrape()
    assert "new" in bench.scrape().jobs


def test_what_a_list_added_by_a_reload_calls_finished_was_so_before(loop: VirtualLoop) -> None:
    bench = two_lists(loop)
    bench.api.states = {"old": State.COMPLETED, "run": State.COMPLETED}
    bench.scrape()
    bench.api.lists["added"] = pages(ListPage((*page("old", state=State.COMPLETED).jobs, *page("run").jobs)))
    bench.configure(discovery={"collections": ["bad", "good", "added"], "refresh_interval": "1m"})
    assert errors(bench.scrape().jobs) == all_of("1", "run")
    bench.api.lists["good"] = pages(page("1", "done", state=State.COMPLETED))
    bench.api.states["done"] = State.COMPLETED
    loop.wait(60)
    assert errors(bench.scrape().jobs) == all_of("1", "run", "done")


def test_jobs_finished_before_the_start_are_queried_once_and_after_the_unfinished_ones(loop: VirtualLoop) -> None:
    bench = discovering(loop, concurrency=1)
    bench.api.pages = pages(ListPage((*page("old", state=State.COMPLETED).jobs, *page("run").jobs)))
    bench.api.states["old"] = State.COMPLETED
    bench.scrape()
    snapshot = bench.scrape()
    assert [subject for subject in bench.api.order if subject != "list"] == ["run", "old", "run"]
    assert set(snapshot.jobs) == {"run"}


def test_a_job_is_queried_in_the_database_of_its_list(loop: VirtualLoop) -> None:
    bench = discovering(loop, "1", discovery={"databases": ["theirs"]})
    bench.api.pages = pages(page("2"))
    bench.scrape()
    assert bench.api.databases == {"1": "", "2": "theirs"}


def test_a_probe_of_a_job_that_is_not_watched_leaves_nothing_behind(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1")
    with troubles() as logs:
        record = bench.probe("other")
        assert record is not None
        assert (record.up, record.job_id) == (True, "other")
        assert bench.errors() == {}
        assert bench.api.requested == {"other": 1}
        bench.api.errors["other"] = NotFoundError("unknown")
        record = bench.probe("other")
        assert record is not None
        assert record.error is ErrorClass.NOT_FOUND
    assert logs == []
    assert len(bench.cluster.jobs) == 1
    assert bench.cluster.last_snapshot is None


def test_a_probe_of_a_watched_job_serves_the_scrapes_too(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1", "2", scrape={"fresh_for": "1m"})
    record = bench.probe("1")
    assert record is not None
    assert record.up is True
    assert bench.scrape().jobs["1"] is record
    assert bench.api.requested == {"1": 1, "2": 1}
    assert bench.probe("1") is record


def test_a_probe_that_hangs_ends_with_its_budget(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1")
    with bench.api.holding("other"):
        record = bench.probe("other", 2)
    assert record is not None
    assert record.error is ErrorClass.TIMEOUT


def test_probes_of_single_jobs_say_nothing_about_the_cluster(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1", "2")
    bench.api.down = ConnectError("refused")
    bench.probe("1")
    bench.api.down = None
    bench.scrape()
    assert bench.api.requested == {"1": 2, "2": 1}


def test_a_scrape_keeps_to_the_configuration_with_which_it_began(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1", "2", db_name="before")
    before = bench.api
    with before.holding("1") as release:
        running = bench.begin()
        bench.configure("1", "3", db_name="after", api=FakeApi(loop))
        release.set()
        snapshot = bench.ended(running)
    assert errors(snapshot.jobs) == all_of("1", "2")
    assert snapshot.counts[Source.CONFIG] == 2
    assert {record.db_name for record in snapshot.jobs.values()} == {"before"}
    assert before.requested == {"1": 1, "2": 1}
    assert bench.api.order == []
    assert bench.cluster.last_snapshot is None
    after = bench.scrape()
    assert errors(after.jobs) == all_of("1", "3")
    assert {record.db_name for record in after.jobs.values()} == {"after"}


def test_an_answer_to_a_scrape_that_a_reload_overtook_counts_under_the_new_configuration_too(
    loop: VirtualLoop,
) -> None:
    bench = Bench(loop, "1", "2")
    with bench.api.holding("1") as release:
        running = bench.begin()
        bench.configure("1", scrape={"fresh_for": "1m"})
        release.set()
        bench.ended(running)
    assert bench.errors() == all_of("1")
    bench.scrape()
    assert bench.api.requested == {"1": 1, "2": 1}


@pytest.mark.parametrize("rate", [0.0, 5.0])
def test_a_reload_at_the_end_of_a_scrape_makes_no_job_queried_twice_in_it(loop: VirtualLoop, rate: float) -> None:
    names = list(map(str, range(5)))
    bench = discovering(loop, *names, rate=rate)
    with bench.api.holding("4") as release:
        running = bench.begin()
        loop.wait(1)
        for _ in range(3):
            bench.configure(*names, "new")
        release.set()
        snapshot = bench.ended(running)
    assert bench.api.requested == {**dict.fromkeys(names, 1), "list": 1}
    assert errors(snapshot.jobs) == all_of(*names)


def test_a_job_that_one_reload_drops_and_the_next_brings_back_is_queried_by_the_next_scrape(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1", "2", scrape={"fresh_for": "1m"})
    with bench.api.holding("2") as release:
        running = bench.begin()
        bench.configure("2")
        bench.configure("1", "2")
        release.set()
        assert errors(bench.ended(running).jobs) == all_of("1", "2")
    assert bench.errors() == all_of("2")
    assert errors(bench.scrape().jobs) == all_of("1", "2")
    assert bench.api.requested == {"1": 2, "2": 1}


def test_what_waits_for_its_turn_during_a_reload_is_queried_as_it_was_configured(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1", "2", rate=1.0)
    before = bench.api
    running = bench.begin()
    bench.configure("1", "2", api=FakeApi(loop), limit=RateLimit(0))
    assert errors(bench.ended(running).jobs) == all_of("1", "2")
    assert before.requested == {"1": 1, "2": 1}
    assert bench.api.order == []


def test_a_fault_of_ours_costs_one_job_its_answer_and_no_more(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1", "2")
    bench.api.errors["2"] = ZeroDivisionError("a bug")
    assert errors(bench.scrape().jobs) == {"1": None, "2": ErrorClass.PAYLOAD}


def test_a_failure_is_logged_when_it_happens_and_recovery_when_it_is_over(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1")
    with troubles() as logs:
        bench.scrape()
        bench.api.errors["1"] = CodeError("code 1")
        bench.scrape()
        bench.api.errors.clear()
        bench.scrape()
        bench.scrape()
    assert [(line["job_id"], line.get("error"), line["log_level"]) for line in logs] == [
        ("1", "api", "warning"),
        ("1", None, "info"),
    ]


def test_the_failure_of_one_job_is_not_logged_as_that_of_the_api_nor_another_ones_answer_as_recovery(
    loop: VirtualLoop,
) -> None:
    bench = Bench(loop, "1", "2", "3")
    with troubles() as logs:
        bench.scrape()
        bench.api.errors["2"] = HttpError("HTTP 502")
        for _ in range(3):
            bench.scrape()
    assert [(line["event"], line["job_id"], line["error"]) for line in logs] == [
        ("Import API failed for some calls", "2", "http")
    ]
    assert not any("cannot be read" in line["event"] or "can be read" in line["event"] for line in logs)


def test_records_of_a_list_that_name_no_job_are_logged_with_their_cluster_and_list(loop: VirtualLoop) -> None:
    bench = discovering(loop, discovery={"collections": ["odd", "good"]})
    bench.api.lists["odd"] = pages(ListPage(page("1").jobs, unusable=2))
    with troubles() as logs:
        for _ in range(3):
            bench.scrape()
    assert [(line["cluster_id"], line["request"], line["records"]) for line in logs] == [
        ("in01", "list of collection odd", 2)
    ]


def test_an_outage_is_logged_once_and_its_end_once(loop: VirtualLoop) -> None:
    bench = discovering(loop, "1", "2", "3")
    with troubles() as logs:
        bench.scrape()
        bench.api.down = ConnectError("refused")
        for _ in range(4):
            bench.scrape()
        bench.api.down = None
        for _ in range(3):
            bench.scrape()
    assert [(line["event"], line.get("error")) for line in logs] == [
        ("Import API cannot be read", "connect"),
        ("Import API can be read again", None),
    ]


def test_after_a_failure_the_page_says_what_it_was_until_all_calls_work(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1", "2")
    bench.api.errors["2"] = HttpError("HTTP 502")
    bench.scrape()
    assert bench.cluster.last_error == "HTTP 502"
    bench.api.errors.clear()
    bench.scrape()
    assert bench.cluster.last_error == ""


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_a_scrape_without_time_says_what_is_known(loop: VirtualLoop, seconds: float) -> None:
    bench = discovering(loop, "1")
    bench.scrape()
    bench.api.order.clear()
    assert errors(bench.scrape(seconds).jobs) == all_of("1")
    assert bench.api.order == []


@pytest.mark.parametrize("page_size", [100, 20])
def test_the_youngest_jobs_are_chosen_whatever_the_order_and_the_pages_of_the_first_list(
    loop: VirtualLoop, page_size: int
) -> None:
    jobs = [f"{number:03}" for number in range(100)]
    bench = discovering(loop, discovery={"max_jobs": 10})
    bench.api.pages = lambda number: page(*jobs[(number - 1) * page_size : number * page_size])
    snapshot = bench.scrape()
    assert snapshot.omitted == 90
    assert set(snapshot.jobs) == set(jobs[90:])


def test_a_job_that_turns_out_to_be_over_max_jobs_is_not_queried(loop: VirtualLoop) -> None:
    bench = discovering(loop, concurrency=1, discovery={"max_jobs": 1})
    bench.api.pages = pages(page("1"), page("2"), page("3"))
    with bench.api.holding("1"):
        bench.scrape()
    assert set(bench.api.order) <= {"list", "1", "3"}


def test_the_list_and_a_reload_leave_a_waiting_probe_its_turn(loop: VirtualLoop) -> None:
    bench = discovering(loop, "busy", concurrency=1, discovery={"max_jobs": 5})
    bench.api.pages = pages(page("found"))
    with bench.api.holding("list", "busy") as release:
        scrape = bench.begin()
        probe = bench.begin_probe("other")
        bench.configure("busy", concurrency=2)
        release.set()
        record = loop.run_until_complete(probe)
        bench.ended(scrape)
    assert record is not None
    assert record.up is True


def test_a_call_that_could_not_be_answered_in_time_is_not_begun(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1", "2", "3", concurrency=1)
    bench.api.seconds["*"] = 2.0
    snapshot = bench.scrape(5.0)
    assert errors(snapshot.jobs) == all_of("1", "2")
    assert snapshot.waiting == 1
    assert snapshot.scrape_duration < 5


def test_a_request_is_given_up_when_it_is_20_s_old_however_long_the_scrape_may_last(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1")
    with bench.api.holding("1"):
        snapshot = bench.scrape(300)
    assert snapshot.scrape_duration == pytest.approx(LONGEST_CALL)
    assert errors(snapshot.jobs) == {"1": ErrorClass.TIMEOUT}
    assert "20 s" in bench.cluster.last_error
    assert "scrape" not in bench.cluster.last_error


def test_a_request_that_the_scrape_ends_is_not_said_to_have_reached_its_own_limit(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1")
    with bench.api.holding("1"):
        bench.scrape(5)
    assert "the scrape" in bench.cluster.last_error
    assert "20 s" not in bench.cluster.last_error
    assert "waiting for the reply" in bench.cluster.last_error


def test_a_slot_is_not_lost_when_the_wait_for_the_rate_ends(loop: VirtualLoop) -> None:
    bench = Bench(loop, *"1234", rate=1.0, concurrency=2)
    for _ in range(5):
        bench.begin(0.5)
        scrape = bench.begin(LONG)
        scrape.cancel()
        loop.wait(1)
    bench.limit.set_rate(0)
    loop.wait(2)
    bench.api.order.clear()
    with bench.api.holding("*"):
        bench.begin()
        assert bench.api.at_once == 2


def test_a_turn_that_finds_nothing_to_query_costs_the_rate_nothing(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1", "2", rate=1.0)
    first = bench.begin(3)
    loop.wait(0.5)
    probe = bench.begin_probe("2", 3)
    bench.ended(first)
    loop.run_until_complete(probe)
    assert bench.api.requested == {"1": 1, "2": 1}
    assert bench.api.began_at[1] - bench.api.began_at[0] == pytest.approx(1, abs=0.3)


def test_a_scrape_that_is_hurried_ends_by_then_with_what_is_known(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1", "2")
    with bench.api.holding("2"):
        scrape = bench.begin()
        loop.call(lambda: bench.cluster.hurry(loop.time() + 4))
        loop.call(lambda: bench.cluster.hurry(loop.time() + 400))
        snapshot = bench.ended(scrape)
    assert snapshot.scrape_duration == pytest.approx(4, abs=0.01)
    assert errors(snapshot.jobs) == {"1": None, "2": ErrorClass.TIMEOUT}


def test_lists_that_are_longer_than_is_read_count_as_read_with_one_warning(loop: VirtualLoop) -> None:
    bench = discovering(loop, discovery={"max_jobs": 10})
    bench.api.pages = lambda number: page(*(f"{number:04}{job:03}" for job in range(1000)))
    with troubles() as logs:
        for _ in range(2):
            snapshot = bench.scrape()
    assert len(bench.api.pages_read) == 2 * 200
    assert (snapshot.up, snapshot.omitted) == (True, 200_000 - 10)
    assert [(line["log_level"], line["cluster_id"], line["jobs"]) for line in logs] == [("warning", "in01", 200_000)]
    bench.api.pages = pages(page("1"))
    with troubles() as logs:
        bench.scrape()
    assert [(line["log_level"], line["jobs"]) for line in logs] == [("info", 1)]


def reverse(some: Pages) -> Pages:
    """The same pages with their jobs in the other order, as lists shuffle them."""
    return lambda number: ListPage(tuple(reversed(some(number).jobs)))


def test_two_scrapes_at_once_read_the_list_once(loop: VirtualLoop) -> None:
    bench = discovering(loop)
    bench.api.pages = reverse(pages(ListPage((ListedJob("1", "articles", State.IMPORTING), *page("2").jobs))))
    with bench.api.holding("list") as release:
        first, second = bench.begin(), bench.begin()
        release.set()
        for scrape in (first, second):
            snapshot = bench.ended(scrape)
            assert errors(snapshot.jobs) == all_of("1", "2")
            assert snapshot.up is True
    assert bench.api.requested == {"list": 2, "1": 1, "2": 1}


NAMES = ("1", "2", "3", "4")
ERRORS: tuple[ApiError | None, ...] = (
    None,
    ConnectError("refused"),
    HttpError("HTTP 502"),
    CodeError("code 1"),
    NotFoundError("unknown"),
    RateLimitedError("slow down", retry_after=1.5),
    RateLimitedError("slow down"),
)
subjects = st.sampled_from([*NAMES, "list", "other"])
steps = st.one_of(
    st.tuples(st.just("scrape"), st.floats(0, 30)),
    st.tuples(st.just("whole scrape"), st.floats(0.5, 5)),
    st.tuples(st.just("outage"), st.sampled_from([ConnectError("refused"), HttpError("HTTP 502")])),
    st.tuples(st.just("probe"), st.tuples(st.sampled_from([*NAMES, "other"]), st.floats(0, 30))),
    st.tuples(st.just("break off"), st.integers(1, 3)),
    st.tuples(st.just("hurry"), st.floats(0, 3)),
    st.tuples(st.just("time"), st.sampled_from([0.001, 0.3, 1.0, 7.0])),
    st.tuples(st.just("down"), st.sampled_from(ERRORS)),
    st.tuples(st.just("error"), st.tuples(subjects, st.sampled_from(ERRORS))),
    st.tuples(st.just("seconds"), st.tuples(subjects, st.sampled_from([0.0, 0.2, 4.0, 50.0]))),
    st.tuples(st.just("stuck"), subjects),
    st.tuples(st.just("jobs"), st.sets(st.sampled_from(NAMES)).map(sorted)),
    st.tuples(st.just("concurrency"), st.integers(1, 3)),
    st.tuples(st.just("rate"), st.sampled_from([0.0, 1.0, 5.0])),
    st.tuples(st.just("discovery"), st.sampled_from([None, {}, {"refresh_interval": "0s"}])),
)


class Course:
    """A cluster to which anything happens; `begun` are the scrapes and probes under way or ended."""

    def __init__(self, loop: VirtualLoop, rate: float) -> None:
        self.loop = loop
        self.bench = discovering(loop, *NAMES, concurrency=2, rate=rate)
        self.begun: list[asyncio.Task[Any]] = []
        self.apis = [self.bench.api]
        self._jobs: list[str] = list(NAMES)

    def act(self, kind: str, what: Any) -> None:
        """Do one thing of those that may happen."""
        self._scrape(kind, what)
        self._trouble(kind, what)
        self._reload(kind, what)
        self.loop.wait(what if kind == "time" else 0)

    def _scrape(self, kind: str, what: Any) -> None:
        cluster, now = self.bench.cluster, self.loop.time()
        if kind == "scrape":
            self.begun.append(self.loop.create_task(cluster.scrape(cluster.jobs, now + what)))
        elif kind == "whole scrape":
            self.bench.scrape(what)
        elif kind == "probe":
            self.begun.append(self.loop.create_task(cluster.probe(what[0], now + what[1])))
        elif kind == "break off":
            for task in self.begun[-what:]:
                task.cancel()
        elif kind == "hurry":
            self.loop.call(lambda: cluster.hurry(now + what))

    def _trouble(self, kind: str, what: Any) -> None:
        api = self.bench.api
        if kind == "outage":
            api.down = what
            self.bench.scrape()
            api.down = None
        elif kind == "down":
            api.down = what
        elif kind == "error":
            self._set(api.errors, *what)
        elif kind == "seconds":
            self._set(api.seconds, *what)
        elif kind == "stuck":
            api.stuck.add(what)

    def recover(self) -> None:
        """Let the API work, and everything end that was begun."""
        for api in self.apis:
            api.down = None
            for faults in (api.errors, api.seconds, api.stuck):
                faults.clear()
        self.loop.wait(60)
        assert all(task.done() for task in self.begun)
        assert [task.exception() for task in self.begun if not task.cancelled()].count(None) == sum(
            not task.cancelled() for task in self.begun
        )
        assert sum(api.at_once for api in self.apis) == 0

    def _reload(self, kind: str, what: Any) -> None:
        if kind == "jobs":
            self._jobs = what or ["1"]
            self.bench.configure(*self._jobs)
        elif kind == "concurrency":
            self.bench.configure(*self._jobs, concurrency=what, api=FakeApi(self.loop))
            self.apis.append(self.bench.api)
        elif kind == "rate":
            self.bench.limit.set_rate(what)
        elif kind == "discovery":
            self.bench.configure(*self._jobs, discovery=what)

    @staticmethod
    def _set(values: dict[str, Any], subject: str, value: Any) -> None:
        values[subject] = value
        if not value:
            del values[subject]


@settings(max_examples=300)
@given(course=st.lists(steps, min_size=8, max_size=40), rate=st.sampled_from([0.0, 2.0]))
def test_whatever_happened_a_working_api_is_read_whole_again(course: list[tuple[str, Any]], rate: float) -> None:
    with VirtualLoop() as loop, troubles():
        run = Course(loop, rate)
        for kind, what in course:
            run.act(kind, what)
        run.recover()
        bench = run.bench
        bench.configure(*NAMES, discovery={"refresh_interval": "0s"})
        for _ in range(2):
            snapshot = bench.scrape()
            loop.wait(15)
        snapshot = bench.scrape()
        assert errors(snapshot.jobs) == all_of(*NAMES)
        assert (snapshot.up, snapshot.waiting) == (True, 0)
        bench.limit.set_rate(0)
        loop.wait(5)
        with bench.api.holding("*"):
            bench.begin()
            assert bench.api.at_once == bench.concurrency


def down_then_hanging(loop: VirtualLoop) -> Bench:
    """A cluster whose breaker is open, and whose API hangs from now on."""
    bench = Bench(loop, "1")
    bench.api.down = HttpError("HTTP 500")
    bench.scrape()
    bench.api.down = None
    return bench


def test_a_probe_that_outlasts_the_scrape_which_sent_the_trial_does_not_keep_the_breaker_half_open(
    loop: VirtualLoop,
) -> None:
    bench = down_then_hanging(loop)
    with bench.api.holding("1") as release:
        scrape = bench.begin(5)
        probe = bench.begin_probe("1", 10)
        bench.ended(scrape)
        release.set()
        assert loop.run_until_complete(probe) is not None
    assert bench.scrape().up is True
    assert bench.errors() == {"1": None}


def test_a_list_page_that_goes_alone_and_takes_too_long_leaves_the_breaker_to_the_next_scrape(
    loop: VirtualLoop,
) -> None:
    bench = discovering(loop, "1")
    bench.api.pages = pages(page("2"), page("3"))
    bench.api.seconds = {"1": 1.0, "2": 1.0}
    bench.api.down = HttpError("HTTP 500")
    bench.scrape()
    bench.api.down = None
    with bench.api.holding("list"):
        bench.scrape(4)
        bench.scrape(4)
    for _ in range(2):
        bench.scrape()
    assert bench.scrape().up is True
    assert bench.errors() == {"1": None, "2": None, "3": None}


def test_a_refusal_of_one_job_of_another_database_closes_the_breaker(loop: VirtualLoop) -> None:
    bench = Bench(
        loop,
        api="milvus",
        base_url="http://milvus:19530",
        db_name="a",
        discovery={"refresh_interval": "1h"},
        concurrency=1,
    )
    bench.api.pages = pages(page("1", "2"))
    bench.scrape()
    bench.api.down = HttpError("HTTP 500")
    bench.scrape()
    bench.api.down = None
    bench.api.errors["1"] = AuthError("HTTP 403")
    bench.scrape()
    assert bench.errors() == {"1": ErrorClass.AUTH, "2": None}


def test_an_answer_of_the_api_before_a_reload_says_nothing_about_the_one_after_it(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1")
    before = bench.api
    before.errors["1"] = AuthError("HTTP 401")
    with before.holding("1") as release:
        scrape = bench.begin()
        bench.configure("1", api=FakeApi(loop))
        after = bench.begin()
        release.set()
        assert errors(bench.ended(after).jobs) == {"1": None}
        assert errors(bench.ended(scrape).jobs) == {"1": ErrorClass.AUTH}
    assert bench.api.requested["1"] == 1
    assert bench.scrape().up is True


def test_a_missing_job_that_a_later_list_calls_unfinished_is_checked_at_once(loop: VirtualLoop) -> None:
    bench = discovering(loop)
    bench.api.pages = pages(page("1"))
    bench.api.errors["1"] = NotFoundError("not there yet")
    bench.scrape()
    assert bench.errors() == {"1": ErrorClass.NOT_FOUND}
    bench.api.errors.clear()
    bench.scrape()
    bench.scrape()
    assert bench.errors() == {"1": None}


def test_a_finished_job_that_max_jobs_left_out_is_not_new_when_there_is_room_again(loop: VirtualLoop) -> None:
    bench = discovering(loop, discovery={"max_jobs": 1})
    failed = page("1", state=State.FAILED)
    bench.api.states = {"1": State.FAILED}
    bench.api.pages = pages(failed)
    bench.scrape()
    bench.api.pages = pages(ListPage((*failed.jobs, *page("2").jobs)))
    bench.scrape()
    assert set(bench.errors()) == {"2"}
    bench.configure(discovery={"refresh_interval": "0s", "max_jobs": 2})
    bench.scrape()
    bench.scrape()
    record = bench.cluster.jobs["1"]
    assert (record.new_in_list, record.changed_at) == (False, None)
    assert bench.finished == []


COMPLETED, FAILED = (("in01", "articles", state) for state in (State.COMPLETED, State.FAILED))


def test_each_job_that_is_seen_to_finish_is_counted_once(loop: VirtualLoop) -> None:
    bench = discovering(loop, "configured", scrape={"fresh_for": "0s", "recheck_finished": "0s"})
    bench.api.completed_at = EPOCH + loop.time()
    bench.api.states = {"old": State.COMPLETED}
    bench.api.pages = pages(page("1", "2"), page("old", state=State.COMPLETED))
    bench.scrape()
    assert bench.finished == []
    bench.api.states |= {"1": State.COMPLETED, "2": State.FAILED, "configured": State.COMPLETED}
    for _ in range(3):
        bench.scrape()
    assert sorted(bench.finished) == [COMPLETED, COMPLETED, FAILED]
    # New in the list, and finished already.
    bench.api.states["3"] = State.FAILED
    bench.api.pages = pages(page("3", state=State.FAILED))
    bench.scrape()
    bench.scrape()
    assert sorted(bench.finished) == [COMPLETED, COMPLETED, FAILED, FAILED]
    # A job that fails after it was completed, or that goes on and ends again, was counted.
    bench.api.states["1"] = State.FAILED
    bench.scrape()
    bench.api.states["2"] = State.IMPORTING
    bench.scrape()
    bench.api.states["2"] = State.COMPLETED
    bench.scrape()
    assert len(bench.finished) == 4


def test_a_job_that_finishes_while_a_reload_overtakes_its_scrape_is_counted_once(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1", "2")
    bench.scrape()
    bench.api.states = {"1": State.COMPLETED, "2": State.FAILED}
    with bench.api.holding("1", "2") as release:
        overtaken = bench.begin()
        bench.configure("1", "2", "3")
        second = bench.begin()
        release.set()
        bench.ended(overtaken)
        bench.ended(second)
    bench.scrape()
    assert sorted(bench.finished) == [COMPLETED, FAILED]


def test_an_import_that_failed_is_logged_once_with_its_collection_and_cause(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1", "2", scrape={"fresh_for": "0s", "recheck_finished": "0s"})
    bench.api.states["2"] = State.FAILED
    with troubles() as log:
        for _ in range(3):
            bench.scrape()
    failed = [event for event in log if event["event"] == "Import failed"]
    assert [(event["job_id"], event["collection_name"], event["cause"]) for event in failed] == [
        ("2", "articles", "other")
    ]
    assert failed[0]["reason"] == "the API gave none"


def test_a_refusal_that_may_concern_another_database_is_that_of_one_job(loop: VirtualLoop) -> None:
    bench = discovering(loop, "configured", api="milvus", db_name="archive")
    bench.api.pages = pages(page("1", "2"))
    bench.api.errors = {"1": AuthError("denied"), "2": AuthError("denied")}
    for _ in range(2):
        snapshot = bench.scrape()
        assert errors(snapshot.jobs) == {"1": ErrorClass.AUTH, "2": ErrorClass.AUTH, "configured": None}
        assert snapshot.up is True
    assert "another database than db_name: archive" in bench.cluster.last_error
    assert bench.api.requested["1"] == 2
