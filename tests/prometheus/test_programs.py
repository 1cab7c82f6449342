"""The starters for real programs do what their users rely on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from tests.support.alertmanager import Alertmanager
from tests.support.exposition import StaticExposition
from tests.support.prometheus import Prometheus, scrape_config
from tests.support.webhook import Webhook

pytestmark = pytest.mark.e2e

PAGE = """\
# TYPE zilliz_import_job_progress_ratio gauge
zilliz_import_job_progress_ratio{cluster_id="c",collection_name="docs",job_id="1"} 0.25
zilliz_import_job_progress_ratio{cluster_id="c",collection_name="docs",job_id="2"} 1
"""


def test_prometheus_scrapes_and_answers_queries(tmp_path: Path) -> None:
    with StaticExposition(PAGE) as page:
        config = {"global": {"scrape_interval": "200ms"}, "scrape_configs": [scrape_config([page.address])]}
        with Prometheus(config, tmp_path) as prometheus:
            prometheus.wait_until("up == 1")
            assert prometheus.value('zilliz_import_job_progress_ratio{job_id="1"}') == 0.25
            assert {s.labels["job_id"] for s in prometheus.query("zilliz_import_job_progress_ratio")} == {"1", "2"}
            assert prometheus.value("absent(zilliz_import_job_size_bytes)") == 1
            assert prometheus.value("nothing_of_this_name") is None
            assert prometheus.targets()[0]["labels"]["job"] == "zilliz-import-exporter"
            page.text = PAGE.replace("0.25", "0.5")
            prometheus.wait_until('zilliz_import_job_progress_ratio{job_id="1"} == 0.5')
            with pytest.raises(requests.HTTPError, match="parse error"):
                prometheus.query("((")


def test_prometheus_with_a_bad_configuration_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="scrape_confgs"):
        Prometheus({"scrape_confgs": []}, tmp_path)


def test_prometheus_loads_rules_and_a_new_configuration(tmp_path: Path) -> None:
    rules = tmp_path / "always.yml"
    rules.write_text("groups: [{name: g, rules: [{alert: Always, expr: vector(1)}]}]")
    with Prometheus({"global": {"evaluation_interval": "200ms"}}, tmp_path / "p", rules=(rules,)) as prometheus:
        prometheus.wait_until('ALERTS{alertname="Always",alertstate="firing"}')
        assert [alert["labels"]["alertname"] for alert in prometheus.alerts()] == ["Always"]
        assert prometheus.api("rules")["groups"][0]["interval"] == 0.2
        prometheus.write({"global": {"evaluation_interval": "1s"}})
        prometheus.reload()
        assert prometheus.api("rules")["groups"][0]["interval"] == 1


def test_alertmanager_hands_an_alert_to_the_webhook(tmp_path: Path) -> None:
    with Webhook() as webhook:
        config = {
            "route": {"receiver": "hook", "group_wait": "10ms"},
            "receivers": [{"name": "hook", "webhook_configs": [{"url": f"{webhook.url}/hook"}]}],
        }
        with Alertmanager(config, tmp_path) as alertmanager:
            now = datetime.now(UTC).isoformat()
            alertmanager.send([{"labels": {"alertname": "A", "n": "1"}, "startsAt": now}])
            assert webhook.wait_for(alertname="A")["labels"]["n"] == "1"
            assert alertmanager.alerts()[0]["status"]["state"] == "active"
            assert len(webhook.messages("/hook")) == 1
            assert webhook.messages("/elsewhere") == []
            assert webhook.alerts("resolved") == []
