"""What the configuration says about one cluster."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.config.schema import Cluster, Scrape


@dataclass(frozen=True, slots=True)
class Settings:
    """The validated sections of one cluster; `listed` are the job ids of its `job_lists`."""

    cluster: Cluster
    scrape: Scrape
    listed: tuple[str, ...] = ()

    @property
    def single_page(self) -> bool:
        """Whether the list endpoint returns all jobs at any page (Milvus)."""
        return self.cluster.api == "milvus"

    @property
    def forgets_finished(self) -> bool:
        """Whether the server forgets finished jobs by itself after hours (Milvus), so that those it knows are young."""
        return self.cluster.api == "milvus"

    @property
    def lists_all_databases(self) -> bool:
        """Whether a list that names no database covers all of them (Milvus)."""
        return self.cluster.api == "milvus"
