"""Prometheus HTTP service discovery: one target group per cluster, one for the exporter itself."""

from __future__ import annotations

import json
from collections.abc import Sequence

from exporter.web.urls import Urls


def target_groups(cluster_ids: Sequence[str], *, urls: Urls, host: str, scheme: str) -> bytes:
    """The JSON of `/sd`, usable without relabelling.

    `host` and `scheme` are how the request reached this exporter; an external URL wins over both, and then the paths
    are those behind the external URL, too.
    """
    target = urls.external_host or host
    shared = {"__scheme__": urls.external_scheme or scheme}
    groups = [
        {
            "targets": [target],
            "labels": {
                **shared,
                "__metrics_path__": urls.link("/probe"),
                "__param_target": cluster_id,
                "instance": cluster_id,
            },
        }
        for cluster_id in cluster_ids
    ]
    groups.append(
        {
            "targets": [target],
            "labels": {**shared, "__metrics_path__": urls.link(urls.telemetry_path), "__param_scope": "exporter"},
        }
    )
    return json.dumps(groups, ensure_ascii=False, indent=1).encode()
