"""What the tests of discovery share: a clock that is put forward by hand, and counts of what the API was asked."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterable

from exporter.collector.clock import Clock
from tests.support.rig import Rig
from tests.support.simulated import CLUSTER, KEY, MILVUS, SimulatedApi
from tests.support.simulated.wire import Request


class Hours:
    """Real time plus `shift` seconds, so that hours pass at once while calls take the time that they take."""

    def __init__(self) -> None:
        self.shift = 0.0
        chance = random.Random(0)
        self.clock = Clock(
            lambda: time.monotonic() + self.shift,
            lambda: time.time() + self.shift,
            chance.random,
        )


class Service(Rig):
    """A backend on a simulated API; `passes` lets time pass for both."""

    def __init__(self, api: SimulatedApi, *clusters: dict[str, object], **sections: object) -> None:
        self._hours = Hours()
        self._api = api
        super().__init__({"clusters": list(clusters), **sections}, clock=self._hours.clock)

    def passes(self, seconds: float) -> None:
        self._hours.shift += seconds
        self._api.clock.advance(seconds)

    def lines(self, timeout: str = "30", target: str | None = None) -> list[str]:
        """The lines of one scrape, for bodies that are too large to be parsed."""
        body = self.backend.metrics(timeout, "all") if target is None else self.backend.probe(target, None, timeout)
        return b"".join(body.chunks(openmetrics=False, gzip=False)).decode().splitlines()


def zilliz(api: SimulatedApi, cluster_id: str = CLUSTER, **keys: object) -> dict[str, object]:
    """A cluster of Zilliz Cloud, found by discovery and asked without a limit unless `keys` say otherwise."""
    return {
        "cluster_id": cluster_id,
        "base_url": api.url,
        "api_key": KEY,
        "requests_per_second": 0,
        "discovery": {"max_jobs": 10_000},
        **keys,
    }


def milvus(api: SimulatedApi, **keys: object) -> dict[str, object]:
    """The Milvus, likewise."""
    return {**zilliz(api, MILVUS), "api": "milvus", "base_url": api.milvus_url, "api_key": None, **keys}


def asked(requests: Iterable[Request]) -> Counter[str]:
    """How often each job was asked about."""
    return Counter(request.job_id for request in requests if request.operation == "progress")


def lists(requests: Iterable[Request]) -> int:
    """How many pages of the list were asked for."""
    return sum(request.operation == "list" for request in requests)


def busiest_second(times: Iterable[float]) -> int:
    """The most of these moments that fall into any one second."""
    moments = sorted(times)
    most = begin = 0
    for end, moment in enumerate(moments):
        while moments[begin] <= moment - 1:
            begin += 1
        most = max(most, end - begin + 1)
    return most


def samples(lines: Iterable[str], family: str) -> dict[str, float]:
    """The samples of one family (named without `zilliz_import_`), by their labels as written."""
    start = f"zilliz_import_{family}{{"
    found = (line.removeprefix(start).rpartition("} ") for line in lines if line.startswith(start))
    return {labels: float(value) for labels, _, value in found}
