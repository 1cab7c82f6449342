"""Every query of dashboard and rules, answered by a real Prometheus that has scraped the real demo."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.grafana.reading import QUERIES, Query, filled
from tests.support.exporter import Exporter
from tests.support.prometheus import Prometheus, scrape_config
from tests.support.rules import faster

pytestmark = [pytest.mark.e2e, pytest.mark.needs("prometheus")]

JOB = "zilliz-import-exporter"
ALL = {"job": ".+", "instance": ".+", "cluster_id": ".+", "collection": ".*", "state": ".+", "job_id": ".+"}
CHOSEN = {"newest": ".+", "slowest": ".+"}
SCRAPES = 8
NEEDS_MORE = (
    # Speeds and estimates: a regression over minutes.
    "Throughput",
    "Rows per second",
    "Bytes per second",
    "All done in",
    "Time remaining",
    "Jobs C",
    "Jobs D",
    # Nothing of the kind has happened in the first seconds.
    "Jobs H",
    "Jobs I",
    "Jobs that ended",
    "API errors by class",
    "annotation",
)


@pytest.fixture(scope="module", params=["metrics", "sd"])
def prometheus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    directory = tmp_path_factory.mktemp(request.param)
    with Exporter(None, directory, "--demo") as exporter:
        discovered = {"job_name": JOB, "http_sd_configs": [{"url": f"{exporter.url}/sd", "refresh_interval": "1s"}]}
        scrape = scrape_config([exporter.host]) if request.param == "metrics" else discovered
        config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape]}
        fast = faster(directory / "rules")
        with Prometheus(config, directory / "prometheus", rules=(fast,)) as running:
            running.wait_until(f"min(count_over_time(up[1h])) >= {SCRAPES}", timeout=60)
            yield running


def test_the_demo_is_scraped_without_a_failure(prometheus: Prometheus) -> None:
    assert prometheus.value("min(min_over_time(up[1h]))") == 1
    assert prometheus.value("count(zilliz_import_cluster_up == 1)") == 2


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.where)
def test_each_query_of_the_dashboard_runs_and_has_data_unless_it_needs_a_longer_history(
    prometheus: Prometheus, query: Query
) -> None:
    expression = filled(query.expr, {**ALL, **CHOSEN})
    now = str(time.time())
    reply = prometheus.api("query_range", query=expression, start=str(float(now) - 60), end=now, step="1")
    assert reply["result"] or query.where.startswith(NEEDS_MORE), query.where


def test_each_rule_runs_and_those_about_running_jobs_have_data(prometheus: Prometheus) -> None:
    prometheus.wait_until("zilliz_import:job_unchanged_seconds", timeout=60)
    evaluated = [rule for group in prometheus.api("rules")["groups"] for rule in group["rules"]]
    assert evaluated
    assert [rule["name"] for rule in evaluated if rule["health"] != "ok"] == []
