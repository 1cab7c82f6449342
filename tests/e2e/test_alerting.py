"""From a failing import to one message in words: simulated API, exporter, Prometheus, Alertmanager and a receiver."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest
import yaml

from prometheus import rules
from tests.support.alertmanager import Alertmanager
from tests.support.exporter import Exporter
from tests.support.program import wait_for
from tests.support.prometheus import Prometheus, scrape_config
from tests.support.rules import faster
from tests.support.simulated import CLUSTER, KEY, FileScript, JobScript, SimulatedApi
from tests.support.webhook import Webhook

pytestmark = [pytest.mark.e2e, pytest.mark.needs("prometheus", "prometheus-alertmanager")]

ALERTMANAGER = Path(rules.__file__).parent / "alertmanager"
FAILING, STEADY, OTHER = "448761313698322011", "448761313698322012", "448761313698322013"
OTHER_CLUSTER, OTHER_KEY = "in01-other0000000001", "another-demo-key"
FILES = (FileScript(("articles/1.parquet",), 100_000_000, 50_000),)


def routing(hook: Webhook) -> dict[str, object]:
    """The example, with the receiver's address and at the pace of a test."""
    example = (ALERTMANAGER / "alertmanager.yml").read_text(encoding="utf-8")
    document: dict[str, object] = yaml.safe_load(example.replace("http://localhost:9095", hook.url))
    route = document["route"]
    assert isinstance(route, dict)
    route |= {"group_wait": "2s", "group_interval": "2s"}
    return document


def test_a_failed_import_pages_once_and_what_a_bigger_trouble_explains_does_not(tmp_path: Path) -> None:
    with SimulatedApi() as api, Webhook() as hook:
        api.cloud.keys.add(OTHER_KEY)
        api.add(
            JobScript(FAILING, "medium_articles", FILES, fails_after=60, reason="field 'lang' not in arrow schema"),
            JobScript(STEADY, "medium_articles", FILES, vanishes_after=10_000),
        )
        api.add(JobScript(OTHER, "reviews", FILES), cluster=OTHER_CLUSTER)
        api.clock.set(50)
        one: dict[str, object] = {"cluster_id": CLUSTER, "base_url": api.url, "api_key": KEY}
        other = {"cluster_id": OTHER_CLUSTER, "base_url": api.url, "api_key": OTHER_KEY, "jobs": [OTHER]}
        config = {"clusters": [{**one, "jobs": [FAILING, STEADY]}, other], "scrape": {"fresh_for": "0s"}}
        shutil.copytree(ALERTMANAGER / "templates", tmp_path / "am" / "templates")
        fast = faster(rules.RULES, tmp_path / "rules")
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
                rules=(fast,),
            ) as prometheus,
        ):
            prometheus.wait_until(f'zilliz_import_job_state{{job_id="{OTHER}", state="Importing"}} == 1')
            assert hook.messages() == []

            api.clock.set(70)
            [told] = hook.wait_for_message("/imports-pager", timeout=60)["attachments"]
            assert told["title"] == f"[critical: 1] A bulk import failed. medium_articles on {CLUSTER}"
            assert told["text"].splitlines() == [
                (
                    f"Import {FAILING} into collection medium_articles on cluster {CLUSTER} failed "
                    "(failed files: articles/1.parquet): field 'lang' not in arrow schema"
                ),
                f"Dashboard: {rules.GRAFANA}/d/zilliz-imports/?var-cluster_id={CLUSTER}&var-job_id={FAILING}",
                f"Runbook: {rules.RUNBOOKS}#zillizimportjobfailed",
            ]

            api.cloud.keys.discard(OTHER_KEY)
            prometheus.wait_until('ALERTS{alertname="ZillizImportClusterUnreachable", alertstate="firing"}')
            wait_for("the page about the key", lambda: len(hook.messages("/imports-pager")) >= 2, 60)
            assert "AuthFailing" not in hook.messages("/imports-pager")[0]["attachments"][0]["title"]
            [page] = hook.messages("/imports-pager")[1]["attachments"]
            assert OTHER_CLUSTER in page["title"]
            states = {each["labels"]["alertname"]: each["status"]["state"] for each in alertmanager.alerts()}
            assert states["ZillizImportClusterUnreachable"] == "suppressed"
            assert hook.messages("/imports-chat") == []

            exporter.write({**config, "clusters": [{**one, "jobs": [STEADY]}, other]})
            exporter.send(signal.SIGHUP)
            wait_for("the end of the failure", lambda: _over(hook), 60)
            about_failure = [title for title in _titles(hook) if "import failed" in title]
            assert len(about_failure) == 2, _titles(hook)


def _titles(hook: Webhook) -> list[str]:
    return [message["attachments"][0]["title"] for message in hook.messages("/imports-pager")]


def _over(hook: Webhook) -> bool:
    return any(title.startswith("[over]") and "import failed" in title for title in _titles(hook))
