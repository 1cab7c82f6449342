"""The example Alertmanager configuration routes, silences and words the exporter's alerts as it says."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from prometheus import rules
from tests.support.alertmanager import Alertmanager
from tests.support.program import wait_for
from tests.support.webhook import Webhook

DIRECTORY = Path(rules.__file__).parent / "alertmanager"
CONFIG = DIRECTORY / "alertmanager.yml"
TEMPLATES = DIRECTORY / "templates"

FAMILY = tuple(f"{rules.PREFIX}{name}" for name in rules.TIMINGS)


def amtool(*arguments: str | Path) -> str:
    """What amtool prints; AssertionError if it fails."""
    done = subprocess.run(["amtool", *map(str, arguments)], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_configuration_is_clean() -> None:
    assert "SUCCESS" in amtool("check-config", CONFIG)


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ({"alertname": "ZillizImportJobFailed", "severity": "critical", "collection_name": "docs"}, "imports-pager"),
        ({"alertname": "ZillizImportJobStalled", "severity": "warning", "collection_name": "docs"}, "imports-chat"),
        ({"alertname": "ZillizImportJobUnknown", "severity": "info", "collection_name": "docs"}, "null"),
        ({"alertname": "ZillizImportJobUnknown", "severity": "info"}, "null"),
        ({"alertname": "ZillizImportExporterAbsent", "severity": "critical"}, "imports-pager"),
        ({"alertname": "ZillizImportJobFailed", "severity": "critical", "collection_name": "orders"}, "shop-pager"),
        ({"alertname": "ZillizImportJobStalled", "severity": "warning", "collection_name": "products"}, "shop-chat"),
        ({"alertname": "ZillizImportJobUnknown", "severity": "info", "collection_name": "orders"}, "null"),
        ({"alertname": "ZillizImportJobFailed", "severity": "critical", "collection_name": "orders2"}, "imports-pager"),
        ({"alertname": "NodeDown", "severity": "critical"}, "everything-else"),
        ({"alertname": "ShopSlow", "severity": "warning", "collection_name": "orders"}, "everything-else"),
    ],
)
def test_an_alert_goes_to_its_receiver(labels: Mapping[str, str], receiver: str) -> None:
    pairs = [f"{label}={value}" for label, value in labels.items()]
    assert amtool("config", "routes", "test", f"--config.file={CONFIG}", *pairs).strip() == receiver


def rendered(template: str, alerts: list[dict[str, Any]], scratch: Path) -> str:
    """A template's text for a message with these alerts."""

    def common(key: str) -> dict[str, str]:
        first, *others = (alert[key] for alert in alerts)
        return {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}

    firing = any(alert["status"] == "firing" for alert in alerts)
    message = {
        "receiver": "r",
        "status": "firing" if firing else "resolved",
        "alerts": alerts,
        "groupLabels": {},
        "commonLabels": common("labels"),
        "commonAnnotations": common("annotations"),
        "externalURL": "http://alertmanager",
    }
    data = scratch / "message.json"
    data.write_text(json.dumps(message))
    return amtool(
        "template",
        "render",
        f"--template.glob={TEMPLATES}/*.tmpl",
        f'--template.text={{{{ template "zilliz-import.{template}" . }}}}',
        f"--template.data={data}",
    ).rstrip("\n")


def told(job_id: str, status: str = "firing", name: str = "JobFailed", **labels: str) -> dict[str, Any]:
    """An alert as Alertmanager hands it to a template."""
    return {
        "status": status,
        "labels": {
            "alertname": f"{rules.PREFIX}{name}",
            "severity": rules.TIMINGS[name].severity,
            "job": rules.SCRAPE_JOB,
            "cluster_id": "c1",
            "job_id": job_id,
            **labels,
        },
        "annotations": {
            "summary": rules.TEXTS[name].summary,
            "description": f"Import {job_id} failed (failed files: a.parquet): \"x\" < 'y' & z",
            "dashboard_url": f"http://grafana/?var-job_id={job_id}",
            "runbook_url": "http://runbooks#x",
        },
        "startsAt": "2026-01-01T00:00:00Z",
    }


def test_a_message_names_job_file_and_reason_and_links_to_both_pages(tmp_path: Path) -> None:
    alerts = [told("1", collection_name="docs"), told("2", "resolved", collection_name="docs")]
    assert rendered("title", alerts, tmp_path) == "[critical: 1] A bulk import failed. docs on c1"
    assert rendered("text", alerts, tmp_path) == (
        "Import 1 failed (failed files: a.parquet): \"x\" < 'y' & z\n"
        "Dashboard: http://grafana/?var-job_id=1\n"
        "Runbook: http://runbooks#x\n"
        "\n"
        "No longer news: Import 2 failed (failed files: a.parquet): \"x\" < 'y' & z"
    )
    assert rendered("link", alerts, tmp_path) == "http://alertmanager"
    assert rendered("link", alerts[:1], tmp_path) == "http://grafana/?var-job_id=1"


def test_the_title_falls_back_to_the_cluster_and_to_the_exporter(tmp_path: Path) -> None:
    mixed = [told("1", collection_name="docs"), told("2", collection_name="other")]
    assert rendered("title", mixed, tmp_path) == "[critical: 2] A bulk import failed. c1"
    several = [told("1", cluster_id="c1"), told("1", cluster_id="c2")]
    assert rendered("title", several, tmp_path) == "[critical: 2] A bulk import failed. zilliz-import-exporter"


def test_what_is_over_is_said_to_be_over(tmp_path: Path) -> None:
    over = [told("1", "resolved", "JobStalled", collection_name="docs")]
    assert rendered("title", over, tmp_path) == "[over] A bulk import makes no progress. docs on c1"
    assert rendered("text", over, tmp_path).startswith("Over: Import 1 ")


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with Webhook() as webhook:
        yield webhook


@pytest.fixture
def alertmanager(hook: Webhook, tmp_path: Path) -> Iterator[Alertmanager]:
    """The example as it is, but for the address of its receivers and its patience."""
    text = CONFIG.read_text(encoding="utf-8").replace("http://localhost:9095", hook.url)
    config = yaml.safe_load(text)
    config["route"] |= {"group_wait": "500ms", "group_interval": "1s"}
    shutil.copytree(TEMPLATES, tmp_path / TEMPLATES.name)
    with Alertmanager(config, tmp_path) as running:
        yield running


def fired(name: str, **labels: str) -> dict[str, object]:
    """An alert as Prometheus sends it."""
    return {
        "labels": {
            "alertname": name,
            "job": rules.SCRAPE_JOB,
            "severity": rules.TIMINGS[name.removeprefix(rules.PREFIX)].severity if name in FAMILY else "critical",
            **labels,
        },
        "annotations": {"summary": "s", "description": "d"},
        "startsAt": datetime.now(UTC).isoformat(),
    }


READS = {"JobUnreadable", "JobVanished", "Backlog", "DiscoveryFailing"}

SILENCED = {
    "ExporterAbsent": set(rules.TIMINGS) - {"ExporterAbsent"},
    "AuthFailing": READS | {"JobStalled", "JobPending", "ClusterUnreachable", "Throttled"},
    "ClusterUnreachable": READS,
    "ExporterDown": set[str](),
}
"""What each alert silences, the mightiest first."""


@pytest.mark.e2e
@pytest.mark.parametrize("cause", SILENCED)
def test_a_bigger_alert_silences_what_it_explains_and_nothing_else(cause: str, alertmanager: Alertmanager) -> None:
    mightier = list(SILENCED)[: list(SILENCED).index(cause)]
    of_exporter = {name for name in rules.TIMINGS if name.startswith(("Exporter", "Reload"))}
    sent = [("NodeDown", ""), ("NodeDown", "c1"), (cause, "" if cause in of_exporter else "c1")]
    for name in rules.TIMINGS:
        if name != cause and name not in mightier:
            sent += [(name, "")] if name in of_exporter else [(name, "c1"), (name, "c2")]
    wanted = {
        (name, cluster_id)
        for name, cluster_id in sent
        if name in SILENCED[cause] and (cluster_id == "c1" or cause == "ExporterAbsent")
    }
    if cause == "AuthFailing":
        # The other cluster is unreachable and has no alert about its key.
        wanted |= {(name, "c2") for name in READS}
    names = {name: name if name == "NodeDown" else f"{rules.PREFIX}{name}" for name, _ in sent}
    alertmanager.send([fired(names[name], **({"cluster_id": where} if where else {})) for name, where in sent])

    def silent() -> set[tuple[str, str]]:
        return {
            (alert["labels"]["alertname"].removeprefix(rules.PREFIX), alert["labels"].get("cluster_id", ""))
            for alert in alertmanager.alerts()
            if alert["status"]["state"] == "suppressed"
        }

    wait_for("all alerts to arrive", lambda: len(alertmanager.alerts()) == len(sent))
    with suppress(TimeoutError):
        wait_for("silence", lambda: silent() == wanted, 5)
    assert silent() == wanted


@pytest.mark.e2e
def test_a_failed_import_is_one_message_in_the_pagers_words(alertmanager: Alertmanager, hook: Webhook) -> None:
    where = {"cluster_id": "c1", "collection_name": "docs"}
    alertmanager.send([fired(f"{rules.PREFIX}JobFailed", job_id=str(number), **where) for number in range(40)])
    message = hook.wait_for_message("/imports-pager")
    [attachment] = message["attachments"]
    assert attachment["title"] == "[critical: 40] s docs on c1"
    assert attachment["text"].splitlines()[0] == "d"
    assert len(hook.messages("/imports-pager")) == 1
