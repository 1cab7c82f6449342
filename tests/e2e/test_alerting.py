"""From a failing import to one message in words: simulated API, exporter, Prometheus, Alertmanager and a receiver."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import yaml

from tests.support.alertmanager import Alertmanager
from tests.support.exporter import Exporter
from tests.support.program import wait_for
from tests.support.prometheus import Prometheus, scrape_config
from tests.support.rules import ALERTMANAGER, GRAFANA, RUNBOOKS, faster
from tests.support.simulated import CLUSTER, KEY, FileScript, JobScript, SimulatedApi
from tests.support.webhook import Webhook

pytestmark = [pytest.mark.e2e, pytest.mark.needs("prometheus", "prometheus-alertmanager")]

FAILING, STEADY, OTHER = "448761313698322011", "448761313698322012", "448761313698322013"
OTHER_CLUSTER, OTHER_KEY = "in01-other0000000001", "another-demo-key"
FILES = (FileScript(("articles/1.parquet",), 100_000_000, 50_000),)


def routing(hook: Webhook) -> dict[str, object]:
    """The example, with the receiver's address and at the pace of a test."""
    example = ALERTMANAGER.read_text(encoding="utf-8")
    document: dict[str, object] = yaml.safe_load(example.replace("http://localhost:9095", hook.url))
    route = document["route"]
    assert isinstance(route, dict)
    route["routes"][0] |= {"group_wait": "2s", "group_interval": "2s"}
    return document


def test_a_failed_import_pages_once_and_what_a_bigger_trouble_explains_does_not(tmp_path: Path) -> None:
    with SimulatedApi() as api, Webhook() as hook:
        api.add(
            JobScript(FAILING, "medium_articles", FILES, fails_after=60, reason="field 'lang' not in arrow schema"),
            JobScript(STEADY, "medium_articles", FILES, vanishes_after=10_000),
        )
        api.add(JobScript(OTHER, "reviews", FILES), cluster=OTHER_CLUSTER)
        api.clock.set(50)
        one: dict[str, object] = {"cluster_id": CLUSTER, "base_url": api.url, "api_key": KEY}
        other = {"cluster_id": OTHER_CLUSTER, "base_url": api.url, "api_key": OTHER_KEY, "jobs": [OTHER]}
        config = {"clusters": [{**one, "jobs": [FAILING, STEADY]}, other], "scrape": {"fresh_for": "0s"}}
        with (
            Exporter(config, tmp_path / "exporter", "--config.auto-reload-interval=0s") as exporter,
            Alertmanager(routing(hook), tmp_path / "am") as alertmanager,
            Prometheus(
                {
                    "global": {"scrape_interval": "1s"},
                    "scrape_configs": [scrape_config([exporter.host])],
                    "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager.address]}]}]},
                },
                tmp_path / "prometheus",
                rules=(faster(tmp_path / "rules"),),
            ) as prometheus,
        ):
            # The other cluster refuses its key: one message about the API, none about the job.
            [outage] = hook.wait_for_message("/imports-outages", timeout=60)["attachments"]
            assert outage["title"] == f"Import API fails on {OTHER_CLUSTER}"
            assert f". Imports on {OTHER_CLUSTER} may fail unnoticed." in outage["text"]
            states = {each["labels"]["alertname"]: each["status"]["state"] for each in alertmanager.alerts()}
            assert states["ZillizImportJobsUnreadable"] == "suppressed"
            assert hook.messages("/imports-failures") == []

            api.clock.set(70)
            [notification] = hook.wait_for_message("/imports-failures", timeout=60)["attachments"]
            assert notification["title"] == f"Import failed on {CLUSTER}"
            assert notification["title_link"] == f"{RUNBOOKS}#zillizimportjobfailed"
            reason, dashboard, *_ = notification["text"].splitlines()
            assert reason.startswith(
                f"field 'lang' not in arrow schema (import {FAILING} into medium_articles on {CLUSTER}, failed "
            )
            assert dashboard == f"{GRAFANA}/d/zilliz-import-job/?var-cluster_id={CLUSTER}&var-job_id={FAILING}"

            # The alert outlasts the job's series and the exporter's restart, and pages no second time.
            exporter.write({**config, "clusters": [{**one, "jobs": [STEADY]}, other]})
            exporter.send(signal.SIGHUP)
            prometheus.wait_until(f'absent(zilliz_import_job_state{{job_id="{FAILING}"}})')
            api.cloud.keys.add(OTHER_KEY)
            prometheus.wait_until(f'zilliz_import_job_state{{job_id="{OTHER}", state="Importing"}} == 1')
            assert prometheus.value('ALERTS{alertname="ZillizImportJobFailed", alertstate="firing"}') == 1
            wait_for("the end of the outage", lambda: len(hook.messages("/imports-outages")) == 2, 200)
            [ended] = hook.messages("/imports-outages")[1]["attachments"]
            assert ended["title"] == f"Alert ended: Import API fails on {OTHER_CLUSTER}"
            assert len(hook.messages("/imports-failures")) == 1
            assert hook.messages("/imports-chat") == []
