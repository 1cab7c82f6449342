"""Every query of the dashboards, answered by a real Prometheus that has scraped a day with every kind of trouble.

The hours before the scrapes are backfilled: windows of hours are read. Scraped is as a user may: the exporter's
/metrics, the targets that /sd lists, both against advice, or two replicas whose targets differ in one more label.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.model import State
from grafana import imports, queries, shared
from grafana.queries import ALL_JOBS
from grafana.tables import IMPORT_JOB
from tests.grafana.reading import ALL, BOARDS, QUERIES, STEP, VARIABLE_QUERIES, Query, filled, title
from tests.grafana.scenario import SELF_HOSTED, ZILLIZ_CLOUD, everything
from tests.support.feed import EXPORTER_INSTANCE, JOB, Feed, FeedServer
from tests.support.prometheus import Prometheus, Sample

pytestmark = [pytest.mark.e2e, pytest.mark.needs("prometheus", "promtool")]

HISTORY = 6.5 * 3600
BACKFILLED_EVERY = 120
RUNNING_JOB = "job-02ab4cd6ef81kq7z0021"
FAILED_JOB = "job-02ab4cd6ef81kq7z0022"
STALLED_JOB = "job-02ab4cd6ef81kq7z0019"
ONE = {**ALL, "cluster_id": ZILLIZ_CLOUD, "job_id": RUNNING_JOB}

TROUBLES = {
    "Failed": 3,
    "Vanished": 1,
    "Unreadable": 1,
    "Stalled": 2,
    "Pending": 1,
    "Uncommitted": 1,
    "Not found": 1,
}
"""How many jobs of the scenario the table *Needs attention* must show under each word."""

STATES = {State.IMPORTING: 6, State.PENDING: 3, State.UNCOMMITTED: 2, State.UNKNOWN: 1}
"""How many the table *Running* must show in each state."""

COMPLETED, ENDED = 8, 12

SHAPES = {"metrics": ("metrics",), "sd": ("sd",), "both": ("metrics", "sd"), "replicas": ("metrics", "replica")}
NOTHING_OF_THE_KIND = (
    "Firing alerts",
    "What is wrong",
    "absent(",
    "annotation",
    "Duration",
    "Import job: Files, worst first D",
)
"""No alert is evaluated here, something is scraped, and the one job runs without trouble."""


def scrape(shape: str, address: str) -> list[dict[str, Any]]:
    """Scrape configuration as the documentation gives it: the whole of /metrics, or what /sd would list."""

    def target(path: str, instance: str, **params: str) -> dict[str, Any]:
        asked = {f"__param_{name}": value for name, value in params.items()}
        return {"targets": [address], "labels": {"__metrics_path__": path, "instance": instance, **asked}}

    if shape == "metrics":
        return [target("/metrics", EXPORTER_INSTANCE)]
    if shape == "replica":
        (other,) = scrape("metrics", address)
        return [{**other, "labels": {**other["labels"], "kubernetes_pod_name": "exporter-1"}}]
    clusters = [target("/probe", cluster, target=cluster) for cluster in (ZILLIZ_CLOUD, SELF_HOSTED)]
    return [*clusters, target("/metrics", f"{EXPORTER_INSTANCE}-own", scope="exporter")]


class Watched:
    """A Prometheus with hours of the scenario behind it; `begins` and `ends` are Unix seconds."""

    def __init__(self, prometheus: Prometheus, begins: float, ends: float) -> None:
        self.prometheus = prometheus
        self.begins = begins
        self.ends = ends

    def ask(self, expr: str, **chosen: str) -> list[Sample]:
        """Instant query now with all filters open, save those chosen."""
        return self.prometheus.query(filled(expr, {**ALL, **chosen}))

    def ask_at(self, at: float, expr: str) -> list[Sample]:
        """Instant query at that Unix second with all filters open."""
        return self.prometheus.query(filled(expr, ALL), at=at)

    def number(self, expr: str, **chosen: str) -> float:
        (sample,) = self.ask(expr, **chosen)
        return sample.value

    def newest(self) -> str:
        """What the hidden variable sends: the job ids that its query found."""
        query = next(query for query in QUERIES if query.where.endswith("variable newest"))
        return "|".join(sorted({sample.labels["job_id"] for sample in self.ask(query.expr)}))


@pytest.fixture(scope="module", params=SHAPES)
def watched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    directory = tmp_path_factory.mktemp(request.param)
    now = time.time()
    feed = Feed(everything(), start=now - HISTORY, end=now)
    for shape in SHAPES[request.param]:
        if shape != "replica":
            backfill(feed, shape, directory)
    with FeedServer(feed) as server:
        targets = [target for shape in SHAPES[request.param] for target in scrape(shape, server.address)]
        config = {
            "global": {"scrape_interval": "1s"},
            "scrape_configs": [{"job_name": JOB, "static_configs": targets}],
        }
        with Prometheus(config, directory) as prometheus:
            prometheus.wait_until(f"count(up{{job='{JOB}'}} and scrape_samples_scraped > 0) == {len(targets)}")
            yield Watched(prometheus, now - HISTORY, now)


def backfill(feed: Feed, shape: str, directory: Path) -> None:
    """Put the feed's history where Prometheus will keep its data."""
    page = directory / f"{shape}.om"
    with page.open("w", encoding="utf-8") as lines:
        lines.writelines(feed.history(shape, step=BACKFILLED_EVERY))
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet", str(page), str(directory / "data")]
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.parametrize("query", QUERIES, ids=title)
def test_query_returns_data(watched: Watched, query: Query) -> None:
    chosen = ONE if query.board == IMPORT_JOB else {**ALL, "newest": watched.newest()}
    expr = filled(query.expr, chosen)
    if query.over_time:
        last = str(time.time())
        reply = watched.prometheus.api("query_range", query=expr, start=str(watched.begins), end=last, step=str(STEP))
        found = bool(reply["result"])
    else:
        found = bool(watched.prometheus.query(expr))
    expected = not any(each in query.where + query.expr for each in NOTHING_OF_THE_KIND)
    assert found or not expected


@pytest.mark.parametrize("query", VARIABLE_QUERIES, ids=title)
def test_variable_finds_values(watched: Watched, query: Query) -> None:
    assert watched.prometheus.api("series", **{"match[]": filled(query.expr, ONE)})


def jobs(samples: list[Sample]) -> list[str]:
    return sorted(sample.labels["job_id"] for sample in samples)


@pytest.mark.parametrize("trouble", queries.TROUBLES, ids=lambda trouble: trouble.word)
def test_each_job_in_trouble_is_listed_once_and_counted_once(watched: Watched, trouble: queries.Trouble) -> None:
    found = jobs(watched.ask(trouble.jobs(ALL_JOBS)))
    assert len(set(found)) == len(found) == TROUBLES[trouble.word]
    assert watched.number(queries.tally(trouble.jobs(ALL_JOBS))) == TROUBLES[trouble.word]


def test_a_job_in_trouble_has_one_reason_one_time_and_one_database(watched: Watched) -> None:
    for trouble in queries.TROUBLES:
        for job in jobs(watched.ask(trouble.jobs(ALL_JOBS))):
            for column in (queries.reason, queries.since, queries.database):
                assert len(watched.ask(column(ALL_JOBS), job_id=job)) == 1, (trouble.word, job, column)


def test_reasons_are_those_of_the_api_else_the_state_else_the_error(watched: Watched) -> None:
    reasons = {sample.labels["job_id"]: sample.labels["reason"] for sample in watched.ask(queries.reason(ALL_JOBS))}
    assert reasons[FAILED_JOB].startswith("field 'embedding' has dim 768")
    assert reasons[STALLED_JOB] == "Importing"
    assert reasons["job-02ab4cd6ef81kq7z0020"] == "timeout"
    assert reasons["448761313698322013"] == "vanished"


def test_an_aborted_job_needs_no_attention_and_is_finished(watched: Watched) -> None:
    aborted = "448761313698322016"
    assert not watched.ask(queries.failed(ALL_JOBS), job_id=aborted)
    assert jobs(watched.ask(queries.finished(ALL_JOBS))).count(aborted) == 1


def test_a_failure_is_still_listed_after_its_series_have_gone(watched: Watched) -> None:
    later = watched.ends + 3600
    assert len(watched.ask_at(later, queries.failed(ALL_JOBS))) == TROUBLES["Failed"]
    assert {sample.labels["reason"] for sample in watched.ask_at(later, queries.reason(ALL_JOBS))}


def test_running_lists_each_unfinished_job_once(watched: Watched) -> None:
    rows = watched.ask(queries.running(ALL_JOBS))
    assert len(set(jobs(rows))) == len(rows) == sum(STATES.values())
    assert {state: sum(row.labels["state"] == state for row in rows) for state in STATES} == STATES
    assert all("db_name" in row.labels for row in rows)


@pytest.mark.parametrize("state", [State.IMPORTING, State.PENDING, State.UNCOMMITTED])
def test_figure_counts_each_job_once(watched: Watched, state: State) -> None:
    assert watched.number(queries.tally(queries.in_state(state, ALL_JOBS))) == STATES[state]


def test_tables_obey_the_filter_of_states(watched: Watched) -> None:
    assert len(watched.ask(queries.running(ALL_JOBS), state="(Pending|Failed)")) == STATES[State.PENDING]
    assert len(watched.ask(queries.failed(ALL_JOBS), state="(Pending|Failed)")) == TROUBLES["Failed"]
    assert not watched.ask(queries.stalled(ALL_JOBS), state="(Pending|Failed)")
    assert len(watched.ask(queries.finished(ALL_JOBS), state="Completed")) == COMPLETED


def test_choosing_one_job_leaves_one_row_and_zeros(watched: Watched) -> None:
    assert len(watched.ask(queries.running(ALL_JOBS), job_id=RUNNING_JOB)) == 1
    assert watched.number(queries.tally(queries.failed(ALL_JOBS)), job_id=RUNNING_JOB) == 0
    assert watched.number(queries.tally(queries.in_state(State.IMPORTING, ALL_JOBS)), job_id=RUNNING_JOB) == 1
    assert len(watched.ask(shared.worst_files(ALL_JOBS), job_id=RUNNING_JOB)) == 12


def test_files_are_listed_once_the_worst_first(watched: Watched) -> None:
    rows = watched.ask(shared.file_rows(ALL_JOBS))
    assert len({row.labels["file_name"] for row in rows}) == len(rows)
    ranks = [row.value for row in rows]
    assert ranks == sorted(ranks)
    assert {row.labels["state"] for row in rows if row.value < 0} == {State.FAILED}


def test_estimates_agree_with_the_course_of_the_job(watched: Watched) -> None:
    """3.1 hours in all, begun 2.2 hours ago less a minute of waiting, 96 GB; in whole percents."""
    whole = 3.1 * 3600
    chosen = {"job_id": RUNNING_JOB}
    assert watched.number(queries.remaining(ALL_JOBS), **chosen) == pytest.approx(whole - 2.2 * 3600 + 60, rel=0.2)
    assert watched.number(queries.bytes_per_second(ALL_JOBS), **chosen) == pytest.approx(96e9 / whole, rel=0.2)
    assert watched.number(queries.age(ALL_JOBS), **chosen) == pytest.approx(2.2 * 3600, rel=0.05)


def test_a_job_that_stands_still_or_is_over_has_no_estimate(watched: Watched) -> None:
    estimated = jobs(watched.ask(queries.remaining(ALL_JOBS)))
    assert len(estimated) == STATES[State.IMPORTING] - 1
    assert STALLED_JOB not in estimated


def test_a_finished_job_has_a_duration(watched: Watched) -> None:
    """An hour of importing, of which the job made 62 percent before it failed, and a minute of waiting."""
    duration = watched.number(queries.duration(ALL_JOBS), job_id=FAILED_JOB)
    assert duration == pytest.approx(0.62 * 0.9 * 3600 + 60, rel=0.02)


def graph(watched: Watched, name: str, collection: str = ".*") -> dict[tuple[str, ...], float]:
    """The last point of each series of the overview's graph `name`."""
    query = next(query for query in QUERIES if query.where == f"Zilliz / Imports: {name} A")
    samples = watched.ask(query.expr, collection=collection)
    return {tuple(sample.labels.values()): sample.value for sample in samples}


def test_graphs_over_all_jobs_count_each_once(watched: Watched) -> None:
    assert graph(watched, "Imports by state") == {
        (State.COMPLETED,): COMPLETED,
        (State.FAILED,): ENDED - COMPLETED,
        **{(state,): number for state, number in STATES.items()},
    }
    speed = graph(watched, "Bytes per second", "product_vectors")
    assert speed == {(ZILLIZ_CLOUD, "product_vectors"): pytest.approx(96e9 / 3.1 / 3600, rel=0.25)}


def test_graphs_of_single_jobs_are_bounded(watched: Watched) -> None:
    assert len(watched.newest().split("|")) == imports.NEWEST


def test_hidden_variable_without_a_job_selects_nothing(watched: Watched) -> None:
    newest = next(query for query in QUERIES if "newest imports" in query.where)
    assert not watched.ask(newest.expr, newest="")
    assert not watched.ask(newest.expr, newest="()")


FIGURES = [query for query in QUERIES if query.where.split(": ")[1] in {f"{each} A" for each in (*TROUBLES, *STATES)}]


@pytest.mark.parametrize("query", FIGURES, ids=title)
def test_no_figure_is_calm_where_nothing_was_scraped(watched: Watched, query: Query) -> None:
    assert not watched.ask_at(watched.begins - 7200, query.expr)
    assert not watched.ask_at(watched.ends + 3600, query.expr)


def test_the_tables_say_so_where_nothing_was_scraped(watched: Watched) -> None:
    (row,) = watched.ask_at(watched.begins - 7200, shared.trouble_rows(ALL_JOBS)[0])
    assert row.labels["state"] == "zillizimportexporterabsent"
    assert not watched.ask(shared.trouble_rows(ALL_JOBS)[0])


def test_clusters_are_down_when_nobody_scrapes_them(watched: Watched) -> None:
    later = watched.ends + 600
    assert len(watched.ask_at(later, queries.CLUSTERS_DOWN)) == 2
    assert not watched.ask_at(later, queries.vanished(ALL_JOBS))


def test_clusters_are_up_while_they_answer(watched: Watched) -> None:
    assert watched.number(queries.tally(queries.CLUSTERS_DOWN)) == 0


def test_page_filters_by_as_many_variables_as_it_shows() -> None:
    shown = {each["name"] for each in BOARDS["zilliz-imports"].variables if each.get("hide", 0) == 0}
    assert shown == {*ALL, "datasource"}
