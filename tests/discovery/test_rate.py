"""The rate as the API sees it, in real time: clusters that share a key, and scrapes that come faster than it allows."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import pytest

from tests.discovery.bench import Service, asked, busiest_second, samples, zilliz
from tests.support.simulated import JobScript, SimulatedApi, Stages
from tests.support.simulated.faults import Respond

RATE = 10
ENDLESS = Stages(importing=1e9)
CLUSTERS = [f"in0{number}-shared" for number in range(1, 6)]


@pytest.fixture
def api() -> Iterator[SimulatedApi]:
    with SimulatedApi(latency=0.01) as running:
        yield running


def jobs(count: int, first: int = 0) -> list[JobScript]:
    return [JobScript(str(457_000_000_000 + first + number), stages=ENDLESS) for number in range(count)]


def test_more_jobs_than_the_rate_can_ask_take_turns_within_the_budget(api: SimulatedApi) -> None:
    api.add(*jobs(40))
    with Service(api, zilliz(api, requests_per_second=RATE), scrape={"fresh_for": "0s"}) as service:
        waiting: list[float] = []
        for _ in range(6):
            began = time.monotonic()
            lines = service.lines("1.5")
            # The budget is 1 s; the rest is for a slow machine.
            assert time.monotonic() - began < 4
            assert set(samples(lines, "job_up").values()) == {1}
            waiting += samples(lines, "cluster_jobs_waiting").values()
    assert busiest_second(request.at for request in api.requests) <= RATE
    assert len(samples(lines, "job_up")) == 40
    refreshed = samples(lines, "job_refreshed_timestamp_seconds")
    asked_at = {request.job_id: request.at - time.monotonic() + time.time() for request in api.requests}
    for labels, moment in refreshed.items():
        assert -0.1 < moment - asked_at[labels.rpartition('job_id="')[2].rstrip('"')] < 2
    turns = asked(api.requests)
    assert max(turns.values()) - min(turns.values()) <= 1
    assert all(40 - 2 * RATE <= each < 40 for each in waiting)


def test_five_clusters_on_one_key_share_the_smallest_rate(api: SimulatedApi) -> None:
    for number, cluster in enumerate(CLUSTERS):
        api.add(*jobs(10, 100 * number), cluster=cluster)
    clusters = [zilliz(api, cluster, requests_per_second=RATE + number) for number, cluster in enumerate(CLUSTERS)]
    with Service(api, *clusters, scrape={"fresh_for": "0s"}) as service:
        for _ in range(2):
            service.lines("2.5")
    assert busiest_second(request.at for request in api.requests) <= RATE
    assert {request.fields["clusterId"] for request in api.requests} == set(CLUSTERS)


def test_a_page_that_is_reloaded_ten_times_a_second_costs_no_more_than_the_rate(api: SimulatedApi) -> None:
    api.add(*jobs(30))
    with (
        Service(api, zilliz(api, requests_per_second=RATE), scrape={"fresh_for": "0s"}) as service,
        ThreadPoolExecutor(30) as pool,
    ):
        began = time.monotonic()
        pause = threading.Event()
        scrapes = []
        for _ in range(25):
            scrapes.append(pool.submit(service.lines, "1.5"))
            pause.wait(0.1)
        for scrape in scrapes:
            assert set(samples(scrape.result(), "job_up").values()) <= {1}
        seconds = time.monotonic() - began
    assert busiest_second(request.at for request in api.requests) <= RATE
    assert len(api.requests) <= RATE * (seconds + 1)


def test_clusters_that_share_a_rate_share_what_rechecks_may_take_of_it(api: SimulatedApi) -> None:
    done = Stages(0, 0, 0, 0, 0)
    for number, cluster in enumerate(CLUSTERS):
        finished = (replace(job, stages=done, retention=1e9) for job in jobs(40, 100 * number))
        api.add(*finished, cluster=cluster)
    api.clock.advance(60)
    clusters = [
        zilliz(api, cluster, requests_per_second=100, discovery={"refresh_interval": "1d"}) for cluster in CLUSTERS
    ]
    with Service(api, *clusters, scrape={"recheck_finished": "1s"}) as service:
        began = time.monotonic()
        service.lines("20")
        api.reset()
        service.passes(1)
        service.lines("20")
        seconds = 1 + time.monotonic() - began
        # A tenth of 100 in each second, and what each cluster has in hand at the start.
        assert len(api.requests) <= 10 * seconds + 2 * len(CLUSTERS)


def test_a_pause_that_the_api_asks_of_one_cluster_holds_for_all_that_share_its_key(api: SimulatedApi) -> None:
    for cluster in CLUSTERS[:2]:
        api.add(*jobs(30), cluster=cluster)
    clusters = [zilliz(api, cluster, concurrency=1) for cluster in CLUSTERS[:2]]
    fault = Respond(429, b"slow down", (("Retry-After", "2"),), "text/plain")
    api.faults.inject(fault, operation="progress", when=lambda request: len(api.requests) > 10, times=1)
    with Service(api, *clusters) as service:
        shown = service.scrape("10")
    times = [request.at for request in api.requests]
    pauses = [(later - earlier, earlier) for earlier, later in pairwise(times)]
    longest, _ = max(pauses)
    # The other cluster may have had one call under way when the pause was asked for.
    assert longest > 1.5
    errors = [dict(has)["error"] for has in shown.family("job_error")]
    assert errors == ["rate_limited"]
    assert len(shown.family("job_up")) == 60
