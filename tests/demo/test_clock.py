"""Scenario time."""

from __future__ import annotations

import pytest

from tests.support.simulated.clock import ScenarioClock


class Watch:
    """A monotonic clock set by hand."""

    def __init__(self) -> None:
        self.reading = 500.0

    def __call__(self) -> float:
        return self.reading


def test_a_standing_clock_moves_only_when_told() -> None:
    watch = Watch()
    clock = ScenarioClock(epoch=1_000_000, now=watch)
    watch.reading += 60
    assert clock.time() == 0
    clock.set(90)
    clock.advance(10)
    assert clock.time() == 100
    assert clock.calendar(100) == 1_000_100


def test_a_running_clock_shows_each_scenario_second_at_the_moment_that_the_calendar_gives_for_it() -> None:
    watch = Watch()
    clock = ScenarioClock(12, epoch=1_000_000, now=watch)
    watch.reading += 5
    assert clock.time() == 60
    assert clock.calendar(60) == 1_000_005
    assert clock.calendar(-120) == 999_990


def test_a_running_clock_that_jumps_shows_the_new_time_as_the_present() -> None:
    watch = Watch()
    clock = ScenarioClock(2, epoch=1_000_000, now=watch)
    watch.reading += 10
    clock.set(0)
    assert clock.calendar(0) == 1_000_010
    watch.reading += 1
    assert clock.time() == 2
    assert clock.calendar(2) == 1_000_011


def test_timestamps_are_in_whole_seconds_of_utc() -> None:
    assert ScenarioClock(epoch=1_700_000_000.9).timestamp(0) == "2023-11-14T22:13:20Z"


def test_a_clock_does_not_run_backwards() -> None:
    with pytest.raises(ValueError, match="backwards"):
        ScenarioClock(-1)
