"""The demo: two simulated clusters, and the configuration of an exporter that watches them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from exporter.demo import answers
from exporter.demo.app import Servers, application
from exporter.demo.clock import Clock
from exporter.demo.jobs import Jobs
from exporter.demo.world import MILVUS_JOBS, ZILLIZ_JOBS

DEMO_CLUSTER = "in01-demo0000000001"
DEMO_MILVUS = "milvus-demo"
DEMO_SPEED = 12.0
"""Scenario seconds per second: an import of half an hour takes two and a half minutes."""

_KEY = "demo-key"
_LOGIN = "root:Milvus"
_LONGEST = frozenset({"events", "product_reviews"})


@dataclass(frozen=True)
class Demo:
    """The running simulation, and the configuration to watch it with, as the YAML file would hold it."""

    api: Servers
    config: dict[str, object]


def start() -> Demo:
    """Start the simulation; the caller stops `api`. Raises OSError where loopback has no port left."""
    clock = Clock(DEMO_SPEED)
    zilliz, milvus = Jobs(ZILLIZ_JOBS), Jobs(MILVUS_JOBS)
    api = Servers(
        [
            application(
                partial(answers.zilliz, zilliz, clock), authorization=f"Bearer {_KEY}", refusal=answers.ZILLIZ_REFUSAL
            ),
            application(
                partial(answers.milvus, milvus, clock), authorization=f"Bearer {_LOGIN}", refusal=answers.MILVUS_REFUSAL
            ),
        ]
    )
    zilliz_url, milvus_url = api.urls
    discovery = {"refresh_interval": "10s", "finished_for": "5m"}
    named = [script.job_id for script in zilliz.present(0) if script.collection_name in _LONGEST]
    clusters = [
        {
            "cluster_id": DEMO_CLUSTER,
            "base_url": zilliz_url,
            "api_key": _KEY,
            "jobs": named,
            "discovery": discovery,
        },
        {
            "cluster_id": DEMO_MILVUS,
            "api": "milvus",
            "base_url": milvus_url,
            "api_key": _LOGIN,
            "discovery": discovery,
        },
    ]
    return Demo(api, {"clusters": clusters})
