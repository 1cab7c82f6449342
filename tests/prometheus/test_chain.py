"""From a page of metrics to messages in words, through the real Prometheus and the real Alertmanager."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from tests.support.alertmanager import Alertmanager
from tests.support.exposition import StaticExposition
from tests.support.prometheus import Prometheus, scrape_config
from tests.support.rules import ALERTMANAGER, GRAFANA, RUNBOOKS, faster
from tests.support.webhook import Webhook

PAGE = """\
zilliz_import_scrape_duration_seconds{{cluster_id="c1"}} 1
zilliz_import_job_last_change_timestamp_seconds{{cluster_id="c1",collection_name="docs",db_name="default",job_id="1",state="Failed"}} {failed}
zilliz_import_job_failure_info{{cluster_id="c1",collection_name="docs",job_id="1",cause="schema",reason="no field \\"id\\""}} 1
zilliz_import_job_last_change_timestamp_seconds{{cluster_id="c1",collection_name="docs",db_name="default",job_id="2",state="Importing"}} {stalled}
zilliz_import_job_progress_ratio{{cluster_id="c1",collection_name="docs",job_id="2"}} 0.33
"""  # noqa: E501 - lines of an exposition


@pytest.mark.e2e
def test_a_failed_and_a_stalled_import_are_told_in_words(tmp_path: Path) -> None:
    page = PAGE.format(failed=time.time() - 300, stalled=time.time() - 7200)
    with StaticExposition(page) as exporter, Webhook() as hook:
        routing = yaml.safe_load(ALERTMANAGER.read_text().replace("http://localhost:9095", hook.url))
        routing["route"]["routes"][0] |= {"group_wait": "300ms", "group_interval": "500ms"}
        with Alertmanager(routing, tmp_path / "am") as alertmanager:
            config = {
                "global": {"scrape_interval": "200ms"},
                "scrape_configs": [scrape_config([exporter.address])],
                "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager.address]}]}]},
            }
            fast = faster(tmp_path / "rules")
            with Prometheus(config, tmp_path / "prometheus", rules=(fast,)) as prometheus:
                [failed] = hook.wait_for_message("/imports-failures")["attachments"]
                assert failed["title"] == "Import failed on c1"
                assert failed["title_link"] == f"{RUNBOOKS}#zillizimportjobfailed"
                reason, dashboard, *_ = failed["text"].splitlines()
                assert reason.startswith('no field "id" (import 1 into docs of database default on c1, failed 5m ')
                assert dashboard == f"{GRAFANA}/d/zilliz-import-job/?var-cluster_id=c1&var-job_id=1"
                [stalled] = hook.wait_for_message("/imports-chat")["attachments"]
                assert stalled["title"] == "Import makes no progress on c1"
                assert stalled["text"].startswith("No change for 2h 0m ")
                evaluated = [rule for group in prometheus.api("rules")["groups"] for rule in group["rules"]]
                assert [rule for rule in evaluated if rule["health"] != "ok"] == []
