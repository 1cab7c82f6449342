"""What the status page shows, as plain data for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from exporter.collector.clock import Moment
from exporter.collector.record import Answer, Failing, Finished, Polling, Record
from exporter.collector.settings import Settings
from exporter.collector.snapshot import ClusterSnapshot
from exporter.config import schema
from exporter.model import ErrorClass, Job, Source, State
from exporter.web.status import ClusterStatus

NOW = 1_800_000_000.0
"""Seconds since the epoch."""


def job(job_id: str, state: State = State.IMPORTING, progress: float | None = 0.663, **other: object) -> Job:
    """A job of 12 files, created an hour ago."""
    said = Job(
        job_id,
        "medium_articles",
        state,
        progress,
        size=1.5 * 2**30,
        rows=1_000_000,
        imported_rows=250_000,
        created_at=NOW - 3600,
        file_states={State.COMPLETED: 3, State.FAILED: 1, State.PENDING: 8},
    )
    return replace(said, **other)  # type: ignore[arg-type]  # the fields of Job


def watched(
    said: Job | None,
    *,
    job_id: str = "448761313698322011",
    cluster_id: str = "in01-a",
    error: ErrorClass | None = None,
    answered: float = NOW - 200,
    changed_at: float | None = NOW - 260,
    db_name: str = "default",
) -> Record:
    """The record of a job of which the API last said this; with `error`, it cannot be read since."""
    collection = "" if said is None else said.collection_name
    record = Record(cluster_id, job_id if said is None else said.job_id, Source.CONFIG, NOW - 7200, collection, db_name)
    answer = None if said is None else Answer(said, Moment(0.0, answered), changed_at)
    if error is not None:
        return replace(record, state=Failing(error, answer))
    if answer is None:
        return record
    return replace(record, state=Finished(answer, 0.0, 0.0) if answer.job.state.finished else Polling(answer))


def cluster(
    records: Sequence[Record] = (),
    *,
    cluster_id: str = "in01-a",
    up: bool | None = True,
    listed: Mapping[State, int] | None = None,
    scraped: float | None = NOW - 12,
    last_error: str = "",
    waiting: int = 0,
    omitted: int = 0,
    max_age: str = "5m",
    **keys: object,
) -> ClusterStatus:
    """A cluster with these keys in its configuration; it was never scraped where `scraped` is None."""
    defaults = {"cluster_id": cluster_id, "base_url": "https://api.example", "api_key": "x"}
    settings = Settings(
        schema.Cluster.model_validate(schema.Cluster.resolve({**defaults, **keys})),
        schema.Scrape.model_validate({"max_age": max_age}),
    )
    view = ClusterSnapshot(cluster_id, up, {Source.CONFIG: len(records)}, waiting, omitted, 1.5, {}, listed)
    return ClusterStatus(settings, None if scraped is None else view, records, last_error, scraped)
