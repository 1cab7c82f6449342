"""When the exporter scrapes for its own page, and what it does while it waits for the APIs."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial

import pytest

from exporter.api.attempt import Attempt
from exporter.api.client import ApiSettings, ImportApi
from exporter.collector.clock import Clock
from exporter.collector.snapshot import ClusterSnapshot
from exporter.config.schema import Files
from exporter.metrics.exposition import Exposition
from exporter.metrics.own import OwnMetrics
from exporter.model import Job
from tests.discovery.bench import zilliz
from tests.support.rig import Rig, real_clock
from tests.support.simulated import CLUSTER, JobScript, SimulatedApi


def test_the_exporter_scrapes_by_itself_only_while_nobody_else_does() -> None:
    now = [1000.0]
    real = real_clock()
    clock = Clock(lambda: now[0], real.epoch, real.chance)
    with SimulatedApi() as api, Rig({"clusters": [{**zilliz(api), "jobs": ["1"]}]}, clock=clock) as rig:
        api.add(JobScript("1"))

        def scraped() -> bool:
            before = len(api.requests)
            now[0] += 10
            rig.backend.scrape_unless_scraped(30)
            return len(api.requests) > before

        assert [scraped(), scraped()] == [True, True]
        rig.backend.scrape(CLUSTER)
        assert scraped(), "a scrape from the status page is not somebody else's"
        rig.scrape()
        assert [scraped(), scraped(), scraped()] == [False, False, True]
        rig.probe(CLUSTER)
        assert not scraped()


def test_answers_become_text_while_a_scrape_waits_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered = threading.Event()
    update = Exposition.update

    def note(exposition: Exposition, clusters: Sequence[ClusterSnapshot], files: Files) -> None:
        update(exposition, clusters, files)
        if any("1" in cluster.jobs for cluster in clusters):
            rendered.set()

    class Api(ImportApi):
        def progress(self, job_id: str, attempt: Attempt, *, database: str = "") -> Job:
            if job_id == "2":
                rendered.wait(10)
            return super().progress(job_id, attempt, database=database)

    def make_api(settings: ApiSettings, own: OwnMetrics) -> ImportApi:
        return Api(settings, observe=partial(own.observe, settings.cluster_id))

    monkeypatch.setattr(Exposition, "update", note)
    with SimulatedApi() as api:
        api.add(JobScript("1"), JobScript("2"))
        with Rig({"clusters": [{**zilliz(api), "jobs": ["1", "2"]}]}, make_api=make_api) as rig:
            rig.scrape()
    assert rendered.is_set()
