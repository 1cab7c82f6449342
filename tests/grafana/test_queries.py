"""Every query of the dashboard, answered by a real Prometheus that has scraped a day with every kind of trouble.

The hours before the scrapes are backfilled: windows of two hours are read. Scraped is as a user may: the exporter's
/metrics, the targets that /sd lists, or, against advice, both.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from grafana import queries
from grafana.rows.history import NEWEST
from grafana.rows.jobs import SLOWEST
from grafana.rows.trouble import CLUSTERS_DOWN
from tests.grafana.reading import QUERIES, STEP, VARIABLES, Query, filled, selectors_of_variables
from tests.grafana.scenario import SELF_HOSTED, ZILLIZ_CLOUD, everything
from tests.support.feed import EXPORTER_INSTANCE, JOB, Feed, FeedServer
from tests.support.prometheus import Prometheus, Sample

pytestmark = [pytest.mark.e2e, pytest.mark.needs("prometheus", "promtool")]

HISTORY = 2.7 * 3600
BACKFILLED_EVERY = 60
ALL = {"job": ".+", "instance": ".+", "cluster_id": ".+", "collection": ".*", "state": ".+", "job_id": ".+"}

WORDS = {
    "Failed": 2,
    "Unreadable": 1,
    "Vanished": 2,
    "Stalled": 1,
    "Uncommitted": 1,
    "Importing": 5,
    "Pending": 2,
    "Completed": 8,
    "Expired": 1,
    "Unknown": 1,
}
"""How many jobs of the scenario the table must show under each word of its State column."""

SHAPES = {"metrics": ("metrics",), "sd": ("sd",), "both": ("metrics", "sd")}


def scrape(shape: str, address: str) -> list[dict[str, object]]:
    """Scrape configuration as the documentation gives it: the whole of /metrics, or what /sd would list."""

    def target(path: str, instance: str, **params: str) -> dict[str, object]:
        asked = {f"__param_{name}": value for name, value in params.items()}
        return {"targets": [address], "labels": {"__metrics_path__": path, "instance": instance, **asked}}

    if shape == "metrics":
        return [target("/metrics", EXPORTER_INSTANCE)]
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

    def ids(self, variable: str) -> str:
        """What a hidden variable sends: the job ids that its query found."""
        query = next(query for query in QUERIES if query.where == f"variable {variable}")
        return "|".join(sorted({sample.labels["job_id"] for sample in self.ask(query.expr)}))


@pytest.fixture(scope="module", params=SHAPES)
def watched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    directory = tmp_path_factory.mktemp(request.param)
    now = time.time()
    feed = Feed(everything(), start=now - HISTORY, end=now)
    for shape in SHAPES[request.param]:
        backfill(feed, shape, directory)
    with FeedServer(feed) as server:
        targets = [target for shape in SHAPES[request.param] for target in scrape(shape, server.address)]
        config = {
            "global": {"scrape_interval": "1s"},
            "scrape_configs": [{"job_name": JOB, "static_configs": targets}],
        }
        with Prometheus(config, directory) as prometheus:
            prometheus.wait_until(f"sum(up{{job='{JOB}'}} and scrape_samples_scraped > 0) == {len(targets)}")
            yield Watched(prometheus, now - HISTORY, now)


def backfill(feed: Feed, shape: str, directory: Path) -> None:
    """Put the feed's history where Prometheus will keep its data."""
    page = directory / f"{shape}.om"
    with page.open("w", encoding="utf-8") as lines:
        lines.writelines(feed.history(shape, step=BACKFILLED_EVERY))
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet", str(page), str(directory / "data")]
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.where)
def test_query_returns_data(watched: Watched, query: Query) -> None:
    chosen = {name: watched.ids(name) for name in ("newest", "slowest") if f"${name}" in query.expr}
    if query.over_time:
        expr = filled(query.expr, {**ALL, **chosen})
        last = str(time.time())
        reply = watched.prometheus.api("query_range", query=expr, start=str(watched.begins), end=last, step=str(STEP))
        assert reply["result"]
    else:
        assert watched.ask(query.expr, **chosen)


@pytest.mark.parametrize("query", selectors_of_variables(), ids=lambda query: query.where)
def test_variable_finds_values(watched: Watched, query: Query) -> None:
    assert watched.prometheus.api("series", **{"match[]": filled(query.expr, ALL)})


def test_table_has_each_job_once_under_its_word_the_worst_ranked_highest(watched: Watched) -> None:
    rows = watched.ask(queries.RANKED)
    assert len({row.labels["job_id"] for row in rows}) == len(rows) == sum(WORDS.values())
    assert {word: sum(row.labels["state"] == word for row in rows) for word in WORDS} == WORDS
    ranks = {row.labels["state"]: row.value for row in rows}
    assert sorted(ranks, key=lambda word: -ranks[word]) == list(queries.CONDITIONS)


@pytest.mark.parametrize("word", ["Failed", "Stalled", "Unreadable", "Vanished", "Uncommitted", "Pending", "Completed"])
def test_figure_counts_each_job_once_and_the_table_filtered_by_its_link_lists_as_many(
    watched: Watched, word: str
) -> None:
    assert watched.number(queries.tally(queries.CONDITIONS[word])) == WORDS[word]
    assert {row.labels["state"] for row in watched.ask(queries.RANKED, state=word)} == {word}
    assert len(watched.ask(queries.RANKED, state=word)) == WORDS[word]


def test_importing_counts_the_stalled_job_too(watched: Watched) -> None:
    assert watched.number(queries.tally(queries.IMPORTING)) == WORDS["Importing"] + WORDS["Stalled"]


def test_several_states_may_be_chosen(watched: Watched) -> None:
    rows = watched.ask(queries.RANKED, state="(Failed|Pending)")
    assert len(rows) == WORDS["Failed"] + WORDS["Pending"]


def test_choosing_one_job_leaves_one_row_and_zeros(watched: Watched) -> None:
    chosen = {"job_id": "job-02ab4cd6ef81kq7z0021"}
    assert [row.labels["state"] for row in watched.ask(queries.RANKED, **chosen)] == ["Importing"]
    assert watched.number(queries.tally(queries.CONDITIONS["Failed"]), **chosen) == 0
    assert watched.number(queries.tally(queries.IMPORTING), **chosen) == 1
    assert len(watched.ask(queries.WORST_FILES, **chosen)) == 12


def test_estimates_agree_with_the_course_of_the_job(watched: Watched) -> None:
    """3.1 hours in all, begun 2.2 hours ago less a minute of waiting, 96 GB in 24 million rows; in whole percents."""
    chosen = {"job_id": "job-02ab4cd6ef81kq7z0021"}
    whole = 3.1 * 3600
    assert watched.number(queries.REMAINING, **chosen) == pytest.approx(whole - 2.2 * 3600 + 60, rel=0.2)
    assert watched.number(queries.BYTES_PER_SECOND, **chosen) == pytest.approx(96e9 / whole, rel=0.2)
    assert watched.number(queries.ROWS_PER_SECOND, **chosen) == pytest.approx(2.4e7 / whole, rel=0.2)


def test_a_job_that_stands_still_or_is_over_has_no_estimate(watched: Watched) -> None:
    estimated = {sample.labels["job_id"] for sample in watched.ask(queries.REMAINING)}
    assert len(estimated) == WORDS["Importing"]
    assert "job-02ab4cd6ef81kq7z0019" not in estimated


def test_graphs_of_single_jobs_are_bounded(watched: Watched) -> None:
    assert len(watched.ids("newest").split("|")) == NEWEST
    assert len(watched.ids("slowest").split("|")) == WORDS["Importing"] + WORDS["Stalled"] <= SLOWEST


def test_hidden_variable_without_a_job_selects_nothing(watched: Watched) -> None:
    assert not watched.ask(queries.STATE_NUMBER, newest="")
    assert not watched.ask(queries.STATE_NUMBER, newest="()")


def test_no_figure_is_calm_where_nothing_was_scraped(watched: Watched) -> None:
    before = watched.begins - 7200
    for word in queries.CONDITIONS:
        assert not watched.ask_at(before, queries.tally(queries.CONDITIONS[word]))
    assert not watched.ask_at(before, CLUSTERS_DOWN)


def test_clusters_are_down_when_their_exporter_is_gone(watched: Watched) -> None:
    later = time.time() + 600
    assert [sample.value for sample in watched.ask_at(later, CLUSTERS_DOWN)] == [2]
    assert not watched.ask_at(later, queries.tally(queries.CONDITIONS["Vanished"]))


def test_clusters_are_up_while_they_answer(watched: Watched) -> None:
    assert watched.number(CLUSTERS_DOWN) == 0


def test_page_filters_by_as_many_variables_as_it_shows() -> None:
    shown = {variable["name"] for variable in VARIABLES if variable.get("hide", 0) == 0}
    assert shown == {*ALL, "datasource"}
