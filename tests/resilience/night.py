"""Twelve jobs on one API: two that a fault is done to, and ten whose every sample is known beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.demo.scenario import FileMoment, Moment, Phase, TaskPhase
from exporter.model import State
from tests.support.simulated import CLUSTER, FileScript, JobScript, Pause, SimulatedApi, Stages
from tests.support.strict import Exposed, Labels, labels

CANARY = "canary-key-7b1e94"
VICTIMS = ("448761313698322001", "448761313698322007")
MIDNIGHT = 1_780_000_000.0
"""Calendar time of scenario second 0."""


def _files(count: int) -> tuple[FileScript, ...]:
    return tuple(
        FileScript((f"part {number}.parquet",), 1_000_003 * number, 997 * number) for number in range(1, count + 1)
    )


def _job(number: int, collection_name: str, files: int, **script: Any) -> JobScript:
    return JobScript(f"4487613136983220{number:02}", collection_name, _files(files), **script)


SLOW = Stages(pending=1, preimporting=1, importing=1000, sorting=1000, indexing=1000)
JOBS = (
    _job(1, "victims", 2, stages=SLOW),
    _job(2, "articles", 0, stages=SLOW),
    _job(3, "articles", 1, stages=SLOW),
    _job(4, "reviews", 3, stages=SLOW, tasks_at_once=1),
    _job(5, "reviews", 2, stages=Stages(pending=1000)),
    _job(6, "events", 2, stages=Stages(1, 1, 10, 100, 100)),
    _job(7, "victims", 1, stages=SLOW),
    _job(8, "events", 2, stages=Stages(1, 1, 4, 4, 4), auto_commit=False),
    _job(9, "done", 2, stages=Stages(1, 1, 4, 4, 4)),
    _job(10, "broken", 2, stages=SLOW, fails_after=15, reason="field 'lang' is missing"),
    _job(11, "lost", 2, stages=SLOW, pause=Pause(20, 1000, node_lost=True)),
    _job(12, 'ügly \\ " \n', 1, stages=SLOW),
)
START = 30.0
"""The scenario second at which a test begins."""
UNFINISHED = tuple(job for job in JOBS if (now := job.at(START)) and now.state not in (Phase.COMPLETED, Phase.FAILED))
NEIGHBOURS = tuple(job for job in JOBS if job.job_id not in VICTIMS)
FILE_STATES = {
    TaskPhase.PENDING: State.PENDING,
    TaskPhase.IN_PROGRESS: State.IMPORTING,
    TaskPhase.COMPLETED: State.COMPLETED,
    TaskPhase.FAILED: State.FAILED,
}


@dataclass(frozen=True)
class Night:
    """A simulated API with these jobs, over plain HTTP or over TLS; `scheme` says which."""

    api: SimulatedApi
    ca_file: Path

    @property
    def scheme(self) -> str:
        """`http` or `https`."""
        return self.api.url.partition(":")[0]

    def cluster(self, jobs: tuple[JobScript, ...] = JOBS, **more: Any) -> dict[str, Any]:
        """The configuration of the cluster."""
        return {
            "cluster_id": CLUSTER,
            "base_url": self.api.url,
            "api_key": CANARY,
            "jobs": [job.job_id for job in jobs],
            "requests_per_second": 0,
            "tls_config": {"ca_file": str(self.ca_file)},
            **more,
        }

    def config(self, *clusters: dict[str, Any], **scrape: Any) -> dict[str, Any]:
        """A configuration in which each scrape asks all unfinished jobs."""
        return {"clusters": list(clusters) or [self.cluster()], "scrape": {"fresh_for": "0s", **scrape}}

    def begin(self) -> None:
        """Forget what a test has done."""
        self.api.reset()
        self.api.clock.set(START)
        self.api.cloud.keys = {CANARY}

    def assert_exact(
        self, exposed: Exposed, jobs: tuple[JobScript, ...] = NEIGHBOURS, cluster_id: str = CLUSTER
    ) -> None:
        """Every sample about these jobs is what the API's state makes it, and there is no other."""
        for job in jobs:
            assert exposed.about(job.job_id) == self.samples(job, cluster_id), job.job_id

    def samples(self, job: JobScript, cluster_id: str) -> dict[str, dict[Labels, float]]:
        """What design and scenario say about a job at this scenario second."""
        now = job.at(self.api.clock.time())
        assert now is not None
        identity = {"cluster_id": cluster_id, "job_id": job.job_id}
        of_job = {**identity, "collection_name": job.collection_name}
        file_name = job.files[0].paths[0] if job.files else ""
        found = {
            "job_up": {labels(**identity): 1.0},
            "job_info": {labels(**of_job, db_name="", file_name=file_name, source="config"): 1.0},
            **self._of_job(now, of_job),
        }
        for file in now.files:
            of_file = {**of_job, "file_name": file.paths[0]}
            for name, sample in self._of_file(file, of_file).items():
                found[name] = found.get(name, {}) | sample
        return found

    def _of_job(self, now: Moment, of_job: dict[str, str]) -> dict[str, dict[Labels, float]]:
        failed = now.state is Phase.FAILED
        states = [FILE_STATES[file.state] for file in now.files]
        found = {
            "job_progress_ratio": {labels(**of_job): now.progress / 100},
            "job_size_bytes": {labels(**of_job): float(now.size)},
            "job_rows": {labels(**of_job): float(now.rows)},
            "job_state": {labels(**of_job, state=state): float(state.value == now.state.value) for state in State},
            "job_files": {labels(**of_job, state=state): float(states.count(state)) for state in State},
            "job_files_omitted": {labels(**of_job): 0.0},
        }
        if failed:
            found["job_failure_info"] = {labels(**of_job, cause="schema", reason=now.reason): 1.0}
        else:
            found["job_imported_rows"] = {labels(**of_job): float(now.imported_rows)}
        if now.completed_at is not None:
            found["job_completed_timestamp_seconds"] = {labels(**of_job): self._second(now.completed_at)}
        return found

    def _of_file(self, file: FileMoment, of_file: dict[str, str]) -> dict[str, dict[Labels, float]]:
        state = FILE_STATES[file.state]
        found = {
            "file_progress_ratio": {labels(**of_file): file.progress / 100},
            "file_size_bytes": {labels(**of_file): float(file.size)},
            "file_rows": {labels(**of_file): float(file.rows)},
            "file_state": {labels(**of_file, state=each): float(each == state) for each in State},
        }
        if file.completed_at is not None:
            found["file_completed_timestamp_seconds"] = {labels(**of_file): self._second(file.completed_at)}
        return found

    def _second(self, reading: float) -> float:
        return float(int(self.api.clock.calendar(reading)))
