"""The rules of Grafana's dashboard linter, and what it lets pass: one test per rule and panel, query or variable."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import grafana
from tests.grafana.reading import (
    BOARD,
    PANELS,
    QUERIES,
    VARIABLES,
    Json,
    Query,
    parse,
    selectors,
    selectors_of_variables,
)

UNITS = {"none", "string", "short", "percentunit", "s", "bytes", "decbytes", "Bps", "reqps", "dateTimeFromNow"}
"""Those of the linter's list that the dashboard uses."""

LINT = yaml.safe_load((Path(grafana.__file__).parent / ".lint").read_text(encoding="utf-8"))["exclusions"]
PROMETHEUS = {"type": "prometheus", "uid": "$datasource"}


def excused(rule: str, panel: Json) -> bool:
    return any(entry.get("panel") == panel["title"] for entry in LINT.get(rule, {}).get("entries", []))


def all_units(panel: Json) -> list[str]:
    overrides = [p for each in panel["fieldConfig"]["overrides"] for p in each["properties"] if p["id"] == "unit"]
    return [panel["fieldConfig"]["defaults"].get("unit", "missing"), *(p["value"] for p in overrides)]


PANEL_RULES: dict[str, Callable[[Json], bool]] = {
    "panel-datasource-rule": lambda panel: panel["datasource"] == PROMETHEUS,
    "target datasource": lambda panel: all(target["datasource"] == PROMETHEUS for target in panel["targets"]),
    "panel-title-description-rule": lambda panel: bool(panel["title"]) and len(panel["description"]) >= 20,
    "panel-units-rule": lambda panel: set(all_units(panel)) <= UNITS,
    "panel-no-targets-rule": lambda panel: len(panel["targets"]) > 0,
    "no-data text": lambda panel: bool(panel["fieldConfig"]["defaults"].get("noValue")),
    "unique refIds": lambda panel: len({t["refId"] for t in panel["targets"]}) == len(panel["targets"]),
    "instant or range": lambda panel: all(bool(t.get("range")) != bool(t.get("instant")) for t in panel["targets"]),
    "fits the grid": lambda panel: panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24,
}


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
@pytest.mark.parametrize("rule", PANEL_RULES)
def test_panel(rule: str, panel: Json) -> None:
    assert excused(rule, panel) or PANEL_RULES[rule](panel), f"{panel['title']} breaks {rule}"


def has_targets(query: Query) -> bool:
    wanted = {("job", "$job"), ("instance", "$instance")}
    return all(wanted <= set(selector.matchers) for selector in selectors(query.expr))


def variables_may_have_several_values(query: Query) -> bool:
    return not any(value.startswith("$") for selector in selectors(query.expr) for _, value in selector.exact)


def rates_use_rate_interval(query: Query) -> bool:
    windows = re.findall(r"\bi?rate\([^\[]*\[([^\]]+)\]", query.expr)
    return len(windows) == len(re.findall(r"\bi?rate\(", query.expr)) and set(windows) <= {"$__rate_interval"}


def counters_are_rated(query: Query) -> bool:
    counters = [s for s in selectors(query.expr) if s.name.endswith(("_total", "_bucket", "_count", "_sum"))]
    return all(counter.call in {"rate", "irate", "increase"} for counter in counters)


def gauges_are_not_rated(query: Query) -> bool:
    gauges = [s for s in selectors(query.expr) if not s.name.endswith(("_total", "_bucket", "_count", "_sum"))]
    return all(gauge.call not in {"rate", "irate", "increase"} for gauge in gauges)


QUERY_RULES: dict[str, Callable[[Query], bool]] = {
    "target-promql-rule": lambda query: bool(parse(query.expr)),
    "target-job-rule, target-instance-rule": has_targets,
    "variables are matched by =~": variables_may_have_several_values,
    "target-rate-interval-rule": rates_use_rate_interval,
    "target-counter-agg-rule": counters_are_rated,
    "gauges take no rate": gauges_are_not_rated,
}


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.where)
@pytest.mark.parametrize("rule", QUERY_RULES)
def test_query(rule: str, query: Query) -> None:
    assert QUERY_RULES[rule](query), f"{query.where} breaks {rule}: {query.expr}"


def test_template_datasource_rule() -> None:
    sources = [variable for variable in VARIABLES if variable["type"] == "datasource"]
    assert [(each["name"], each["label"], each["query"]) for each in sources] == [
        ("datasource", "Data source", "prometheus")
    ]


@pytest.mark.parametrize("name", ["job", "instance"])
def test_template_job_rule_and_template_instance_rule(name: str) -> None:
    variable = next(each for each in VARIABLES if each["name"] == name)
    assert variable["type"] == "query"
    assert variable["label"] == name.capitalize()
    assert variable["multi"]
    assert variable["allValue"] == ".+"


QUERY_VARIABLES = [variable for variable in VARIABLES if variable["type"] == "query"]


@pytest.mark.parametrize("variable", QUERY_VARIABLES, ids=lambda variable: variable["name"])
def test_query_variable_asks_the_chosen_data_source_again_when_the_time_range_changes(variable: Json) -> None:
    assert variable["datasource"] == PROMETHEUS
    assert variable["refresh"] == 2, "template-on-time-change-reload-rule"
    assert re.fullmatch(r"(label_values|query_result)\(.+\)", variable["query"]), "template-label-promql-rule"


@pytest.mark.parametrize("query", selectors_of_variables(), ids=lambda query: query.where)
def test_a_variable_that_lists_label_values_selects_parsable_series(query: Query) -> None:
    assert len(selectors(query.expr)) == 1


def test_a_variable_uses_only_those_before_it() -> None:
    known = {"__rate_interval"}
    for variable in VARIABLES:
        asked = set(re.findall(r"\$(\w+)", variable["query"])) if variable["type"] == "query" else set()
        assert asked <= known, variable["name"]
        known.add(variable["name"])


def test_every_variable_says_what_it_is_and_starts_at_all() -> None:
    for variable in VARIABLES:
        if variable["type"] != "datasource":
            assert variable["description"], variable["name"]
            assert variable["current"]["value"] == "$__all", variable["name"]
            assert variable["includeAll"], variable["name"]
            assert variable["multi"], variable["name"]


def test_uneditable_dashboard() -> None:
    assert BOARD["editable"] is False


def test_exceptions_name_panels_that_exist_and_give_a_reason() -> None:
    titles = {panel["title"] for panel in PANELS}
    for rule, exclusion in LINT.items():
        assert rule in PANEL_RULES
        for entry in exclusion["entries"]:
            assert entry["panel"] in titles
            assert entry["dashboard"] == BOARD["title"]
            assert len(entry["reason"]) >= 20
