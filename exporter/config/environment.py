"""What a configuration leaves to the environment: the proxy to each cluster's API, and whose certificates it trusts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # not in its stubs

from exporter.config.document import Document
from exporter.config.problems import Location, Problem
from exporter.config.schema import Config, given
from exporter.config.values import ZILLIZ_URL

_PROXY: Final = {"https": ("HTTPS_PROXY", "https_proxy"), "http": ("HTTP_PROXY", "http_proxy")}
_ANY_PROXY: Final = ("ALL_PROXY", "all_proxy")
_NO_PROXY: Final = ("NO_PROXY", "no_proxy")
_AUTHORITIES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_SETTING: Final = "a configuration file says proxy_from_environment: true"


def complete(document: Document, environ: Mapping[str, str]) -> Document:
    """Add to the clusters the proxies and certificate authorities that they leave to the environment."""
    clusters = document.data.get("clusters") if isinstance(document.data, dict) else None
    if not isinstance(document.data, dict) or not isinstance(clusters, list):
        return document
    origins: dict[Location, str] = {}
    completed = [
        _completed(cluster, ("clusters", index), environ, origins) if isinstance(cluster, dict) else cluster
        for index, cluster in enumerate(clusters)
    ]
    return replace(document, data={**document.data, "clusters": completed}, origins=origins)


def unused_proxies(config: Config, environ: Mapping[str, str]) -> Iterator[Problem]:
    """Yield a warning for each cluster to which a variable names a proxy that is not used."""
    for index, cluster in enumerate(config.clusters):
        if cluster.proxy_url is not None:
            continue
        location = ("clusters", index, "proxy_url")
        if variable := _proxy_variable(cluster.base_url, environ):
            yield Problem(location, f"is not given, and {variable} is used only where {_SETTING}")
        elif variable := _proxy_variable(cluster.base_url, environ, _ANY_PROXY):
            used = _PROXY[urlsplit(cluster.base_url).scheme][0]
            yield Problem(location, f"is not given, and {variable} is never used; {used} is, where {_SETTING}")


def _completed(
    cluster: dict[Any, Any], location: Location, environ: Mapping[str, str], origins: dict[Location, str]
) -> dict[Any, Any]:
    keys, completed = given(cluster), dict(cluster)
    base_url, tls = keys.get("base_url", ZILLIZ_URL), keys.get("tls_config", {})
    if keys.get("proxy_from_environment") is True and "proxy_url" not in keys:
        variable = _proxy_variable(base_url, environ)
        if variable is not None:
            proxy = environ[variable]
            completed["proxy_url"] = proxy if "://" in proxy else f"http://{proxy}"
            origins[*location, "proxy_url"] = variable
    variable = _first(_AUTHORITIES, environ)
    secure = any(str(url).lower().startswith("https://") for url in (base_url, completed.get("proxy_url")))
    if variable is not None and secure and isinstance(tls, dict) and "ca_file" not in given(tls):
        completed["tls_config"] = {**tls, "ca_file": os.path.abspath(environ[variable])}  # noqa: PTH100 - need not exist
        origins[*location, "tls_config", "ca_file"] = variable
    return completed


def _proxy_variable(url: object, environ: Mapping[str, str], names: Sequence[str] = ()) -> str | None:
    """Return the variable, one of `names` or as the scheme has it, whose proxy leads to a URL; None if none does."""
    if not isinstance(url, str):
        return None
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port or {"https": 443, "http": 80}[parts.scheme]
    except (ValueError, KeyError):
        return None
    variable = _first(names or _PROXY[parts.scheme], environ)
    return None if variable is None or _is_direct(host, port, environ) else variable


def _is_direct(host: str, port: int, environ: Mapping[str, str]) -> bool:
    """Whether no proxy is to be used, as Prometheus decides: also for this machine, and for networks in NO_PROXY."""
    variable = _first(_NO_PROXY, environ)
    exceptions = environ[variable] if variable else ""
    # The library takes names, with and without a port, but no wildcards within them and no networks.
    if host == "localhost" or proxy_bypass_environment(f"{host}:{port}", {"no": exceptions.replace("*.", ".")}):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    if address.is_loopback:
        return True
    for entry in exceptions.split(","):
        with suppress(ValueError):
            if address in ip_network(entry.strip().strip("[]"), strict=False):
                return True
    return False


def _first(names: Sequence[str], environ: Mapping[str, str]) -> str | None:
    return next((name for name in names if environ.get(name)), None)
