"""What is known of one cluster and its jobs after a scrape: all that the exposition and the status page may say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from exporter.collector.record import Record
from exporter.model import Source, State


@dataclass(frozen=True, slots=True)
class ClusterSnapshot:
    """One cluster after a scrape of it.

    `up`: whether every call for discovery worked and the API gave a usable answer; None before the first call.
    `counts` are the jobs watched, by what named them; `jobs` those of which something is known, by id. `waiting` are
    jobs whose turn did not come, `omitted` those over `max_jobs`. `scrape_duration` is in seconds. `listed`
    are the jobs by state in the last complete reading of the lists, watched or not; None before it.
    """

    cluster_id: str
    up: bool | None
    counts: Mapping[Source, int]
    waiting: int
    omitted: int
    scrape_duration: float
    jobs: Mapping[str, Record]
    listed: Mapping[State, int] | None = None
