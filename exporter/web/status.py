"""What the status page is made of: what the exporter knows at this moment, as the backend hands it over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exporter.collector.record import Record
from exporter.collector.settings import Settings
from exporter.collector.snapshot import ClusterSnapshot


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """One cluster: `view` is None before its first scrape, `jobs` are all watched ones in any order.

    `last_error` is a sentence without secrets, "" where there is none. `scraped` is when the last scrape of the whole
    cluster ended, in seconds since the epoch, None where that is not known.
    """

    settings: Settings
    view: ClusterSnapshot | None
    jobs: Sequence[Record]
    last_error: str = ""
    scraped: float | None = None

    @property
    def cluster_id(self) -> str:
        """The id of the cluster."""
        return self.settings.cluster.cluster_id

    def unscraped_for(self, now: float) -> float | None:
        """Return for how many seconds nobody has scraped the cluster, if that is longer than `max_age`, else None."""
        if self.scraped is None or now - self.scraped <= self.settings.scrape.max_age:
            return None
        return now - self.scraped


@dataclass(frozen=True, slots=True)
class Status:
    """All that the page shows; times in seconds since the epoch.

    `reload_failed`: whether the configuration, or a job list, was not valid when it was last loaded. `loaded` is when
    all of it last was, None if it never was.
    """

    version: str
    started: float
    clusters: Sequence[ClusterStatus]
    reload_failed: bool = False
    loaded: float | None = None
