"""Dashboard, rules and exporter name the same metrics, labels and states; nothing is exposed that nobody uses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import prometheus
from exporter.metrics.families import CLUSTER_FAMILIES, JOB_FAMILIES
from exporter.metrics.own import OwnMetrics
from exporter.model import ErrorClass, Source, State
from tests.grafana.reading import QUERIES, Query, grouping, selectors, selectors_of_variables

TARGET = {"job", "instance"}
MADE_BY_QUERIES = {"shown"}

UNUSED = {
    "python_gc_collections": "the runtime's own, for whoever hunts a leak",
    "python_gc_objects_collected": "the runtime's own, for whoever hunts a leak",
    "python_gc_objects_uncollectable": "the runtime's own, for whoever hunts a leak",
    "python_info": "said by the build information",
    "process_cpu_seconds": "the exporter's work follows its requests, which are shown",
    "process_max_fds": "connections are bounded by configuration",
    "process_open_fds": "connections are bounded by configuration",
    "process_start_time_seconds": "restarts show in the scrapes; rules must not depend on them",
    "process_virtual_memory_bytes": "resident memory is what is paid for, and shown",
}


def exposed() -> dict[str, tuple[frozenset[str], frozenset[str]]]:
    """Family -> the names of its samples, their labels."""
    families = {family.name: (frozenset({family.name}), frozenset(family.labels)) for family in JOB_FAMILIES}
    families |= {family.name: (frozenset({family.name}), frozenset(family.labels)) for family in CLUSTER_FAMILIES}
    own = OwnMetrics()
    own.add_cluster("c")
    own.reload_done(ok=True, at=1.0)
    for metric in own.collect():
        labels = {label for sample in metric.samples for label in sample.labels}
        names = {sample.name for sample in metric.samples} | {metric.name}
        families[metric.name] = (frozenset(names), frozenset(labels))
    return families


EXPOSED = exposed()
LABELS = {name: labels for names, labels in EXPOSED.values() for name in names} | {"up": frozenset[str]()}


def rules() -> Iterator[tuple[str, str]]:
    """Name and expression of every recording and alert rule."""
    for file in sorted((Path(prometheus.__file__).parent / "rules").glob("*.y*ml")):
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                yield rule.get("record") or rule["alert"], rule["expr"]


RULES = dict(rules())
DASHBOARD = [*QUERIES, *selectors_of_variables()]


@pytest.mark.parametrize("query", DASHBOARD, ids=lambda query: query.where)
def test_the_dashboard_names_metrics_and_labels_that_the_exporter_exposes(query: Query) -> None:
    for selector in selectors(query.expr):
        by_name = [name for name in selector.matchers if name[0] == "__name__"]
        names = [selector.name] if selector.name else names_of(by_name[0][1])
        for name in names:
            assert name in LABELS
            assert {label for label, _ in selector.matchers} - {"__name__"} <= LABELS[name] | TARGET, name
    everything = set().union(*LABELS.values())
    assert grouping(query.expr) <= everything | TARGET | MADE_BY_QUERIES


def names_of(pattern: str) -> list[str]:
    """The names in `prefix_(one|other)`."""
    prefix, _, rest = pattern.partition("(")
    return [prefix + end for end in rest.removesuffix(")").split("|")]


CLOSED_SETS: dict[str, set[str]] = {
    "state": {*State},
    "error": {*ErrorClass},
    "source": {*Source},
    "operation": {"progress", "list"},
}


@pytest.mark.parametrize("query", DASHBOARD, ids=lambda query: query.where)
def test_the_dashboard_spells_only_values_that_exist(query: Query) -> None:
    for selector in selectors(query.expr):
        for label, value in selector.matchers:
            if label in CLOSED_SETS and not value.startswith("$"):
                assert set(value.split("|")) <= CLOSED_SETS[label]


def test_rules_name_metrics_that_the_exporter_exposes_or_that_they_record() -> None:
    named = {selector.name for expr in RULES.values() for selector in selectors(expr)}
    assert named <= set(LABELS) | set(RULES) | {"ALERTS"}


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
