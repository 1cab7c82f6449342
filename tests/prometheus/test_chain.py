"""From a page of metrics to one message in words, through the real Prometheus and the real Alertmanager."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from prometheus import rules
from tests.prometheus.cases import BASE, failed, moving
from tests.support.alertmanager import Alertmanager
from tests.support.exposition import StaticExposition
from tests.support.program import wait_for
from tests.support.prometheus import Prometheus, scrape_config
from tests.support.promtool import Exposure, series, written
from tests.support.rules import faster
from tests.support.webhook import Webhook

ALERTMANAGER = Path(rules.__file__).parent / "alertmanager"


def page(exposure: Exposure) -> str:
    return "".join(f"{written(one)} {value}\n" for one, value in exposure.items())


@pytest.mark.e2e
def test_a_failed_import_is_told_once_and_called_over_when_it_is(tmp_path: Path) -> None:
    file = {"cluster_id": "c1", "collection_name": "docs", "job_id": "1", "file_name": "a.parquet", "state": "Failed"}
    broken = {**BASE, **failed(reason='no field "id"'), series("zilliz_import_file_state", **file): 1.0}
    with StaticExposition(page({**BASE, **moving(0)})) as exporter, Webhook() as hook:
        example = (ALERTMANAGER / "alertmanager.yml").read_text(encoding="utf-8")
        routing = yaml.safe_load(example.replace("http://localhost:9095", hook.url))
        routing["route"] |= {"group_wait": "300ms", "group_interval": "500ms"}
        shutil.copytree(ALERTMANAGER / "templates", tmp_path / "am" / "templates")
        with Alertmanager(routing, tmp_path / "am") as alertmanager:
            config = {
                "global": {"scrape_interval": "200ms"},
                "scrape_configs": [scrape_config([exporter.address])],
                "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager.address]}]}]},
            }
            fast = faster(rules.RULES, tmp_path / "rules")
            with Prometheus(config, tmp_path / "prometheus", rules=(fast,)) as prometheus:
                prometheus.wait_until(f"{rules.PROGRESS} > 0")
                exporter.text = page(broken)
                [told] = hook.wait_for_message("/imports-pager")["attachments"]
                assert told["title"] == "[critical: 1] A bulk import failed. docs on c1"
                who = "Import 1 into collection docs of database default on cluster c1"
                assert told["text"].splitlines() == [
                    f'{who} failed (failed files: a.parquet): no field "id"',
                    f"Dashboard: {rules.GRAFANA}/d/zilliz-imports/?var-cluster_id=c1&var-job_id=1",
                    f"Runbook: {rules.RUNBOOKS}#zillizimportjobfailed",
                ]
                exporter.text = page({**BASE, **moving(0)})
                wait_for("a second message", lambda: len(hook.messages("/imports-pager")) == 2)
                [over] = hook.messages("/imports-pager")[1]["attachments"]
                assert over["title"] == "[over] A bulk import failed. docs on c1"
                evaluated = [rule for group in prometheus.api("rules")["groups"] for rule in group["rules"]]
                assert [rule for rule in evaluated if rule["health"] != "ok"] == []
