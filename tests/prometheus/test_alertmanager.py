"""The example Alertmanager configuration routes, silences and words the exporter's alerts as it says."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from tests.support.alertmanager import Alertmanager
from tests.support.program import wait_for
from tests.support.rules import ALERTMANAGER, SCRAPE_JOB, rules
from tests.support.webhook import Webhook

SEVERITY = {rule["alert"]: rule["labels"]["severity"] for rule in rules() if "alert" in rule}
FAILED = "ZillizImportJobFailed"


def amtool(*arguments: str | Path) -> str:
    """What amtool prints; AssertionError if it fails."""
    done = subprocess.run(["amtool", *map(str, arguments)], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def receiver(**labels: str) -> str:
    """The receiver of an alert with these labels."""
    pairs = [f"{label}={value}" for label, value in labels.items()]
    return amtool("config", "routes", "test", f"--config.file={ALERTMANAGER}", *pairs).strip()


def test_the_configuration_is_clean() -> None:
    assert "SUCCESS" in amtool("check-config", ALERTMANAGER)


def test_the_configuration_is_short() -> None:
    assert len(ALERTMANAGER.read_text(encoding="utf-8").splitlines()) <= 45


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        ({"alertname": FAILED, "collection_name": "docs"}, "imports-failures"),
        ({"alertname": FAILED}, "imports-failures"),
        ({"alertname": FAILED, "collection_name": "orders"}, "shop-failures"),
        ({"alertname": FAILED, "collection_name": "orders2"}, "imports-failures"),
        ({"alertname": "ZillizImportJobStalled", "collection_name": "orders"}, "imports-chat"),
        ({"alertname": "ZillizImportClusterUnreachable"}, "imports-outages"),
        ({"alertname": "ZillizImportExporterAbsent"}, "imports-outages"),
        ({"alertname": "ZillizImportExporterDown"}, "imports-chat"),
        ({"alertname": "NodeDown", "severity": "critical"}, "everything-else"),
        ({"alertname": "ShopSlow", "severity": "warning", "collection_name": "orders"}, "everything-else"),
    ],
)
def test_an_alert_goes_to_its_receiver(labels: Mapping[str, str], wanted: str) -> None:
    severity = {"severity": SEVERITY[labels["alertname"]]} if labels["alertname"] in SEVERITY else {}
    assert receiver(**severity, **labels) == wanted


@pytest.mark.parametrize("collection", ["docs", "orders", "products", ""])
def test_no_receiver_of_failures_sends_their_end(collection: str) -> None:
    name = receiver(alertname=FAILED, severity=SEVERITY[FAILED], collection_name=collection)
    [found] = [one for one in yaml.safe_load(ALERTMANAGER.read_text())["receivers"] if one["name"] == name]
    assert [config["send_resolved"] for config in found["slack_configs"]] == [False]


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with Webhook() as webhook:
        yield webhook


@pytest.fixture
def alertmanager(hook: Webhook, tmp_path: Path) -> Iterator[Alertmanager]:
    """The example as it is, but for the address of its receivers and its patience."""
    text = ALERTMANAGER.read_text(encoding="utf-8").replace("http://localhost:9095", hook.url)
    config = yaml.safe_load(text)
    config["route"]["routes"][0] |= {"group_wait": "500ms", "group_interval": "1s"}
    with Alertmanager(config, tmp_path) as running:
        yield running


def alert(name: str, labels: Mapping[str, str], *, ended: bool = False) -> dict[str, object]:
    """An alert as Prometheus sends it."""
    now = datetime.now(UTC)
    return {
        "labels": {"alertname": name, "job": SCRAPE_JOB, "severity": SEVERITY[name], **labels},
        "annotations": {
            "summary": "Import failed" if name == FAILED else "Import makes no progress",
            "description": f"The reason (import {labels.get('job_id')})",
            "dashboard_url": f"http://grafana/?var-job_id={labels.get('job_id')}",
            "runbook_url": "http://runbooks#x",
        },
        "startsAt": now.isoformat(),
        **({"endsAt": (now + timedelta(milliseconds=1)).isoformat()} if ended else {}),
    }


@pytest.mark.e2e
def test_an_unreachable_cluster_silences_its_unreadable_jobs_and_nothing_else(alertmanager: Alertmanager) -> None:
    sent = [alert(name, {"cluster_id": "c1"}) for name in SEVERITY]
    alertmanager.send([*sent, alert("ZillizImportJobsUnreadable", {"cluster_id": "c2"})])

    def silent() -> list[tuple[str, str]]:
        return [
            (one["labels"]["alertname"], one["labels"]["cluster_id"])
            for one in alertmanager.alerts()
            if one["status"]["state"] == "suppressed"
        ]

    wait_for("all alerts to arrive", lambda: len(alertmanager.alerts()) == len(sent) + 1)
    wait_for("silence", silent, 5)
    assert silent() == [("ZillizImportJobsUnreadable", "c1")]


@pytest.mark.e2e
def test_a_broken_bucket_is_one_message(alertmanager: Alertmanager, hook: Webhook) -> None:
    alertmanager.send(
        [
            alert(FAILED, {"cluster_id": "c1", "job_id": str(number), "collection_name": f"docs-{number % 10}"})
            for number in range(100)
        ]
    )
    [attachment] = hook.wait_for_message("/imports-failures")["attachments"]
    assert attachment["title"] == "Import failed on c1 (100)"
    assert attachment["text"].count("The reason (import ") == 100
    assert len(hook.messages()) == 1


@pytest.mark.e2e
def test_a_message_has_the_reason_and_both_links(alertmanager: Alertmanager, hook: Webhook) -> None:
    alertmanager.send([alert(FAILED, {"cluster_id": "c1", "job_id": "1"})])
    [attachment] = hook.wait_for_message("/imports-failures")["attachments"]
    assert attachment["title"] == "Import failed on c1"
    assert attachment["title_link"] == "http://runbooks#x"
    assert attachment["text"].strip() == "The reason (import 1)\nhttp://grafana/?var-job_id=1"


@pytest.mark.e2e
def test_the_end_of_a_failure_is_no_message_and_that_of_a_stall_is_no_repair(
    alertmanager: Alertmanager, hook: Webhook
) -> None:
    about = {"cluster_id": "c1", "job_id": "1"}
    stalled = "ZillizImportJobStalled"
    alertmanager.send([alert(FAILED, about), alert(stalled, about)])
    hook.wait_for_message("/imports-failures")
    hook.wait_for_message("/imports-chat")
    alertmanager.send([alert(FAILED, about, ended=True), alert(stalled, about, ended=True)])
    wait_for("the end of the stall", lambda: len(hook.messages("/imports-chat")) == 2)
    [attachment] = hook.messages("/imports-chat")[1]["attachments"]
    assert attachment["title"] == "Alert ended: Import makes no progress on c1"
    assert "The reason (import 1)" in attachment["text"]
    assert len(hook.messages("/imports-failures")) == 1
