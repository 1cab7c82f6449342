"""Reloads that race with scrapes: each body is that of one configuration, old or new, and nothing is left behind."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from exporter.config.load import Loader
from tests.resilience.night import JOBS, Night
from tests.support.process import descriptors, threads
from tests.support.program import wait_for
from tests.support.rig import Rig
from tests.support.simulated import CLUSTER, JobScript, SimulatedApi

RELOADS = 1000
PAUSE = 50
SCRAPERS = 2
OLD_JOBS, NEW_JOBS = JOBS[2:6], JOBS[4:8]
OTHER = "in01-other"


def configuration(night: Night, *, new: bool) -> dict[str, Any]:
    """Two that share jobs, differ in whatever shows in a body, and ask the API over other connections."""
    cluster = night.cluster(
        NEW_JOBS if new else OLD_JOBS, db_name="new" if new else "old", concurrency=4, tls_config={}
    )
    clusters = [cluster]
    if new:
        clusters.insert(0, night.cluster(OLD_JOBS, cluster_id=OTHER, db_name="new", concurrency=4, tls_config={}))
    return {**night.config(*clusters), "files": {"series": "none" if new else "all"}}


def is_new(text: str) -> bool:
    """Which configuration a body is of. AssertionError if it is of both, or incomplete."""
    clusters = re.findall(r'^zilliz_import_cluster_up{cluster_id="(.*)"} 1.0$', text, re.MULTILINE)
    new = OTHER in clusters
    assert clusters == ([OTHER, CLUSTER] if new else [CLUSTER])
    jobs = re.findall(r'^zilliz_import_job_up{cluster_id="(.*)",job_id="(.*)"} 1.0$', text, re.MULTILINE)
    expected = [(CLUSTER, job.job_id) for job in (NEW_JOBS if new else OLD_JOBS)]
    if new:
        expected += [(OTHER, job.job_id) for job in OLD_JOBS]
    assert sorted(jobs) == sorted(expected)
    assert "zilliz_import_job_error" not in text
    assert set(re.findall(r'db_name="(.*?)"', text)) == {"new" if new else "old"}
    assert ("zilliz_import_file_state" in text) is not new
    assert set(re.findall(r'^zilliz_import_api_requests_total{cluster_id="(.*?)"', text, re.MULTILINE)) == {*clusters}
    counts = re.findall(r"^zilliz_import_cluster_jobs{.*} (.*)$", text, re.MULTILINE)
    assert sum(map(float, counts)) == len(expected)
    return new


def _one_more(seen: list[int], which: int, before: int) -> bool:
    return seen[which] > before


def test_each_body_is_of_one_configuration(plain: Night, tmp_path: Path) -> None:
    plain.api.add(*(JobScript(job.job_id, job.collection_name, job.files) for job in OLD_JOBS), cluster=OTHER)
    texts = [yaml.safe_dump(configuration(plain, new=new)) for new in (False, True)]
    path = tmp_path / "config.yaml"
    path.write_text(texts[0])
    threads_before, descriptors_before = threads(), descriptors()
    with Rig(Loader(path, {})) as rig:
        assert not is_new(rig.text())
        seen = [0, 0]
        done = threading.Event()

        def scrape() -> None:
            while not done.is_set():
                seen[is_new(rig.text())] += 1

        with ThreadPoolExecutor(SCRAPERS) as pool:
            scrapers = [pool.submit(scrape) for _ in range(SCRAPERS)]
            for number in range(RELOADS):
                new = (number + 1) % 2
                path.write_text(texts[new])
                assert rig.backend.reload().problems == ()
                if number % PAUSE in (0, 1):
                    # A scrape follows what it is overtaken by, so that one of either ends only where there is time.
                    wait_for("a scrape of this configuration", partial(_one_more, seen, new, seen[new]))
            done.set()
        for scraper in scrapers:
            scraper.result()
        assert min(seen) > 0
        assert not is_new(rig.text())
    wait_for("the connections to be closed", lambda: settled(plain.api, threads_before))
    assert descriptors() == descriptors_before


def settled(api: SimulatedApi, threads_before: list[str]) -> bool:
    return api.connections_open == 0 and threads() == threads_before
