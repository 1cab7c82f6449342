"""Reads the committed dashboards as their users' Grafana does: panels, queries, variables, what the PromQL selects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import promql_parser

from grafana.dashboard import FILES

Json = dict[str, Any]

STEP = 150
"""Seconds between the points of a graph, as Grafana would choose them for six hours."""

WINDOWS = {"$__rate_interval": "10m", "$__interval_ms": f"{STEP * 1000}", "$__interval": f"{STEP}s"}
ALL = {"job": ".+", "instance": ".+", "cluster_id": ".+", "collection": ".*", "state": ".+", "job_id": ".+"}
"""What the filters of the overview send while all stand at All."""


class Query(NamedTuple):
    """One PromQL expression of a dashboard: where it stands, and whether it is asked over the time range."""

    where: str
    expr: str
    over_time: bool
    board: str


class Board:
    """One dashboard; `panels` are all without the rows, those of collapsed rows included."""

    def __init__(self, uid: str, json: Json) -> None:
        self.uid = uid
        self.json = json
        self.title: str = json["title"]
        self.variables: list[Json] = json["templating"]["list"]
        self.annotations: list[Json] = json["annotations"]["list"]
        self.rows = [panel for panel in json["panels"] if panel["type"] == "row"]
        self.panels: list[Json] = []
        for panel in json["panels"]:
            self.panels += [panel] if panel["type"] != "row" else panel.get("panels") or []

    def queries(self) -> Iterator[Query]:
        """Every expression: of panels, of annotations, of variables that ask for a `query_result`."""
        for panel in self.panels:
            for target in panel["targets"]:
                where = f"{self.title}: {panel['title']} {target['refId']}"
                yield Query(where, target["expr"], bool(target.get("range")), self.uid)
        for each in self.annotations:
            yield Query(f"{self.title}: annotation {each['name']}", each["expr"], over_time=True, board=self.uid)
        for variable in self.variables:
            if result := re.fullmatch(r"query_result\((.+)\)", str(variable["query"]), re.DOTALL):
                where = f"{self.title}: variable {variable['name']}"
                yield Query(where, result[1], over_time=False, board=self.uid)

    def selectors_of_variables(self) -> Iterator[Query]:
        """What the variables that list label values select."""
        for variable in self.variables:
            if result := re.fullmatch(r"label_values\((.+), (\w+)\)", str(variable["query"])):
                where = f"{self.title}: variable {variable['name']}"
                yield Query(where, result[1], over_time=False, board=self.uid)


BOARDS = {uid: Board(uid, json.loads(file.read_text(encoding="utf-8"))) for uid, file in FILES.items()}
PANELS = [(board, panel) for board in BOARDS.values() for panel in board.panels]
QUERIES = [query for board in BOARDS.values() for query in board.queries()]
VARIABLE_QUERIES = [query for board in BOARDS.values() for query in board.selectors_of_variables()]


def title(value: object) -> str | None:
    """Name of a test's parameter: that of a panel, of a variable, or where a query stands."""
    if isinstance(value, Board):
        return value.title
    if isinstance(value, Query):
        return value.where
    return str(value.get("title") or value["name"]) if isinstance(value, dict) else None


def filled(expr: str, values: Mapping[str, str]) -> str:
    """The expression with Grafana's own variables and these; longer names first, as `$job` begins `$job_id`."""
    known = {**WINDOWS, **{f"${name}": value for name, value in values.items()}}
    return re.sub(r"\$\w+", lambda match: known.get(match[0], match[0]), expr)


class Selector(NamedTuple):
    """One vector selector, its matchers as (label, value), and the function that it is an argument of, "" for none.

    `exact` are the matchers with `=`; in the other ones, regular expressions all, a variable may have several values.
    """

    name: str
    matchers: tuple[tuple[str, str], ...]
    exact: tuple[tuple[str, str], ...]
    call: str


def parse(expr: str) -> promql_parser.Expr:
    """The expression's tree; ValueError where a Prometheus would refuse it."""
    return promql_parser.parse(filled(expr, {}))


def nodes(node: object, call: str = "") -> Iterator[tuple[object, str]]:
    """Every node below, with the function that it is an argument of."""
    yield node, call
    if isinstance(node, promql_parser.Call):
        for argument in node.args:
            yield from nodes(argument, node.func.name)
        return
    for name in ("lhs", "rhs", "expr", "param"):
        child = getattr(node, name, None)
        if child is not None:
            yield from nodes(child, call if isinstance(node, promql_parser.ParenExpr) else "")


def selectors(expr: str) -> list[Selector]:
    """All that the expression reads, also inside subqueries and on either side of set operators."""
    found = []
    for node, call in nodes(parse(expr)):
        vector = node.vector_selector if isinstance(node, promql_parser.MatrixSelector) else node
        if isinstance(vector, promql_parser.VectorSelector):
            all_of_it = vector.matchers.matchers
            matchers = tuple((each.name, each.value) for each in all_of_it)
            exact = tuple((each.name, each.value) for each in all_of_it if each.op == promql_parser.MatchOp.Equal)
            found.append(Selector(vector.name or "", matchers, exact, call))
    return found


def grouping(expr: str) -> set[str]:
    """Labels that the expression aggregates by, matches on or carries over."""
    found: set[str] = set()
    for node, _ in nodes(parse(expr)):
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier:
            found.update(node.modifier.labels)
        if isinstance(node, promql_parser.BinaryExpr) and node.modifier:
            found.update(node.modifier.group_labels or ())
            found.update(node.modifier.matching.labels if node.modifier.matching else ())
    return found
