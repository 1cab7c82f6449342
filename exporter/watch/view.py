"""What is known about clusters and their jobs at one moment: all that exposition and status page may say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from exporter.collector.snapshot import JobSnapshot
from exporter.model import Source

JobView = JobSnapshot


@dataclass(frozen=True, slots=True)
class ClusterView:
    """One cluster after a scrape of it; `scrape_duration` in seconds.

    `up`: whether every discovery call worked and the API gave a usable answer; None before the first call.
    """

    cluster_id: str
    up: bool | None
    jobs: Mapping[Source, int]
    waiting: int
    omitted: int
    scrape_duration: float
