"""What the web pages show and the scrapes ask: fleet, exposition and configuration under one roof."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from exporter import __version__
from exporter.api.errors import ApiError
from exporter.collector.snapshot import ClusterSnapshot
from exporter.config.load import ConfigError, Loaded, Loader
from exporter.debug import explain
from exporter.log import get_logger
from exporter.metrics.body import Body
from exporter.metrics.exposition import Exposition, job_body
from exporter.metrics.own import OwnMetrics
from exporter.model import Source
from exporter.scrape import Configured, Fleet, Target, budget
from exporter.watch.cluster import ClusterWatch
from exporter.watch.settings import Clock
from exporter.watch.view import ClusterView, JobView
from exporter.web.routes import Reloaded, UnknownClusterError
from exporter.web.status import ClusterStatus, Status

JOBS_ON_PAGE = 200
_LINE_NUMBER = re.compile(r" \([^()]*line [0-9]+\)$")

log = get_logger()


class Backend:
    """Answers scrapes and pages. All methods are thread-safe; all but `cluster_ids` may block."""

    def __init__(
        self,
        loader: Loader,
        make_fleet: Callable[[Loaded], Fleet],
        own: OwnMetrics,
        clock: Clock,
        *,
        timeout_offset: float,
    ) -> None:
        """Load the configuration and watch what it names. Raises ConfigError."""
        self._loader = loader
        self._own = own
        self._clock = clock
        self._timeout_offset = timeout_offset
        self._started = clock.epoch()
        self._reloading = threading.Lock()
        self._lock = threading.Lock()
        self._told: frozenset[str] = frozenset()
        self._unprepared: tuple[str, ...] = ()
        self._scraped: dict[str, float] = {}
        loaded = loader.load()
        for cluster in loaded.config.clusters:
            self._own.add_cluster(cluster.cluster_id)
        self._fleet = make_fleet(loaded)
        self._exposition = Exposition()
        self._jobs: dict[ClusterWatch, dict[str, JobView]] = {}
        self._loader.accept()
        self._own.reload_done(ok=not loaded.list_problems, at=self._started)
        self._tell(loaded)

    def metrics(self, timeout_header: str | None, scope: Literal["all", "exporter"]) -> Body:
        """All clusters and the exporter's own metrics, or the latter alone."""
        if scope == "exporter":
            return Body(own=self._own.collect())
        return self._scrape(timeout_header, None)

    def probe(self, target: str, job_id: str | None, timeout_header: str | None) -> Body:
        """The gauges of one cluster, or of one job of it, which need not be watched."""
        if job_id is None:
            _target(self._fleet.configured, target)
            return self._scrape(timeout_header, target)
        configured = self._fleet.configured
        view = self._probe_job(_target(configured, target), job_id, timeout_header)
        return Body() if view is None else job_body(view, configured.loaded.config.files)

    def probe_debug(self, target: str, job_id: str | None, timeout_header: str | None) -> str:
        """What was asked, answered and made of it, for a person, without secrets."""
        configured = self._fleet.configured
        budget = self._budget(timeout_header, configured)
        return explain(_target(configured, target), job_id, budget, self._clock.monotonic)

    def status(self) -> Status:
        """What is known now; asks no API."""
        return Status(
            __version__,
            self._started,
            [self._cluster_status(target) for target in self._fleet.configured.targets],
            reload_failed=self._own.reload_failed,
            loaded=self._own.loaded,
        )

    def cluster_ids(self) -> Sequence[str]:
        """The configured clusters, in their order."""
        return [target.cluster.cluster_id for target in self._fleet.configured.targets]

    def reload(self) -> Reloaded:
        """Load the configuration again; of what is wrong, itself or a job list, the last good one stays."""
        with self._reloading:
            return self._reload()

    def reload_if_changed(self) -> None:
        """Load the configuration again if a file that it depends on has other content than when it was read.

        Also if it could not be prepared for another reason than its content, which may have passed.
        """
        with self._reloading:
            if self._loader.changed() or self._unprepared:
                self._reload(before=self._unprepared)

    def _reload(self, before: Sequence[str] = ()) -> Reloaded:
        """`before`: errors that were told already."""
        errors = self._try_to_load()
        for line in errors:
            if line not in before:
                log.error("Reload failed, the configuration stays as it was", error=line)
        if not errors:
            log.info("Configuration loaded", clusters=len(self.cluster_ids()))
        problems = (*errors, *self._fleet.configured.loaded.list_problems)
        self._own.reload_done(ok=not problems, at=self._clock.epoch())
        return Reloaded(replaced=not errors, problems=problems)

    def _try_to_load(self) -> Sequence[str]:
        self._unprepared = ()
        try:
            self._apply(self._loader.load())
            self._loader.accept()
        except ConfigError as error:
            self._keep_up_with_files()
            return error.errors
        except ApiError as error:
            self._unprepared = (str(error),)
            self._keep_up_with_files()
            return self._unprepared
        return ()

    def _keep_up_with_files(self) -> None:
        """Let the configuration that stays have its keys and job lists as they are now."""
        loaded = self._loader.load_last_good()
        if loaded is None:
            return
        try:
            self._apply(loaded)
        except ApiError as error:
            if str(error) in self._unprepared:
                return
            log.warning("Keys and job lists stay as they were, too", error=str(error))

    def close(self) -> None:
        """Drop the connections to the APIs."""
        self._fleet.close()

    def _apply(self, loaded: Loaded) -> None:
        prepared = self._fleet.prepare(loaded)
        with self._lock:
            before = self._fleet.configured
            cluster_ids = {cluster.cluster_id for cluster in loaded.config.clusters}
            for cluster_id in cluster_ids:
                self._own.add_cluster(cluster_id)
            self._fleet.apply(prepared)
            for target in before.targets:
                if target.cluster.cluster_id not in cluster_ids:
                    self._own.forget_cluster(target.cluster.cluster_id)
        self._tell(loaded)

    def _tell(self, loaded: Loaded) -> None:
        # By what they say, as a line above them moves where they say it.
        lines = {_LINE_NUMBER.sub("", line): line for line in (*loaded.warnings, *loaded.list_problems)}
        for said, line in lines.items():
            if said not in self._told:
                log.warning("Configuration", warning=line)
        self._told = frozenset(lines)

    def _budget(self, timeout_header: str | None, configured: Configured) -> float:
        return budget(timeout_header, self._timeout_offset, configured.loaded.config.scrape)

    def _cluster_status(self, target: Target) -> ClusterStatus:
        jobs, total = target.watch.worst(JOBS_ON_PAGE)
        return ClusterStatus(
            view=target.watch.last_view,
            cluster_id=target.cluster.cluster_id,
            dialect=target.cluster.api,
            base_url=target.cluster.base_url,
            last_error=target.watch.last_error,
            jobs=jobs,
            jobs_total=total,
            scraped=self._scraped.get(target.cluster.cluster_id),
        )

    def _scrape(self, timeout_header: str | None, cluster_id: str | None) -> Body:
        deadline = self._clock.monotonic() + self._budget(timeout_header, self._fleet.configured)
        while True:
            snapshot = self._fleet.scrape(deadline, cluster_id, meanwhile=self._render_meanwhile)
            with self._lock:
                if self._fleet.configured is snapshot.configured:
                    self._scraped |= {view.cluster_id: self._clock.epoch() for view in snapshot.views}
                    return self._exposition.body(
                        self._snapshots(snapshot.configured, snapshot.views),
                        snapshot.configured.loaded.config.files,
                        self._own.collect() if cluster_id is None else (),
                        only=cluster_id,
                    )

    def _render_meanwhile(self) -> None:
        """Render what the APIs have answered so far, while they are waited for, rather than all of it in the end."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            configured = self._fleet.configured
            self._exposition.update(self._snapshots(configured, ()), configured.loaded.config.files)
        finally:
            self._lock.release()

    def _snapshots(self, configured: Configured, views: Sequence[ClusterView]) -> list[ClusterSnapshot]:
        by_id = {view.cluster_id: view for view in views}
        self._jobs = {target.watch: self._jobs.get(target.watch, {}) for target in configured.targets}
        snapshots = []
        for target in configured.targets:
            changed, gone = target.watch.changes()
            jobs = self._jobs[target.watch]
            for job_id in gone:
                jobs.pop(job_id, None)
            jobs.update({view.job_id: view for view in changed})
            cluster_id = target.cluster.cluster_id
            view = by_id.get(cluster_id) or ClusterView(cluster_id, None, {}, 0, 0, 0.0)
            snapshots.append(
                ClusterSnapshot(
                    cluster_id, view.up, view.jobs, view.waiting, view.omitted, view.scrape_duration, dict(jobs)
                )
            )
        return snapshots

    def _probe_job(self, target: Target, job_id: str, timeout_header: str | None) -> JobView | None:
        watch = target.watch
        began = self._clock.epoch()
        deadline = self._clock.monotonic() + self._budget(timeout_header, self._fleet.configured)
        probe = watch.begin(deadline, only=job_id)
        watch.end(probe)
        known = watch.view(job_id)
        if known is not None:
            return known
        outcome = probe.outcome
        if outcome is None:
            return None
        view = JobView(
            cluster_id=target.cluster.cluster_id,
            job_id=job_id,
            source=Source.CONFIG,
            collection_name="",
            db_name=target.cluster.db_name or "",
            first_seen=began,
        )
        if isinstance(outcome, ApiError):
            return replace(view, up=False, error=outcome.error)
        return replace(
            view, up=True, job=outcome, collection_name=outcome.collection_name, refreshed=self._clock.epoch()
        )


def _target(configured: Configured, cluster_id: str) -> Target:
    target = configured.named(cluster_id)
    if target is None:
        raise UnknownClusterError(cluster_id)
    return target
