"""A cluster that is well, beside one that cannot be reached and one that is slow."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from tests.discovery.bench import Service, zilliz
from tests.support.hostile import full_backlog
from tests.support.simulated import CLUSTER, JobScript, SimulatedApi, Stages
from tests.support.simulated.faults import Delay

ENDLESS = Stages(importing=1e9)
JOBS = [JobScript(str(457_000_000_000 + number), stages=ENDLESS) for number in range(20)]
SLOW = "in01-slow"


def test_an_unreachable_and_a_slow_cluster_cost_the_healthy_one_nothing() -> None:
    with SimulatedApi() as api, full_backlog() as port:
        api.add(*JOBS)
        api.add(*JOBS, cluster=SLOW)
        api.faults.inject(Delay(30), when=lambda request: request.fields.get("clusterId") == SLOW)
        clusters = [
            zilliz(api, SLOW),
            zilliz(api, "in01-unreachable", base_url=f"http://127.0.0.1:{port}"),
            zilliz(api),
        ]
        with Service(api, *clusters, scrape={"fresh_for": "0s"}) as service, ThreadPoolExecutor(3) as pool:
            for _ in range(3):
                began = time.monotonic()
                shown = service.scrape("1.5")
                # The budget is 1 s; the rest is for a slow machine.
                assert time.monotonic() - began < 3
                assert shown.value("cluster_up", cluster_id=CLUSTER) == 1
                assert shown.value("cluster_up", cluster_id="in01-unreachable") == 0
                assert shown.value("cluster_up", cluster_id=SLOW) == 0
                up = {dict(has)["job_id"] for has in shown.family("job_up") if ("cluster_id", CLUSTER) in has}
                assert up == {job.job_id for job in JOBS}
                assert set(shown.family("job_up").values()) == {1}
                lasted = {
                    cluster: shown.value("scrape_duration_seconds", cluster_id=cluster) or 0
                    for cluster in (CLUSTER, SLOW)
                }
                assert 0 < lasted[CLUSTER] < lasted[SLOW]
            others = [pool.submit(service.probe, cluster, None, "5") for cluster in ("in01-unreachable", SLOW)]
            began = time.monotonic()
            assert service.probe(CLUSTER, None, "30").value("cluster_up") == 1
            assert time.monotonic() - began < 3
            for other in others:
                assert other.result().value("cluster_up") == 0
