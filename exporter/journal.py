"""Failures of watching, logged when they begin, change and end."""

from __future__ import annotations

import threading

from exporter.api.errors import ApiError
from exporter.log import FailureLog
from exporter.watch.desk import DOWN


class LogJournal:
    """Logs failures of a whole API once for the cluster, and failures of one job for that job. Thread-safe."""

    def __init__(self, failures: FailureLog) -> None:
        self._failures = failures
        self._lock = threading.Lock()

    def trouble(self, cluster_id: str, subject: str, error: ApiError) -> None:
        """A call about `subject` (a job id, or `list`) failed."""
        whole = error.error in DOWN
        with self._lock:
            self._failures.failing(
                (cluster_id, "" if whole else subject),
                error.error,
                "Import API cannot be read" if whole else "Import API gave no usable answer",
                cluster_id=cluster_id,
                asked_about=subject,
                error=error.error,
                detail=str(error),
            )

    def well(self, cluster_id: str, subject: str) -> None:
        """A call about `subject` works again."""
        with self._lock:
            self._failures.working((cluster_id, ""), "Import API can be read again", cluster_id=cluster_id)
            self._failures.working(
                (cluster_id, subject), "Import API answers again", cluster_id=cluster_id, asked_about=subject
            )
