"""Deadlines that can be put off, for calls that are ended by `Attempt.abort`."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from exporter.api.attempt import Attempt
from exporter.api.client import Exchange, ImportApi
from exporter.model import Job, ListPage

Sent = Callable[[], None]


class Deadline:
    """When a call must be over, in monotonic seconds; others may put it off while the call runs."""

    def __init__(self, at: float) -> None:
        self.at = at

    def extend(self, at: float) -> None:
        """Put the deadline off; an earlier moment changes nothing."""
        self.at = max(self.at, at)

    def remaining(self) -> float:
        """Return the seconds that are left, negative ones once it has passed."""
        return self.at - time.monotonic()


class TimedApi:
    """An import API whose calls take a deadline."""

    def __init__(self, api: ImportApi) -> None:
        self._api = api
        self.close = api.close

    def progress(self, job_id: str, deadline: Deadline, *, database: str = "", sent: Sent | None = None) -> Job:
        """Read one job."""
        with _attempt(deadline, sent) as attempt:
            return self._api.progress(job_id, attempt, database=database)

    def list_page(
        self, page: int, deadline: Deadline, *, collection: str = "", database: str = "", sent: Sent | None = None
    ) -> ListPage:
        """Read one page of the list."""
        with _attempt(deadline, sent) as attempt:
            return self._api.list_page(page, attempt, collection=collection, database=database)

    def explain(self, job_id: str, deadline: Deadline, *, database: str = "", sent: Sent | None = None) -> Exchange:
        """Read one job and return the whole exchange."""
        with _attempt(deadline, sent) as attempt:
            return self._api.explain(job_id, attempt, database=database)

    def explain_list(
        self, deadline: Deadline, *, collection: str = "", database: str = "", sent: Sent | None = None
    ) -> Exchange:
        """Read the first page of a list and return the whole exchange."""
        with _attempt(deadline, sent) as attempt:
            return self._api.explain_list(attempt, collection=collection, database=database)


@contextlib.contextmanager
def _attempt(deadline: Deadline, sent: Sent | None) -> Iterator[Attempt]:
    attempt, over = Attempt(sent), threading.Event()

    def watch() -> None:
        while (left := deadline.remaining()) > 0:
            if over.wait(min(left, threading.TIMEOUT_MAX)):
                return
        attempt.abort()

    thread = threading.Thread(target=watch, name="api-watchdog", daemon=True)
    thread.start()
    try:
        yield attempt
    finally:
        over.set()
