"""What `exporter.watch.plan` decides: a table of what becomes of a job, and the order of asking."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import ErrorClass, Job, Source, State
from exporter.watch import plan
from exporter.watch.plan import Exposure, Moment, Rules, Turn, Watched

RULES = Rules(fresh_for=2, recheck_finished=600, max_age=300, finished_for=86_400)
MILVUS = replace(RULES, forgets_finished=True)
EPOCH = 1_800_000_000.0
HOUR = 3600.0


def at(seconds: float) -> Moment:
    return Moment(seconds, EPOCH + seconds)


def watched(source: Source = Source.CONFIG, **changes: object) -> Watched:
    return replace(Watched(job_id="1", source=source, first_seen=EPOCH), **changes)  # type: ignore[arg-type]  # of any field


def job(state: State, completed_at: float | None = None) -> Job:
    return Job(job_id="1", collection_name="articles", state=state, completed_at=completed_at)


def after_answer(
    before: Watched, state: State, seconds: float, completed_at: float | None = None, rules: Rules = RULES
) -> Watched:
    result = plan.answered(before, job(state, completed_at), seconds, at(seconds), rules, 0.5)
    assert result is not None
    return result


def after_failure(before: Watched, error: ErrorClass, seconds: float) -> Watched:
    result = plan.failed(before, error, seconds, seconds, RULES, 0.5)
    assert result is not None
    return result


IMPORTING = after_answer(watched(), State.IMPORTING, 100)
COMPLETED = after_answer(watched(), State.COMPLETED, 100, EPOCH + 40)
FOUND = after_answer(watched(Source.DISCOVERY), State.IMPORTING, 100)


@pytest.mark.parametrize(
    ("what", "remembered", "now", "exposed"),
    [
        ("never asked", watched(), 10_000, None),
        ("answered", IMPORTING, 100, Exposure(up=True)),
        ("its turn did not come", IMPORTING, 399, Exposure(up=True)),
        ("its turn has not come for max_age", IMPORTING, 400, Exposure(up=False, error=ErrorClass.STARVED)),
        (
            "asked and failed",
            after_failure(IMPORTING, ErrorClass.TIMEOUT, 110),
            111,
            Exposure(up=False, error=ErrorClass.TIMEOUT),
        ),
        (
            "failed, and then its turn did not come for long",
            after_failure(IMPORTING, ErrorClass.TIMEOUT, 110),
            9_999,
            Exposure(up=False, error=ErrorClass.TIMEOUT),
        ),
        (
            "failed and never answered",
            after_failure(watched(), ErrorClass.AUTH, 5),
            6,
            Exposure(up=False, error=ErrorClass.AUTH),
        ),
        ("finished", COMPLETED, 50_000, Exposure(up=True)),
        ("finished, a re-check failed", after_failure(COMPLETED, ErrorClass.TIMEOUT, 700), 701, Exposure(up=True)),
        (
            "finished and forgotten by the server within finished_for",
            after_failure(COMPLETED, ErrorClass.NOT_FOUND, 700),
            86_439,
            Exposure(up=True),
        ),
        (
            "configured, finished and forgotten, finished_for over",
            after_failure(COMPLETED, ErrorClass.NOT_FOUND, 700),
            86_440,
            Exposure(up=False, error=ErrorClass.EXPIRED),
        ),
        ("configured, finished_for over, the server knows it", COMPLETED, 10 * 86_400, Exposure(up=True)),
        (
            "discovered, then unknown to the API",
            after_failure(FOUND, ErrorClass.NOT_FOUND, 110),
            50_000,
            Exposure(up=False, error=ErrorClass.NOT_FOUND),
        ),
        (
            "vanished, and its re-check failed otherwise",
            after_failure(after_failure(FOUND, ErrorClass.NOT_FOUND, 110), ErrorClass.TIMEOUT, 900),
            901,
            Exposure(up=False, error=ErrorClass.NOT_FOUND),
        ),
        (
            "configured, finished by the list before it was ever answered, unknown to the API",
            after_failure(watched(listed_finished=True), ErrorClass.NOT_FOUND, 10),
            11,
            Exposure(up=False, error=ErrorClass.EXPIRED),
        ),
    ],
)
def test_what_is_exposed_of_a_job(what: str, remembered: Watched, now: float, exposed: Exposure | None) -> None:
    assert plan.exposure(remembered, now, RULES) == exposed, what


def test_a_recheck_that_answers_differently_replaces_the_finished_answer() -> None:
    flipped = after_answer(COMPLETED, State.FAILED, 700, EPOCH + 40)
    assert flipped.state is State.FAILED
    assert flipped.ended_at == COMPLETED.ended_at
    running_again = after_answer(COMPLETED, State.IMPORTING, 700)
    assert not running_again.settled
    assert running_again.ended_at is None


def test_an_answer_after_a_failure_or_a_disappearance_makes_the_job_current_again() -> None:
    gone = after_failure(FOUND, ErrorClass.NOT_FOUND, 110)
    back = after_answer(gone, State.IMPORTING, 200)
    assert not back.vanished
    assert plan.exposure(back, 200, RULES) == Exposure(up=True)


@pytest.mark.parametrize(
    ("completed_at", "seen_at", "ended_at"),
    [
        (EPOCH + 40, 100, 40),
        (None, 100, 100),
        (EPOCH + 5_000, 100, 100),
        (EPOCH - 500, 100, -500),
    ],
)
def test_a_job_ended_at_its_complete_time_or_when_first_seen_finished(
    completed_at: float | None, seen_at: float, ended_at: float
) -> None:
    assert after_answer(watched(), State.COMPLETED, seen_at, completed_at).ended_at == ended_at


def test_a_job_seen_unfinished_cannot_have_ended_before_that() -> None:
    """A server whose clock is hours behind does not make a job vanish in the moment in which it finishes."""
    finished = after_answer(FOUND, State.COMPLETED, 130, EPOCH - 3 * 86_400)
    assert finished.ended_at == 100
    assert not plan.over(finished, 130, RULES)


def test_a_wall_clock_stepped_back_an_hour_ages_no_job() -> None:
    stepped = plan.answered(COMPLETED, job(State.COMPLETED, EPOCH + 40), 700, Moment(700, EPOCH - HOUR), RULES, 0.5)
    assert stepped is not None
    assert stepped.ended_at == COMPLETED.ended_at


@pytest.mark.parametrize(
    ("rules", "completed_at", "kept"),
    [
        (RULES, EPOCH - HOUR, True),
        (RULES, EPOCH - 25 * HOUR, False),
        (RULES, None, False),
        (MILVUS, None, True),
        (MILVUS, EPOCH - 25 * HOUR, False),
    ],
)
def test_a_job_finished_before_the_start_is_watched_only_if_it_is_known_to_be_young(
    rules: Rules, completed_at: float | None, kept: bool
) -> None:
    inherited = watched(Source.DISCOVERY, inherited=True, listed_finished=True)
    result = plan.answered(inherited, job(State.COMPLETED, completed_at), 0, at(0), rules, 0.5)
    assert (result is not None) is kept


def test_a_configured_job_is_watched_however_old_it_is() -> None:
    assert plan.answered(watched(), job(State.COMPLETED, EPOCH - 90 * 86_400), 0, at(0), RULES, 0.5) is not None


def test_a_discovered_job_that_the_list_called_finished_and_the_api_does_not_know_is_not_watched() -> None:
    assert plan.failed(watched(Source.DISCOVERY, listed_finished=True), ErrorClass.NOT_FOUND, 5, 5, RULES, 0.5) is None


@pytest.mark.parametrize("end", [86_440.0])
def test_a_finished_discovered_job_is_over_when_finished_for_has_passed_since_it_ended(end: float) -> None:
    finished = after_answer(watched(Source.DISCOVERY), State.COMPLETED, 100, EPOCH + 40)
    assert not plan.over(finished, end - 1, RULES)
    assert plan.over(finished, end, RULES)
    assert not plan.over(COMPLETED, end, RULES)


def test_a_vanished_job_is_over_when_finished_for_has_passed_since_it_vanished() -> None:
    gone = after_failure(FOUND, ErrorClass.NOT_FOUND, 110)
    assert not plan.over(gone, 86_509, RULES)
    assert plan.over(gone, 86_510, RULES)


@pytest.mark.parametrize(
    ("what", "remembered", "now", "turn"),
    [
        ("new", watched(), 0, Turn.NEW),
        ("new, finished by its list", watched(listed_finished=True), 0, Turn.LISTED_FINISHED),
        ("tried in vain", after_failure(watched(), ErrorClass.TIMEOUT, 5), 5, Turn.UNFINISHED),
        ("answered just now", IMPORTING, 101.9, None),
        ("answered a while ago", IMPORTING, 102, Turn.UNFINISHED),
        ("failed just now", after_failure(IMPORTING, ErrorClass.HTTP, 101), 102, Turn.UNFINISHED),
        ("finished", COMPLETED, 549, None),
        ("finished, re-check due", COMPLETED, 550, Turn.RECHECK),
        (
            "unknown to the API, but configured",
            after_failure(IMPORTING, ErrorClass.NOT_FOUND, 110),
            111,
            Turn.UNFINISHED,
        ),
        ("vanished", after_failure(FOUND, ErrorClass.NOT_FOUND, 110), 111, None),
        ("vanished, re-check due", after_failure(FOUND, ErrorClass.NOT_FOUND, 110), 560, Turn.RECHECK),
        (
            "listed as finished, but it answers that it is not",
            replace(IMPORTING, listed_finished=True),
            200,
            Turn.UNFINISHED,
        ),
    ],
)
def test_whose_turn_it_is(what: str, remembered: Watched, now: float, turn: Turn | None) -> None:
    assert plan.turn(remembered, now, RULES) is turn, what


def test_the_order_of_asking_serves_new_jobs_first_and_the_longest_untried_next() -> None:
    jobs = [
        replace(COMPLETED, job_id="recheck-late", recheck_at=300.0),
        replace(COMPLETED, job_id="recheck-early", recheck_at=200.0),
        watched(Source.DISCOVERY, job_id="list-says-finished", listed_finished=True),
        replace(IMPORTING, job_id="tried-late", tried_at=150.0),
        replace(after_failure(IMPORTING, ErrorClass.TIMEOUT, 140.0), job_id="failing", tried_at=140.0),
        replace(IMPORTING, job_id="tried-early", tried_at=130.0),
        watched(Source.DISCOVERY, job_id="new-found"),
        watched(Source.CONFIG, job_id="new-configured"),
    ]
    order = [job_id for _, job_id in plan.ask_order(jobs, 1_000, RULES, None)]
    assert order == [
        "new-configured",
        "new-found",
        "tried-early",
        "failing",
        "tried-late",
        "list-says-finished",
        "recheck-early",
        "recheck-late",
    ]
    assert [job_id for _, job_id in plan.ask_order(jobs, 1_000, RULES, 1)] == order[:-1]
    assert [job_id for _, job_id in plan.ask_order(jobs, 1_000, RULES, 0)] == order[:-2]


def test_failing_jobs_never_starve_the_others() -> None:
    """Two calls a scrape for six jobs, four of which always fail: each job is asked equally often."""
    jobs = {name: watched(job_id=name) for name in "abcdef"}
    asked = dict.fromkeys(jobs, 0)
    for scrape in range(30):
        now = scrape * 15.0
        for _, name in plan.ask_order(jobs.values(), now, RULES, None)[:2]:
            asked[name] += 1
            if name in "abcd":
                jobs[name] = after_failure(jobs[name], ErrorClass.HTTP, now)
            else:
                jobs[name] = after_answer(jobs[name], State.IMPORTING, now)
    assert set(asked.values()) == {10}


@given(chance=st.floats(0, 1), now=st.floats(0, 1e9))
def test_rechecks_are_spread_over_the_second_half_of_their_interval(chance: float, now: float) -> None:
    finished = plan.answered(watched(), job(State.COMPLETED), now, at(now), RULES, chance)
    assert finished is not None
    assert finished.recheck_at is not None
    assert now + 300 <= finished.recheck_at <= now + 600 + 1e-3


def test_the_next_event_of_a_settled_job_is_its_recheck_or_the_end_of_its_exposure() -> None:
    assert plan.next_event(COMPLETED, 100, RULES) == 550
    assert plan.next_event(replace(COMPLETED, recheck_at=90_000.0), 100, RULES) == 86_440
    assert plan.next_event(replace(COMPLETED, recheck_at=90_000.0), 86_440, RULES) == 90_000
