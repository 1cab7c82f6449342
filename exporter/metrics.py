"""Every metric about jobs and clusters as data: its name, labels and HELP, and how its samples are read from a view."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from exporter.listing import Listed
from exporter.model import File, Job, Source, State
from exporter.watch.view import ClusterView, JobView

CLUSTER = ("cluster_id",)
JOB_IDENTITY = ("cluster_id", "job_id")
JOB = ("cluster_id", "collection_name", "job_id")
FILE = (*JOB, "file_name")

Row = tuple[tuple[str, ...], float]
"""One sample: the values of its family's labels, in the order of `Family.labels`, and the value."""

Rows = tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class JobSubject:
    """What the job families read: a job, and which of its files have series."""

    view: JobView
    listed: Listed


Subject = TypeVar("Subject", JobSubject, ClusterView)


@dataclass(frozen=True, slots=True)
class Family(Generic[Subject]):
    """One metric family. `field` is the API field behind it, empty where this exporter itself is the source.

    `rows` returns no row where there is nothing to say: a value that the API did not give is no sample.
    """

    name: str
    labels: tuple[str, ...]
    help: str
    field: str
    rows: Callable[[Subject], Rows]
    kind: str = "gauge"


JobFamily = Family[JobSubject]
ClusterFamily = Family[ClusterView]


def _job_value(read: Callable[[Job], float | None]) -> Callable[[JobSubject], Rows]:
    """One sample per current job, where `read` finds a value."""

    def rows(subject: JobSubject) -> Rows:
        view = subject.view
        if view.job is None or (value := read(view.job)) is None:
            return ()
        return (((view.cluster_id, view.collection_name, view.job_id), value),)

    return rows


def _file_value(read: Callable[[File], float | None]) -> Callable[[JobSubject], Rows]:
    """One sample per listed file, where `read` finds a value."""

    def rows(subject: JobSubject) -> Rows:
        view = subject.view
        cluster_id, collection_name, job_id = view.cluster_id, view.collection_name, view.job_id
        return tuple(
            ((cluster_id, collection_name, job_id, file.name), value)
            for file in subject.listed.files
            if (value := read(file)) is not None
        )

    return rows


def _one_is_on(labels: tuple[str, ...], current: State) -> Iterable[Row]:
    """One sample per state: 1 for the current one, 0 for the others."""
    return [((*labels, state), 1.0 if state is current else 0.0) for state in State]


def _job_state(subject: JobSubject) -> Rows:
    view = subject.view
    if view.job is None:
        return ()
    return tuple(_one_is_on((view.cluster_id, view.collection_name, view.job_id), view.job.state))


def _file_state(subject: JobSubject) -> Rows:
    view = subject.view
    cluster_id, collection_name, job_id = view.cluster_id, view.collection_name, view.job_id
    return tuple(
        row
        for file in subject.listed.files
        for row in _one_is_on((cluster_id, collection_name, job_id, file.name), file.state)
    )


def _job_files(subject: JobSubject) -> Rows:
    view = subject.view
    if view.job is None or view.job.file_states is None:
        return ()
    counts: Mapping[State, int] = view.job.file_states
    return tuple(
        ((view.cluster_id, view.collection_name, view.job_id, state), float(counts.get(state, 0))) for state in State
    )


def _files_omitted(subject: JobSubject) -> Rows:
    omitted = float(subject.listed.omitted)
    return _job_value(lambda job: None if job.files is None else omitted)(subject)


def _failure_info(subject: JobSubject) -> Rows:
    view = subject.view
    if view.job is None or view.job.state is not State.FAILED or not view.job.reason:
        return ()
    return (((view.cluster_id, view.collection_name, view.job_id, view.job.reason), 1.0),)


def _job_info(subject: JobSubject) -> Rows:
    view = subject.view
    return (((view.cluster_id, view.job_id, view.collection_name, view.db_name, view.source), 1.0),)


def _job_error(subject: JobSubject) -> Rows:
    view = subject.view
    if view.up is not False or view.error is None:
        return ()
    return (((view.cluster_id, view.job_id, view.error), 1.0),)


def _about_job(read: Callable[[JobView], float | None]) -> Callable[[JobSubject], Rows]:
    """One sample per watched job, current or not, where `read` finds a value."""

    def rows(subject: JobSubject) -> Rows:
        view = subject.view
        value = read(view)
        return () if value is None else (((view.cluster_id, view.job_id), float(value)),)

    return rows


def _about_cluster(read: Callable[[ClusterView], float | None]) -> Callable[[ClusterView], Rows]:
    """One sample per cluster, where `read` finds a value."""

    def rows(cluster: ClusterView) -> Rows:
        value = read(cluster)
        return () if value is None else (((cluster.cluster_id,), float(value)),)

    return rows


def _cluster_jobs(cluster: ClusterView) -> Rows:
    return tuple(((cluster.cluster_id, source), float(cluster.jobs.get(source, 0))) for source in Source)


REFRESHED: JobFamily = Family(
    "zilliz_import_job_refreshed_timestamp_seconds",
    JOB_IDENTITY,
    "When the API last answered about this job.",
    "",
    _about_job(lambda view: view.refreshed),
)
"""The one family that changes with every answer, whatever the answer says."""

JOB_FAMILIES: tuple[JobFamily, ...] = (
    Family(
        "zilliz_import_job_progress_ratio",
        JOB,
        "Progress of the import job from 0 to 1 (API field progress, there in percent).",
        "progress",
        _job_value(lambda job: job.progress),
    ),
    Family(
        "zilliz_import_job_size_bytes",
        JOB,
        "Size of the files of the import job (API field fileSize).",
        "fileSize",
        _job_value(lambda job: job.size),
    ),
    Family(
        "zilliz_import_job_rows",
        JOB,
        "Rows of the import job (API field totalRows: on Milvus the rows in this job's files).",
        "totalRows",
        _job_value(lambda job: job.rows),
    ),
    Family(
        "zilliz_import_job_imported_rows",
        JOB,
        "Rows that the import job has imported so far (API field importedRows).",
        "importedRows",
        _job_value(lambda job: job.imported_rows),
    ),
    Family(
        "zilliz_import_job_state",
        (*JOB, "state"),
        "State of the import job, 1 for the current state and 0 for the others (API field state).",
        "state",
        _job_state,
    ),
    Family(
        "zilliz_import_job_completed_timestamp_seconds",
        JOB,
        "When the import job was completed (API field completeTime).",
        "completeTime",
        _job_value(lambda job: job.completed_at),
    ),
    Family(
        "zilliz_import_job_files",
        (*JOB, "state"),
        "Files of the import job in each state, listed or not (API field details[].state).",
        "details[].state",
        _job_files,
    ),
    Family(
        "zilliz_import_job_files_omitted",
        JOB,
        "Files of the import job (API field details[]) without series of their own, for max_per_job or max_total.",
        "details[]",
        _files_omitted,
    ),
    Family(
        "zilliz_import_job_failure_info",
        (*JOB, "reason"),
        "Why the import job failed, 1 while it is Failed and a reason is given (API field reason).",
        "reason",
        _failure_info,
    ),
    Family(
        "zilliz_import_file_progress_ratio",
        FILE,
        "Progress of the file from 0 to 1 (API field details[].progress, there in percent).",
        "details[].progress",
        _file_value(lambda file: file.progress),
    ),
    Family(
        "zilliz_import_file_size_bytes",
        FILE,
        "Size of the file (API field details[].fileSize).",
        "details[].fileSize",
        _file_value(lambda file: file.size),
    ),
    Family(
        "zilliz_import_file_rows",
        FILE,
        "Rows of the file (API field details[].totalRows).",
        "details[].totalRows",
        _file_value(lambda file: file.rows),
    ),
    Family(
        "zilliz_import_file_imported_rows",
        FILE,
        "Rows of the file that are imported so far (API field details[].importedRows).",
        "details[].importedRows",
        _file_value(lambda file: file.imported_rows),
    ),
    Family(
        "zilliz_import_file_state",
        (*FILE, "state"),
        "State of the file, 1 for the current state and 0 for the others (API field details[].state).",
        "details[].state",
        _file_state,
    ),
    Family(
        "zilliz_import_file_completed_timestamp_seconds",
        FILE,
        "When the file was completed (API field details[].completeTime).",
        "details[].completeTime",
        _file_value(lambda file: file.completed_at),
    ),
    Family(
        "zilliz_import_job_info",
        (*JOB_IDENTITY, "collection_name", "db_name", "source"),
        "Last known identity of the watched import job (API field collectionName), value 1.",
        "collectionName",
        _job_info,
    ),
    Family(
        "zilliz_import_job_up",
        JOB_IDENTITY,
        "Whether the data of this import job is current, 1 if so and 0 if the API could not be read.",
        "",
        _about_job(lambda view: view.up),
    ),
    Family(
        "zilliz_import_job_error",
        (*JOB_IDENTITY, "error"),
        "Why this import job could not be read, 1 while zilliz_import_job_up is 0.",
        "",
        _job_error,
    ),
    REFRESHED,
    Family(
        "zilliz_import_job_first_seen_timestamp_seconds",
        JOB_IDENTITY,
        "When this exporter first watched the import job.",
        "",
        _about_job(lambda view: view.first_seen),
    ),
)

CLUSTER_FAMILIES: tuple[ClusterFamily, ...] = (
    Family(
        "zilliz_import_cluster_up",
        CLUSTER,
        "Whether every call for discovery worked and the API gave a usable answer.",
        "",
        _about_cluster(lambda cluster: cluster.up),
    ),
    Family(
        "zilliz_import_cluster_jobs",
        (*CLUSTER, "source"),
        "Import jobs watched, by who named them.",
        "",
        _cluster_jobs,
    ),
    Family(
        "zilliz_import_cluster_jobs_waiting",
        CLUSTER,
        "Import jobs that were due but whose turn did not come in this scrape.",
        "",
        _about_cluster(lambda cluster: cluster.waiting),
    ),
    Family(
        "zilliz_import_cluster_jobs_omitted",
        CLUSTER,
        "Import jobs that the list names but that are not watched because of max_jobs (API field records[]).",
        "records[]",
        _about_cluster(lambda cluster: cluster.omitted),
    ),
    Family(
        "zilliz_import_scrape_duration_seconds",
        CLUSTER,
        "How long this scrape of the cluster's API took.",
        "",
        _about_cluster(lambda cluster: cluster.scrape_duration),
    ),
)
