from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter import shelf
from exporter.exposition import SLICE_BYTES, Body, Exposition, render_once
from exporter.listing import FilePolicy, JobKey, listed, wish
from exporter.metrics import CLUSTER_FAMILIES, JOB_FAMILIES, JobSubject
from exporter.model import ErrorClass, State, id_order
from exporter.selfmetrics import SelfMetrics
from exporter.watch.view import ClusterView, JobView
from tests.support.views import POLICY, Policy, cluster_view, job_view, job_views, silent_view, some_files

CLUSTERS = [cluster_view("a"), cluster_view("b")]


class Naive:
    """The same families, made from scratch and with all files sorted: what a plain collector would do."""

    def __init__(self, policy: FilePolicy, clusters: Iterable[ClusterView], views: Iterable[JobView]) -> None:
        self._policy, self._clusters, self._views = policy, list(clusters), list(views)

    def collect(self) -> Iterator[Metric]:
        subjects = list(self._subjects())
        for family in JOB_FAMILIES:
            metric = GaugeMetricFamily(family.name, family.help, labels=family.labels)
            for labels, value in (row for subject in subjects for row in family.rows(subject)):
                metric.add_metric(labels, value)
            yield metric
        for about_cluster in CLUSTER_FAMILIES:
            metric = GaugeMetricFamily(about_cluster.name, about_cluster.help, labels=about_cluster.labels)
            for labels, value in (row for cluster in self._clusters for row in about_cluster.rows(cluster)):
                metric.add_metric(labels, value)
            yield metric

    def _subjects(self) -> Iterator[JobSubject]:
        left = self._policy.max_total
        shown = {cluster.cluster_id for cluster in self._clusters}
        ranked = sorted(
            self._views,
            key=lambda view: (bool(view.job and not view.job.state.finished), id_order(view.job_id), view.cluster_id),
            reverse=True,
        )
        for view in ranked:
            share = min(left, wish(view.job, self._policy))
            left -= share
            if view.cluster_id in shown:
                yield JobSubject(view, listed(view.job, self._policy, share))


def parse_openmetrics(text: str) -> Iterable[Metric]:
    families: Iterable[Metric] = openmetrics_parser.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]  # the library's gap
    return families


def text_of(body: Body, *, openmetrics: bool = False) -> str:
    return b"".join(body.chunks(openmetrics=openmetrics, gzip=False)).decode()


def sample_lines(text: str) -> Counter[str]:
    return Counter(line for line in text.split("\n") if line and not line.startswith("#"))


def check(body: Body, expected: Naive) -> None:
    """A body is in all four forms what the naive collector exposes, and valid."""
    for openmetrics in (False, True):
        text = text_of(body, openmetrics=openmetrics)
        member = b"".join(body.chunks(openmetrics=openmetrics, gzip=True))
        assert gzip.decompress(member).decode() == text
        assert body.size(openmetrics=openmetrics, gzip=True) == len(member)
        assert body.size(openmetrics=openmetrics, gzip=False) == len(text.encode())
        lines = sample_lines(text)
        assert lines == sample_lines(generate_latest(expected).decode())
        assert set(lines.values()) <= {1}
        families = list(parse_openmetrics(text) if openmetrics else parse_text(text))
        assert sum(len(family.samples) for family in families) == lines.total()
        headers = [line for line in text.split("\n") if line.startswith("# TYPE ")]
        assert len(headers) == len(set(headers)) == len(families)
    assert text_of(body, openmetrics=True) == text_of(body) + "# EOF\n"


def unknown(_cluster_id: str, _job_id: str) -> JobView | None:
    return None


@given(
    st.lists(job_views(), max_size=8, unique_by=lambda view: (view.cluster_id, view.job_id)),
    st.builds(Policy, st.sampled_from(["all", "unfinished", "none"]), st.integers(0, 4), st.integers(0, 12)),
)
def test_any_jobs_are_exposed_as_a_naive_collector_would(views: list[JobView], policy: Policy) -> None:
    check(render_once(policy, CLUSTERS, views), Naive(policy, CLUSTERS, views))


class AnyHistory(RuleBasedStateMachine):
    """Whatever is shown and forgotten in whatever order, a body shows what a naive collector would."""

    def __init__(self) -> None:
        super().__init__()
        self.policy = Policy(max_per_job=3, max_total=7)
        self.views: dict[JobKey, JobView] = {}
        self.exposition = Exposition(self.policy, lambda *key: self.views.get(key))

    @rule(view=job_views(job_ids=st.sampled_from(["1", "2", "3", "4", "5", "6"])))
    def show(self, view: JobView) -> None:
        self.views[view.cluster_id, view.job_id] = view
        self.exposition.show(view)

    @rule(which=st.integers(0), refreshed=st.floats(0, 1e10))
    def refresh(self, which: int, refreshed: float) -> None:
        asked = [view for view in self.views.values() if view.up is not None]
        if asked:
            self.show(replace(asked[which % len(asked)], refreshed=refreshed))

    @rule(which=st.integers(0))
    def forget(self, which: int) -> None:
        if self.views:
            key = list(self.views)[which % len(self.views)]
            del self.views[key]
            self.exposition.forget(*key)

    @rule()
    def scrape(self) -> None:
        check(self.exposition.body(CLUSTERS, None), Naive(self.policy, CLUSTERS, self.views.values()))

    @rule()
    def probe(self) -> None:
        check(self.exposition.body(CLUSTERS[1:], None), Naive(self.policy, CLUSTERS[1:], self.views.values()))

    @invariant()
    def at_most_one_block_per_cluster_is_small(self) -> None:
        if not self.exposition._pending:
            for each in self.exposition._shelves.values():
                assert sum(block.size() < shelf.BLOCK_BYTES // 2 for block in each._blocks) <= 1


@pytest.mark.parametrize("block_bytes", [1, 4000, shelf.BLOCK_BYTES])
def test_any_history_is_exposed_as_a_naive_collector_would(block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "BLOCK_BYTES", block_bytes)
    case = AnyHistory.TestCase
    case.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
    case("runTest").runTest()


@pytest.fixture
def views() -> dict[JobKey, JobView]:
    return {}


@pytest.fixture
def exposition(views: dict[JobKey, JobView]) -> Exposition:
    return Exposition(POLICY, lambda *key: views.get(key))


def show(exposition: Exposition, views: Iterable[JobView]) -> None:
    for view in views:
        exposition.show(view)


def finished(number: int, files: int = 2) -> list[JobView]:
    done = some_files(files, State.COMPLETED)
    return [job_view(f"{index:05d}", cluster_id="a", state=State.COMPLETED, files=done) for index in range(number)]


def made(exposition: Exposition) -> tuple[int, int, int]:
    stats, before = exposition.stats, replace(exposition.stats)
    exposition.body(CLUSTERS, None)
    return (
        stats.jobs_rendered - before.jobs_rendered,
        stats.live_runs_compressed - before.live_runs_compressed,
        stats.blocks_compressed - before.blocks_compressed,
    )


def test_nothing_is_made_again_where_nothing_changed(exposition: Exposition) -> None:
    show(exposition, [*finished(20), job_view("x", cluster_id="b", files=some_files(3))])
    assert made(exposition)[0] == 21
    assert made(exposition) == (0, 0, 0)


def test_what_was_rendered_ahead_is_not_rendered_again(exposition: Exposition) -> None:
    views = [*finished(20), job_view("x", cluster_id="a", files=some_files(3))]
    show(exposition, views)
    exposition.update()
    assert exposition.stats.jobs_rendered == 21
    assert made(exposition)[0] == 0
    check(exposition.body(CLUSTERS, None), Naive(POLICY, CLUSTERS, views))


def test_nothing_is_rendered_ahead_while_the_next_job_may_take_the_room_of_others() -> None:
    policy = Policy(max_total=4)
    exposition = Exposition(policy, unknown)
    views = [job_view(str(index), cluster_id="a", files=some_files(2)) for index in range(5)]
    for view in views:
        exposition.show(view)
        exposition.update()
    assert exposition.stats.jobs_rendered == 2
    check(exposition.body(CLUSTERS, None), Naive(policy, CLUSTERS, views))


def test_a_new_answer_that_says_the_same_renders_and_compresses_only_its_time(exposition: Exposition) -> None:
    live, done = job_view("x", cluster_id="a", files=some_files(3)), finished(20)
    show(exposition, [*done, live])
    made(exposition)
    show(exposition, [replace(live, refreshed=300.0), replace(done[3], refreshed=300.0)])
    assert made(exposition) == (0, 1, 0)
    text = text_of(exposition.body(CLUSTERS, None))
    assert sum(line.endswith(" 300.0") for line in sample_lines(text)) == 2


def test_a_job_that_changed_is_rendered_alone_and_only_families_that_changed_are_compressed(
    exposition: Exposition,
) -> None:
    live = [job_view(str(index), cluster_id="a", files=some_files(3)) for index in range(20)]
    show(exposition, [*finished(20), *live])
    made(exposition)
    exposition.show(job_view("3", cluster_id="a", files=some_files(3), progress=0.75, refreshed=300.0))
    assert made(exposition) == (1, 2, 0)


def test_a_job_that_finishes_joins_a_block_and_leaves_the_live_part(exposition: Exposition) -> None:
    show(exposition, [*finished(20), job_view("x", cluster_id="a", files=())])
    made(exposition)
    exposition.show(job_view("x", cluster_id="a", files=(), state=State.COMPLETED, progress=1.0))
    rendered, _, blocks = made(exposition)
    assert (rendered, blocks) == (1, 1)
    assert made(exposition) == (0, 0, 0)


def test_a_finished_job_that_goes_costs_its_own_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "BLOCK_BYTES", 20_000)
    exposition = Exposition(POLICY, unknown)
    jobs = finished(100)
    show(exposition, jobs)
    assert made(exposition)[2] > 10
    exposition.forget("a", jobs[0].job_id)
    assert made(exposition)[2] <= 2
    check(exposition.body(CLUSTERS, None), Naive(POLICY, CLUSTERS, jobs[1:]))


def test_finished_jobs_are_kept_without_their_views_and_asked_for_when_their_files_make_room() -> None:
    policy = Policy(max_total=10)
    views = {("a", view.job_id): view for view in finished(4, files=4)}
    looked_up = []

    def lookup(cluster_id: str, job_id: str) -> JobView | None:
        looked_up.append(job_id)
        return views[cluster_id, job_id]

    exposition = Exposition(policy, lookup)
    show(exposition, views.values())
    check(exposition.body(CLUSTERS, None), Naive(policy, CLUSTERS, views.values()))
    assert looked_up == []
    live = job_view("1", cluster_id="a", files=some_files(6))
    views["a", "1"] = live
    exposition.show(live)
    check(exposition.body(CLUSTERS, None), Naive(policy, CLUSTERS, views.values()))
    assert sorted(looked_up) == ["00001", "00002"]


def test_a_finished_job_that_the_caller_no_longer_knows_is_shown_no_longer() -> None:
    policy = Policy(max_total=4)
    exposition = Exposition(policy, unknown)
    done, live = finished(1, files=4)[0], job_view("x", cluster_id="a", files=some_files(4))
    show(exposition, [done])
    exposition.body(CLUSTERS, None)
    show(exposition, [live])
    check(exposition.body(CLUSTERS, None), Naive(policy, CLUSTERS, [live]))


def test_a_finished_job_that_turns_out_otherwise_is_shown_as_the_api_now_says(exposition: Exposition) -> None:
    jobs = finished(3)
    show(exposition, jobs)
    exposition.body(CLUSTERS, None)
    flipped = job_view(jobs[0].job_id, cluster_id="a", state=State.FAILED, reason="collection dropped")
    expired = silent_view(jobs[1].job_id, cluster_id="a", error=ErrorClass.EXPIRED)
    show(exposition, [flipped, expired])
    check(exposition.body(CLUSTERS, None), Naive(POLICY, CLUSTERS, [flipped, expired, jobs[2]]))


def test_a_body_that_is_still_being_sent_does_not_change_with_the_next_one(exposition: Exposition) -> None:
    jobs = [*finished(5), job_view("x", cluster_id="a", files=some_files(3))]
    show(exposition, jobs)
    own = SelfMetrics()
    own.set_clusters(["a"])
    body = exposition.body(CLUSTERS, own.registry)
    sending = body.chunks(openmetrics=True, gzip=False)
    again = exposition.body(CLUSTERS, None)
    for job in jobs:
        exposition.forget(job.cluster_id, job.job_id)
    own.set_clusters([])
    exposition.body(CLUSTERS, None)
    assert sample_lines(b"".join(sending).decode()) == sample_lines(text_of(body, openmetrics=True))
    assert sample_lines(text_of(again)) < sample_lines(text_of(body))
    assert 'zilliz_import_api_requests_total{cluster_id="a"' in text_of(body)


def test_own_metrics_come_in_each_formats_own_way(exposition: Exposition) -> None:
    own = SelfMetrics()
    own.set_clusters(["a"])
    own.observe("a", "list", 0.25, ErrorClass.AUTH)
    exposition.show(job_view(cluster_id="a"))
    body = exposition.body(CLUSTERS, own.registry)
    plain, openmetrics = text_of(body), text_of(body, openmetrics=True)
    assert "# TYPE zilliz_import_api_requests_total counter" in plain
    assert "# TYPE zilliz_import_api_requests counter" in openmetrics
    assert openmetrics.endswith("\n# EOF\n")
    assert openmetrics.count("# EOF") == 1
    assert "_created" not in plain + openmetrics
    assert list(parse_text(plain))
    assert list(parse_openmetrics(openmetrics))


def test_own_metrics_alone(exposition: Exposition) -> None:
    exposition.show(job_view(cluster_id="a"))
    body = exposition.body([], SelfMetrics().registry)
    assert "zilliz_import_job" not in text_of(body)
    assert "zilliz_import_exporter_build_info" in text_of(body)


def test_a_job_can_be_shown_without_its_cluster() -> None:
    body = render_once(POLICY, (), [job_view(state=State.COMPLETED), job_view("2")])
    assert "zilliz_import_cluster" not in text_of(body)
    assert text_of(body).count("zilliz_import_job_up{") == 2


def test_nothing_at_all_is_still_a_valid_body(exposition: Exposition) -> None:
    body = exposition.body([], CollectorRegistry())
    assert text_of(body) == ""
    assert text_of(body, openmetrics=True) == "# EOF\n"


@pytest.mark.parametrize("compressed", [True, False])
def test_slices_are_bounded_so_that_a_slow_reader_costs_no_memory(exposition: Exposition, compressed: bool) -> None:
    show(exposition, finished(400, files=6))
    slices = list(exposition.body(CLUSTERS, None).chunks(openmetrics=False, gzip=compressed))
    assert max(map(len, slices)) <= SLICE_BYTES
    assert all(len(each) == SLICE_BYTES for each in slices[:-1])
