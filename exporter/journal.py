"""Troubles of watching, told in the log when they begin, change and end."""

from __future__ import annotations

from exporter.api.errors import ApiError
from exporter.log import ChangeLog
from exporter.watch.desk import DOWN


class LogJournal:
    """Tells troubles with a whole API once for the cluster, and troubles with one job for that job."""

    def __init__(self, changes: ChangeLog) -> None:
        self._changes = changes

    def trouble(self, cluster_id: str, subject: str, error: ApiError) -> None:
        """A call about `subject` (a job id, or `list`) failed."""
        whole = error.error in DOWN
        self._changes.failing(
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
        self._changes.working((cluster_id, ""), "Import API can be read again", cluster_id=cluster_id)
        self._changes.working(
            (cluster_id, subject), "Import API answers again", cluster_id=cluster_id, asked_about=subject
        )
