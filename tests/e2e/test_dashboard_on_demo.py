"""Every query of dashboards and rules, answered by a real Prometheus that has scraped the real demo."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from grafana.tables import IMPORT_JOB
from tests.grafana.reading import ALL, QUERIES, Query, filled, title
from tests.support.exporter import Exporter
from tests.support.prometheus import Prometheus, scrape_config
from tests.support.rules import faster

pytestmark = [pytest.mark.e2e, pytest.mark.needs("prometheus")]

JOB = "zilliz-import-exporter"
SCRAPES = 8
NEEDS_MORE = (
    # Speeds and estimates: a regression over minutes.
    "deriv(",
    # Nothing of the kind has happened in the first seconds.
    "sort_desc(",
    "absent(",
    "ALERTS",
    "file_failure_info",
    "jobs_finished_total",
    "API errors by class",
    "annotation",
    # Of an import that ended while it was watched, and of files that are done among those that are shown.
    "Imports: Finished D",
    "Imports: Files, worst first H",
    # Of an import that runs; what the API says of its files depends on its stage.
    "Import job: Duration",
    "Import job: Files",
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


@pytest.fixture(scope="module")
def running_job(prometheus: Prometheus) -> dict[str, str]:
    """The filters of the dashboard of one import, for one that runs."""
    (sample,) = prometheus.query('topk(1, zilliz_import_job_state{state="Importing"})')
    return {name: sample.labels[name] for name in ("cluster_id", "job_id")}


@pytest.mark.parametrize("query", QUERIES, ids=title)
def test_each_query_of_the_dashboard_runs_and_has_data_unless_it_needs_a_longer_history(
    prometheus: Prometheus, running_job: dict[str, str], query: Query
) -> None:
    chosen = running_job if query.board == IMPORT_JOB else {"newest": ".+"}
    expression = filled(query.expr, {**ALL, **chosen})
    now = str(time.time())
    reply = prometheus.api("query_range", query=expression, start=str(float(now) - 60), end=now, step="1")
    assert reply["result"] or any(each in query.where + query.expr for each in NEEDS_MORE), query.where


def test_each_rule_runs_and_those_about_running_jobs_have_data(prometheus: Prometheus) -> None:
    prometheus.wait_until("zilliz_import:job_unchanged_seconds", timeout=60)
    evaluated = [rule for group in prometheus.api("rules")["groups"] for rule in group["rules"]]
    assert evaluated
    assert [rule["name"] for rule in evaluated if rule["health"] != "ok"] == []
