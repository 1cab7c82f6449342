from __future__ import annotations

import re
import subprocess
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from exporter.exposition import Exposition, render_once
from exporter.listing import Listed, listed
from exporter.metrics import CLUSTER_FAMILIES, JOB_FAMILIES, Family, JobSubject, Row
from exporter.model import ErrorClass, File, Source, State
from exporter.selfmetrics import SelfMetrics
from exporter.watch.view import ClusterView, JobView
from tests.golden import FORMATS, body_of, exposition_file, names
from tests.support.views import POLICY, cluster_view, job_view, job_views, silent_view, some_files

PREFIX = "zilliz_import_"
ALL_FAMILIES: tuple[Family[Any], ...] = (*JOB_FAMILIES, *CLUSTER_FAMILIES)


def samples(view: JobView) -> dict[str, tuple[Row, ...]]:
    """The samples of a job by family, without those that have none."""
    subject = JobSubject(view, listed(view.job, POLICY, 100))
    return {f.name.removeprefix(PREFIX): rows for f in JOB_FAMILIES if (rows := f.rows(subject))}


def by_last_label(rows: tuple[Row, ...]) -> dict[str, float]:
    return {str(labels[-1]): value for labels, value in rows}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", names())
def test_each_reply_is_exposed_byte_for_byte_as_recorded(name: str, form: str) -> None:
    chunks = body_of(name).chunks(openmetrics=FORMATS[form], gzip=False)
    assert b"".join(chunks).decode() == exposition_file(form, name).read_text()


def test_promtool_finds_nothing_to_criticise_in_a_full_exposition() -> None:
    own = SelfMetrics()
    own.set_clusters(["c"])
    exposition = Exposition(POLICY, lambda _cluster_id, _job_id: None)
    full = replace(some_files(1)[0], completed_at=1.0)
    failed = job_view("2", state=State.FAILED, files=(full,), reason='it "broke"\n')
    assert failed.job is not None
    exposition.show(replace(failed, job=replace(failed.job, completed_at=1.0)))
    exposition.show(silent_view("3", error=ErrorClass.TLS))
    text = b"".join(exposition.body([cluster_view()], own.registry).chunks(openmetrics=False, gzip=False))
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


@given(job_views())
def test_samples_fit_the_labels_of_their_family_and_none_are_alike(view: JobView) -> None:
    for family in JOB_FAMILIES:
        rows = family.rows(JobSubject(view, listed(view.job, POLICY, 100)))
        assert all(len(labels) == len(family.labels) for labels, _ in rows)
        assert all(isinstance(value, float) for _, value in rows)
        assert max(Counter(labels for labels, _ in rows).values(), default=1) == 1


@given(job_views())
def test_exactly_one_state_is_1_for_a_job_and_for_each_file(view: JobView) -> None:
    exposed = samples(view)
    assert len(exposed.get("job_state", ())) == (len(State) if view.job else 0)
    assert sum(value for _, value in exposed.get("job_state", ())) == bool(view.job)
    files = Counter[tuple[str, ...]]()
    for labels, value in exposed.get("file_state", ()):
        files[labels[:-1]] += int(value)
    assert set(files.values()) <= {1}
    assert len(files) == len((view.job and view.job.files) or ())


@given(job_views())
def test_a_value_that_the_api_did_not_give_is_no_sample(view: JobView) -> None:
    exposed = samples(view)
    given = view.job and {
        "job_progress_ratio": view.job.progress,
        "job_size_bytes": view.job.size,
        "job_rows": view.job.rows,
        "job_imported_rows": view.job.imported_rows,
        "job_completed_timestamp_seconds": view.job.completed_at,
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
    exposed = samples(job_view(files=(File("a", State.PENDING, **{field: 0.0}), File("b", State.PENDING))))
    assert by_last_label(exposed[name]) == {"a": 0.0}
    assert {key for key in exposed if key.startswith("file_")} == {name, "file_state"}


def test_files_are_counted_in_every_state_whatever_is_listed() -> None:
    subject = JobSubject(job_view(files=some_files(3, State.FAILED)), Listed())
    rows = next(family.rows(subject) for family in JOB_FAMILIES if family.name == "zilliz_import_job_files")
    assert by_last_label(rows) == {state: 3.0 if state is State.FAILED else 0.0 for state in State}


def test_empty_details_count_zero_files_and_absent_ones_count_nothing() -> None:
    assert set(by_last_label(samples(job_view(files=()))["job_files"]).values()) == {0.0}
    assert "job_files" not in samples(job_view(files=None))


@pytest.mark.parametrize("state", State)
def test_a_reason_is_shown_only_while_the_job_is_failed(state: State) -> None:
    shown = "job_failure_info" in samples(job_view(state=state, reason="why"))
    assert shown == (state is State.FAILED)
    assert "job_failure_info" not in samples(job_view(state=state))


def test_a_job_that_could_not_be_read_says_why_and_nothing_of_its_data() -> None:
    exposed = samples(silent_view(error=ErrorClass.TIMEOUT))
    assert exposed.keys() == {"job_info", "job_up", "job_error", "job_first_seen_timestamp_seconds"}
    assert exposed["job_up"] == ((("c", "1"), 0.0),)
    assert exposed["job_error"] == ((("c", "1", "timeout"), 1.0),)


def test_a_job_that_was_never_asked_is_only_known_by_name() -> None:
    assert samples(silent_view()).keys() == {"job_info", "job_first_seen_timestamp_seconds"}


def test_a_current_job_has_no_error() -> None:
    exposed = samples(job_view())
    assert exposed["job_up"] == ((("c", "1"), 1.0),)
    assert "job_error" not in exposed


def test_a_cluster_that_was_never_called_has_no_up() -> None:
    view = ClusterView("c", up=None, jobs={}, waiting=3, omitted=2, scrape_duration=0.5)
    text = b"".join(render_once(POLICY, [view], []).chunks(openmetrics=False, gzip=False)).decode()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines == [
        *(f'zilliz_import_cluster_jobs{{cluster_id="c",source="{source}"}} 0.0' for source in Source),
        'zilliz_import_cluster_jobs_waiting{cluster_id="c"} 3.0',
        'zilliz_import_cluster_jobs_omitted{cluster_id="c"} 2.0',
        'zilliz_import_scrape_duration_seconds{cluster_id="c"} 0.5',
    ]
