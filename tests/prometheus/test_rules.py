"""The committed rule file, its texts and recordings, the example configurations, and the runbook of each alert."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from exporter.metrics.families import CLUSTER_FAMILIES, JOB_FAMILIES
from prometheus import rules
from tests.support import promtool

ROOT = Path(rules.__file__).parent
RUNBOOKS = ROOT.parent / "docs" / "runbooks.md"

TARGET_LABELS = {"job", "instance", "pod", "container", "endpoint", "node"}
OWN_METRICS = {
    "zilliz_import_api_requests_total": {"cluster_id", "operation"},
    "zilliz_import_api_errors_total": {"cluster_id", "operation", "error"},
    "zilliz_import_exporter_config_last_reload_successful": set[str](),
    "up": set[str](),
}
QUERY = re.compile(r"printf `(?P<query>[^`]+)`")


def the_rules() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(rules.RULES.read_text(encoding="utf-8"))["groups"][0]["rules"]
    return found


ALERTS = [rule for rule in the_rules() if "alert" in rule]


def queries() -> Iterator[str]:
    """Every PromQL query of rules and annotations."""
    for rule in the_rules():
        yield rule["expr"]
        for text in rule.get("annotations", {}).values():
            for found in QUERY.finditer(text):
                yield found["query"].replace("%q", '"x"')


def test_the_committed_file_is_what_the_program_writes() -> None:
    assert rules.RULES.read_text(encoding="utf-8") == rules.rendered()


@pytest.mark.parametrize("binary", promtool.binaries())
def test_promtool_accepts_the_rules(binary: str) -> None:
    passed, output = promtool.run("check", "rules", rules.RULES, binary=binary)
    assert passed, output


@pytest.mark.parametrize("binary", promtool.binaries())
@pytest.mark.parametrize("file", sorted((ROOT / "tests").glob("*.yml")), ids=lambda file: file.stem)
def test_the_rules_pass_their_promtool_tests(file: Path, binary: str) -> None:
    passed, output = promtool.run("test", "rules", file, binary=binary)
    assert passed, output


@pytest.mark.parametrize("binary", promtool.binaries())
@pytest.mark.parametrize("name", ["prometheus.yml", "prometheus-sd.yml"])
def test_the_example_configurations_are_clean(name: str, binary: str) -> None:
    passed, output = promtool.run("check", "config", ROOT / name, binary=binary)
    assert passed, output
    scrape = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))["scrape_configs"]
    assert [one["job_name"] for one in scrape] == [rules.SCRAPE_JOB]


@pytest.mark.parametrize("kind", ["alert", "record"])
def test_each_rule_is_named_in_the_promtool_tests(kind: str) -> None:
    texts = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").glob("*.yml"))
    assert [rule[kind] for rule in the_rules() if kind in rule and rule[kind] not in texts] == []


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_has_what_people_and_alertmanager_need(rule: dict[str, Any]) -> None:
    assert rule["alert"].startswith(rules.PREFIX)
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert "{{" not in rule["annotations"]["summary"]
    # A label that is made by a template changes while the alert lasts: that would be a new alert each time.
    assert "{{" not in str(rule["labels"])


def test_inhibitors_are_there_first_and_their_targets_are_kept_for_longer() -> None:
    wait = {rule["alert"]: rules.seconds(rule.get("for", "0s")) for rule in ALERTS}
    keep = {rule["alert"]: rules.seconds(rule["keep_firing_for"]) for rule in ALERTS if "keep_firing_for" in rule}
    assert min(keep.values()) > wait["ZillizImportExporterAbsent"]
    assert wait["ZillizImportAuthFailing"] < wait["ZillizImportJobUnreadable"]
    assert wait["ZillizImportClusterUnreachable"] < wait["ZillizImportJobUnreadable"]
    assert wait["ZillizImportExporterAbsent"] < wait["ZillizImportExporterDown"]


def test_each_alert_has_its_runbook_and_each_runbook_its_alert() -> None:
    headings = re.findall(r"^## (\S+)$", RUNBOOKS.read_text(encoding="utf-8"), re.MULTILINE)
    # GitHub makes the anchor of a heading of one word by lower-casing it.
    anchors = [f"{rules.RUNBOOKS}#{heading.lower()}" for heading in headings]
    assert headings == [rule["alert"] for rule in ALERTS]
    assert anchors == [rule["annotations"]["runbook_url"] for rule in ALERTS]


def vector_selectors(node: Any) -> Iterator[promql_parser.VectorSelector]:
    """Every selector below a node of the parser's tree."""
    match node:
        case promql_parser.VectorSelector():
            yield node
        case promql_parser.MatrixSelector():
            yield node.vector_selector
        case promql_parser.BinaryExpr():
            yield from vector_selectors(node.lhs)
            yield from vector_selectors(node.rhs)
        case promql_parser.Call():
            for argument in node.args:
                yield from vector_selectors(argument)
        case promql_parser.AggregateExpr() | promql_parser.ParenExpr() | promql_parser.UnaryExpr():
            yield from vector_selectors(node.expr)
        case promql_parser.NumberLiteral() | promql_parser.StringLiteral():
            return
        case _:
            raise AssertionError(f"a kind of expression that this test does not know: {type(node)}")


def exposed() -> dict[str, set[str]]:
    """Labels of every metric that the rules may name."""
    jobs = {family.name: set(family.labels) for family in JOB_FAMILIES}
    clusters = {family.name: set(family.labels) for family in CLUSTER_FAMILIES}
    return jobs | clusters | OWN_METRICS


@pytest.mark.parametrize("query", sorted(set(queries())), ids=lambda query: query.split("(")[0][:30])
def test_a_query_names_only_metrics_and_labels_that_exist(query: str) -> None:
    known = exposed()
    for selector in vector_selectors(promql_parser.parse(query)):
        matched = {matcher.name for matcher in selector.matchers.matchers}
        if selector.name in rules.RECORDINGS:
            assert matched <= {"state"}
        else:
            assert selector.name in known
            assert matched <= known[selector.name] | TARGET_LABELS


def test_every_label_of_a_template_exists() -> None:
    named = {label for rule in ALERTS for label in re.findall(r"\.?[lL]abels\.(\w+)", str(rule["annotations"]))}
    assert named <= TARGET_LABELS | set().union(*exposed().values())
