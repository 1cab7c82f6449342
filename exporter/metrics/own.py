"""The exporter's own metrics: requests to the APIs, reloads, build, process and Python."""

from __future__ import annotations

import threading
from collections.abc import Collection
from platform import python_version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.metrics_core import Metric

from exporter import __version__
from exporter.model import ErrorClass, State

OPERATIONS = ("progress", "list")

REQUEST_ERRORS = tuple(
    error for error in ErrorClass if error not in {ErrorClass.EXPIRED, ErrorClass.VANISHED, ErrorClass.STARVED}
)
"""How a request can fail. `expired` and `starved` describe a job, not a request."""

BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
"""Seconds; no request takes longer than 20 s."""


class OwnMetrics:
    """Counts what the exporter does. Thread-safe."""

    def __init__(self, version: str = __version__, revision: str = "") -> None:
        # A setting of the whole library: `_created` series would double the counters and say nothing here.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library leaves it untyped
        self._registry = CollectorRegistry()
        self._lock = threading.Lock()
        # Looked up once, since finding the series of a request costs more than counting it.
        self._series: dict[tuple[str, str], tuple[Counter, Histogram]] = {}
        self._clusters: set[str] = set()
        self.reload_failed = False
        """Whether the configuration, or a job list, was not valid when it was last loaded."""
        self.loaded: float | None = None
        """When all of it was last valid, in seconds since the epoch; None if it never was."""
        self._requests = Counter(
            "zilliz_import_api_requests_total",
            "Requests to the import API, failed ones included.",
            ("cluster_id", "operation"),
            registry=self._registry,
        )
        self._errors = Counter(
            "zilliz_import_api_errors_total",
            "Requests to the import API that returned no usable answer, by class of error.",
            ("cluster_id", "operation", "error"),
            registry=self._registry,
        )
        self._durations = Histogram(
            "zilliz_import_api_request_duration_seconds",
            "How long requests to the import API took, failed ones included.",
            ("cluster_id", "operation"),
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._finished = Counter(
            "zilliz_import_jobs_finished_total",
            "Import jobs that this exporter saw finish, Completed or Failed, each once (API field state).",
            ("cluster_id", "collection_name", "state"),
            registry=self._registry,
        )
        self._finished_collections: dict[str, set[str]] = {}
        self._reload_successful = Gauge(
            "zilliz_import_exporter_config_last_reload_successful",
            "Whether the configuration, and the job lists that it names, were valid when they were last loaded.",
            registry=self._registry,
        )
        self._reload_success_time = Gauge(
            "zilliz_import_exporter_config_last_reload_success_timestamp_seconds",
            "When the configuration was last loaded successfully.",
            registry=self._registry,
        )
        Gauge(
            "zilliz_import_exporter_build_info",
            "Version of this exporter, the revision it was built from and the version of Python, value 1.",
            ("version", "revision", "pythonversion"),
            registry=self._registry,
        ).labels(version, revision, python_version()).set(1)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    @property
    def cluster_ids(self) -> set[str]:
        """The clusters that have series."""
        return set(self._clusters)

    def add_cluster(self, cluster_id: str) -> None:
        """Starts the series of a cluster at 0; no effect where they exist."""
        with self._lock:
            if cluster_id in self._clusters:
                return
            self._clusters.add(cluster_id)
            for operation in OPERATIONS:
                requests = self._requests.labels(cluster_id, operation)
                self._series[cluster_id, operation] = requests, self._durations.labels(cluster_id, operation)
                for error in REQUEST_ERRORS:
                    self._errors.labels(cluster_id, operation, error)

    def forget_cluster(self, cluster_id: str) -> None:
        """Ends the series of a cluster; no effect where there are none."""
        with self._lock:
            if cluster_id not in self._clusters:
                return
            self._clusters.remove(cluster_id)
            for operation in OPERATIONS:
                del self._series[cluster_id, operation]
                self._requests.remove(cluster_id, operation)
                self._durations.remove(cluster_id, operation)
                for error in REQUEST_ERRORS:
                    self._errors.remove(cluster_id, operation, error)
            for collection_name in self._finished_collections.pop(cluster_id, ()):
                for state in (State.COMPLETED, State.FAILED):
                    self._finished.remove(cluster_id, collection_name, state)

    def observe(self, cluster_id: str, operation: str, seconds: float, error: ErrorClass | None) -> None:
        """Counts one request and its duration in seconds; `error` is its failure, None where it gave a usable answer.

        A request to a cluster that was not added, or was forgotten, is not counted.
        """
        with self._lock:
            if cluster_id not in self._clusters:
                return
            requests, durations = self._series[cluster_id, operation]
            requests.inc()
            durations.observe(seconds)
            if error is not None:
                self._errors.labels(cluster_id, operation, error).inc()

    def job_finished(self, cluster_id: str, collection_name: str, state: State | None) -> None:
        """Counts one job that was seen to finish; None: it is unfinished, and the series of its collection start at 0.

        A job of a cluster that was not added, or was forgotten, is not counted.
        """
        with self._lock:
            if cluster_id not in self._clusters:
                return
            self._finished_collections.setdefault(cluster_id, set()).add(collection_name)
            for each in (State.COMPLETED, State.FAILED):
                self._finished.labels(cluster_id, collection_name, each).inc(1 if each is state else 0)

    def reload_done(self, ok: bool, at: float) -> None:
        """Notes the outcome of loading the configuration; `at` in seconds since the epoch."""
        self.reload_failed = not ok
        self._reload_successful.set(ok)
        if ok:
            self.loaded = at
            self._reload_success_time.set(at)

    def collect(self, cluster_ids: Collection[str] | None = None) -> list[Metric]:
        """All families as they are now; of the series of clusters only those of `cluster_ids`, None for all."""
        families = list(self._registry.collect())
        if cluster_ids is not None:
            for family in families:
                family.samples = [
                    sample
                    for sample in family.samples
                    if "cluster_id" not in sample.labels or sample.labels["cluster_id"] in cluster_ids
                ]
        return families
