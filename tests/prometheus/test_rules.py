"""The rule file, its promtool tests, the example configurations, and the runbook of each alert."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from exporter.metrics.families import CLUSTER_FAMILIES, JOB_FAMILIES
from tests.support import promtool
from tests.support.rules import GRAFANA, PROMETHEUS, RULES, RUNBOOKS, SCRAPE_JOB, rules

TARGET_LABELS = {"job", "instance"}
OWN_METRICS = {
    "zilliz_import_api_errors_total": {"cluster_id", "operation", "error"},
    "zilliz_import_exporter_config_last_reload_successful": set[str](),
    "up": set[str](),
}
QUERY = re.compile(r'printf "(?P<query>[a-z](?:[^"\\]|\\.)+)"')
ALERTS = [rule for rule in rules() if "alert" in rule]
RECORDINGS = {rule["record"] for rule in rules() if "record" in rule}
TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))


def queries() -> Iterator[str]:
    """Every PromQL query of rules and annotations."""
    for rule in rules():
        yield rule["expr"]
        for text in rule.get("annotations", {}).values():
            for found in QUERY.finditer(text):
                yield found["query"].replace("%q", '"x"').replace('\\"', '"')


@pytest.mark.parametrize("binary", promtool.binaries())
def test_promtool_accepts_the_rules(binary: str) -> None:
    passed, output = promtool.run("check", "rules", RULES, binary=binary)
    assert passed, output


@pytest.mark.parametrize("binary", promtool.binaries())
@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_the_rules_pass_their_promtool_tests(file: Path, binary: str) -> None:
    passed, output = promtool.run("test", "rules", file, binary=binary)
    assert passed, output


@pytest.mark.parametrize("binary", promtool.binaries())
def test_a_hundred_failures_and_forty_unreadable_jobs_are_a_hundred_alerts_and_one(binary: str, tmp_path: Path) -> None:
    failed = (
        f"zilliz_import_job_last_change_timestamp_seconds"
        f'{{cluster_id="c",collection_name="docs",db_name="default",job_id="{number}",state="Failed"}}'
        for number in range(100)
    )
    unreadable = (f'zilliz_import_job_up{{cluster_id="c",job_id="{number}"}}' for number in range(100, 140))
    alerts = [
        {"labels": '{alertname="ZillizImportJobFailed"}', "value": 100},
        {"labels": '{alertname="ZillizImportJobsUnreadable"}', "value": 1},
    ]
    expression = 'count by (alertname) (ALERTS{alertstate="firing"})'
    case = {
        "interval": "1m",
        "input_series": [
            {"series": one, "values": "0x20"}
            for one in (*failed, *unreadable, 'zilliz_import_scrape_duration_seconds{cluster_id="c"}')
        ],
        "promql_expr_test": [{"expr": expression, "eval_time": "20m", "exp_samples": alerts}],
    }
    file = tmp_path / "crowd.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [case]}))
    passed, output = promtool.run("test", "rules", file, binary=binary)
    assert passed, output


@pytest.mark.parametrize("binary", promtool.binaries())
@pytest.mark.parametrize("name", ["prometheus.yml", "prometheus-sd.yml"])
def test_the_example_configurations_are_clean(name: str, binary: str) -> None:
    passed, output = promtool.run("check", "config", PROMETHEUS / name, binary=binary)
    assert passed, output
    scrape = yaml.safe_load((PROMETHEUS / name).read_text(encoding="utf-8"))["scrape_configs"]
    assert [one["job_name"] for one in scrape] == [SCRAPE_JOB]


def test_the_first_lines_say_how_to_put_in_other_addresses() -> None:
    comment = "".join(
        line.removeprefix("#") for line in RULES.read_text(encoding="utf-8").splitlines(keepends=True)[:6]
    )
    command = re.search(r"sed (?:.|\n)*docs/runbooks.md.*", comment)
    assert command
    done = subprocess.run(
        ["bash", "-c", f"{command[0]} {RULES}"], check=True, capture_output=True, text=True, timeout=60
    )
    links = re.findall(r"(?:runbook|dashboard)_url: (\S+)", done.stdout)
    assert len(links) == 2 * len(ALERTS)
    assert {link.partition(".com/")[0] for link in links} == {"https://grafana.example", "https://wiki.example"}


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
class TestAnAlert:
    def test_has_what_people_and_alertmanager_need(self, rule: dict[str, Any]) -> None:
        assert rule["alert"].startswith("ZillizImport")
        assert rule["labels"].keys() == {"severity"}
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url", "dashboard_url"}
        assert rule["annotations"]["runbook_url"] == f"{RUNBOOKS}#{rule['alert'].lower()}"
        assert rule["annotations"]["dashboard_url"].startswith(f"{GRAFANA}/d/zilliz-import")

    def test_has_a_title_of_one_static_phrase(self, rule: dict[str, Any]) -> None:
        assert re.fullmatch(r"[A-Z][^.{}]{5,60}", rule["annotations"]["summary"])

    def test_repeats_no_threshold_in_its_text(self, rule: dict[str, Any]) -> None:
        assert not re.search(r"\d", re.sub(r"{{.*?}}", "", rule["annotations"]["description"]))

    def test_has_promtool_tests_of_its_own_with_its_text(self, rule: dict[str, Any]) -> None:
        words = re.findall("[A-Z][a-z]+", rule["alert"].removeprefix("ZillizImport"))
        file = PROMETHEUS / "tests" / f"{'_'.join(words).lower()}_test.yml"
        [text, *_] = (
            test["exp_alerts"][0]["exp_annotations"]["summary"]
            for case in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]
            for test in case.get("alert_rule_test", ())
        )
        assert text == rule["annotations"]["summary"]


def test_each_alert_has_its_runbook_and_each_runbook_its_alert() -> None:
    text = (PROMETHEUS.parent / "docs/runbooks.md").read_text(encoding="utf-8")
    # GitHub makes the anchor of a heading of one word by lower-casing it.
    assert re.findall(r"^## (ZillizImport\S+)$", text, re.MULTILINE) == [rule["alert"] for rule in ALERTS]


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


@pytest.mark.parametrize("query", sorted(set(queries())), ids=lambda query: re.sub(r"\W+", "_", query)[:60])
def test_a_query_names_only_metrics_and_labels_that_exist(query: str) -> None:
    known = exposed()
    for selector in vector_selectors(promql_parser.parse(query)):
        matched = {matcher.name for matcher in selector.matchers.matchers}
        if selector.name in RECORDINGS:
            assert matched <= {"state"}
        else:
            assert selector.name in known
            assert matched <= known[selector.name]


@pytest.mark.parametrize("query", sorted(set(queries())), ids=lambda query: re.sub(r"\W+", "_", query)[:60])
def test_an_aggregation_keeps_only_labels_that_its_metric_has(query: str) -> None:
    for labels, metric in re.findall(r"by \(([^)]+)\) \(\s*(?:\w+\()?(zilliz_import_\w+|up)\b", query):
        assert set(labels.split(", ")) <= exposed()[metric] | TARGET_LABELS, metric


def test_every_label_of_a_template_exists() -> None:
    named = {label for rule in ALERTS for label in re.findall(r"\.?[lL]abels\.(\w+)", str(rule["annotations"]))}
    assert named <= TARGET_LABELS | set().union(*exposed().values())
