"""Rules between keys, which no single value can break, and warnings about what is valid but probably a mistake.

Errors are looked for in the document as it was read, so that they are reported in one run with those of single values.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from exporter.config.problems import Location, Problem
from exporter.config.schema import Cluster, Config, given
from exporter.config.secret import Secret
from exporter.config.values import ZILLIZ_URL

_KEYS: Final = ("api_key_file", "api_key_env", "api_key")
_VARIABLE: Final = re.compile(r"\$\{.*\}|\$[A-Za-z_][A-Za-z0-9_]*")
_API_PATH: Final = re.compile(r"(?<!/)/v[0-9]+(/vectordb(/.*)?)?$")
_ZILLIZ_HOST: Final = re.compile(r"(?:.*\.)?zilliz(?:cloud)?\.com(?:\.cn)?")
_CONSOLE: Final = re.compile(r"(?:www\.)?(?:cloud\.)?zilliz\.com(?:\.cn)?")
_CLUSTER_ENDPOINT: Final = re.compile(r"in[0-9]{2}-")
_IMPORT_API: Final = f"the import API of Zilliz Cloud is at {ZILLIZ_URL}, in China at {ZILLIZ_URL}.cn"
_URL: Final = re.compile(r"[a-z]+://|\.zilliz(?:cloud)?\.com", re.IGNORECASE)
_QUOTED: Final = re.compile(r"([\"']).*\1")
_UNQUOTE: Final = "which are sent as part of it; leave them out (docker --env-file keeps quotes)"
_ASSIGNMENT: Final = re.compile(r"(?:export +)?[A-Za-z_][A-Za-z0-9_]*=[^=\s].*")
_ESCAPED: Final = re.compile(r"\[([*?[])\]")


def check(data: object) -> Iterator[Problem]:
    """Yield what is wrong between the keys; values of a wrong type are left to the schema."""
    if data is None:
        yield Problem((), "is empty; begin with clusters:")
    elif not isinstance(data, dict):
        yield Problem((), "must be a mapping of keys to values, such as clusters: and below it a list")
    elif isinstance(clusters := data.get("clusters"), list):
        yield from _check_same_ids(clusters)
        for index, cluster in enumerate(clusters):
            if isinstance(cluster, dict):
                yield from _check_cluster(given(cluster), ("clusters", index))


def warn(config: Config, keys: Mapping[str, Secret | None]) -> Iterator[Problem]:
    """Yield what is probably a mistake; `keys` go by cluster_id."""
    for index, cluster in enumerate(config.clusters):
        location = ("clusters", index)
        key = keys[cluster.cluster_id]
        if key is not None:
            yield from _warn_of_key(key.reveal(), cluster, location)
        for sentence in _advice_on_url(cluster):
            yield Problem((*location, "base_url"), sentence)
        if _URL.search(cluster.cluster_id):
            sentence = "is a URL; the id of a cluster is the first part of its endpoint, such as in01-0123456789abcde"
            yield Problem((*location, "cluster_id"), sentence)
        elif _QUOTED.fullmatch(cluster.cluster_id):
            yield Problem((*location, "cluster_id"), f"has quotes around it, {_UNQUOTE}")
        for number, pattern in enumerate(cluster.job_lists):
            directory = str(Path(pattern).parent)
            if not any(map(os.path.isdir, glob.iglob(directory))):  # noqa: PTH207 - absolute patterns
                missing = _ESCAPED.sub(r"\1", directory)
                yield Problem((*location, "job_lists", number), f"matches nothing: there is no directory {missing}")


def _check_same_ids(clusters: list[Any]) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for index, cluster in enumerate(clusters):
        name = cluster.get("cluster_id") if isinstance(cluster, dict) else None
        if isinstance(name, str) and first.setdefault(name, index) != index:
            sentence = f"is the same as that of clusters[{first[name]}]; configure every cluster once"
            yield Problem(("clusters", index, "cluster_id"), sentence)


def _check_cluster(cluster: dict[Any, Any], location: Location) -> Iterator[Problem]:
    milvus = cluster.get("api") == "milvus"
    keys = [key for key in _KEYS if key in cluster]
    if len(keys) > 1:
        sentence = f"is given in addition to {keys[0]}; keep exactly one of {', '.join(_KEYS)}"
        yield Problem((*location, keys[1]), sentence)
    elif not keys and not milvus:
        yield Problem(location, f"has no key; give exactly one of {', '.join(_KEYS)}")
    if milvus:
        yield from _check_milvus(cluster, location)
    else:
        yield from _check_pair(cluster, location, "project_id", "region_id")
    if cluster.get("proxy_from_environment") is True and "proxy_url" in cluster:
        yield Problem((*location, "proxy_from_environment"), "is given in addition to proxy_url; keep one of them")
    tls = cluster.get("tls_config")
    if isinstance(tls, dict):
        yield from _check_pair(given(tls), (*location, "tls_config"), "cert_file", "key_file")
    jobs = cluster.get("jobs")
    if isinstance(jobs, list):
        yield from _check_jobs(jobs, (*location, "jobs"))


def _check_milvus(cluster: dict[Any, Any], location: Location) -> Iterator[Problem]:
    if "base_url" not in cluster:
        yield Problem((*location, "base_url"), "is required for api: milvus, such as http://milvus:19530")
    for key in ("project_id", "region_id"):
        if key in cluster:
            yield Problem((*location, key), "is not supported for api: milvus; only Zilliz Cloud has it")
    discovery = cluster.get("discovery")
    lists = given(discovery) if isinstance(discovery, dict) else {}
    if "databases" in lists and "collections" not in lists:
        sentence = "needs collections on Milvus, whose list without a collection covers all databases"
        yield Problem((*location, "discovery", "databases"), sentence)


def _check_pair(keys: dict[Any, Any], location: Location, one: str, other: str) -> Iterator[Problem]:
    for key, missing in ((one, other), (other, one)):
        if key in keys and missing not in keys:
            yield Problem((*location, key), f"needs {missing} as well")


def _check_jobs(jobs: list[Any], location: Location) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for index, job in enumerate(jobs):
        if isinstance(job, str) and first.setdefault(job, index) != index:
            yield Problem((*location, index), f"is the same job as jobs[{first[job]}]; name it once")


def _advice_on_url(cluster: Cluster) -> Iterator[str]:
    url = urlsplit(cluster.base_url)
    host = url.hostname or ""
    if _API_PATH.search(cluster.base_url):
        yield "ends in a path of the API, which is added automatically; leave out /v1 or /v2 and what follows"
    if not _ZILLIZ_HOST.fullmatch(host):
        return
    if url.scheme == "http":
        yield "sends the key to Zilliz Cloud in clear text; write https://"
    if cluster.api == "zilliz" and _CLUSTER_ENDPOINT.match(host):
        yield f"is the endpoint of a cluster; {_IMPORT_API}"
    elif cluster.api == "zilliz" and _CONSOLE.fullmatch(host):
        yield f"is the web console; {_IMPORT_API}"


def _warn_of_key(key: str, cluster: Cluster, location: Location) -> Iterator[Problem]:
    (source,) = (name for name in _KEYS if getattr(cluster, name) is not None)
    sentence = None
    if key.lower().startswith("bearer "):
        sentence = 'gives a key that begins with "Bearer", which is added automatically; leave it out'
    elif _QUOTED.fullmatch(key):
        sentence = f"gives a key with quotes around it, {_UNQUOTE}"
    elif _ASSIGNMENT.fullmatch(key):
        sentence = "gives NAME=value; only the value is the key"
    elif " " in key and cluster.api == "zilliz":
        sentence = "gives a key with a space in it, which no key of Zilliz Cloud has"
    elif cluster.api_key is not None and _VARIABLE.fullmatch(key):
        sentence = "is used as it is, not as the name of a variable; api_key_env takes the name of one"
    elif ":" in key and cluster.api == "zilliz":
        sentence = "gives user:password, which only a cluster accepts; the import API of Zilliz Cloud needs an API key"
    if sentence is not None:
        yield Problem((*location, source), sentence)
