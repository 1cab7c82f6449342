"""Prometheus as the engine of many clusters: it finds them at /sd, and spreads them over replicas by hashmod."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.exporter import Exporter
from tests.support.program import wait_for
from tests.support.prometheus import Prometheus
from tests.support.simulated import KEY, JobScript, SimulatedApi, Stages

pytestmark = pytest.mark.e2e

JOB = "448761313698322011"
NAME = "zilliz-import-exporter"
ENDLESS = Stages(importing=1e9)


def configuration(api: SimulatedApi, cluster_ids: list[str]) -> dict[str, object]:
    """Clusters with one job each, which is asked at every scrape."""
    for cluster_id in cluster_ids:
        api.add(JobScript(JOB, stages=ENDLESS), cluster=cluster_id)
    clusters = [
        {"cluster_id": cluster_id, "base_url": api.url, "api_key": KEY, "jobs": [JOB], "requests_per_second": 0}
        for cluster_id in cluster_ids
    ]
    return {"clusters": clusters, "scrape": {"fresh_for": "0s"}}


def prometheus_config(*exporters: Exporter, **scrape: Any) -> dict[str, object]:
    """One scrape job that asks each exporter for its targets."""
    sd = [{"url": f"{exporter.url}/sd", "refresh_interval": "1s"} for exporter in exporters]
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [{"job_name": NAME, "http_sd_configs": sd, **scrape}],
    }


def test_each_cluster_and_the_exporter_is_a_target_without_relabelling(tmp_path: Path) -> None:
    cluster_ids = ["in01-one", "in01-two", "in01-three"]
    with (
        SimulatedApi() as api,
        Exporter(configuration(api, cluster_ids), tmp_path / "exporter") as exporter,
        Prometheus(prometheus_config(exporter), tmp_path / "prometheus") as prometheus,
    ):
        prometheus.wait_until("count(up == 1) == 4")
        instances = {*cluster_ids, exporter.host}
        assert {(up.labels["job"], up.labels["instance"]) for up in prometheus.query("up")} == {
            (NAME, instance) for instance in instances
        }
        assert all(set(up.labels) == {"__name__", "job", "instance"} for up in prometheus.query("up"))
        jobs = prometheus.query("zilliz_import_job_up == 1")
        assert {(job.labels["instance"], job.labels["cluster_id"]) for job in jobs} == {
            (cluster_id, cluster_id) for cluster_id in cluster_ids
        }
        for own in ("zilliz_import_exporter_build_info", "sum by (instance) (zilliz_import_api_requests_total)"):
            assert [sample.labels["instance"] for sample in prometheus.query(own)] == [exporter.host]
        # A cluster that is added and one that goes are followed.
        exporter.write(configuration(api, ["in01-one", "in01-two", "in01-four"]))
        exporter.send(signal.SIGHUP)
        prometheus.wait_until('up{instance="in01-four"} == 1')
        prometheus.wait_until('absent(up{instance="in01-three"})')
        assert prometheus.value("count(up)") == 4


def test_two_replicas_share_twenty_clusters_and_one_that_dies_takes_its_share_alone(tmp_path: Path) -> None:
    cluster_ids = [f"in01-{number:02}" for number in range(20)]
    with SimulatedApi() as api:
        config = configuration(api, cluster_ids)
        with Exporter(config, tmp_path / "0") as first, Exporter(config, tmp_path / "1") as second:
            mine = "|".join(f".+;{number};{exporter.host}" for number, exporter in enumerate((first, second)))
            relabelling = [
                {
                    "source_labels": ["__param_target"],
                    "modulus": 2,
                    "target_label": "__tmp_replica",
                    "action": "hashmod",
                },
                {
                    "source_labels": ["__param_target", "__tmp_replica", "__address__"],
                    "regex": f";.*|{mine}",
                    "action": "keep",
                },
            ]
            with Prometheus(
                prometheus_config(first, second, relabel_configs=relabelling), tmp_path / "prometheus"
            ) as prometheus:
                prometheus.wait_until("count(up == 1) == 22")
                shares = shares_of(prometheus)
                assert sorted([*shares[first.host], *shares[second.host]]) == cluster_ids
                assert shares[first.host]
                assert shares[second.host]
                assert {up.value for up in prometheus.query("count by (instance) (up)")} == {1}
                # Each scrape of a cluster is one question to its API, and no other is asked.
                prometheus.wait_until("min(count_over_time(up[1h])) >= 6")
                asked = Counter(str(request.fields["clusterId"]) for request in api.requests)
                scrapes = {each.labels["instance"]: each.value for each in prometheus.query("count_over_time(up[1h])")}
                assert set(asked) == set(cluster_ids)
                for cluster_id in cluster_ids:
                    # A scrape may begin or end between the two looks.
                    assert abs(asked[cluster_id] - scrapes[cluster_id]) <= 1

                second.send(signal.SIGKILL)
                second.wait()
                down = {*shares[second.host], second.host}
                prometheus.wait_until(f"count(up == 0) == {len(down)}")
                assert {up.labels["instance"] for up in prometheus.query("up == 0")} == down
                assert {up.labels["instance"] for up in prometheus.query("up == 1")} == {
                    *shares[first.host],
                    first.host,
                }
                api.reset()
                asked_again = wait_for("all that is left to be asked", lambda: everyone(api, shares[first.host]))
                assert asked_again == shares[first.host]


def shares_of(prometheus: Prometheus) -> dict[str, set[str]]:
    """The clusters that each exporter is scraped for."""
    shares: dict[str, set[str]] = {}
    for target in prometheus.targets():
        url = urlsplit(target["scrapeUrl"])
        if url.path == "/probe":
            shares.setdefault(url.netloc, set()).add(target["labels"]["instance"])
    return shares


def everyone(api: SimulatedApi, cluster_ids: set[str]) -> set[str] | None:
    """The clusters asked about, once each of these was asked twice."""
    asked = Counter(str(request.fields["clusterId"]) for request in api.requests)
    return set(asked) if all(asked[cluster_id] >= 2 for cluster_id in cluster_ids) else None
