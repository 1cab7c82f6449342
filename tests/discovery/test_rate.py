"""The rate as the API sees it, in real time: clusters that share a key, and scrapes that come faster than it allows."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from exporter.demo import JobScript, SimulatedApi, Stages
from tests.discovery.bench import Service, asked, busiest_second, samples, zilliz

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
            # The budget is 1 s; a second more is for a slow machine.
            assert time.monotonic() - began < 2
            assert set(samples(lines, "job_up").values()) == {1}
            waiting += samples(lines, "cluster_jobs_waiting").values()
    assert busiest_second(request.at for request in api.requests) <= RATE
    assert len(samples(lines, "job_up")) == 40
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
