"""The rules of Grafana's dashboard linter, and what it lets pass: one test per rule and panel, query or variable."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import grafana
from grafana.tables import IMPORTS
from tests.grafana.reading import (
    BOARDS,
    PANELS,
    QUERIES,
    VARIABLE_QUERIES,
    Board,
    Json,
    Query,
    parse,
    selectors,
    title,
)

UNITS = {"none", "string", "short", "percentunit", "s", "bytes", "decbytes", "Bps", "reqps", "dateTimeFromNow"}
"""Those of the linter's list that the dashboard uses."""

LINT = yaml.safe_load((Path(grafana.__file__).parent / ".lint").read_text(encoding="utf-8"))["exclusions"]
PROMETHEUS = {"type": "prometheus", "uid": "$datasource"}


def excused(rule: str, where: str) -> bool:
    """Whether the linter is configured to let this rule pass for the panel, or for the query of a panel, at `where`."""
    entries = LINT.get(rule, {}).get("entries", [])
    return any(where.startswith(f"{entry['dashboard']}: {entry['panel']}") for entry in entries)


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


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=title)
@pytest.mark.parametrize("rule", PANEL_RULES)
def test_panel(rule: str, board: Board, panel: Json) -> None:
    where = f"{board.title}: {panel['title']}"
    assert excused(rule, where) or PANEL_RULES[rule](panel), f"{where} breaks {rule}"


def has_targets(query: Query) -> bool:
    wanted = {("job", "$job"), ("instance", "$instance")}
    return all(wanted <= set(selector.matchers) for selector in selectors(query.expr))


def variables_may_have_several_values(query: Query) -> bool:
    several = {f"${variable['name']}" for variable in BOARDS[query.board].variables if variable.get("multi")}
    return not any(value in several for selector in selectors(query.expr) for _, value in selector.exact)


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
    "target-job-rule": has_targets,
    "variables are matched by =~": variables_may_have_several_values,
    "target-rate-interval-rule": rates_use_rate_interval,
    "target-counter-agg-rule": counters_are_rated,
    "gauges take no rate": gauges_are_not_rated,
}


@pytest.mark.parametrize("query", QUERIES, ids=title)
@pytest.mark.parametrize("rule", QUERY_RULES)
def test_query(rule: str, query: Query) -> None:
    assert excused(rule, query.where) or QUERY_RULES[rule](query), f"{query.where} breaks {rule}: {query.expr}"


each_board = pytest.mark.parametrize("board", BOARDS.values(), ids=title)


@each_board
def test_template_datasource_rule(board: Board) -> None:
    sources = [variable for variable in board.variables if variable["type"] == "datasource"]
    assert [(each["name"], each["label"], each["query"]) for each in sources] == [
        ("datasource", "Data source", "prometheus")
    ]


@each_board
@pytest.mark.parametrize("name", ["job", "instance"])
def test_template_job_rule_and_template_instance_rule(name: str, board: Board) -> None:
    variable = next(each for each in board.variables if each["name"] == name)
    assert variable["type"] == "query"
    assert variable["label"] == name.capitalize()
    assert variable["multi"]
    assert variable["allValue"] == ".+"


QUERY_VARIABLES = [each for board in BOARDS.values() for each in board.variables if each["type"] == "query"]


@pytest.mark.parametrize("variable", QUERY_VARIABLES, ids=title)
def test_query_variable_asks_the_chosen_data_source_again_when_the_time_range_changes(variable: Json) -> None:
    assert variable["datasource"] == PROMETHEUS
    assert variable["refresh"] == 2, "template-on-time-change-reload-rule"
    assert re.fullmatch(r"(label_values|query_result)\(.+\)", variable["query"]), "template-label-promql-rule"


@pytest.mark.parametrize("query", VARIABLE_QUERIES, ids=title)
def test_a_variable_that_lists_label_values_selects_parsable_series(query: Query) -> None:
    assert len(selectors(query.expr)) == 1


@each_board
def test_a_variable_uses_only_those_before_it(board: Board) -> None:
    known = {"__rate_interval"}
    for variable in board.variables:
        asked = set(re.findall(r"\$(\w+)", variable["query"])) if variable["type"] == "query" else set()
        assert asked <= known, variable["name"]
        known.add(variable["name"])


@each_board
def test_every_variable_says_what_it_is(board: Board) -> None:
    assert all(variable["description"] for variable in board.variables if variable["type"] != "datasource")


def test_the_overview_starts_with_everything() -> None:
    for variable in BOARDS[IMPORTS].variables:
        if variable["type"] != "datasource":
            assert variable["current"]["value"] == "$__all", variable["name"]
            assert variable["includeAll"], variable["name"]
            assert variable["multi"], variable["name"]


@each_board
def test_uneditable_dashboard(board: Board) -> None:
    assert board.json["editable"] is False


def test_exceptions_name_panels_that_exist_and_give_a_reason() -> None:
    panels = {(board.title, panel["title"]) for board, panel in PANELS}
    for rule, exclusion in LINT.items():
        assert rule in {*PANEL_RULES, *QUERY_RULES, "target-instance-rule"}
        for entry in exclusion["entries"]:
            assert (entry["dashboard"], entry["panel"]) in panels
            assert len(entry["reason"]) >= 20
