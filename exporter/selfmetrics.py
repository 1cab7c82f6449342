"""The exporter's own metrics: requests to the APIs, reloads, build, process and Python."""

from __future__ import annotations

import threading
from collections.abc import Iterable
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

from exporter import __version__
from exporter.model import ErrorClass

OPERATIONS = ("progress", "list")

REQUEST_ERRORS = tuple(error for error in ErrorClass if error not in {ErrorClass.EXPIRED, ErrorClass.STARVED})
"""How a request can fail. `expired` and `starved` are no failures of a request: they say what a job's silence means."""

BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
"""Seconds; 20 s is the longest that a request is waited for."""


class SelfMetrics:
    """Counts what the exporter does, in a registry of its own. Thread-safe."""

    def __init__(self, version: str = __version__, revision: str = "") -> None:
        # A setting of the whole library: `_created` series would double the counters and say nothing here.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library leaves it untyped
        self.registry = CollectorRegistry()
        self._lock = threading.Lock()
        self._clusters: frozenset[str] = frozenset()
        self.reload_failed = False
        """Whether the configuration, or a job list, was not valid when it was last loaded."""
        self.loaded: float | None = None
        """When all of it was last valid, in seconds since the epoch; None if it never was."""
        self._requests = Counter(
            "zilliz_import_api_requests_total",
            "Requests to the import API, failed ones included.",
            ("cluster_id", "operation"),
            registry=self.registry,
        )
        self._errors = Counter(
            "zilliz_import_api_errors_total",
            "Requests to the import API that gave no usable answer, by class of error.",
            ("cluster_id", "operation", "error"),
            registry=self.registry,
        )
        self._durations = Histogram(
            "zilliz_import_api_request_duration_seconds",
            "How long requests to the import API took, failed ones included.",
            ("cluster_id", "operation"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._reload_successful = Gauge(
            "zilliz_import_exporter_config_last_reload_successful",
            "Whether the configuration, and the job lists that it names, were valid when they were last loaded.",
            registry=self.registry,
        )
        self._reload_success_time = Gauge(
            "zilliz_import_exporter_config_last_reload_success_timestamp_seconds",
            "When the configuration was last loaded successfully.",
            registry=self.registry,
        )
        Gauge(
            "zilliz_import_exporter_build_info",
            "Version of this exporter, the revision it was built from and the version of Python, value 1.",
            ("version", "revision", "pythonversion"),
            registry=self.registry,
        ).labels(version, revision, python_version()).set(1)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def set_clusters(self, cluster_ids: Iterable[str]) -> None:
        """Starts the series of new clusters at 0 and ends those of clusters that are no longer configured."""
        with self._lock:
            clusters = frozenset(cluster_ids)
            for cluster_id in sorted(clusters - self._clusters):
                for operation in OPERATIONS:
                    self._requests.labels(cluster_id, operation)
                    self._durations.labels(cluster_id, operation)
                    for error in REQUEST_ERRORS:
                        self._errors.labels(cluster_id, operation, error)
            for cluster_id in self._clusters - clusters:
                for operation in OPERATIONS:
                    self._requests.remove(cluster_id, operation)
                    self._durations.remove(cluster_id, operation)
                    for error in REQUEST_ERRORS:
                        self._errors.remove(cluster_id, operation, error)
            self._clusters = clusters

    def observe(self, cluster_id: str, operation: str, seconds: float, error: ErrorClass | None) -> None:
        """Counts one request that took so long; `error` is its failure, None where it gave a usable answer.

        A request that was still under way when its cluster left the configuration is not counted.
        """
        with self._lock:
            if cluster_id not in self._clusters:
                return
            self._requests.labels(cluster_id, operation).inc()
            self._durations.labels(cluster_id, operation).observe(seconds)
            if error is not None:
                self._errors.labels(cluster_id, operation, error).inc()

    def reload_done(self, ok: bool, at: float) -> None:
        """Notes the outcome of loading the configuration; `at` in seconds since the epoch."""
        self.reload_failed = not ok
        self._reload_successful.set(ok)
        if ok:
            self.loaded = at
            self._reload_success_time.set(at)
