"""Every metric about jobs and clusters, one entry each: name, HELP, API field, how its samples are read, labels.

`job_gauge`: what the API said of a job, while that is current. `file_gauge`: likewise of each listed file.
`watch_gauge`: what this exporter knows of a job, whether or not it could be read. `cluster_gauge`: of a cluster.

`value(...)` reads a single sample. With `extra` labels an entry returns, for each sample, their values and the value.
All other labels are fields of the snapshot, by their names.
"""

from __future__ import annotations

from collections.abc import Mapping

from exporter.api.causes import cause
from exporter.collector.record import Record
from exporter.metrics.family import (
    JOB,
    ClusterFamily,
    JobFamily,
    Rows,
    cluster_gauge,
    file_gauge,
    job_gauge,
    value,
    watch_gauge,
)
from exporter.model import Source, State

_CURRENT_STATE: Mapping[State, Rows] = {
    current: tuple([((state,), 1.0 if state is current else 0.0) for state in State]) for current in State
}
"""One sample per state: 1 for the current one, 0 for the others."""


def _each_state(counts: Mapping[State, int] | None) -> Rows:
    """One sample per state: how often it occurs; no sample where that is not known."""
    return () if counts is None else tuple([((state,), float(counts.get(state, 0))) for state in State])


def _failure(state: State, reason: str, whole_reason: str = "") -> Rows:
    """One sample while something is Failed and says why."""
    return (((cause(whole_reason or reason), reason), 1.0),) if state is State.FAILED and reason else ()


def _last_change(record: Record) -> Rows:
    """One sample, of the current state."""
    if record.job is None or record.changed_at is None:
        return ()
    return (((record.job.state,), record.changed_at),)


JOB_FAMILIES: tuple[JobFamily, ...] = (
    job_gauge(
        "zilliz_import_job_progress_ratio",
        "Progress of the import job from 0 to 1 (API field progress, there in percent).",
        "progress",
        value(lambda job: job.progress),
    ),
    job_gauge(
        "zilliz_import_job_size_bytes",
        "Size of the files of the import job (API field fileSize).",
        "fileSize",
        value(lambda job: job.size),
    ),
    job_gauge(
        "zilliz_import_job_rows",
        "Rows of the import job (API field totalRows: on Milvus the rows in this job's files).",
        "totalRows",
        value(lambda job: job.rows),
    ),
    job_gauge(
        "zilliz_import_job_imported_rows",
        "Rows that the import job has imported so far (API field importedRows).",
        "importedRows",
        value(lambda job: job.imported_rows),
    ),
    job_gauge(
        "zilliz_import_job_state",
        "State of the import job, 1 for the current state and 0 for the others (API field state).",
        "state",
        lambda job: _CURRENT_STATE[job.state],
        extra=("state",),
    ),
    watch_gauge(
        "zilliz_import_job_created_timestamp_seconds",
        "When the import job was created (API field createTime, else startTime).",
        "createTime",
        value(lambda series: series.record.created_at),
        labels=JOB,
    ),
    job_gauge(
        "zilliz_import_job_completed_timestamp_seconds",
        "When the import job was completed (API field completeTime).",
        "completeTime",
        value(lambda job: job.completed_at),
    ),
    job_gauge(
        "zilliz_import_job_files",
        "Files of the import job in each state, listed or not (API field details[].state).",
        "details[].state",
        lambda job: _each_state(job.file_states),
        extra=("state",),
    ),
    watch_gauge(
        "zilliz_import_job_files_omitted",
        "Files of the import job (API field details[]) not listed because of max_per_job or max_total.",
        "details[]",
        value(lambda series: series.omitted),
        labels=JOB,
    ),
    job_gauge(
        "zilliz_import_job_failure_info",
        "Why the import job failed, 1 while it is Failed and it or a file gives a reason (API field reason).",
        "reason",
        lambda job: _failure(job.state, job.failure_reason, job.whole_reason),
        extra=("cause", "reason"),
    ),
    watch_gauge(
        "zilliz_import_job_last_change_timestamp_seconds",
        "When state, progress or imported rows of the import job last changed, or when it ended, by its current state.",
        "",
        lambda series: _last_change(series.record),
        labels=("cluster_id", "collection_name", "db_name", "job_id"),
        extra=("state",),
    ),
    file_gauge(
        "zilliz_import_file_progress_ratio",
        "Progress of the file from 0 to 1 (API field details[].progress, there in percent).",
        "details[].progress",
        value(lambda file: file.progress),
    ),
    file_gauge(
        "zilliz_import_file_size_bytes",
        "Size of the file (API field details[].fileSize).",
        "details[].fileSize",
        value(lambda file: file.size),
    ),
    file_gauge(
        "zilliz_import_file_rows",
        "Rows of the file (API field details[].totalRows).",
        "details[].totalRows",
        value(lambda file: file.rows),
    ),
    file_gauge(
        "zilliz_import_file_imported_rows",
        "Rows of the file that are imported so far (API field details[].importedRows).",
        "details[].importedRows",
        value(lambda file: file.imported_rows),
    ),
    file_gauge(
        "zilliz_import_file_state",
        "State of the file, 1 for the current state and 0 for the others (API field details[].state).",
        "details[].state",
        lambda file: _CURRENT_STATE[file.state],
        extra=("state",),
    ),
    file_gauge(
        "zilliz_import_file_completed_timestamp_seconds",
        "When the file was completed (API field details[].completeTime).",
        "details[].completeTime",
        value(lambda file: file.completed_at),
    ),
    watch_gauge(
        "zilliz_import_file_failure_info",
        "Why the file failed, 1 while its reason is not that of the job (API field details[].reason).",
        "details[].reason",
        lambda series: [
            ((file.name, *labels), number)
            for file in series.files
            if series.record.job is not None and file.reason != series.record.job.reason
            for labels, number in _failure(file.state, file.reason)
        ],
        labels=JOB,
        extra=("file_name", "cause", "reason"),
    ),
    watch_gauge(
        "zilliz_import_job_info",
        "Last known identity of the watched import job (API fields collectionName and fileName), value 1.",
        "collectionName",
        value(lambda _series: 1.0),
        labels=("cluster_id", "job_id", "collection_name", "db_name", "file_name", "source"),
    ),
    watch_gauge(
        "zilliz_import_job_up",
        "Whether the data of this import job is current, 1 if so and 0 if the API could not be read.",
        "",
        value(lambda series: series.record.up),
    ),
    watch_gauge(
        "zilliz_import_job_error",
        "Why this import job could not be read, 1 while zilliz_import_job_up is 0.",
        "",
        lambda series: [((series.record.error,), 1.0)] if series.record.error else [],
        labels=("cluster_id", "collection_name", "db_name", "job_id"),
        extra=("error",),
    ),
    watch_gauge(
        "zilliz_import_job_refreshed_timestamp_seconds",
        "When the API last answered about this job.",
        "",
        value(lambda series: series.record.refreshed),
    ),
    watch_gauge(
        "zilliz_import_job_first_seen_timestamp_seconds",
        "When this exporter first watched the import job.",
        "",
        value(lambda series: series.record.first_seen),
    ),
)

CLUSTER_FAMILIES: tuple[ClusterFamily, ...] = (
    cluster_gauge(
        "zilliz_import_cluster_up",
        "Whether all lists of jobs could be read and the API returned a usable answer.",
        "",
        value(lambda cluster: cluster.up),
    ),
    cluster_gauge(
        "zilliz_import_cluster_jobs",
        "Import jobs watched, by source: config, list or discovery.",
        "",
        lambda cluster: [((source,), float(cluster.counts.get(source, 0))) for source in Source],
        extra=("source",),
    ),
    cluster_gauge(
        "zilliz_import_cluster_jobs_waiting",
        "Import jobs that were due but were not queried in this scrape.",
        "",
        value(lambda cluster: cluster.waiting),
    ),
    cluster_gauge(
        "zilliz_import_cluster_jobs_omitted",
        "Import jobs that the API lists but that are not watched because of max_jobs (API field records[]).",
        "records[]",
        value(lambda cluster: cluster.omitted),
    ),
    cluster_gauge(
        "zilliz_import_cluster_listed_jobs",
        "Import jobs in the last complete reading of the lists, watched or not, by state (API field records[].state).",
        "records[].state",
        lambda cluster: _each_state(cluster.listed),
        extra=("state",),
    ),
    cluster_gauge(
        "zilliz_import_scrape_duration_seconds",
        "How long this scrape of the cluster's API took.",
        "",
        value(lambda cluster: cluster.scrape_duration),
    ),
)
