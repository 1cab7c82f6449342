from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collector.record import Record
from exporter.model import ErrorClass, File, State
from exporter.web.filter import Filter
from exporter.web.jobrows import MOST, SLUGS, STATES, Row, Rows, rows
from exporter.web.urls import Urls
from tests.support.snapshots import job_snapshots
from tests.support.statuses import NOW, job, watched


def shown(records: Sequence[Record], chosen: Filter | None = None, *, scraped: bool = True) -> Rows:
    return rows(records, chosen or Filter(), Urls(), NOW, scraped=scraped)


def row(record: Record, *, scraped: bool = True) -> Row:
    return shown([record], scraped=scraped).worst[0]


def test_every_state_of_the_api_is_shown_in_a_state_of_the_page() -> None:
    assert set(State) < set(STATES)
    assert list(SLUGS.values()) == list(STATES)


def test_jobs_stand_in_order_of_concern_whatever_order_they_come_in() -> None:
    records = [watched(job(str(number), state)) for number, state in enumerate(reversed(State))]
    records += [watched(None), watched(None, error=ErrorClass.TIMEOUT)]
    found = shown(records)
    assert [each.state for each in found.worst] == list(STATES)
    assert list(found.states) == list(STATES)


def test_of_jobs_in_one_state_the_youngest_come_first() -> None:
    failed = [watched(job(str(ago), State.FAILED), changed_at=NOW - ago) for ago in (20, 10, 30)]
    assert [each.job_id for each in shown(failed).worst] == ["10", "20", "30"]


def test_all_jobs_are_counted_also_those_that_are_not_shown() -> None:
    records = [watched(job(str(number))) for number in range(MOST + 7)]
    records += [watched(job("done", State.COMPLETED)), watched(job("failed", State.FAILED))]
    found = shown(records)
    assert found.states == {"Failed": 1, "Importing": MOST + 7, "Completed": 1}
    assert (len(found.worst), found.matching, found.watched) == (MOST, MOST + 9, MOST + 9)
    assert found.worst[0].job_id == "failed"


def test_a_filter_leaves_the_counts_as_they_are() -> None:
    found = shown([watched(job("1")), watched(job("2", State.FAILED))], Filter(state="failed"))
    assert [each.job_id for each in found.worst] == ["2"]
    assert (found.matching, found.watched, found.states) == (1, 2, {"Failed": 1, "Importing": 1})


@pytest.mark.parametrize("text", ["MEDIUM", "448", "medium 448", "in01-a", "shop", "dim 767", " "])
def test_a_job_is_found_by_all_its_names_and_its_reason(text: str) -> None:
    record = watched(job("448", State.FAILED, reason="the field has dim 767"), db_name="shop")
    other = watched(job("501"), db_name="default")
    found = shown([record], Filter(text))
    assert found.matching == 1
    assert shown([other], Filter(f"{text} 448")).matching == 0


def test_a_failed_job_gives_its_reason_or_that_of_its_file() -> None:
    assert row(watched(job("1", State.FAILED, reason="no such field"))).note == "no such field"
    files = (File("a.parquet", State.FAILED, reason="not a Parquet file"),)
    assert row(watched(job("1", State.FAILED, files=files))).note == "not a Parquet file"


@pytest.mark.parametrize(
    ("record", "note"),
    [
        (watched(None, error=ErrorClass.NOT_FOUND), "The API does not know this job."),
        (
            watched(job("1"), error=ErrorClass.TIMEOUT),
            "The API did not answer in time. Last known 3 m 20 s ago: Importing, 66.3 %.",
        ),
        (
            watched(job("1", State.PENDING, None), error=ErrorClass.STARVED),
            "The job was not queried for longer than max_age. Last known 3 m 20 s ago: Pending.",
        ),
    ],
)
def test_a_job_that_cannot_be_read_says_why_in_words_and_what_was_known(record: Record, note: str) -> None:
    unreadable = row(record)
    assert (unreadable.state, unreadable.note, unreadable.progress) == ("Unreadable", note, None)


def test_a_job_that_nobody_scraped_is_shown_as_it_was() -> None:
    stale = row(watched(job("1"), error=ErrorClass.STARVED), scraped=False)
    assert (stale.state, stale.progress, stale.note, stale.answered) == ("Importing", 66.3, "", "3 m 20 s ago")
    assert row(watched(job("1"), error=ErrorClass.AUTH), scraped=False).state == "Unreadable"


@pytest.mark.parametrize(
    ("record", "age", "more"),
    [
        (watched(job("1")), "Created 1 h ago", "unchanged for 4 m 20 s"),
        (watched(job("1"), changed_at=NOW), "Created 1 h ago", ""),
        (watched(job("1", created_at=None), changed_at=NOW - 61), "First seen 2 h ago", "unchanged for 1 m 1 s"),
        (watched(job("1", State.COMPLETED), changed_at=NOW - 600), "Ended 10 m ago", "took 50 m"),
        (watched(job("1", State.FAILED, created_at=None), changed_at=NOW - 600), "Ended 10 m ago", ""),
        (watched(job("1", State.COMPLETED), changed_at=None), "", ""),
        (watched(job("1", State.COMPLETED), changed_at=NOW - 4000), "Ended 1 h 6 m ago", ""),
        (watched(job("1"), error=ErrorClass.STARVED), "First seen 2 h ago", ""),
        (watched(None), "First seen 2 h ago", ""),
    ],
)
def test_a_job_says_how_old_it_is_or_how_long_it_took_and_since_when_nothing_changed(
    record: Record, age: str, more: str
) -> None:
    said = row(record)
    assert (said.age, said.more_age) == (age, more)


def test_the_time_of_creation_may_be_that_of_the_list() -> None:
    record = replace(watched(job("1", created_at=None)), listed_created_at=NOW - 180)
    assert row(record).age == "Created 3 m ago"


def test_a_value_that_the_api_did_not_give_is_blank() -> None:
    bare = row(watched(job("1", progress=None, size=None, rows=None, imported_rows=None, file_states=None)))
    assert (bare.progress, bare.size, bare.rows, bare.rows_exact, bare.files) == (None, "", "", "", "")


@given(st.lists(job_snapshots(), max_size=6), st.booleans())
def test_any_job_can_be_shown(records: list[Record], scraped: bool) -> None:
    found = shown(records, scraped=scraped)
    assert sum(found.states.values()) == found.watched == found.matching == len(found.worst) == len(records)
