from __future__ import annotations

import re
import subprocess
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from exporter.collector.record import Finished, Record
from exporter.collector.snapshot import ClusterSnapshot
from exporter.config.schema import Files
from exporter.metrics.exposition import Exposition
from exporter.metrics.families import CLUSTER_FAMILIES, JOB_FAMILIES
from exporter.metrics.family import Family, Row
from exporter.metrics.files import JobSeries, series_of
from exporter.metrics.own import OwnMetrics
from exporter.model import ErrorClass, File, Source, State
from tests.metrics.golden import FORMATS, body_of, exposition_file, names
from tests.support.snapshots import cluster_snapshot, job_snapshot, job_snapshots, silent_job, some_files

PREFIX = "zilliz_import_"
ALL_FAMILIES: tuple[Family[Any], ...] = (*JOB_FAMILIES, *CLUSTER_FAMILIES)


def samples(job: Record) -> dict[str, tuple[Row, ...]]:
    """The samples of a job by family, without those that have none."""
    series = series_of(job, Files())
    return {f.name.removeprefix(PREFIX): rows for f in JOB_FAMILIES if (rows := f.rows(series))}


def by_last_label(rows: tuple[Row, ...]) -> dict[str, float]:
    return {str(labels[-1]): value for labels, value in rows}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", names())
def test_each_reply_is_exposed_byte_for_byte_as_recorded(name: str, form: str) -> None:
    chunks = body_of(name).chunks(openmetrics=FORMATS[form], gzip=False)
    assert b"".join(chunks).decode() == exposition_file(form, name).read_text()


def test_promtool_finds_nothing_to_criticise_in_a_full_exposition() -> None:
    own = OwnMetrics()
    own.add_cluster("c")
    full = replace(some_files(1)[0], completed_at=1.0)
    bad = File("part-0001.parquet", State.FAILED, reason="no such object")
    failed = job_snapshot("2", state=State.FAILED, files=(full, bad), reason='it "broke"\n')
    answer = failed.state.answer
    assert answer is not None
    failed = replace(failed, state=Finished(replace(answer, job=replace(answer.job, completed_at=1.0)), 0.0, 0.0))
    cluster = cluster_snapshot("c", [failed, silent_job("3", error=ErrorClass.TLS)])
    body = Exposition().body([cluster], Files(), own.collect())
    text = b"".join(body.chunks(openmetrics=False, gzip=False))
    for family in ALL_FAMILIES:
        assert f"\n{family.name}{{" in text.decode(), family.name
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False, timeout=60)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_names_labels_and_help_keep_the_conventions() -> None:
    assert len({family.name for family in ALL_FAMILIES}) == len(ALL_FAMILIES)
    for family in ALL_FAMILIES:
        assert re.fullmatch(r"zilliz_import_[a-z_]+(?<!_total)(?<!_created)", family.name)
        assert re.fullmatch(r"[A-Z][^\n\"\\]+\.", family.help), family.help
        assert family.field in family.help
        assert not {"job", "instance"} & set(family.labels)


@given(job_snapshots())
def test_samples_fit_the_labels_of_their_family_and_none_are_alike(job: Record) -> None:
    for family in JOB_FAMILIES:
        rows = family.rows(series_of(job, Files()))
        assert all(len(labels) == len(family.labels) for labels, _ in rows)
        assert all(isinstance(value, float) for _, value in rows)
        assert max(Counter(labels for labels, _ in rows).values(), default=1) == 1


@given(job_snapshots())
def test_exactly_one_state_is_1_for_a_job_and_for_each_file(job: Record) -> None:
    exposed = samples(job)
    assert len(exposed.get("job_state", ())) == (len(State) if job.job else 0)
    assert sum(value for _, value in exposed.get("job_state", ())) == bool(job.job)
    files = Counter[tuple[str, ...]]()
    for labels, value in exposed.get("file_state", ()):
        files[labels[:-1]] += int(value)
    assert set(files.values()) <= {1}
    assert len(files) == len((job.job and job.job.files) or ())


@given(job_snapshots())
def test_a_value_that_the_api_did_not_give_is_no_sample(job: Record) -> None:
    exposed = samples(job)
    given = job.job and {
        "job_progress_ratio": job.job.progress,
        "job_size_bytes": job.job.size,
        "job_rows": job.job.rows,
        "job_imported_rows": job.job.imported_rows,
        "job_completed_timestamp_seconds": job.job.completed_at,
    }
    for name, value in (given or {}).items():
        assert [sample for _, sample in exposed.get(name, ())] == ([] if value is None else [value])


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("progress", "file_progress_ratio"),
        ("size", "file_size_bytes"),
        ("rows", "file_rows"),
        ("imported_rows", "file_imported_rows"),
        ("completed_at", "file_completed_timestamp_seconds"),
    ],
)
def test_each_value_of_a_file_has_its_family_and_is_left_out_where_not_given(field: str, name: str) -> None:
    file = replace(File("a", State.PENDING), **{field: 0.0})  # type: ignore[arg-type]  # one of the numbers
    exposed = samples(job_snapshot(files=(file, File("b", State.PENDING))))
    assert by_last_label(exposed[name]) == {"a": 0.0}
    assert {key for key in exposed if key.startswith("file_")} == {name, "file_state"}


def test_files_are_counted_in_every_state_whatever_is_listed() -> None:
    series = JobSeries(job_snapshot(files=some_files(3, State.FAILED)))
    rows = next(family.rows(series) for family in JOB_FAMILIES if family.name == "zilliz_import_job_files")
    assert by_last_label(rows) == {state: 3.0 if state is State.FAILED else 0.0 for state in State}


def test_empty_details_count_zero_files_and_absent_ones_count_nothing() -> None:
    assert set(by_last_label(samples(job_snapshot(files=()))["job_files"]).values()) == {0.0}
    assert "job_files" not in samples(job_snapshot(files=None))


@pytest.mark.parametrize("state", State)
def test_a_reason_is_shown_only_while_the_job_is_failed(state: State) -> None:
    shown = "job_failure_info" in samples(job_snapshot(state=state, reason="why"))
    assert shown == (state is State.FAILED)
    assert "job_failure_info" not in samples(job_snapshot(state=state))


def reasons(rows: tuple[Row, ...]) -> list[tuple[str, ...]]:
    return [labels[-2:] for labels, value in rows if value == 1]


def test_the_reason_of_a_job_that_gives_none_is_that_of_its_first_failed_file_by_name_that_has_one() -> None:
    files = (
        File("a", State.COMPLETED, reason="skipped 3 rows"),
        File("b", State.FAILED),
        File("c", State.FAILED, reason="disk quota exceeded"),
        File("d", State.FAILED, reason="no such object"),
    )
    exposed = samples(job_snapshot(state=State.FAILED, files=files))
    assert reasons(exposed["job_failure_info"]) == [("quota", "disk quota exceeded")]
    assert [labels[3:] for labels, _ in exposed["file_failure_info"]] == [
        ("c", "quota", "disk quota exceeded"),
        ("d", "storage", "no such object"),
    ]


def test_a_file_whose_reason_is_that_of_the_job_repeats_nothing() -> None:
    files = (File("a", State.FAILED, reason="import timeout"), File("b", State.FAILED, reason="row 5 has no id"))
    exposed = samples(job_snapshot(state=State.FAILED, files=files, reason="import timeout"))
    assert reasons(exposed["job_failure_info"]) == [("timeout", "import timeout")]
    assert [labels[3] for labels, _ in exposed["file_failure_info"]] == ["b"]


@pytest.mark.parametrize("state", [State.PENDING, State.IMPORTING, State.UNKNOWN])
def test_a_failed_file_says_why_also_while_its_job_goes_on(state: State) -> None:
    exposed = samples(job_snapshot(state=state, files=(File("a", State.FAILED, reason="no such object"),)))
    assert [labels[3] for labels, _ in exposed["file_failure_info"]] == ["a"]
    assert "job_failure_info" not in exposed


def test_the_last_change_is_one_sample_of_the_current_state_and_only_while_the_job_is_up() -> None:
    name = "job_last_change_timestamp_seconds"
    assert samples(job_snapshot(state=State.PENDING))[name] == ((("c", "articles", "default", "1", "Pending"), 150.0),)
    assert name not in samples(silent_job(error=ErrorClass.TIMEOUT))


def test_a_job_says_when_it_was_created_and_what_its_file_is_called() -> None:
    exposed = samples(job_snapshot())
    assert exposed["job_created_timestamp_seconds"] == ((("c", "articles", "1"), 90.0),)
    assert exposed["job_info"] == ((("c", "1", "articles", "default", "bulk/articles", "config"), 1.0),)


def test_listed_jobs_are_counted_in_all_six_states_once_a_list_was_read() -> None:
    listed = {State.IMPORTING: 3, State.FAILED: 1}
    family = next(each for each in CLUSTER_FAMILIES if each.name == f"{PREFIX}cluster_listed_jobs")
    assert by_last_label(family.rows(replace(cluster_snapshot(), listed=listed))) == {
        "Pending": 0,
        "Importing": 3,
        "Completed": 0,
        "Failed": 1,
        "Uncommitted": 0,
        "Unknown": 0,
    }
    assert family.rows(replace(cluster_snapshot(), listed=None)) == ()


def test_a_job_that_could_not_be_read_says_why_and_nothing_of_its_data() -> None:
    exposed = samples(silent_job(error=ErrorClass.TIMEOUT))
    assert exposed.keys() == {"job_info", "job_up", "job_error", "job_first_seen_timestamp_seconds"}
    assert exposed["job_up"] == ((("c", "1"), 0.0),)
    assert exposed["job_error"] == ((("c", "articles", "default", "1", "timeout"), 1.0),)


def test_a_job_that_was_never_queried_is_only_known_by_name() -> None:
    assert samples(silent_job()).keys() == {"job_info", "job_first_seen_timestamp_seconds"}


def test_a_current_job_has_no_error() -> None:
    exposed = samples(job_snapshot())
    assert exposed["job_up"] == ((("c", "1"), 1.0),)
    assert "job_error" not in exposed


def test_a_cluster_that_was_never_called_has_no_up() -> None:
    cluster = ClusterSnapshot("c", up=None, counts={}, waiting=3, omitted=2, scrape_duration=0.5, jobs={})
    text = b"".join(Exposition().body([cluster], Files()).chunks(openmetrics=False, gzip=False)).decode()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines == [
        *(f'zilliz_import_cluster_jobs{{cluster_id="c",source="{source}"}} 0.0' for source in Source),
        'zilliz_import_cluster_jobs_waiting{cluster_id="c"} 3.0',
        'zilliz_import_cluster_jobs_omitted{cluster_id="c"} 2.0',
        'zilliz_import_scrape_duration_seconds{cluster_id="c"} 0.5',
    ]
