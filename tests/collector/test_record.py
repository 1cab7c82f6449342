"""What becomes of a job: the table of section 7.4 of the design, state by state."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collector import record as transitions
from exporter.collector.clock import Moment
from exporter.collector.record import (
    NEVER,
    Expired,
    Failing,
    Finished,
    Missing,
    New,
    Polling,
    Priority,
    Record,
)
from exporter.collector.settings import Settings
from exporter.model import ErrorClass, File, Job, ListedJob, Source, State
from tests.collector.bench import EPOCH, settings

ZILLIZ = settings("1", discovery={})
MILVUS = settings("1", discovery={}, api="milvus")
HOUR = 3600.0
DAY = 24 * HOUR


def at(seconds: float) -> Moment:
    return Moment(seconds, EPOCH + seconds)


def record(source: Source = Source.CONFIG, **changes: Any) -> Record:
    return replace(Record("in01", "1", source, EPOCH, discovered=source is Source.DISCOVERY), **changes)


def job(state: State, completed_at: float | None = None) -> Job:
    return Job("1", "articles", state, completed_at=completed_at)


def answered(
    before: Record, state: State, seconds: float, completed_at: float | None = None, rules: Settings = ZILLIZ
) -> Record:
    result = transitions.answered(before, job(state, completed_at), seconds, at(seconds), rules, 0.5)
    assert result is not None
    return result


def failed(before: Record, error: ErrorClass, seconds: float) -> Record:
    result = transitions.failed(before, error, seconds, seconds, ZILLIZ, 0.5)
    assert result is not None
    return result


def listed(before: Record, state: State, database: str = "", created_at: float | None = None) -> Record:
    return transitions.listed(before, ListedJob("1", "listed", state, created_at), database, ZILLIZ)


def ended_at(finished: Record) -> float:
    assert isinstance(finished.state, Finished)
    return finished.state.ended_at


IMPORTING = answered(record(), State.IMPORTING, 100)
COMPLETED = answered(record(), State.COMPLETED, 100, EPOCH + 40)
FOUND = answered(record(Source.DISCOVERY), State.IMPORTING, 100)
MISSING = failed(FOUND, ErrorClass.NOT_FOUND, 110)
LISTED_FINISHED = listed(record(), State.COMPLETED)
LISTED_FAILED = listed(record(), State.FAILED)
BEFORE_START = record(Source.DISCOVERY, finished_before_start=True)


@pytest.mark.parametrize(
    ("what", "known", "now", "up", "error"),
    [
        ("never queried", record(), 10_000, None, None),
        ("answered", IMPORTING, 100, True, None),
        ("its turn did not come", IMPORTING, 399.9, True, None),
        ("its turn has not come for max_age", IMPORTING, 400, False, ErrorClass.STARVED),
        ("queried, failed", failed(IMPORTING, ErrorClass.TIMEOUT, 110), 111, False, ErrorClass.TIMEOUT),
        (
            "failed, and then its turn did not come for long",
            failed(IMPORTING, ErrorClass.TIMEOUT, 110),
            9_999,
            False,
            ErrorClass.TIMEOUT,
        ),
        ("failed, never answered", failed(record(), ErrorClass.AUTH, 5), 6, False, ErrorClass.AUTH),
        ("finished", COMPLETED, 50_000, True, None),
        ("finished, a re-check failed", failed(COMPLETED, ErrorClass.TIMEOUT, 700), 701, True, None),
        (
            "finished, forgotten by the server within finished_for",
            failed(COMPLETED, ErrorClass.NOT_FOUND, 700),
            86_439,
            True,
            None,
        ),
        (
            "configured, finished and forgotten, finished_for over",
            failed(COMPLETED, ErrorClass.NOT_FOUND, 700),
            86_440,
            False,
            ErrorClass.EXPIRED,
        ),
        (
            "forgotten, then a re-check failed otherwise, finished_for over",
            failed(failed(COMPLETED, ErrorClass.NOT_FOUND, 700), ErrorClass.TIMEOUT, 1400),
            86_440,
            False,
            ErrorClass.EXPIRED,
        ),
        ("configured, finished_for over, the server knows it", COMPLETED, 10 * DAY, True, None),
        ("discovered, then unknown to the API", MISSING, 50_000, False, ErrorClass.VANISHED),
        (
            "configured, then unknown to the API",
            failed(IMPORTING, ErrorClass.NOT_FOUND, 110),
            111,
            False,
            ErrorClass.VANISHED,
        ),
        ("never known to the API", failed(record(), ErrorClass.NOT_FOUND, 5), 6, False, ErrorClass.NOT_FOUND),
        (
            "unknown to the API, and its re-check failed otherwise",
            failed(MISSING, ErrorClass.TIMEOUT, 900),
            901,
            False,
            ErrorClass.VANISHED,
        ),
        (
            "configured, finished by the list before it was ever answered, unknown to the API",
            failed(LISTED_FINISHED, ErrorClass.NOT_FOUND, 10),
            11,
            False,
            ErrorClass.EXPIRED,
        ),
    ],
)
def test_what_is_exposed_of_a_job(
    what: str, known: Record, now: float, up: bool | None, error: ErrorClass | None
) -> None:
    shown = transitions.aged(known, now, ZILLIZ)
    assert shown is not None
    assert (shown.up, shown.error) == (up, error), what
    assert (shown.job is not None) == bool(up)


def test_a_finished_job_is_over_when_finished_for_has_passed_since_it_ended_only_if_it_was_discovered() -> None:
    finished = answered(record(Source.DISCOVERY), State.COMPLETED, 100, EPOCH + 40)
    assert transitions.aged(finished, 86_439, ZILLIZ) is finished
    assert transitions.aged(finished, 86_440, ZILLIZ) is None
    assert transitions.aged(COMPLETED, 86_440, ZILLIZ) is COMPLETED


def test_a_missing_job_is_over_when_finished_for_has_passed_since_it_was_missed() -> None:
    assert transitions.aged(MISSING, 86_509, ZILLIZ) is MISSING
    assert transitions.aged(MISSING, 86_510, ZILLIZ) is None


def test_a_recheck_that_answers_differently_replaces_the_finished_answer() -> None:
    flipped = answered(COMPLETED, State.FAILED, 700, EPOCH + 40)
    assert flipped.job == job(State.FAILED, EPOCH + 40)
    assert ended_at(flipped) == ended_at(COMPLETED)
    running_again = answered(COMPLETED, State.IMPORTING, 700)
    assert isinstance(running_again.state, Polling)
    assert running_again.polled


def test_an_answer_makes_a_job_current_again_whatever_was_before() -> None:
    expired = transitions.aged(failed(COMPLETED, ErrorClass.NOT_FOUND, 700), 86_440, ZILLIZ)
    assert expired is not None
    for before in (MISSING, expired, failed(IMPORTING, ErrorClass.HTTP, 110)):
        back = answered(before, State.IMPORTING, 90_000)
        assert (back.up, back.error, back.job, back.refreshed) == (True, None, job(State.IMPORTING), EPOCH + 90_000)


@pytest.mark.parametrize(
    ("completed_at", "seen_at", "ended"),
    [(EPOCH + 40, 100, 40), (None, 100, 100), (EPOCH + 5_000, 100, 100), (EPOCH - 500, 100, -500)],
)
def test_a_job_ended_at_its_complete_time_or_when_first_seen_finished(
    completed_at: float | None, seen_at: float, ended: float
) -> None:
    assert ended_at(answered(record(), State.COMPLETED, seen_at, completed_at)) == ended


def test_a_recheck_does_not_move_the_end_of_a_job_that_has_no_complete_time() -> None:
    finished = answered(record(), State.COMPLETED, 100)
    assert ended_at(answered(finished, State.COMPLETED, 700)) == 100


def test_a_job_seen_unfinished_cannot_have_ended_before_that() -> None:
    """A server whose clock is days behind does not make a job vanish in the moment in which it finishes."""
    finished = answered(FOUND, State.COMPLETED, 130, EPOCH - 3 * DAY)
    assert ended_at(finished) == 100
    assert transitions.aged(finished, 130, ZILLIZ) is finished


def test_a_wall_clock_stepped_back_an_hour_ages_no_job() -> None:
    stepped = transitions.answered(
        COMPLETED, job(State.COMPLETED, EPOCH + 40), 700, Moment(700, EPOCH - HOUR), ZILLIZ, 0.5
    )
    assert stepped is not None
    assert ended_at(stepped) == ended_at(COMPLETED)


@pytest.mark.parametrize(
    ("rules", "state", "completed_at", "kept"),
    [
        (ZILLIZ, State.COMPLETED, EPOCH - HOUR, True),
        (ZILLIZ, State.COMPLETED, EPOCH - 25 * HOUR, False),
        (ZILLIZ, State.COMPLETED, None, False),
        (ZILLIZ, State.FAILED, EPOCH - 25 * HOUR, False),
        (ZILLIZ, State.FAILED, None, True),
        (MILVUS, State.COMPLETED, None, True),
        (MILVUS, State.COMPLETED, EPOCH - 25 * HOUR, False),
        (MILVUS, State.FAILED, None, True),
    ],
)
def test_a_job_finished_before_the_start_is_watched_if_it_may_be_young_and_matters(
    rules: Settings, state: State, completed_at: float | None, kept: bool
) -> None:
    before = listed(BEFORE_START, state)
    result = transitions.answered(before, job(state, completed_at), 0, at(0), rules, 0.5)
    assert (result is not None) is kept


@pytest.mark.parametrize(("hours", "kept"), [(1, True), (25, False)])
def test_the_files_of_a_job_of_zilliz_cloud_tell_its_age(hours: float, kept: bool) -> None:
    files = (
        File("a", State.COMPLETED, completed_at=EPOCH - 30 * HOUR),
        File("b", State.FAILED),
        File("c", State.COMPLETED, completed_at=EPOCH - hours * HOUR),
    )
    for state in (State.COMPLETED, State.FAILED):
        said = Job("1", "articles", state, files=files)
        result = transitions.answered(listed(BEFORE_START, state), said, 0, at(0), ZILLIZ, 0.5)
        assert (result is not None) is kept


def test_a_configured_job_is_watched_however_old_it_is() -> None:
    assert answered(record(), State.COMPLETED, 0, EPOCH - 90 * DAY).up is True
    assert answered(record(finished_before_start=True), State.COMPLETED, 0).up is True


def test_a_discovered_job_that_the_list_called_finished_and_the_api_does_not_know_is_not_watched() -> None:
    before = listed(record(Source.DISCOVERY), State.COMPLETED)
    assert transitions.failed(before, ErrorClass.NOT_FOUND, 5, 5, ZILLIZ, 0.5) is None


def test_a_job_that_its_list_called_finished_too_early_goes_missing_like_any_other() -> None:
    before = answered(listed(record(Source.DISCOVERY), State.COMPLETED), State.IMPORTING, 1)
    assert isinstance(failed(before, ErrorClass.NOT_FOUND, 2).state, Missing)


@pytest.mark.parametrize(
    ("what", "known", "now", "priority"),
    [
        ("new", record(), 0, Priority.NEW),
        ("new, finished by its list", LISTED_FINISHED, 0, Priority.LISTED_FINISHED),
        ("new, Failed by its list", listed(record(), State.FAILED), 0, Priority.LISTED_FAILED),
        ("Failed in the first list", listed(BEFORE_START, State.FAILED), 0, Priority.LISTED_FINISHED),
        ("Failed by its list, tried", failed(LISTED_FAILED, ErrorClass.HTTP, 5), 5, Priority.LISTED_FINISHED),
        ("tried in vain", failed(record(), ErrorClass.TIMEOUT, 5), 5, Priority.UNFINISHED),
        ("answered just now", IMPORTING, 101.9, None),
        ("answered a while ago", IMPORTING, 102, Priority.UNFINISHED),
        ("failed just now", failed(IMPORTING, ErrorClass.HTTP, 101), 102, Priority.UNFINISHED),
        ("finished", COMPLETED, 549, None),
        ("finished, re-check due", COMPLETED, 550, Priority.RECHECK),
        ("unknown to the API, but configured", failed(IMPORTING, ErrorClass.NOT_FOUND, 110), 111, Priority.UNFINISHED),
        ("missing", MISSING, 111, None),
        ("missing, re-check due", MISSING, 560, Priority.RECHECK),
        (
            "listed as finished, but it answers that it is not",
            listed(IMPORTING, State.COMPLETED),
            200,
            Priority.UNFINISHED,
        ),
    ],
)
def test_when_a_job_is_due(what: str, known: Record, now: float, priority: Priority | None) -> None:
    assert transitions.priority(known, now, ZILLIZ) is priority, what


@given(chance=st.floats(0, 1), now=st.floats(0, 1e9))
def test_rechecks_are_spread_over_the_second_half_of_their_interval(chance: float, now: float) -> None:
    finished = transitions.answered(record(), job(State.COMPLETED), now, at(now), ZILLIZ, chance)
    assert finished is not None
    assert isinstance(finished.state, Finished)
    assert now + 300 <= finished.state.recheck_at <= now + 600 + 1e-3


def test_a_job_that_is_not_polled_needs_a_look_at_its_recheck_or_at_its_end() -> None:
    found = answered(record(Source.DISCOVERY), State.COMPLETED, 100, EPOCH + 40)
    assert isinstance(found.state, Finished)
    late = replace(found, state=replace(found.state, recheck_at=90_000.0))
    assert transitions.wakes_at(COMPLETED, ZILLIZ) == 550
    assert transitions.wakes_at(found, ZILLIZ) == 550
    assert transitions.wakes_at(late, ZILLIZ) == 86_440
    forgotten = failed(COMPLETED, ErrorClass.NOT_FOUND, 86_300)
    assert transitions.wakes_at(forgotten, ZILLIZ) == 86_440
    assert transitions.wakes_at(MISSING, ZILLIZ) == 560


def test_what_a_list_says_again_changes_nothing() -> None:
    once = listed(record(Source.DISCOVERY), State.IMPORTING, "theirs")
    assert (once.collection_name, once.db_name, once.list_database) == ("listed", "theirs", "theirs")
    assert listed(once, State.IMPORTING, "theirs") is once


def test_an_answer_counts_for_more_than_a_list() -> None:
    assert listed(IMPORTING, State.COMPLETED).collection_name == "articles"
    assert listed(IMPORTING, State.COMPLETED).polled


Step = tuple[float, Job] | ErrorClass | State
UNSEEN = record(Source.DISCOVERY)
NEW_IN_LIST = record(Source.DISCOVERY, new_in_list=True)


def at_work(progress: float = 0.5, rows: float | None = None, state: State = State.IMPORTING, **more: Any) -> Job:
    return Job("1", "articles", state, progress, imported_rows=rows, **more)


def over(state: State = State.FAILED, completed: float | None = None, *files: float | None) -> Job:
    """A finished job, with the times of its end and of its files' in seconds after the start."""
    done = tuple(
        File(str(number), state, completed_at=None if end is None else EPOCH + end) for number, end in enumerate(files)
    )
    return Job("1", "articles", state, completed_at=None if completed is None else EPOCH + completed, files=done)


COURSES: dict[str, tuple[Settings, Record, list[Step], float | None]] = {
    "never answered": (ZILLIZ, UNSEEN, [], None),
    "unfinished, first sight": (ZILLIZ, UNSEEN, [(10, at_work())], 10),
    "nothing changed": (ZILLIZ, UNSEEN, [(10, at_work()), (25, at_work()), (40, at_work())], 10),
    "progress changed": (ZILLIZ, UNSEEN, [(10, at_work(0.5)), (25, at_work(0.6)), (40, at_work(0.6))], 25),
    "progress fell": (ZILLIZ, UNSEEN, [(10, at_work(0.5)), (25, at_work(0.3))], 25),
    "imported rows changed": (MILVUS, UNSEEN, [(10, at_work(rows=5)), (25, at_work(rows=6))], 25),
    "imported rows appeared": (MILVUS, UNSEEN, [(10, at_work()), (25, at_work(rows=0))], 25),
    "state changed": (ZILLIZ, UNSEEN, [(10, at_work(state=State.PENDING)), (25, at_work())], 25),
    "only size and rows changed": (ZILLIZ, UNSEEN, [(10, at_work(size=1.0)), (25, at_work(size=2.0, rows=None))], 10),
    "not read in between": (ZILLIZ, UNSEEN, [(10, at_work()), ErrorClass.TIMEOUT, (40, at_work())], 10),
    "not read now": (ZILLIZ, UNSEEN, [(10, at_work()), ErrorClass.TIMEOUT], None),
    "vanished": (ZILLIZ, UNSEEN, [(10, at_work()), ErrorClass.NOT_FOUND], None),
    "came back after it vanished": (ZILLIZ, UNSEEN, [(10, at_work()), ErrorClass.NOT_FOUND, (40, at_work())], 10),
    "ended, as it says": (ZILLIZ, UNSEEN, [(100, over(completed=40))], 40),
    "ended, as it says, Milvus": (MILVUS, UNSEEN, [(100, over(State.COMPLETED, 40))], 40),
    "ended before the start, as it says": (ZILLIZ, BEFORE_START, [(100, over(State.COMPLETED, -40))], -40),
    "ended later than its files": (ZILLIZ, UNSEEN, [(100, over(State.COMPLETED, 40, 20, 30))], 40),
    "ended in the future": (ZILLIZ, UNSEEN, [(100, over(completed=5000))], 100),
    "ended before it was seen unfinished": (ZILLIZ, UNSEEN, [(10, at_work()), (25, over(completed=-500))], 10),
    "seen to end, no time": (ZILLIZ, UNSEEN, [(10, at_work()), (25, over())], 25),
    "seen to end, no time, Milvus": (MILVUS, UNSEEN, [(10, at_work()), (25, over(State.COMPLETED))], 25),
    "seen to end, times of files": (ZILLIZ, UNSEEN, [(10, at_work()), (25, over(State.FAILED, None, 12, 14))], 25),
    "unfinished in the list, no time": (ZILLIZ, UNSEEN, [State.IMPORTING, (25, over())], 25),
    "unfinished in the list, times of files": (ZILLIZ, UNSEEN, [State.PENDING, (25, over(State.FAILED, None, 5))], 25),
    "times of files": (ZILLIZ, BEFORE_START, [(100, over(State.FAILED, None, 40, 60, None))], 60),
    "times of files of a configured job": (ZILLIZ, record(), [(100, over(State.COMPLETED, None, 40, 60))], 60),
    "times of files, Milvus": (MILVUS, BEFORE_START, [(100, over(State.COMPLETED, None, 40, 60))], None),
    "times of files, new in the list": (ZILLIZ, NEW_IN_LIST, [State.FAILED, (100, over(State.FAILED, None, 60))], 60),
    "new in the list": (ZILLIZ, NEW_IN_LIST, [State.FAILED, (100, over())], 0),
    "new in the list, Milvus": (MILVUS, NEW_IN_LIST, [State.COMPLETED, (100, over(State.COMPLETED, None, 60))], 0),
    "failed before the start, no time": (ZILLIZ, BEFORE_START, [State.FAILED, (100, over())], None),
    "configured, failed before the start": (MILVUS, record(), [(100, over())], None),
    "checked again": (ZILLIZ, UNSEEN, [(10, at_work()), (25, over()), (700, over())], 25),
    "checked again in vain": (ZILLIZ, UNSEEN, [(10, at_work()), (25, over()), ErrorClass.HTTP], 25),
    "forgotten by the API": (ZILLIZ, UNSEEN, [(10, at_work()), (25, over()), ErrorClass.NOT_FOUND], 25),
    "its time came later": (ZILLIZ, BEFORE_START, [(100, over()), (700, over(State.FAILED, 40))], 40),
    "Completed, then Failed": (MILVUS, UNSEEN, [(100, over(State.COMPLETED, 40)), (700, over(State.FAILED, 40))], 700),
    "then checked again": (MILVUS, UNSEEN, [(9, over(State.COMPLETED, 4)), (700, over()), (1400, over())], 700),
    "finished, then unfinished": (ZILLIZ, UNSEEN, [(100, over(State.COMPLETED, 40)), (700, at_work())], 700),
}


@pytest.mark.parametrize("what", COURSES)
def test_when_a_job_last_changed(what: str) -> None:
    rules, known, steps, expected = COURSES[what]
    now = 0.0
    for step in steps:
        following: Record | None
        if isinstance(step, State):
            following = transitions.listed(known, ListedJob("1", "listed", step), "", rules)
        elif isinstance(step, ErrorClass):
            now += 1
            following = transitions.failed(known, step, now, now, rules, 0.5)
        else:
            now, said = step
            following = transitions.answered(known, said, now, at(now), rules, 0.5)
        assert following is not None
        known = following
    assert known.changed_at == (None if expected is None else EPOCH + expected)


@pytest.mark.parametrize(("of_job", "of_list", "created"), [(5, None, 5), (None, 7, 7), (5, 7, 5), (None, None, None)])
def test_when_a_job_was_created_is_what_it_says_else_what_the_list_says(
    of_job: float | None, of_list: float | None, created: float | None
) -> None:
    before = listed(record(Source.DISCOVERY), State.IMPORTING, created_at=of_list)
    known = transitions.answered(before, at_work(created_at=of_job), 1, at(1), ZILLIZ, 0.5)
    assert known is not None
    assert known.created_at == created
    assert failed(known, ErrorClass.TIMEOUT, 2).created_at is None


@pytest.mark.parametrize(
    ("rules", "source", "database", "claimed"),
    [
        (settings("1", discovery={}, api="milvus", db_name="mine"), Source.DISCOVERY, "", ""),
        (settings("1", discovery={}, api="milvus", db_name="mine"), Source.DISCOVERY, "theirs", "theirs"),
        (settings("1", discovery={}, api="milvus", db_name="mine"), Source.CONFIG, "", "mine"),
        (settings("1", discovery={}, api="milvus", db_name="mine"), Source.LIST, "theirs", "theirs"),
        (settings("1", discovery={}, api="milvus"), Source.CONFIG, "", ""),
        (settings("1", discovery={}, db_name="mine"), Source.DISCOVERY, "", "mine"),
    ],
)
def test_which_database_is_claimed_for_a_job(rules: Settings, source: Source, database: str, claimed: str) -> None:
    assert transitions.db_name(source, database, rules) == claimed


def test_a_finished_job_is_due_for_a_check_when_the_list_changes_its_word_against_the_answer() -> None:
    said = listed(COMPLETED, State.COMPLETED)
    contradicted = listed(said, State.FAILED)
    assert transitions.priority(said, 150, ZILLIZ) is None
    assert transitions.priority(contradicted, 150, ZILLIZ) is Priority.RECHECK
    # Once: a server whose list lies is not asked at every scrape.
    checked = answered(contradicted, State.COMPLETED, 150, EPOCH + 40)
    assert transitions.priority(listed(checked, State.FAILED), 200, ZILLIZ) is None
    assert transitions.priority(listed(listed(checked, State.COMPLETED), State.FAILED), 200, ZILLIZ) is Priority.RECHECK


KINDS = (New, Polling, Failing, Finished, Missing, Expired)
events = st.one_of(
    st.tuples(st.just("answer"), st.sampled_from(State), st.none() | st.floats(-2 * DAY, 2 * DAY)),
    st.tuples(st.just("failure"), st.sampled_from(ErrorClass), st.booleans()),
    st.tuples(st.just("list"), st.sampled_from(State), st.sampled_from(["", "one", "two"])),
    st.tuples(st.just("reload"), st.sampled_from(Source), st.none()),
    st.tuples(st.just("time"), st.floats(0, 2 * DAY), st.none()),
)


@given(
    source=st.sampled_from(Source),
    before_start=st.booleans(),
    rules=st.sampled_from([ZILLIZ, MILVUS]),
    course=st.lists(events, max_size=30),
    chance=st.floats(0, 1),
)
def test_a_record_is_consistent_whatever_happens(
    source: Source, before_start: bool, rules: Settings, course: list[tuple[Any, ...]], chance: float
) -> None:
    now = 1000.0
    known: Record | None = record(source, finished_before_start=before_start)
    for kind, first, second in course:
        assert known is not None
        if kind == "answer":
            completed_at = None if second is None else EPOCH + now + second
            known = transitions.answered(known, job(first, completed_at), now, at(now), rules, chance)
        elif kind == "failure":
            known = transitions.failed(known, first, now if second else None, now, rules, chance)
        elif kind == "list":
            known = transitions.listed(known, ListedJob("1", "listed", first), second, rules)
        elif kind == "reload":
            known = transitions.renamed(known, first, rules)
        else:
            now += first
        if known is not None:
            known = transitions.aged(known, now, rules)
        if known is None:
            return
        check(known, now, rules)


def check(known: Record, now: float, rules: Settings) -> None:
    state = known.state
    assert isinstance(state, KINDS)
    assert transitions.aged(known, now, rules) is known
    assert (known.error is not None) == (known.up is False)
    assert (known.job is not None) == (known.up is True)
    assert (known.refreshed is not None) == (state.answer is not None)
    assert not (known.polled and isinstance(state, Finished | Missing | Expired))
    if isinstance(state, Finished):
        assert state.answer.job.state.finished
        assert state.ended_at <= now
    if isinstance(state, Polling):
        assert not state.answer.job.state.finished
    if isinstance(state, Missing):
        assert known.source is Source.DISCOVERY
        assert state.error in {ErrorClass.NOT_FOUND, ErrorClass.VANISHED}
    if isinstance(state, Expired):
        assert known.source is not Source.DISCOVERY
    if known.source is Source.DISCOVERY and isinstance(state, Finished | Missing):
        assert now < transitions.ends_at(state, rules)
    due = transitions.priority(known, now, rules)
    assert due is not Priority.NEW or isinstance(state, New)
    assert (due is Priority.RECHECK) <= (not known.polled)
    assert known.polled <= (transitions.wakes_at(known, rules) == NEVER)
