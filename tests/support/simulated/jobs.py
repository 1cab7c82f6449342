"""The jobs of one simulated cluster, which tests add and remove."""

from __future__ import annotations

import threading

import exporter.demo.jobs
from exporter.demo.scenario import JobScript


class Jobs(exporter.demo.jobs.Jobs):
    """What one cluster knows. Thread-safe."""

    def __init__(self) -> None:
        """Begin without any job."""
        super().__init__()
        self._lock = threading.Lock()
        self._scripts: dict[str, JobScript] = {}

    def add(self, *scripts: JobScript) -> None:
        """Add jobs; one of an id that is there already replaces that."""
        with self._lock:
            self._scripts.update((script.job_id, script) for script in scripts)

    def remove(self, *job_ids: str) -> None:
        """Forget jobs that were added, as if they had never been."""
        with self._lock:
            for job_id in job_ids:
                self._scripts.pop(job_id, None)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._scripts.clear()

    def find(self, job_id: str, time: float) -> JobScript | None:
        """The job of this id, if it is known at that scenario second."""
        with self._lock:
            script = self._scripts.get(job_id)
        return script if script is not None and script.known(time) else None

    def present(self, time: float) -> list[JobScript]:
        """All jobs known at a scenario second, in an order that does not depend on it."""
        with self._lock:
            scripts = tuple(self._scripts.values())
        return [script for script in scripts if script.known(time)]

    def collections(self, database: str) -> set[str]:
        """Names of the collections of a database that any job was ever written for."""
        with self._lock:
            scripts = tuple(self._scripts.values())
        return {script.collection_name for script in scripts if script.db_name == database}
