"""Calls beside the scrapes, for a person."""

from __future__ import annotations

from functools import partial

import pytest

from exporter.api.client import Exchange
from exporter.api.errors import ConnectError
from exporter.collector.request import explained
from tests.collector.bench import Bench
from tests.collector.loop import VirtualLoop


def explain(bench: Bench, job_id: str, seconds: float) -> Exchange | None:
    call = partial(bench.api.explain, job_id)
    return bench.loop.run(explained(bench.cluster.jobs.endpoint, call, bench.loop.time() + seconds))


def test_an_explained_call_takes_its_turn_and_says_nothing_about_the_cluster(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1", rate=1.0, concurrency=1)
    bench.api.errors["other"] = ConnectError("refused")
    bench.scrape()
    started = loop.time()
    exchange = explain(bench, "other", 5)
    assert exchange is not None
    assert isinstance(exchange.outcome, ConnectError)
    assert loop.time() - started == pytest.approx(1, abs=0.01)
    assert explain(bench, "1", 0.5) is None
    assert bench.cluster.last_error == ""
    assert bench.errors() == {"1": None}
    loop.wait(2)
    assert bench.scrape().up is True


def test_an_explained_call_gives_up_where_no_turn_comes_in_its_time(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1", concurrency=1)
    with bench.api.holding("1"):
        bench.begin()
        assert explain(bench, "2", 2) is None
    bench = Bench(loop, "1", rate=1.0)
    loop.call(lambda: bench.limit.hold(60))
    patient = loop.create_task(bench.limit.acquire(loop.time() + 100, lambda permit: permit))
    loop.wait()
    began = loop.time()
    assert explain(bench, "2", 2) is None
    assert loop.time() - began <= 2.01
    patient.cancel()


def test_an_explained_call_that_hangs_ends_in_its_time(loop: VirtualLoop) -> None:
    bench = Bench(loop, "1", concurrency=1)
    with bench.api.holding("2"):
        began = loop.time()
        assert explain(bench, "2", 3) is not None
        assert loop.time() - began == pytest.approx(3)
    assert bench.scrape().waiting == 0
