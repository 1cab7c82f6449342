"""All clusters of a configuration: their scrapes side by side, and the change to another configuration."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from exporter.api.client import ApiSettings, ImportApi
from exporter.api.errors import TlsError
from exporter.collector.clock import Clock
from exporter.collector.cluster import Cluster
from exporter.collector.failures import JobFinished
from exporter.collector.jobs import Jobs
from exporter.collector.ratelimit import RateLimits
from exporter.collector.record import Record
from exporter.collector.request import Endpoint
from exporter.collector.settings import Settings
from exporter.collector.snapshot import ClusterSnapshot
from exporter.config import schema
from exporter.config.load import Loaded
from exporter.config.secret import Secret
from exporter.log import FailureLog
from exporter.threads import Threads

LONGEST_TIMEOUT = 300.0
"""A header above it counts as this many seconds."""

MakeApi = Callable[[ApiSettings], ImportApi]


class UnknownClusterError(Exception):
    """A cluster id that is not, or no longer, configured."""


def budget(header: str | None, offset: float, scrape: schema.Scrape) -> float:
    """Return the seconds that a scrape may take, from the value of `X-Prometheus-Scrape-Timeout-Seconds`.

    A header that is absent or no sensible number leaves `scrape.timeout`, which also caps the header where the
    configuration sets it. The offset is taken off either; of a timeout that is not above the offset, half is left.
    """
    try:
        seconds = float(header or "nan")
    except ValueError:
        seconds = math.nan
    # Half of the smallest number above 0 is 0.
    timeout = min(seconds, LONGEST_TIMEOUT) if seconds / 2 > 0 and math.isfinite(seconds) else scrape.timeout
    if scrape.timeout_set:
        timeout = min(timeout, scrape.timeout)
    return timeout - offset if timeout > offset else timeout / 2


@dataclass(frozen=True, slots=True, eq=False)
class _Connections:
    """What one API client and its calls need: they outlive a reload that does not concern them."""

    api: ImportApi
    threads: Threads
    slots: asyncio.Semaphore


@dataclass(frozen=True, slots=True)
class Staged:
    """A configuration, and the API clients that it needs and that did not exist yet; ready to become active."""

    loaded: Loaded
    settings: Mapping[str, ApiSettings]
    made: Mapping[ApiSettings, ImportApi]


@dataclass(frozen=True, slots=True, eq=False)
class Active:
    """A configuration in force, its clusters in their order, and their jobs.

    A scrape keeps to the one that it began with.
    """

    loaded: Loaded
    clusters: Mapping[str, Cluster]
    jobs: Mapping[str, Jobs]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a scrape found, under the configuration that it began with."""

    loaded: Loaded
    clusters: tuple[ClusterSnapshot, ...]


class Collector:
    """Scrapes the clusters of the active configuration. Used on one event loop; `stage` blocks and is for a thread."""

    def __init__(self, make_api: MakeApi, clock: Clock, failures: FailureLog, finished: JobFinished) -> None:
        """`finished` is called once for each job that this process sees finish."""
        self._make_api = make_api
        self._clock = clock
        self._failures = failures
        self._finished = finished
        self._limits = RateLimits()
        self._connections: dict[ApiSettings, _Connections] = {}
        self._active: Active | None = None
        # How many scrapes keep to each configuration.
        self._scrapes: Counter[Active] = Counter()

    @property
    def active(self) -> Active:
        """The configuration in force. Raises LookupError before the first."""
        if self._active is None:
            raise LookupError("no configuration is active")
        return self._active

    def cluster(self, cluster_id: str) -> Cluster:
        """Return the cluster with this id. Raises UnknownClusterError."""
        try:
            return self.active.clusters[cluster_id]
        except KeyError:
            raise UnknownClusterError(cluster_id) from None

    def stage(self, loaded: Loaded) -> Staged:
        """Build the API clients that the configuration needs and that do not exist. Raises ApiError. Blocks."""
        settings = {
            cluster.cluster_id: _api_settings(cluster, loaded.keys.get(cluster.cluster_id))
            for cluster in loaded.config.clusters
        }
        existing = frozenset(self._connections)
        return Staged(loaded, settings, {each: self._make_api(each) for each in {*settings.values()} - existing})

    def activate(self, staged: Staged) -> None:
        """Put a staged configuration in force. Jobs and clusters that stay keep their answers."""
        loaded = staged.loaded
        for settings, api in staged.made.items():
            threads = Threads(settings.concurrency, f"api-{settings.cluster_id}")
            self._connections[settings] = _Connections(api, threads, asyncio.Semaphore(settings.concurrency))
        owners = {each.cluster_id: (each.base_url, loaded.keys.get(each.cluster_id)) for each in loaded.config.clusters}
        limits = self._limits.configure(
            (owners[cluster.cluster_id], cluster.requests_per_second) for cluster in loaded.config.clusters
        )
        sharing = Counter(owners.values())
        before = {} if self._active is None else self._active.clusters
        clusters = {}
        for cluster in loaded.config.clusters:
            cluster_id = cluster.cluster_id
            owner = owners[cluster_id]
            connections = self._connections[staged.settings[cluster_id]]
            rate = limits[owner].rate / sharing[owner]
            endpoint = Endpoint(connections.api, connections.threads, connections.slots, limits[owner], rate)
            settings_of_cluster = Settings(cluster, loaded.config.scrape, loaded.listed.get(cluster_id, ()))
            if cluster_id in before:
                before[cluster_id].configure(settings_of_cluster, endpoint)
                clusters[cluster_id] = before[cluster_id]
            else:
                clusters[cluster_id] = Cluster(
                    settings_of_cluster, endpoint, self._clock, self._failures, self._finished
                )
        self._active = Active(loaded, clusters, {cluster_id: each.jobs for cluster_id, each in clusters.items()})
        for settings in self._connections.keys() - {*staged.settings.values()}:
            # A scrape that is overtaken may go on with the client. Its threads end with the last reference to them.
            self._connections.pop(settings).api.close()

    async def scrape(self, seconds: float, cluster_id: str | None = None) -> Snapshot:
        """Scrape one cluster or all, for so many seconds at most. Raises UnknownClusterError.

        The snapshot has all clusters, since their jobs share `files.max_total`.
        """
        active = self.active
        scraped = list(active.clusters) if cluster_id is None else [cluster_id]
        if cluster_id is not None:
            self.cluster(cluster_id)
        deadline = asyncio.get_running_loop().time() + seconds
        self._scrapes[active] += 1
        try:
            async with asyncio.TaskGroup() as scrapes:
                tasks = {
                    each: scrapes.create_task(active.clusters[each].scrape(active.jobs[each], deadline))
                    for each in scraped
                }
        finally:
            self._scrapes[active] -= 1
            self._scrapes += Counter()
        return self.known(active, {each: task.result() for each, task in tasks.items()})

    def known(self, active: Active, scraped: Mapping[str, ClusterSnapshot] | None = None) -> Snapshot:
        """Return what is known at this moment under a configuration; `scraped` are clusters that have just ended."""
        found = scraped or {}
        clusters = (found.get(each) or cluster.known(active.jobs[each]) for each, cluster in active.clusters.items())
        return Snapshot(active.loaded, tuple(clusters))

    async def probe(self, cluster_id: str, job_id: str, seconds: float) -> Record | None:
        """Query one job, which need not be watched. Raises UnknownClusterError."""
        return await self.cluster(cluster_id).probe(job_id, asyncio.get_running_loop().time() + seconds)

    def hurry(self, seconds: float) -> None:
        """Let no running scrape last longer than so many seconds from now."""
        deadline = asyncio.get_running_loop().time() + seconds
        for active in {self.active, *self._scrapes}:
            for cluster in active.clusters.values():
                cluster.hurry(deadline)

    def cluster_ids_in_use(self) -> set[str]:
        """Return the clusters of the configuration in force, and of those that scrapes keep to."""
        return {cluster_id for active in {self.active, *self._scrapes} for cluster_id in active.clusters}

    def close(self) -> None:
        """Drop all kept connections and idle threads."""
        for connections in self._connections.values():
            connections.api.close()
            connections.threads.close()


def _api_settings(cluster: schema.Cluster, key: Secret | None) -> ApiSettings:
    """How the cluster's API is reached. Raises TlsError for a certificate or key that cannot be read."""
    tls = cluster.tls_config
    return ApiSettings(
        cluster_id=cluster.cluster_id,
        dialect=cluster.api,
        base_url=cluster.base_url,
        key=key,
        db_name=cluster.db_name,
        project_id=cluster.project_id,
        region_id=cluster.region_id,
        progress_path=cluster.progress_path,
        concurrency=cluster.concurrency,
        proxy_url=cluster.proxy_url,
        ca_file=tls.ca_file,
        cert_file=tls.cert_file,
        key_file=tls.key_file,
        server_name=tls.server_name,
        insecure_skip_verify=tls.insecure_skip_verify,
        tls_files=_digest(tls.ca_file, tls.cert_file, tls.key_file),
    )


def _digest(*paths: str | None) -> str:
    """What the files hold, so that a rotated certificate makes for new connections. Raises TlsError."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            content = b"" if path is None else Path(path).read_bytes()
        except OSError as error:
            raise TlsError(f"{path}: {error.strerror}") from None
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()
