"""How many requests begin in a second, in which order, and what pauses do; in simulated time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.api.errors import ApiError, CodeError, HttpError, RateLimitedError
from exporter.collector.ratelimit import BACK_OFF, Permit, RateLimit, RateLimits
from exporter.config.secret import Secret
from tests.collector.loop import VirtualLoop

FAR = 10_000.0
"""Seconds from now, which no test waits."""


def chosen(permit: Permit) -> Permit:
    return permit


def taken(loop: VirtualLoop, limit: RateLimit, within: float = FAR) -> Permit:
    permit = acquired(loop, limit, within)
    assert permit is not None
    return permit


def acquired(loop: VirtualLoop, limit: RateLimit, within: float = FAR) -> Permit | None:
    return loop.run(limit.acquire(loop.time() + within, chosen))


def answered_at_once(loop: VirtualLoop, limit: RateLimit) -> None:
    loop.call(taken(loop, limit).done)


def waiting(loop: VirtualLoop, limit: RateLimit, within: float = FAR) -> asyncio.Task[Permit | None]:
    """A task that waits for its turn."""
    task = loop.create_task(limit.acquire(loop.time() + within, chosen))
    loop.wait()
    return task


def later(loop: VirtualLoop, seconds: float, function: Callable[[], object]) -> None:
    loop.call_later(seconds, function)


@pytest.mark.parametrize(("rate", "burst", "window"), [(10, 10, 1), (1, 1, 1), (2.9, 2, 1), (0.5, 1, 2), (0.1, 1, 10)])
def test_so_many_begin_in_a_window(loop: VirtualLoop, rate: float, burst: int, window: float) -> None:
    limit, start = RateLimit(rate), loop.time()
    begins = []
    for _ in range(burst * 3):
        answered_at_once(loop, limit)
        begins.append(loop.time() - start)
    assert begins == pytest.approx([window * (number // burst) for number in range(burst * 3)])


def test_unlimited_never_waits(loop: VirtualLoop) -> None:
    limit, start = RateLimit(0), loop.time()
    for _ in range(1000):
        answered_at_once(loop, limit)
    assert loop.time() == start


def test_a_permit_counts_for_a_second_after_the_reply(loop: VirtualLoop) -> None:
    limit, start = RateLimit(1), loop.time()
    permit = taken(loop, limit)
    loop.call(permit.sent)
    later(loop, 0.1, permit.done)
    taken(loop, limit)
    assert loop.time() - start == pytest.approx(1.1)


def test_without_a_reply_a_permit_counts_from_a_quarter_of_a_second_after_sending(loop: VirtualLoop) -> None:
    limit, start = RateLimit(1), loop.time()
    loop.call(taken(loop, limit).sent)
    taken(loop, limit)
    assert loop.time() - start == pytest.approx(1.25)


def test_a_reply_that_comes_later_changes_nothing(loop: VirtualLoop) -> None:
    limit, start = RateLimit(1), loop.time()
    permit = taken(loop, limit)
    loop.call(permit.sent)
    later(loop, 0.9, permit.done)
    taken(loop, limit)
    assert loop.time() - start == pytest.approx(1.25)


def test_a_request_that_is_sent_again_counts_from_then(loop: VirtualLoop) -> None:
    limit, start = RateLimit(1), loop.time()
    permit = taken(loop, limit)
    loop.call(permit.sent)
    later(loop, 0.2, permit.sent)
    taken(loop, limit)
    assert loop.time() - start == pytest.approx(1.45)


def test_a_permit_counts_until_its_request_is_sent_however_long_that_takes(loop: VirtualLoop) -> None:
    limit, start = RateLimit(1), loop.time()
    permit = taken(loop, limit)
    assert acquired(loop, limit, within=50) is None
    loop.call(permit.done)
    taken(loop, limit)
    assert loop.time() - start == pytest.approx(51)


def test_a_turn_for_which_nothing_is_left_costs_nothing(loop: VirtualLoop) -> None:
    limit, start = RateLimit(1), loop.time()
    for _ in range(5):
        assert loop.run(limit.acquire(loop.time() + FAR, lambda _: None)) is None
    taken(loop, limit)
    assert loop.time() == start


def test_what_is_begun_is_chosen_when_the_turn_has_come(loop: VirtualLoop) -> None:
    limit = RateLimit(1)
    answered_at_once(loop, limit)
    due = ["early"]
    later(loop, 0.5, lambda: due.insert(0, "urgent"))
    assert loop.run(limit.acquire(loop.time() + FAR, lambda _: due.pop(0))) == "urgent"


def test_nothing_begins_once_the_time_is_over(loop: VirtualLoop) -> None:
    limit, start = RateLimit(1), loop.time()
    assert acquired(loop, limit, within=0) is None
    assert acquired(loop, limit, within=-1) is None
    answered_at_once(loop, limit)
    assert acquired(loop, limit, within=0.5) is None
    assert loop.time() - start == pytest.approx(0.5)


def test_a_hold_that_ends_too_late_is_not_waited_for(loop: VirtualLoop) -> None:
    limit, start = RateLimit(10), loop.time()
    loop.call(lambda: limit.hold(30))
    assert acquired(loop, limit, within=20) is None
    assert loop.time() == start


def test_a_hold_that_ends_in_time_is_waited_for_and_a_shorter_one_does_not_cut_it(loop: VirtualLoop) -> None:
    limit, start = RateLimit(10), loop.time()
    assert limit.held_until == -math.inf
    loop.call(lambda: limit.hold(5))
    loop.call(lambda: limit.hold(3))
    assert limit.held_until == start + 5
    taken(loop, limit, within=20)
    assert loop.time() - start == pytest.approx(5)


def test_a_hold_sends_away_who_cannot_outlast_it(loop: VirtualLoop) -> None:
    limit, start = RateLimit(1), loop.time()
    answered_at_once(loop, limit)
    later(loop, 0.5, lambda: limit.hold(100))
    assert acquired(loop, limit, within=1.5) is None
    assert loop.time() - start == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("outcome", "seconds"),
    [
        (RateLimitedError("slow down"), BACK_OFF),
        (RateLimitedError("slow down", retry_after=7), 7),
        (RateLimitedError("slow down", retry_after=0), 0),
        (HttpError("HTTP 503", retry_after=7), 7),
        (CodeError("code 1"), None),
        ("an answer", None),
    ],
)
def test_the_api_may_ask_for_a_pause_with_any_error(loop: VirtualLoop, outcome: object, seconds: float | None) -> None:
    limit, start = RateLimit(0), loop.time()
    loop.call(lambda: limit.back_off(outcome))
    assert limit.held_until == (-math.inf if seconds is None else start + seconds)


def test_a_higher_rate_holds_at_once(loop: VirtualLoop) -> None:
    limit, start = RateLimit(0.1), loop.time()
    answered_at_once(loop, limit)
    later(loop, 2, lambda: limit.set_rate(5))
    taken(loop, limit)
    assert loop.time() - start == pytest.approx(2)


def test_a_lower_rate_counts_what_is_under_way(loop: VirtualLoop) -> None:
    limit, start = RateLimit(0), loop.time()
    for _ in range(5):
        answered_at_once(loop, limit)
    limit.set_rate(2)
    taken(loop, limit)
    assert loop.time() - start == pytest.approx(1)


def test_those_who_wait_are_served_in_the_order_in_which_they_came(loop: VirtualLoop) -> None:
    limit = RateLimit(1)
    answered_at_once(loop, limit)
    served: list[int] = []

    async def take(number: int) -> None:
        permit = await limit.acquire(loop.time() + FAR, chosen)
        assert permit is not None
        served.append(number)
        permit.done()

    tasks = [loop.create_task(take(number)) for number in range(5)]
    loop.run_until_complete(asyncio.gather(*tasks))
    assert served == list(range(5))


def test_a_waiter_that_gives_up_leaves_its_place_to_the_next(loop: VirtualLoop) -> None:
    limit, start = RateLimit(0.01), loop.time()
    answered_at_once(loop, limit)
    first, second = waiting(loop, limit, within=50), waiting(loop, limit, within=200)
    assert loop.run_until_complete(first) is None
    assert loop.run_until_complete(second) is not None
    assert loop.time() - start == pytest.approx(100)


def test_a_waiter_that_is_cancelled_leaves_its_place_to_the_next(loop: VirtualLoop) -> None:
    limit, start = RateLimit(1), loop.time()
    answered_at_once(loop, limit)
    first, second, third = (waiting(loop, limit) for _ in range(3))
    first.cancel()
    second.cancel()
    assert loop.run_until_complete(third) is not None
    assert loop.time() - start == pytest.approx(1)


def test_who_has_less_time_than_those_before_it_waits_no_longer_than_it_has(loop: VirtualLoop) -> None:
    limit, start = RateLimit(10), loop.time()
    loop.call(lambda: limit.hold(100))
    patient, hasty = waiting(loop, limit, within=200), waiting(loop, limit, within=1)
    assert loop.run_until_complete(hasty) is None
    assert loop.time() - start == pytest.approx(1, abs=0.01)
    assert loop.run_until_complete(patient) is not None
    assert loop.time() - start == pytest.approx(100)


@given(
    rate=st.floats(0.2, 30),
    # Seconds between two requests, from the turn to sending, from sending to arrival, and from arrival to the reply.
    requests=st.lists(st.tuples(st.floats(0, 2), st.floats(0, 2), st.floats(0, 0.25), st.floats(0, 3)), max_size=60),
)
def test_the_api_never_sees_more_than_the_rate(rate: float, requests: list[tuple[float, float, float, float]]) -> None:
    arrivals = []

    async def request(permit: Permit, connecting: float, way: float, work: float) -> None:
        await asyncio.sleep(connecting)
        permit.sent()
        await asyncio.sleep(way)
        arrivals.append(loop.time())
        await asyncio.sleep(work)
        permit.done()

    with VirtualLoop() as loop:
        limit = RateLimit(rate)
        for pause, connecting, way, work in requests:
            loop.wait(pause)
            loop.create_task(request(taken(loop, limit), connecting, way, work))
        loop.wait(100)
    assert len(arrivals) == len(requests)
    arrivals.sort()
    most, window = max(1, math.floor(rate)), 1.0 if rate >= 1 else 1 / rate
    for early, late in zip(arrivals, arrivals[most:], strict=False):
        assert late - early >= window - 1e-6


class Course:
    """Requests of many waiters, each with a number, under a limit whose rate and pauses change meanwhile."""

    def __init__(self, loop: VirtualLoop, rate: float) -> None:
        self.loop = loop
        self.limit = RateLimit(rate)
        self.waiting: dict[int, asyncio.Task[None]] = {}
        self.begun: list[int] = []
        self.arrived: dict[int, float] = {}
        self.rates: dict[int, float] = {}
        self._count = 0

    def acquire(self, within: float, connecting: float, way: float, work: float, wants: bool) -> None:
        """Let one more wait; if it does not want its turn any more when that comes, it leaves it to the next."""
        number = self._count
        self._count += 1
        self.waiting[number] = self.loop.create_task(self._request(number, within, connecting, way, work, wants))
        self.loop.wait(0)

    def act(self, kind: str, amount: Any) -> None:
        """Do one thing of those that may happen."""
        if kind == "rate":
            self.limit.set_rate(amount)
        elif kind == "hold":
            self.loop.call(lambda: self.limit.hold(amount))
        elif kind == "cancel" and self.waiting:
            self.waiting[sorted(self.waiting)[int(amount * 10) % len(self.waiting)]].cancel()
        elif kind == "acquire":
            for each in amount:
                self.acquire(*each)
        else:
            self.loop.wait(amount if isinstance(amount, float) else 0)

    async def _request(
        self, number: int, within: float, connecting: float, way: float, work: float, wants: bool
    ) -> None:
        def begin(permit: Permit) -> Permit | None:
            assert self.loop.time() >= self.limit.held_until
            if not wants:
                return None
            self.begun.append(number)
            self.rates[number] = self.limit.rate
            return permit

        try:
            permit = await self.limit.acquire(self.loop.time() + within, begin)
        finally:
            del self.waiting[number]
        if permit is not None:
            await self._send(number, permit, connecting, way, work)

    async def _send(self, number: int, permit: Permit, connecting: float, way: float, work: float) -> None:
        await asyncio.sleep(connecting)
        permit.sent()
        await asyncio.sleep(way)
        self.arrived[number] = self.loop.time()
        await asyncio.sleep(work)
        permit.done()


few_seconds = st.floats(0, 3) | st.just(0.0)
waiters = st.tuples(
    st.floats(0, 30), few_seconds, st.floats(0, 0.25), few_seconds, st.sampled_from([True, True, False])
)
actions = st.one_of(
    st.tuples(st.just("acquire"), st.lists(waiters, min_size=1, max_size=9)),
    st.tuples(st.just("rate"), st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.7, 10.0])),
    st.tuples(st.just("hold"), st.floats(0, 5)),
    st.tuples(st.just("cancel"), st.floats(0, 1)),
    st.tuples(st.just("time"), few_seconds),
)


@given(rate=st.sampled_from([0.5, 1.0, 2.0, 5.5]), course=st.lists(actions, min_size=5, max_size=50))
def test_rate_and_order_hold_whatever_changes_meanwhile(rate: float, course: list[tuple[str, Any]]) -> None:
    """The last of the requests in any second had a turn at its rate although all the others were before it."""
    with VirtualLoop() as loop:
        run = Course(loop, rate)
        for kind, amount in course:
            run.act(kind, amount)
        loop.wait(100)
        assert run.waiting == {}
        run.limit.set_rate(1.0)
        taken(loop, run.limit, within=2)
    assert run.begun == sorted(run.begun)
    assert set(run.begun) == set(run.arrived)
    for place, number in enumerate(run.begun):
        if run.rates[number]:
            times = sorted(run.arrived[other] for other in run.begun[: place + 1])
            seconds = [[at for at in times if start <= at < start + 1 - 1e-6] for start in times]
            with_it = [len(second) for second in seconds if run.arrived[number] in second]
            assert max(with_it) <= max(1, math.floor(run.rates[number]))


def limits_of(limits: RateLimits, *rates: tuple[str, Secret | None, float]) -> list[RateLimit]:
    """Configure one cluster for each base URL, key and rate; return the limit of each."""
    found = limits.configure(((url, key), rate) for url, key, rate in rates)
    return [found[url, key] for url, key, _ in rates]


def test_clusters_with_one_api_and_key_share_a_limit_and_the_smallest_rate() -> None:
    first, second, third, other_key, other_api, unlimited = limits_of(
        RateLimits(),
        ("https://a", Secret("k"), 10),
        ("https://a", Secret("k"), 0),
        ("https://a", Secret("k"), 3),
        ("https://a", Secret("other"), 20),
        ("https://b", Secret("k"), 20),
        ("https://a", None, 0),
    )
    assert first is second is third
    assert len({id(limit) for limit in (first, other_key, other_api, unlimited)}) == 4
    assert [limit.rate for limit in (first, other_key, other_api, unlimited)] == [3, 20, 20, 0]


def test_a_new_configuration_sets_new_rates_and_keeps_what_is_under_way(loop: VirtualLoop) -> None:
    limits = RateLimits()
    kept, held = loop.call(lambda: limits_of(limits, ("https://a", None, 3), ("https://b", None, 3)))
    loop.call(lambda: held.hold(1000))
    assert loop.call(lambda: limits_of(limits, ("https://a", None, 7))) == [kept]
    assert kept.rate == 7
    assert loop.call(lambda: limits_of(limits, ("https://b", None, 5))) == [held]
    assert acquired(loop, held, within=999) is None


def test_a_limit_that_is_not_configured_any_more_is_forgotten_once_nothing_under_it_matters(loop: VirtualLoop) -> None:
    limits = RateLimits()
    [gone] = loop.call(lambda: limits_of(limits, ("https://a", None, 3)))
    permit = taken(loop, gone)
    for _ in range(2):
        loop.call(lambda: limits_of(limits, ("https://b", None, 3)))
    assert loop.call(lambda: limits_of(limits, ("https://a", None, 3))) == [gone]
    loop.call(permit.done)
    loop.wait(1)
    loop.call(lambda: limits_of(limits, ("https://b", None, 3)))
    assert loop.call(lambda: limits_of(limits, ("https://a", None, 3))) != [gone]


def test_an_error_is_no_outcome_to_back_off_from_unless_it_says_so(loop: VirtualLoop) -> None:
    limit = RateLimit(0)
    loop.call(lambda: limit.back_off(ApiError("no")))
    assert loop.call(limit.idle)
