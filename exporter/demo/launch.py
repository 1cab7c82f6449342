"""The demo: the simulated API with its cast, and the configuration of an exporter that watches it."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.demo.clock import ScenarioClock
from exporter.demo.library import cloud_cast, milvus_cast
from exporter.demo.server import KEY, MILVUS, SimulatedApi

DEMO_CLUSTER = "in01-demo0000000001"
DEMO_MILVUS = "milvus-demo"
DEMO_SPEED = 12.0
"""Scenario seconds per second: an import of half an hour takes two and a half minutes."""

_LONGEST = frozenset({"events", "product_reviews"})


@dataclass(frozen=True)
class Demo:
    """A running simulation, and the configuration to watch it with, as the YAML file would hold it."""

    api: SimulatedApi
    config: dict[str, object]


def start(
    *, speed: float = DEMO_SPEED, latency: float = 0.05, seed: int = 0, discovery: bool = True, milvus: bool = True
) -> Demo:
    """Start the demo on loopback; the caller stops `api`.

    With `discovery` the configuration names only the two longest jobs itself; without it all that exist at the start,
    and finds no later ones. Without `milvus` it leaves out the second cluster, which is simulated all the same.
    """
    api = SimulatedApi(clock=ScenarioClock(speed), latency=latency, keep_requests=1000, seed=seed)
    api.add(*cloud_cast(seed), cluster=DEMO_CLUSTER)
    api.add(*milvus_cast(seed), cluster=MILVUS)
    api.milvus.users["root"] = "Milvus"
    api.start()
    found: dict[str, object] = {"discovery": {"refresh_interval": "10s", "finished_for": "5m"}} if discovery else {}
    clusters: list[dict[str, object]] = [
        {
            "cluster_id": DEMO_CLUSTER,
            "base_url": api.url,
            "api_key": KEY,
            "jobs": [
                script.job_id
                for script in api.jobs(DEMO_CLUSTER).present(0)
                if not discovery or script.collection_name in _LONGEST
            ],
            **found,
        }
    ]
    if milvus:
        cluster: dict[str, object] = {
            "cluster_id": DEMO_MILVUS,
            "api": "milvus",
            "base_url": api.milvus_url,
            "api_key": "root:Milvus",
        }
        jobs = {} if discovery else {"jobs": [script.job_id for script in api.jobs(MILVUS).present(0)]}
        clusters.append({**cluster, **jobs, **found})
    return Demo(api, {"clusters": clusters})
