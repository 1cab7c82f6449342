"""Recorded forms of the API's replies, and what they look like on `/metrics`, byte for byte.

`python -m tests.metrics.golden` writes the expositions anew; what changed must then be looked at.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from exporter.api.parse import job_from, list_page_from
from exporter.collector.record import Record
from exporter.collector.snapshot import ClusterSnapshot
from exporter.config.schema import Files
from exporter.metrics.body import Body
from exporter.metrics.exposition import Exposition
from exporter.model import Source
from tests.support.snapshots import known

HERE = Path(__file__).parent

CLUSTER_ID = "in01-0123456789abcde"
FORMATS = {"text": False, "openmetrics": True}


def names() -> list[str]:
    """The replies that there are."""
    return sorted(path.stem for path in (HERE / "replies").glob("*.json"))


def exposition_file(form: str, name: str) -> Path:
    """Where the exposition of a reply is kept; `form` is one of `FORMATS`."""
    return HERE / form / f"{name}.txt"


def body_of(name: str) -> Body:
    """The exposition of one cluster that has just given this reply."""
    data = json.loads((HERE / "replies" / f"{name}.json").read_text())["data"]
    names_jobs = "records" in data
    jobs = _named(data) if names_jobs else [_answered(data)]
    cluster = ClusterSnapshot(
        CLUSTER_ID,
        up=True,
        counts={jobs[0].source: len(jobs)},
        waiting=len(jobs) - 1,
        omitted=0,
        listed=Counter(record.state for record in list_page_from(data).jobs) if names_jobs else None,
        scrape_duration=0.125,
        jobs={job.job_id: job for job in jobs},
    )
    return Exposition().body([cluster], Files())


def _answered(data: dict[str, Any]) -> Record:
    job = job_from(data, data["jobId"])
    return known(
        cluster_id=CLUSTER_ID,
        job_id=job.job_id,
        source=Source.CONFIG,
        collection_name=job.collection_name,
        db_name="default",
        first_seen=1741520000.0,
        up=True,
        refreshed=1741520527.5,
        job=job,
        changed_at=job.completed_at if job.state.finished else 1741520512.5,
    )


def _named(data: dict[str, Any]) -> list[Record]:
    return [
        known(
            cluster_id=CLUSTER_ID,
            job_id=record.job_id,
            source=Source.DISCOVERY,
            collection_name=record.collection_name,
            db_name="",
            first_seen=1741520000.0,
        )
        for record in list_page_from(data).jobs
    ]
