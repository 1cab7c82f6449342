"""`--once`: the table that a person reads, and what makes it incomplete."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collector.clock import Moment
from exporter.collector.record import Answer, Failing, Finished, Polling, Record
from exporter.collector.snapshot import ClusterSnapshot
from exporter.config.schema import Cluster
from exporter.model import ErrorClass, Job, Source, State
from exporter.once import WIDTH, Reading, table

NOW = 1_000_000.0
SETTINGS = Cluster.model_validate({"cluster_id": "in01-a", "api_key": "canary", "jobs": ["1"]})
DISCOVERING = Cluster.model_validate({"cluster_id": "in01-a", "api_key": "canary"})


def record(job_id: str, state: State, **said: Any) -> Record:
    job = Job(job_id, "events", state, **said)
    answer = Answer(job, Moment(0, NOW), NOW - 3600)
    known = Finished(answer, 0, 0) if state.finished else Polling(answer)
    return Record("in01-a", job_id, Source.CONFIG, NOW, "events", state=known)


def unreadable(job_id: str, error: ErrorClass, before: State | None = None) -> Record:
    answer = None if before is None else Answer(Job(job_id, "events", before), Moment(0, NOW))
    return Record("in01-a", job_id, Source.CONFIG, NOW, "events", state=Failing(error, answer))


def snapshot(*jobs: Record, up: bool | None = True) -> ClusterSnapshot:
    return ClusterSnapshot("in01-a", up, {}, 0, 0, 0.1, {job.job_id: job for job in jobs})


def lines(reading: Reading, *, colour: bool = False) -> list[str]:
    return table([reading], now=NOW, colour=colour).splitlines()


def test_the_table_is_aligned_and_worst_first() -> None:
    jobs = (
        record("1", State.COMPLETED, progress=1.0, imported_rows=5.0, rows=5.0),
        record("2", State.IMPORTING, progress=0.574, imported_rows=12_345.0, rows=1.5e6, created_at=NOW - 200),
        record("3", State.FAILED, progress=0.1, reason="the schema has no field id"),
        unreadable("4", ErrorClass.NOT_FOUND),
        record("10", State.PENDING),
    )
    assert lines(Reading(SETTINGS, snapshot(*jobs))) == [
        "in01-a  up  zilliz at https://api.cloud.zilliz.com",
        "  5 jobs: 1 Unreadable, 1 Failed, 1 Importing, 1 Pending, 1 Completed",
        "  JOB  COLLECTION  STATE       PROGRESS  ROWS              WHEN",
        "  4    events      Unreadable",
        "    the API does not know this job",
        "  3    events      Failed           10%                    ended 1 h ago",
        "    the schema has no field id",
        "  2    events      Importing        57%  12,345 of 1.50 M  created 3 m 20 s ago",
        "  10   events      Pending",
        "  1    events      Completed       100%  5 of 5            ended 1 h ago",
    ]


def test_a_cluster_that_is_down_says_why_in_plain_words() -> None:
    reading = Reading(SETTINGS, snapshot(up=False), ErrorClass.AUTH, "HTTP 401, code 1800: invalid key")
    assert lines(reading) == [
        "in01-a  down  zilliz at https://api.cloud.zilliz.com",
        "  the API refuses the key, or what it may do: HTTP 401, code 1800: invalid key",
    ]


def test_what_keeps_a_whole_cluster_from_being_read_is_said_once() -> None:
    jobs = (unreadable("1", ErrorClass.AUTH), unreadable("2", ErrorClass.NOT_FOUND))
    shown = lines(Reading(SETTINGS, snapshot(*jobs, up=False), ErrorClass.AUTH, "HTTP 401"))
    assert shown[-3:] == [
        "  2    events      Unreadable",
        "    the API does not know this job",
        "  1    events      Unreadable",
    ]


def test_a_job_that_became_unreadable_keeps_its_last_state_in_a_note() -> None:
    assert "    the API did not answer in time; it was Importing before" in lines(
        Reading(SETTINGS, snapshot(unreadable("1", ErrorClass.TIMEOUT, State.IMPORTING)))
    )


def test_a_failed_job_without_a_reason_says_so() -> None:
    assert lines(Reading(SETTINGS, snapshot(record("1", State.FAILED))))[-1] == "    the API gives no reason"


def test_no_jobs_are_explained_with_numbers() -> None:
    listed = {**dict.fromkeys(State, 0), State.COMPLETED: 18, State.FAILED: 2}
    reading = Reading(DISCOVERING, replace(snapshot(), listed=listed))
    assert lines(reading)[1:] == ["  no jobs to show; the API lists 20 jobs: 2 Failed, 18 Completed"]
    assert reading.complete
    reading = Reading(DISCOVERING, replace(snapshot(), listed=dict.fromkeys(State, 0)))
    assert lines(reading)[1:] == ["  no jobs to show; the API lists 0 jobs"]


def test_what_was_not_read_is_counted() -> None:
    read = replace(snapshot(record("1", State.PENDING)), waiting=3, omitted=1)
    assert lines(Reading(DISCOVERING, read))[1:4] == [
        "  not read for lack of time: 3 jobs; a longer scrape.timeout gives more",
        "  the list of jobs was not read to its end for lack of time; a longer scrape.timeout gives more",
        "  not watched, since there are more than discovery.max_jobs: 1 job",
    ]


@pytest.mark.parametrize(
    "reading",
    [
        Reading(SETTINGS, snapshot(up=False)),
        Reading(SETTINGS, snapshot(unreadable("1", ErrorClass.NOT_FOUND))),
        Reading(SETTINGS, replace(snapshot(), waiting=1)),
        Reading(DISCOVERING, snapshot()),
    ],
)
def test_a_reading_with_a_gap_is_not_complete(reading: Reading) -> None:
    assert not reading.complete


def test_a_reading_without_a_gap_is_complete_whatever_failed_and_whether_or_not_there_was_anything_to_read() -> None:
    assert Reading(SETTINGS, snapshot(record("1", State.FAILED))).complete
    assert Reading(SETTINGS, snapshot(up=None)).complete


def test_colours_change_nothing_else() -> None:
    reading = Reading(SETTINGS, snapshot(record("1", State.COMPLETED), record("2", State.FAILED)))
    coloured = lines(reading, colour=True)
    assert [re.sub(r"\x1b\[\d+m", "", line) for line in coloured] == lines(reading)
    assert "\x1b[31mFailed" in coloured[3]
    assert "\x1b[32mup\x1b[0m" in coloured[0]


@given(
    cluster_id=st.text(min_size=1),
    job_ids=st.sets(st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True)),
    text=st.text(),
    state=st.sampled_from(State),
    rows=st.floats(0, 1e18),
)
def test_no_line_is_wider_than_the_table_and_none_can_control_a_terminal(
    cluster_id: str, job_ids: set[str], text: str, state: State, rows: float
) -> None:
    jobs = [
        replace(record(job_id, state, reason=text, rows=rows, imported_rows=rows), collection_name=text)
        for job_id in job_ids
    ]
    settings = SETTINGS.model_copy(update={"cluster_id": cluster_id, "base_url": "https://" + "x" * 300})
    shown = table([Reading(settings, snapshot(*jobs), ErrorClass.API, text)], now=NOW, colour=False)
    assert shown.replace("\n", "").isprintable()
    assert max(map(len, shown.splitlines())) <= WIDTH
