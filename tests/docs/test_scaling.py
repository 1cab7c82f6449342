"""The configuration that spreads clusters over replicas, as it stands in the documents, with real programs."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from tests.docs.markdown import ROOT, fences
from tests.support.exporter import Exporter
from tests.support.program import wait_for
from tests.support.prometheus import Prometheus
from tests.support.simulated import KEY, SimulatedApi
from tests.support.simulated.jobs import Jobs

CLUSTERS = [f"in01-{number:019d}" for number in range(20)]

pytestmark = [pytest.mark.e2e, pytest.mark.needs("prometheus")]


def test_each_cluster_is_scraped_from_exactly_one_of_two_replicas(tmp_path: Path) -> None:
    with SimulatedApi() as api, ExitStack() as running:
        for cluster_id in CLUSTERS:
            api.cloud.clusters[cluster_id] = Jobs()
        clusters = [{"cluster_id": each, "base_url": api.url, "api_key": KEY} for each in CLUSTERS]
        replicas = [
            running.enter_context(Exporter({"clusters": clusters}, tmp_path / str(number))) for number in range(2)
        ]
        prometheus = running.enter_context(Prometheus(documented(replicas), tmp_path / "prometheus"))

        def scraped() -> Counter[str] | None:
            up = [target for target in prometheus.targets() if target["health"] == "up"]
            return Counter(target["labels"]["instance"] for target in up) if len(up) == len(CLUSTERS) + 2 else None

        own = {replica.host: 1 for replica in replicas}
        assert wait_for("all targets", scraped) == {**dict.fromkeys(CLUSTERS, 1), **own}
        shares = Counter(target["discoveredLabels"]["__address__"] for target in prometheus.targets())
        assert all(5 < shares[replica.host] < 17 for replica in replicas)

        replicas[0].stop()
        prometheus.wait_until(f"count(up == 0) == {shares[replicas[0].host]}")
        assert prometheus.value("count(up == 1)") == shares[replicas[1].host]


def documented(replicas: list[Exporter]) -> dict[str, object]:
    """The configuration of the page, with the addresses of these replicas, and in more of a hurry."""
    (fence,) = (each for each in fences(ROOT / "docs/scaling.md") if "hashmod" in each.body)
    text = fence.body
    for number, replica in enumerate(replicas):
        text = text.replace(f"http://exporter-{number}.example.com:10530", replica.url)
        text = text.replace(rf"exporter-{number}\..+", replica.host)
    assert "example.com" not in text
    config: dict[str, object] = yaml.safe_load(text)
    (job,) = yaml.safe_load(text)["scrape_configs"]
    config["scrape_configs"] = [{**job, "scrape_interval": "1s", "scrape_timeout": "1s"}]
    return config
