"""What the web pages show and the scrapes query: configuration, collector and text under one roof."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, TypeVar

from prometheus_client.metrics_core import Metric

from exporter import __version__
from exporter.api.errors import ApiError
from exporter.collector.clock import Clock
from exporter.collector.cluster import Cluster
from exporter.collector.collector import Collector, MakeApi, Snapshot, budget
from exporter.config.load import ConfigError, Loaded, Loader
from exporter.config.problems import unexpected
from exporter.debug import explain
from exporter.log import FailureLog, get_logger
from exporter.metrics.body import Body
from exporter.metrics.exposition import Exposition, job_body
from exporter.metrics.own import OwnMetrics
from exporter.threads import Threads, in_thread
from exporter.web.routes import Reloaded
from exporter.web.status import ClusterStatus, Status

RENDER_EVERY = 0.1
"""Seconds between two updates of the text while a scrape waits for answers."""
_LINE_NUMBER = re.compile(r" \([^()]*line [0-9]+\)$")

log = get_logger()

T = TypeVar("T")


class App:
    """Answers scrapes and pages. Used on one event loop, on which `start` comes first."""

    def __init__(
        self,
        loader: Loader,
        own: OwnMetrics,
        make_api: MakeApi,
        clock: Clock,
        failures: FailureLog,
        *,
        timeout_offset: float,
    ) -> None:
        """`timeout_offset`: seconds taken off the timeout of a scrape."""
        self._loader = loader
        self._own = own
        self._clock = clock
        self._timeout_offset = timeout_offset
        self.collector = Collector(make_api, clock, failures, own.job_finished)
        self._started = clock.epoch()
        # When somebody last asked for metrics of clusters (monotonic seconds).
        self._scraped_at = float("-inf")
        self._reloading = asyncio.Lock()
        self._logged: frozenset[str] = frozenset()
        self._unprepared: tuple[str, ...] = ()
        # The one thread that renders is the only one that touches the text.
        self._render_thread = Threads(1, "render")
        self._exposition = Exposition()

    async def start(self) -> None:
        """Load the configuration, and put it in force. Raises ConfigError or ApiError."""
        loaded = await in_thread(self._loader.load)
        self.collector.activate(await in_thread(partial(self.collector.stage, loaded)))
        self._loader.accept()
        self._keep_series_in_use()
        self._own.reload_done(ok=not loaded.list_problems, at=self._started)
        self._log_loaded()
        self._log_warnings(loaded)

    def close(self) -> None:
        """Drop the connections to the APIs."""
        self.collector.close()
        self._render_thread.close()

    def hurry(self, seconds: float) -> None:
        """Let no running scrape last longer than so many seconds from now."""
        self.collector.hurry(seconds)

    async def metrics(self, timeout_header: str | None, scope: Literal["all", "exporter"]) -> Body:
        """All clusters and the exporter's own metrics, or the latter alone."""
        if scope == "exporter":
            return Body(own=self._own.collect())
        self._scraped_at = self._clock.monotonic()
        snapshot, own = await self._scrape(timeout_header)
        return await self._rendered(
            partial(self._exposition.body, snapshot.clusters, snapshot.loaded.config.files, own)
        )

    async def once(self) -> tuple[Snapshot, Body]:
        """All clusters within `scrape.timeout`, as data and as text; of the own metrics only those about requests."""
        snapshot, own = await self._scrape(None)
        requests = [family for family in own if family.name.startswith("zilliz_import_api_")]
        files = snapshot.loaded.config.files
        return snapshot, await self._rendered(partial(self._exposition.body, snapshot.clusters, files, requests))

    async def probe(self, target: str, job_id: str | None, timeout_header: str | None) -> Body:
        """The gauges of one cluster, or of one job of it, which need not be watched. Raises UnknownClusterError."""
        self._scraped_at = self._clock.monotonic()
        if job_id is None:
            snapshot, _ = await self._scrape(timeout_header, target)
            files = snapshot.loaded.config.files
            return await self._rendered(partial(self._exposition.body, snapshot.clusters, files, only=target))
        files = self.collector.active.loaded.config.files
        record = await self.collector.probe(target, job_id, self._budget(timeout_header))
        return Body() if record is None else await in_thread(partial(job_body, record, files))

    async def probe_debug(self, target: str, job_id: str | None, timeout_header: str | None) -> str:
        """What was queried, answered and made of it, for a person, without secrets. Raises UnknownClusterError."""
        return await explain(self.collector.cluster(target), job_id, self._budget(timeout_header))

    async def scrape(self, target: str | None = None) -> None:
        """Scrape one cluster or all, for what the status page shows. Raises UnknownClusterError."""
        await self._scrape(None, target)

    async def scrape_unless_scraped(self, seconds: float) -> None:
        """Scrape all clusters, if nobody else did for so many seconds."""
        if self._clock.monotonic() - self._scraped_at >= seconds:
            await self.scrape()

    def status(self) -> Status:
        """What is known now; queries no API."""
        return Status(
            __version__,
            self._started,
            [_cluster_status(cluster) for cluster in self.collector.active.clusters.values()],
            reload_failed=self._own.reload_failed,
            loaded=self._own.loaded,
        )

    def cluster_ids(self) -> Sequence[str]:
        """The configured clusters, in their order."""
        return list(self.collector.active.clusters)

    async def reload(self) -> Reloaded:
        """Load the configuration again; of what is wrong, itself or a job list, the last good one stays."""
        async with self._reloading:
            return await self._reload()

    async def reload_if_changed(self) -> None:
        """Load the configuration again if a file that it depends on has other content than when it was read.

        Also if it could not be prepared for another reason than its content, which may have passed.
        """
        async with self._reloading:
            changed = await in_thread(self._loader.changed)
            if changed or self._unprepared:
                await self._reload(before=self._unprepared)

    async def _reload(self, before: Sequence[str] = ()) -> Reloaded:
        """`before`: errors that were logged already."""
        errors = await self._try_to_load()
        for line in errors:
            if line not in before:
                log.error("Reload failed, the configuration stays as it was", error=line)
        if not errors:
            self._log_loaded()
        problems = (*errors, *self.collector.active.loaded.list_problems)
        self._own.reload_done(ok=not problems, at=self._clock.epoch())
        return Reloaded(replaced=not errors, problems=problems)

    async def _try_to_load(self) -> Sequence[str]:
        self._unprepared = ()
        try:
            await self._activate(await in_thread(self._loader.load))
            self._loader.accept()
        except ConfigError as error:
            await self._keep_up_with_files()
            return error.errors
        except Exception as error:  # noqa: BLE001 - the boundary: whatever fails, the next reload may work
            self._unprepared = (_sentence(error),)
            await self._keep_up_with_files()
            return self._unprepared
        return ()

    async def _keep_up_with_files(self) -> None:
        """Let the configuration that stays have its keys and job lists as they are now."""
        try:
            loaded = await in_thread(self._loader.load_last_good)
            if loaded is not None:
                await self._activate(loaded)
        except Exception as error:  # noqa: BLE001 - the boundary, as above
            if _sentence(error) not in self._unprepared:
                log.warning("Keys and job lists stay as they were, too", error=_sentence(error))

    async def _activate(self, loaded: Loaded) -> None:
        self.collector.activate(await in_thread(partial(self.collector.stage, loaded)))
        self._keep_series_in_use()
        self._log_warnings(loaded)

    def _log_loaded(self) -> None:
        log.info("Configuration loaded", **self._loader.origin, clusters=len(self.cluster_ids()))

    def _log_warnings(self, loaded: Loaded) -> None:
        # By what they say, as a line above them moves where they say it.
        lines = {_LINE_NUMBER.sub("", line): line for line in (*loaded.warnings, *loaded.list_problems)}
        for said, line in lines.items():
            if said not in self._logged:
                log.warning("Configuration", warning=line)
        self._logged = frozenset(lines)

    def _budget(self, timeout_header: str | None) -> float:
        return budget(timeout_header, self._timeout_offset, self.collector.active.loaded.config.scrape)

    async def _scrape(
        self, timeout_header: str | None, cluster_id: str | None = None
    ) -> tuple[Snapshot, Sequence[Metric]]:
        """Scrape one cluster or all; return what was found, and the exporter's own metrics about these clusters."""
        rendering = asyncio.get_running_loop().create_task(self._render_meanwhile())
        try:
            snapshot = await self.collector.scrape(self._budget(timeout_header), cluster_id)
        finally:
            rendering.cancel()
        # Before the series of clusters end that only this scrape still knew.
        own = self._own.collect({cluster.cluster_id for cluster in snapshot.clusters})
        self._keep_series_in_use()
        return snapshot, own

    def _keep_series_in_use(self) -> None:
        """Begin and end the series of clusters that came and went with configurations."""
        in_use = self.collector.cluster_ids_in_use()
        for cluster_id in in_use:
            self._own.add_cluster(cluster_id)
        for cluster_id in self._own.cluster_ids - in_use:
            self._own.forget_cluster(cluster_id)

    async def _render_meanwhile(self) -> None:
        """Render what the APIs have answered so far, while they are waited for, rather than all of it in the end."""
        active = self.collector.active
        while True:
            await asyncio.sleep(RENDER_EVERY)
            known = self.collector.known(active)
            await self._rendered(partial(self._exposition.update, known.clusters, known.loaded.config.files))

    async def _rendered(self, render: Callable[[], T]) -> T:
        return await self._render_thread.run(render)


def _sentence(error: Exception) -> str:
    return str(error) if isinstance(error, ApiError) else unexpected(error)


def _cluster_status(cluster: Cluster) -> ClusterStatus:
    return ClusterStatus(
        settings=cluster.jobs.settings,
        view=cluster.last_snapshot,
        jobs=cluster.jobs.watched(),
        last_error=cluster.last_error,
        scraped=cluster.scraped_at,
    )
