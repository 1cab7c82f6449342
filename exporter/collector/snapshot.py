"""What is known about clusters and their jobs at one moment: all that expositions and the status page may say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from exporter.model import ErrorClass, Job, Source


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """One watched job. Times are seconds since the epoch.

    `up`: True if `job` is current, False if it could not be read, None if it was never queried.
    `error` is set exactly while `up` is False; `job` exactly while `up` is True.
    `collection_name` and `db_name` are the last known identity, also while `up` is False.
    """

    cluster_id: str
    job_id: str
    source: Source
    collection_name: str
    db_name: str
    first_seen: float
    up: bool | None = None
    error: ErrorClass | None = None
    refreshed: float | None = None
    job: Job | None = None


@dataclass(frozen=True, slots=True)
class ClusterSnapshot:
    """One cluster after a scrape of it; `scrape_duration` in seconds.

    `up`: whether every discovery call worked and the API gave a usable answer; None before the first call.
    `counts`: jobs watched by source. `waiting`: jobs due whose turn did not come. `omitted`: jobs over `max_jobs`.
    `jobs`: by job id; neither the mapping nor what it holds changes, and a job that did not change since the last
    snapshot is the same object.
    """

    cluster_id: str
    up: bool | None
    counts: Mapping[Source, int]
    waiting: int
    omitted: int
    scrape_duration: float
    jobs: Mapping[str, JobSnapshot]
