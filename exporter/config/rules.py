"""What the keys of a configuration owe each other: rules that no single value can break.

They look at the document as it was read, so that they are reported in one run with what is wrong in single values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from exporter.config.problems import Location, Problem
from exporter.config.schema import given

_KEYS = ("api_key_file", "api_key_env", "api_key")


def check(data: object) -> Iterator[Problem]:
    """Yield what is wrong between the keys; values of a wrong type are left to the schema."""
    if data is None:
        yield Problem((), "is empty; begin with clusters:")
    elif not isinstance(data, dict):
        yield Problem((), "must be a mapping of keys to values, such as clusters: and below it a list")
    else:
        yield from _check_clusters(data)


def _check_clusters(data: dict[Any, Any]) -> Iterator[Problem]:
    clusters = data.get("clusters")
    if not isinstance(clusters, list):
        return
    first: dict[object, int] = {}
    for index, cluster in enumerate(clusters):
        if not isinstance(cluster, dict):
            continue
        location = ("clusters", index)
        name = cluster.get("cluster_id")
        if isinstance(name, str) and first.setdefault(name, index) != index:
            same = f"is the same as that of clusters[{first[name]}]; every cluster is configured once"
            yield Problem((*location, "cluster_id"), same)
        yield from _check_cluster(given(cluster), location)


def _check_cluster(cluster: dict[Any, Any], location: Location) -> Iterator[Problem]:
    milvus = cluster.get("api") == "milvus"
    keys = [key for key in _KEYS if key in cluster]
    if len(keys) > 1:
        yield Problem((*location, keys[1]), f"is given beside {keys[0]}; keep exactly one of {', '.join(_KEYS)}")
    elif not keys and not milvus:
        yield Problem(location, f"has no key; give exactly one of {', '.join(_KEYS)}")
    if milvus and "base_url" not in cluster:
        yield Problem((*location, "base_url"), "is required for api: milvus, such as http://milvus:19530")
    yield from _check_project(cluster, location, milvus=milvus)
    discovery = cluster.get("discovery")
    if (
        milvus
        and isinstance(discovery, dict)
        and "databases" in given(discovery)
        and "collections" not in given(discovery)
    ):
        yield Problem(
            (*location, "discovery", "databases"),
            "needs collections on Milvus, whose list without a collection covers all databases",
        )
    tls = cluster.get("tls_config")
    if isinstance(tls, dict):
        yield from _check_pair(given(tls), (*location, "tls_config"), "cert_file", "key_file")
    jobs = cluster.get("jobs")
    if isinstance(jobs, list):
        yield from _check_jobs(jobs, (*location, "jobs"))


def _check_project(cluster: dict[Any, Any], location: Location, *, milvus: bool) -> Iterator[Problem]:
    if milvus:
        for key in ("project_id", "region_id"):
            if key in cluster:
                yield Problem((*location, key), "means nothing to Milvus; it belongs to Zilliz Cloud alone")
    else:
        yield from _check_pair(cluster, location, "project_id", "region_id")


def _check_pair(keys: dict[Any, Any], location: Location, one: str, other: str) -> Iterator[Problem]:
    for key, missing in ((one, other), (other, one)):
        if key in keys and missing not in keys:
            yield Problem((*location, key), f"needs {missing} beside it")


def _check_jobs(jobs: list[Any], location: Location) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for index, job in enumerate(jobs):
        if isinstance(job, str) and first.setdefault(job, index) != index:
            yield Problem((*location, index), f"is the same job as jobs[{first[job]}]; name it once")
