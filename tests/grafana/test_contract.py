"""Dashboard, rules and exporter name the same metrics, labels and states; nothing is exposed that nobody uses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import grafana
from exporter.metrics.families import CLUSTER_FAMILIES, JOB_FAMILIES
from exporter.metrics.own import OwnMetrics
from exporter.model import ErrorClass, Source, State
from grafana.queries import ALL_JOBS, TROUBLES
from grafana.shared import ALERTS
from tests.grafana.reading import QUERIES, VARIABLE_QUERIES, Query, grouping, selectors, title

ROOT = Path(grafana.__file__).parent.parent
TARGET = {"job", "instance"}
OF_ALERTS = {"alertname", "alertstate", "cluster_id", "collection_name", "job_id"}

UNUSED = {
    "python_gc_collections": "the runtime's own, for whoever hunts a leak",
    "python_gc_objects_collected": "the runtime's own, for whoever hunts a leak",
    "python_gc_objects_uncollectable": "the runtime's own, for whoever hunts a leak",
    "python_info": "said by the build information",
    "process_cpu_seconds": "the exporter's work follows its requests, which are shown",
    "process_max_fds": "connections are bounded by configuration",
    "process_open_fds": "connections are bounded by configuration",
    "process_start_time_seconds": "restarts show in the scrapes; rules must not depend on them",
    "zilliz_import_job_completed_timestamp_seconds": "the last change is the same time, and is there without it, too",
    "process_virtual_memory_bytes": "resident memory is what is paid for, and shown",
}


def exposed() -> dict[str, tuple[frozenset[str], frozenset[str]]]:
    """Family -> the names of its samples, their labels."""
    families = {family.name: (frozenset({family.name}), frozenset(family.labels)) for family in JOB_FAMILIES}
    families |= {family.name: (frozenset({family.name}), frozenset(family.labels)) for family in CLUSTER_FAMILIES}
    own = OwnMetrics()
    own.add_cluster("c")
    own.job_finished("c", "articles", None)
    own.reload_done(ok=True, at=1.0)
    for metric in own.collect():
        labels = {label for sample in metric.samples for label in sample.labels}
        names = {sample.name for sample in metric.samples} | {metric.name}
        families[metric.name] = (frozenset(names), frozenset(labels))
    return families


EXPOSED = exposed()
OTHERS = {"up": frozenset[str](), "ALERTS": frozenset(OF_ALERTS), "ALERTS_FOR_STATE": frozenset(OF_ALERTS)}
LABELS = {name: labels for names, labels in EXPOSED.values() for name in names} | OTHERS


def rules() -> Iterator[tuple[str, str]]:
    """Name and expression of every recording and alert rule."""
    for file in sorted((ROOT / "prometheus/rules").glob("*.y*ml")):
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                yield rule.get("record") or rule["alert"], rule["expr"]


RULES = dict(rules())
DASHBOARD = [*QUERIES, *VARIABLE_QUERIES]


@pytest.mark.parametrize("query", DASHBOARD, ids=title)
def test_the_dashboard_names_metrics_and_labels_that_the_exporter_exposes(query: Query) -> None:
    for selector in selectors(query.expr):
        by_name = [name for name in selector.matchers if name[0] == "__name__"]
        names = [selector.name] if selector.name else names_of(by_name[0][1])
        for name in names:
            assert name in LABELS
            assert {label for label, _ in selector.matchers} - {"__name__"} <= LABELS[name] | TARGET, name
    everything = set().union(*LABELS.values())
    assert grouping(query.expr) <= everything | TARGET


def names_of(pattern: str) -> list[str]:
    """The names in `prefix_(one|other)`."""
    prefix, _, rest = pattern.partition("(")
    return [prefix + end for end in rest.removesuffix(")").split("|")]


CLOSED_SETS: dict[str, set[str]] = {
    "state": {*State},
    "error": {*ErrorClass},
    "source": {*Source},
    "operation": {"progress", "list"},
    "cause": {"aborted", "dropped", "timeout", "quota", "schema", "storage", "other"},
    "alertstate": {"firing"},
}


@pytest.mark.parametrize("query", DASHBOARD, ids=title)
def test_the_dashboard_spells_only_values_that_exist(query: Query) -> None:
    for selector in selectors(query.expr):
        for label, value in selector.matchers:
            if label in CLOSED_SETS and not value.startswith("$"):
                assert set(value.split("|")) <= CLOSED_SETS[label]


_UNCHANGED = "zilliz_import:job_unchanged_seconds"


def plain(expr: str) -> str:
    """An expression of the dashboard without its filters, or of a rule with its recording written out."""
    written = re.sub(
        rf"{_UNCHANGED}({{[^}}]*}})",
        lambda match: RULES[_UNCHANGED].replace("timestamp_seconds)", f"timestamp_seconds{match[1]})"),
        expr,
    )
    for filters in (ALL_JOBS.job, ALL_JOBS.id):
        written = written.replace(f"{{{filters}}}", "").replace(f"{filters}, ", "")
    return " ".join(written.replace(ALL_JOBS.state, "").replace(" db_name,", "").split())


@pytest.mark.parametrize("word", ["Stalled", "Pending", "Uncommitted", "Vanished"])
def test_a_word_of_the_dashboard_means_what_its_alert_means(word: str) -> None:
    (trouble,) = (each for each in TROUBLES if each.word == word)
    (alert,) = (name for name in RULES if name.lower() == trouble.section)
    assert plain(trouble.jobs(ALL_JOBS)) == plain(RULES[alert])


def test_the_dashboard_has_words_for_every_alert() -> None:
    assert set(ALERTS) == {name for name in RULES if ":" not in name}


def test_every_trouble_has_a_section_in_the_runbooks() -> None:
    text = (ROOT / "docs/runbooks.md").read_text(encoding="utf-8")
    sections = {line[3:].strip().lower().replace(" ", "-") for line in text.splitlines() if line.startswith("## ")}
    assert {each.section for each in TROUBLES} | {alert.lower() for alert in ALERTS} <= sections


def test_rules_name_metrics_that_the_exporter_exposes_or_that_they_record() -> None:
    named = {selector.name for expr in RULES.values() for selector in selectors(expr)}
    assert named <= set(LABELS) | set(RULES)


def test_the_dashboard_needs_no_recording_rules() -> None:
    assert not {selector.name for query in QUERIES for selector in selectors(query.expr)} & set(RULES)


def used() -> set[str]:
    """Every metric that the dashboard or a rule reads."""
    found = set()
    for expr in [*(query.expr for query in DASHBOARD), *RULES.values()]:
        found |= {selector.name for selector in selectors(expr)}
    return found


@pytest.mark.parametrize("family", EXPOSED)
def test_each_exposed_metric_is_used_or_listed_as_deliberately_unused(family: str) -> None:
    assert bool(EXPOSED[family][0] & used()) != (family in UNUSED)
