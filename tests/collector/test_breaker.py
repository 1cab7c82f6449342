"""When one call goes alone, and whose it is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from exporter.collector.breaker import DOWN, Breaker, BreakerState, Operation
from exporter.model import ErrorClass
from tests.collector.loop import VirtualLoop

CONNECT = ErrorClass.CONNECT


def opened(error: ErrorClass = CONNECT) -> Breaker:
    breaker = Breaker()
    breaker.scrape_ended([error])
    return breaker


def asks(
    loop: VirtualLoop, breaker: Breaker, operation: Operation, wanted: Sequence[Operation] = ("progress", "list")
) -> asyncio.Task[bool]:
    task = loop.create_task(breaker.admit(operation, lambda: wanted))
    loop.wait()
    return task


@pytest.mark.parametrize(
    ("results", "error"),
    [
        ([CONNECT], CONNECT),
        ([ErrorClass.AUTH] * 3, ErrorClass.AUTH),
        ([CONNECT, None], None),
        ([CONNECT, ErrorClass.TIMEOUT], None),
        ([ErrorClass.NOT_FOUND] * 3, None),
        ([ErrorClass.API], None),
        ([ErrorClass.RATE_LIMITED], None),
        ([ErrorClass.PAYLOAD], None),
        ([None], None),
    ],
)
def test_it_opens_after_a_scrape_in_which_all_calls_failed_alike_for_the_sake_of_the_cluster(
    results: list[ErrorClass | None], error: ErrorClass | None
) -> None:
    breaker = Breaker()
    breaker.scrape_ended(results)
    assert breaker.error is error
    assert breaker.state is (BreakerState.CLOSED if error is None else BreakerState.OPEN)


def test_a_scrape_without_calls_changes_nothing() -> None:
    breaker = opened()
    breaker.scrape_ended([])
    assert (breaker.state, breaker.error) == (BreakerState.OPEN, CONNECT)
    breaker.scrape_ended([None, CONNECT])
    assert (breaker.state, breaker.error) == (BreakerState.CLOSED, None)


def test_closed_all_calls_go_at_once(loop: VirtualLoop) -> None:
    breaker = Breaker()
    assert [loop.run(breaker.admit("progress", list)) for _ in range(3)] == [False] * 3


@pytest.mark.parametrize("error", sorted(DOWN))
def test_open_one_call_goes_alone_and_the_others_wait_for_what_becomes_of_it(
    loop: VirtualLoop, error: ErrorClass
) -> None:
    breaker = opened()
    alone, others = asks(loop, breaker, "list"), [asks(loop, breaker, "progress") for _ in range(3)]
    assert (alone.done(), [each.done() for each in others]) == (True, [False] * 3)
    assert alone.result() is True
    assert breaker.state is BreakerState.HALF_OPEN
    breaker.end_trial(error)
    assert (breaker.state, breaker.error) == (BreakerState.OPEN, error)
    loop.wait()
    assert [each.done() for each in others].count(True) == 1


@pytest.mark.parametrize("error", [None, *sorted(set(ErrorClass) - DOWN)])
def test_it_closes_when_the_one_call_worked_or_was_answered(loop: VirtualLoop, error: ErrorClass | None) -> None:
    breaker = opened()
    asks(loop, breaker, "list")
    others = [asks(loop, breaker, "progress") for _ in range(3)]
    breaker.end_trial(error)
    loop.wait()
    assert [each.result() for each in others] == [False] * 3


def test_jobs_and_lists_take_turns_in_going_alone(loop: VirtualLoop) -> None:
    """Neither, always failing, keeps the other from showing that it works."""
    breaker = opened()
    went: list[Operation] = []
    for _ in range(6):
        waiting: dict[Operation, asyncio.Task[bool]] = {
            "progress": asks(loop, breaker, "progress"),
            "list": asks(loop, breaker, "list"),
        }
        went += [operation for operation, task in waiting.items() if task.done() and task.result()]
        breaker.end_trial(CONNECT)
        for task in waiting.values():
            task.cancel()
        loop.wait()
        if breaker.state is BreakerState.HALF_OPEN:
            breaker.give_up_trial()
    assert went == ["list", "progress"] * 3


def test_who_is_wanted_alone_waits_for_no_turn(loop: VirtualLoop) -> None:
    breaker = opened()
    for _ in range(3):
        assert loop.run(breaker.admit("progress", lambda: ["progress"])) is True
        breaker.end_trial(CONNECT)


def test_those_who_wait_go_away_when_nothing_is_wanted_any_more(loop: VirtualLoop) -> None:
    breaker = opened()
    wanted: list[Operation] = ["progress", "list"]
    waiting = asks(loop, breaker, "progress", wanted)
    assert not waiting.done()
    wanted.clear()
    breaker.notify()
    loop.wait()
    assert waiting.result() is False


def test_a_turn_that_is_not_used_is_the_next_ones(loop: VirtualLoop) -> None:
    breaker = opened()
    asks(loop, breaker, "list", ["list"])
    waiting = asks(loop, breaker, "progress", ["progress"])
    breaker.give_up_trial()
    loop.wait()
    assert (waiting.done(), waiting.result()) == (True, True)
    assert breaker.error is CONNECT


def test_a_scrape_that_ends_meanwhile_decides_nothing(loop: VirtualLoop) -> None:
    breaker = opened()
    asks(loop, breaker, "list")
    breaker.scrape_ended([None])
    assert breaker.state is BreakerState.HALF_OPEN


def test_another_way_to_the_cluster_lets_all_calls_go(loop: VirtualLoop) -> None:
    breaker = opened()
    asks(loop, breaker, "list")
    waiting = asks(loop, breaker, "progress")
    breaker.close()
    loop.wait()
    assert waiting.result() is False
    breaker.end_trial(CONNECT)
    assert breaker.state is BreakerState.CLOSED
