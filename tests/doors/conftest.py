"""One API of 500 jobs for all, and a configuration that watches it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml

from tests.doors.site import Site
from tests.support.simulated import CLUSTER, KEY, FileScript, JobScript, SimulatedApi, Stages

JOBS = tuple(f"4487613136983{number:05}" for number in range(500))
FEW = 40


@pytest.fixture(scope="session")
def api() -> Iterator[SimulatedApi]:
    """500 jobs of four files each, one in ten of them unfinished."""
    files = tuple(FileScript((f"run/{number}.parquet",), 100 << 20, 10_000) for number in range(4))
    with SimulatedApi() as api:
        for number, job_id in enumerate(JOBS):
            stages = Stages(importing=100_000) if number % 10 == 0 else Stages(1, 1, 1, 1, 1)
            api.add(JobScript(job_id, "articles", files, stages=stages))
        api.clock.set(1000)
        yield api


def _watch(api: SimulatedApi, jobs: Sequence[str], directory: Path, fresh_for: str) -> Iterator[Path]:
    api.reset()
    cluster = {"cluster_id": CLUSTER, "base_url": api.url, "api_key": KEY, "jobs": list(jobs), "requests_per_second": 0}
    file = directory / "config.yaml"
    file.write_text(yaml.safe_dump({"clusters": [cluster], "scrape": {"fresh_for": fresh_for}}))
    yield file
    api.reset()


@pytest.fixture
def config_file(api: SimulatedApi, tmp_path: Path) -> Iterator[Path]:
    """A configuration that watches all 500 jobs."""
    yield from _watch(api, JOBS, tmp_path, "2s")


@pytest.fixture
def few_jobs(api: SimulatedApi, tmp_path: Path) -> Iterator[Path]:
    """A configuration that watches `FEW` of them, the unfinished tenth of them at each scrape."""
    yield from _watch(api, JOBS[:FEW], tmp_path, "0s")


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """TLS with a certificate that its clients trust."""
    return Site(tmp_path_factory.mktemp("site"))
