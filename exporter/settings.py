"""What the configuration of one cluster means to its API client and to its watch."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from exporter.api.client import ApiSettings
from exporter.api.errors import TlsError
from exporter.config.load import Loaded
from exporter.config.schema import Cluster
from exporter.config.secret import Secret
from exporter.watch.memory import Named
from exporter.watch.plan import Rules
from exporter.watch.settings import Settings
from exporter.watch.sources import list_targets

FINISHED_FOR_WITHOUT_DISCOVERY = 86_400.0


def api_settings(cluster: Cluster, key: Secret | None) -> ApiSettings:
    """How the cluster's API is asked. Raises TlsError for a certificate or key that cannot be read."""
    tls = cluster.tls_config
    return ApiSettings(
        cluster_id=cluster.cluster_id,
        dialect=cluster.api,
        base_url=cluster.base_url,
        key=key,
        db_name=cluster.db_name,
        project_id=cluster.project_id,
        region_id=cluster.region_id,
        progress_path=cluster.progress_path,
        concurrency=cluster.concurrency,
        proxy_url=cluster.proxy_url,
        ca_file=tls.ca_file,
        cert_file=tls.cert_file,
        key_file=tls.key_file,
        server_name=tls.server_name,
        insecure_skip_verify=tls.insecure_skip_verify,
        tls_files=_digest(tls.ca_file, tls.cert_file, tls.key_file),
    )


def watch_settings(cluster: Cluster, loaded: Loaded, requests_per_second: float) -> Settings:
    """What is watched, and when it is asked; `requests_per_second` is the cluster's share, 0 for no limit."""
    scrape, discovery = loaded.config.scrape, cluster.discovery
    named = Named(
        jobs=cluster.jobs,
        listed=loaded.listed.get(cluster.cluster_id, ()),
        discovery=discovery is not None,
        db_name=cluster.db_name or "",
    )
    rules = Rules(
        fresh_for=scrape.fresh_for,
        recheck_finished=scrape.recheck_finished,
        max_age=scrape.max_age,
        finished_for=FINISHED_FOR_WITHOUT_DISCOVERY if discovery is None else discovery.finished_for,
        forgets_finished=cluster.api == "milvus",
    )
    settings = Settings(
        cluster_id=cluster.cluster_id,
        named=named,
        rules=rules,
        concurrency=cluster.concurrency,
        requests_per_second=requests_per_second,
        single_page=cluster.api == "milvus",
    )
    if discovery is None:
        return settings
    return replace(
        settings,
        lists=list_targets(discovery.databases, discovery.collections),
        refresh_interval=discovery.refresh_interval,
        max_jobs=discovery.max_jobs,
    )


def _digest(*paths: str | None) -> str:
    """What the files hold, so that a rotated certificate makes for new connections. Raises TlsError."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            content = b"" if path is None else Path(path).read_bytes()
        except OSError as error:
            raise TlsError(f"{path}: {error.strerror}") from None
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()
