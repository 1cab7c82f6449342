"""When the exporter scrapes for its own page."""

from __future__ import annotations

from exporter.collector.clock import Clock
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
