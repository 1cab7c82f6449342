import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.api.limiter import Limiter, Limiters, Slot
from exporter.config.secret import Secret


class Timeline:
    """A clock that only waiting moves; what is due happens on the way."""

    def __init__(self) -> None:
        self.now = 100.0
        self._due: list[tuple[float, Callable[[], None]]] = []

    def at(self, moment: float, action: Callable[[], None]) -> None:
        self._due.append((moment, action))

    def clock(self) -> float:
        return self.now

    def wait(self, condition: threading.Condition, timeout: float) -> None:
        assert timeout > 0
        until = self.now + timeout
        condition.release()
        try:
            for moment, action in sorted(self._due, key=lambda due: due[0]):
                if moment <= until:
                    self._due.remove((moment, action))
                    self.now = max(self.now, moment)
                    action()
                    return
        finally:
            condition.acquire()
        self.now = until


@pytest.fixture
def timeline() -> Timeline:
    return Timeline()


def _limiter(rate: float, timeline: Timeline) -> Limiter:
    return Limiter(rate, clock=timeline.clock, wait=timeline.wait)


def _acquired(limiter: Limiter, until: float = math.inf) -> Slot:
    slot = limiter.acquire(until)
    assert slot is not None
    return slot


def _answered_at_once(limiter: Limiter) -> None:
    slot = _acquired(limiter)
    slot.sent()
    slot.done()


@pytest.mark.parametrize(("rate", "burst", "window"), [(10, 10, 1), (1, 1, 1), (2.9, 2, 1), (0.5, 1, 2), (0.1, 1, 10)])
def test_so_many_begin_in_a_window(timeline: Timeline, rate: float, burst: int, window: float) -> None:
    limiter = _limiter(rate, timeline)
    begins = []
    for _ in range(burst * 3):
        _answered_at_once(limiter)
        begins.append(timeline.now - 100)
    assert begins == pytest.approx([window * (number // burst) for number in range(burst * 3)])


def test_unlimited_never_waits(timeline: Timeline) -> None:
    limiter = _limiter(0, timeline)
    for _ in range(1000):
        _answered_at_once(limiter)
    assert timeline.now == 100


def test_a_slot_returns_one_window_after_the_reply(timeline: Timeline) -> None:
    limiter = _limiter(1, timeline)
    slot = _acquired(limiter)
    slot.sent()
    timeline.now += 0.1
    slot.done()
    _acquired(limiter)
    assert timeline.now == pytest.approx(101.1)


def test_without_a_reply_a_slot_returns_a_quarter_second_later(timeline: Timeline) -> None:
    limiter = _limiter(1, timeline)
    _acquired(limiter).sent()
    _acquired(limiter)
    assert timeline.now == pytest.approx(101.25)


def test_a_reply_that_comes_later_changes_nothing(timeline: Timeline) -> None:
    limiter = _limiter(1, timeline)
    slot = _acquired(limiter)
    slot.sent()
    timeline.at(100.9, slot.done)
    _acquired(limiter)
    assert timeline.now == pytest.approx(101.25)


def test_a_request_that_is_sent_again_counts_from_then(timeline: Timeline) -> None:
    limiter = _limiter(1, timeline)
    slot = _acquired(limiter)
    slot.sent()
    timeline.now += 0.2
    slot.sent()
    _acquired(limiter)
    assert timeline.now == pytest.approx(101.45)


def test_a_slot_is_taken_until_its_request_is_sent(timeline: Timeline) -> None:
    limiter = _limiter(1, timeline)
    slot = _acquired(limiter)
    assert limiter.acquire(150) is None
    slot.done()
    _acquired(limiter)
    assert timeline.now == pytest.approx(151)


def test_nothing_once_the_time_is_over(timeline: Timeline) -> None:
    limiter = _limiter(1, timeline)
    assert limiter.acquire(100) is None
    _answered_at_once(limiter)
    assert limiter.acquire(100.5) is None
    assert timeline.now == 100.5


def test_a_hold_that_ends_too_late_is_not_waited_for(timeline: Timeline) -> None:
    limiter = _limiter(10, timeline)
    limiter.hold(130)
    assert limiter.acquire(120) is None
    assert timeline.now == 100


def test_a_hold_that_ends_in_time_is_waited_for(timeline: Timeline) -> None:
    limiter = _limiter(10, timeline)
    assert limiter.held_until == -math.inf
    limiter.hold(105)
    limiter.hold(103)
    assert limiter.held_until == 105
    _acquired(limiter, 120)
    assert timeline.now == 105


def test_a_hold_sends_away_who_cannot_outlast_it(timeline: Timeline) -> None:
    limiter = _limiter(1, timeline)
    _answered_at_once(limiter)
    timeline.at(100.5, lambda: limiter.hold(200))
    assert limiter.acquire(101.5) is None
    assert timeline.now == 100.5


def test_a_higher_rate_holds_at_once(timeline: Timeline) -> None:
    limiter = _limiter(0.1, timeline)
    _answered_at_once(limiter)
    timeline.at(102, lambda: limiter.set_rate(5))
    _acquired(limiter)
    assert timeline.now == 102


def test_a_lower_rate_counts_what_is_under_way(timeline: Timeline) -> None:
    limiter = _limiter(0, timeline)
    for _ in range(5):
        _answered_at_once(limiter)
    limiter.set_rate(2)
    _acquired(limiter)
    assert timeline.now == pytest.approx(101)


def _wait_for(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0)


def test_threads_are_served_in_the_order_in_which_they_came() -> None:
    now = [100.0]
    limiter = Limiter(1, clock=lambda: now[0])
    _answered_at_once(limiter)
    served: list[int] = []

    def take(number: int) -> None:
        slot = limiter.acquire(1000)
        served.append(number)
        assert slot is not None
        slot.done()

    threads = []
    for number in range(5):
        threads.append(threading.Thread(target=take, args=(number,)))
        threads[-1].start()
        _wait_for(lambda: limiter.waiting == len(threads))
    for number in range(5):
        now[0] += 1
        limiter.set_rate(1)
        threads[number].join(10)
    assert served == list(range(5))


def test_a_waiter_that_gives_up_leaves_the_queue_to_the_next() -> None:
    now = [100.0]
    limiter = Limiter(1, clock=lambda: now[0])
    _answered_at_once(limiter)
    results: dict[str, Slot | None] = {}

    def take(name: str, until: float) -> None:
        results[name] = limiter.acquire(until)

    first = threading.Thread(target=take, args=("first", 500))
    second = threading.Thread(target=take, args=("second", 2000))
    first.start()
    _wait_for(lambda: limiter.waiting == 1)
    second.start()
    _wait_for(lambda: limiter.waiting == 2)
    now[0] = 500
    limiter.set_rate(1)
    first.join(10)
    second.join(10)
    assert results["first"] is None
    assert results["second"] is not None


@given(
    rate=st.floats(0.2, 30),
    # Seconds between two requests, from sending to arrival, and from arrival to the reply.
    requests=st.lists(st.tuples(st.floats(0, 2), st.floats(0, 0.25), st.floats(0, 3)), max_size=60),
)
def test_the_api_never_sees_more_than_the_rate(rate: float, requests: list[tuple[float, float, float]]) -> None:
    timeline = Timeline()
    limiter = _limiter(rate, timeline)
    arrivals = []
    for pause, way, work in requests:
        timeline.now += pause
        slot = _acquired(limiter)
        slot.sent()
        arrivals.append(timeline.now + way)
        timeline.at(timeline.now + way + work, slot.done)
    arrivals.sort()
    most, window = max(1, math.floor(rate)), 1.0 if rate >= 1 else 1 / rate
    for early, late in zip(arrivals, arrivals[most:], strict=False):
        assert late - early >= window - 1e-6


def test_clusters_with_one_api_and_key_share_a_limiter_and_the_smallest_rate() -> None:
    limiters = Limiters()
    one = limiters.get("https://a", Secret("k"), 10)
    assert limiters.get("https://a", Secret("k"), 0) is one
    assert one.rate == 10
    assert limiters.get("https://a", Secret("k"), 3).rate == 3
    assert limiters.get("https://a", Secret("k"), 20).rate == 3
    assert limiters.get("https://a", Secret("other"), 20) is not one
    assert limiters.get("https://b", Secret("k"), 20) is not one
    assert limiters.get("https://a", None, 0).rate == 0


def test_a_new_configuration_sets_new_rates_and_keeps_what_is_under_way() -> None:
    limiters = Limiters()
    kept = limiters.get("https://a", None, 3)
    kept.hold(time.monotonic() + 1000)
    gone = limiters.get("https://b", None, 3)
    limiters.renew()
    assert limiters.get("https://a", None, 7) is kept
    assert kept.rate == 7
    assert kept.acquire(time.monotonic() + 999) is None
    limiters.renew()
    assert limiters.get("https://b", None, 3) is not gone


def _order(limiter: Limiter, who_waits: list[str], slots: int) -> list[Hashable]:
    """Who gets the next slots while all of them wait all the time."""
    order = []
    with limiter._lock:
        limiter._waiters.update({who: deque([threading.Condition(limiter._lock)]) for who in who_waits})
        for _ in range(slots):
            [who] = [who for who, queue in limiter._waiters.items() if queue[0] is limiter._first()]
            limiter._taken = 0
            limiter._take(limiter._clock(), math.inf, who)
            order.append(who)
        limiter._waiters.clear()
    return order


@given(rate=st.integers(1, 9), askers=st.integers(2, 6), rounds=st.integers(1, 9))
def test_those_who_wait_get_slots_in_turn(rate: int, askers: int, rounds: int) -> None:
    names = [str(number) for number in range(askers)]
    order = _order(Limiter(float(rate)), names, askers * rounds)
    assert {order.count(name) for name in names} == {rounds}


def test_who_did_not_ask_for_long_is_served_first_for_one_window_at_most() -> None:
    limiter = Limiter(4.0)
    assert set(_order(limiter, ["busy"], 1000)) == {"busy"}
    order = _order(limiter, ["busy", "idle"], 20)
    assert order[:4] == ["idle"] * 4
    assert abs(order[5:].count("idle") - order[5:].count("busy")) <= 1
