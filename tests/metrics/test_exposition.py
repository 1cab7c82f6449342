from __future__ import annotations

import gzip
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families as parse_text

import exporter.metrics
from exporter.collector.record import Record
from exporter.collector.snapshot import ClusterSnapshot
from exporter.config.schema import Files
from exporter.metrics import blocks
from exporter.metrics.blocks import BLOCK_JOBS
from exporter.metrics.body import SLICE_BYTES, Body
from exporter.metrics.exposition import Exposition, job_body
from exporter.metrics.families import CLUSTER_FAMILIES, JOB_FAMILIES
from exporter.metrics.files import JobKey, JobSeries, claim, series_of
from exporter.metrics.own import OwnMetrics
from exporter.model import ErrorClass, State, id_order
from tests.support.rendered import Rendered
from tests.support.snapshots import (
    cluster_snapshot,
    job_snapshot,
    job_snapshots,
    refreshed_at,
    silent_job,
    some_files,
)

ALL_FILES = Files()


class Naive:
    """The same families, made from scratch and with all files sorted: what a plain collector would do.

    `clusters` share `max_total`; `only` those of one are exposed.
    """

    def __init__(self, clusters: Iterable[ClusterSnapshot], policy: Files, only: str | None = None) -> None:
        self._clusters, self._policy, self._only = list(clusters), policy, only

    def collect(self) -> Iterator[Metric]:
        jobs = list(self._series())
        for family in JOB_FAMILIES:
            metric = GaugeMetricFamily(family.name, family.help, labels=family.labels)
            for labels, value in (row for series in jobs for row in family.rows(series)):
                metric.add_metric(labels, value)
            yield metric
        for about_cluster in CLUSTER_FAMILIES:
            metric = GaugeMetricFamily(about_cluster.name, about_cluster.help, labels=about_cluster.labels)
            for cluster in self._clusters:
                if self._only in {None, cluster.cluster_id}:
                    for labels, value in about_cluster.rows(cluster):
                        metric.add_metric(labels, value)
            yield metric

    def _series(self) -> Iterator[JobSeries]:
        left = self._policy.max_total
        ranked = sorted(
            (job for cluster in self._clusters for job in cluster.jobs.values()),
            key=lambda job: (
                bool(job.job and job.job.state is not State.COMPLETED),
                id_order(job.job_id),
                job.cluster_id,
            ),
            reverse=True,
        )
        for job in ranked:
            share = min(left, claim(job, self._policy)[1])
            left -= share
            if self._only in {None, job.cluster_id}:
                yield series_of(job, self._policy, share)


def parse_openmetrics(text: str) -> Iterable[Metric]:
    families: Iterable[Metric] = openmetrics_parser.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]  # the library's gap
    return families


def text_of(body: Body, *, openmetrics: bool = False) -> str:
    return b"".join(body.chunks(openmetrics=openmetrics, gzip=False)).decode()


def sample_counts(text: str) -> Counter[str]:
    return Counter(line for line in text.split("\n") if line and not line.startswith("#"))


def check(body: Body, expected: Naive) -> None:
    """A body is in all four forms what the naive collector exposes, and valid."""
    for openmetrics in (False, True):
        text = text_of(body, openmetrics=openmetrics)
        member = b"".join(body.chunks(openmetrics=openmetrics, gzip=True))
        assert gzip.decompress(member).decode() == text
        assert body.size(openmetrics=openmetrics, gzip=True) == len(member)
        assert body.size(openmetrics=openmetrics, gzip=False) == len(text.encode())
        lines = sample_counts(text)
        assert lines == sample_counts(generate_latest(expected).decode())
        assert set(lines.values()) <= {1}
        families = list(parse_openmetrics(text) if openmetrics else parse_text(text))
        assert sum(len(family.samples) for family in families) == lines.total()
        headers = [line for line in text.split("\n") if line.startswith("# TYPE ")]
        assert len(headers) == len(set(headers)) == len(families)
    assert text_of(body, openmetrics=True) == text_of(body) + "# EOF\n"


POLICIES = st.builds(
    lambda series, max_per_job, max_total: Files(series=series, max_per_job=max_per_job, max_total=max_total),
    st.sampled_from(["all", "unfinished", "none"]),
    st.integers(1, 4),
    st.integers(1, 12),
)


def both(jobs: Iterable[Record]) -> list[ClusterSnapshot]:
    jobs = list(jobs)
    return [cluster_snapshot("a", jobs), cluster_snapshot("b", jobs)]


@given(st.lists(job_snapshots(), max_size=8, unique_by=lambda job: (job.cluster_id, job.job_id)), POLICIES)
def test_any_jobs_are_exposed_as_a_naive_collector_would(jobs: list[Record], policy: Files) -> None:
    check(Exposition().body(both(jobs), policy), Naive(both(jobs), policy))


@given(job_snapshots(), POLICIES)
def test_any_single_job_is_exposed_as_a_naive_collector_would(job: Record, policy: Files) -> None:
    text = text_of(job_body(job, policy))
    expected = generate_latest(Naive([cluster_snapshot(job.cluster_id, [job])], policy)).decode()
    assert sample_counts(text) == Counter(
        {line: count for line, count in sample_counts(expected).items() if "_import_job" in line or "_file_" in line}
    )


class AnyHistory(RuleBasedStateMachine):
    """Whatever snapshots come in whatever order, a body says what its own snapshot says."""

    def __init__(self) -> None:
        super().__init__()
        self.policy = Files(max_per_job=3, max_total=7)
        self.jobs: dict[JobKey, Record] = {}
        self.exposition = Exposition()
        self.past: list[tuple[list[ClusterSnapshot], Files]] = []

    def snapshots(self) -> list[ClusterSnapshot]:
        clusters = both(self.jobs.values())
        self.past.append((clusters, self.policy))
        return clusters

    @rule(job=job_snapshots(job_ids=st.sampled_from(["1", "2", "3", "4", "5", "6"])))
    def answer(self, job: Record) -> None:
        self.jobs[job.cluster_id, job.job_id] = job

    @rule(which=st.integers(0), refreshed=st.floats(0, 1e10))
    def refresh(self, which: int, refreshed: float) -> None:
        queried = [job for job in self.jobs.values() if job.up is not None]
        if queried:
            self.answer(refreshed_at(queried[which % len(queried)], refreshed))

    @rule(which=st.integers(0))
    def leave(self, which: int) -> None:
        if self.jobs:
            del self.jobs[list(self.jobs)[which % len(self.jobs)]]

    @rule(policy=POLICIES)
    def reload(self, policy: Files) -> None:
        self.policy = policy

    @rule()
    def render_ahead(self) -> None:
        self.exposition.update(self.snapshots(), self.policy)

    @rule()
    def scrape(self) -> None:
        clusters = self.snapshots()
        check(self.exposition.body(clusters, self.policy), Naive(clusters, self.policy))

    @rule()
    def probe(self) -> None:
        clusters = self.snapshots()
        check(self.exposition.body(clusters, self.policy, only="b"), Naive(clusters, self.policy, "b"))

    @rule(only_one=st.booleans())
    def scrape_when_a_cluster_is_not_configured(self, only_one: bool) -> None:
        clusters = self.snapshots()[: 1 if only_one else 0]
        check(self.exposition.body(clusters, self.policy), Naive(clusters, self.policy))

    @rule(which=st.integers(0))
    def end_a_scrape_that_was_overtaken(self, which: int) -> None:
        if self.past:
            clusters, policy = self.past[which % len(self.past)]
            check(self.exposition.body(clusters, policy), Naive(clusters, policy))


@pytest.mark.parametrize("block_jobs", [2, 4, BLOCK_JOBS])
def test_any_history_is_exposed_as_a_naive_collector_would(block_jobs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_JOBS", block_jobs)
    case = AnyHistory.TestCase
    case.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
    case("runTest").runTest()


def finished(number: int, files: int = 2) -> list[Record]:
    done = some_files(files, State.COMPLETED)
    return [job_snapshot(f"{index:05d}", cluster_id="a", state=State.COMPLETED, files=done) for index in range(number)]


def unfinished(number: int, files: int = 2) -> list[Record]:
    return [job_snapshot(f"x{index:05d}", cluster_id="a", files=some_files(files)) for index in range(number)]


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> Rendered:
    return Rendered(monkeypatch)


@pytest.fixture
def exposition() -> Exposition:
    return Exposition()


def scrape(exposition: Exposition, jobs: Iterable[Record], policy: Files = ALL_FILES) -> Callable[[], Body]:
    clusters = both(jobs)
    return lambda: exposition.body(clusters, policy)


def test_nothing_is_rendered_where_nothing_changed(exposition: Exposition, rendered: Rendered) -> None:
    jobs = [*finished(100), *unfinished(100)]
    assert rendered.during(scrape(exposition, jobs))["job_up"] == 200
    assert rendered.during(scrape(exposition, jobs)) == Counter()
    assert rendered.runs == Counter()


def test_clusters_that_are_probed_in_turn_keep_their_text(exposition: Exposition, rendered: Rendered) -> None:
    jobs = [*finished(10), job_snapshot("x", cluster_id="b")]
    clusters = both(jobs)
    exposition.body(clusters, ALL_FILES, only="a")
    for only in ("b", "a"):
        again = both(jobs)
        assert rendered.during(lambda again=again, only=only: exposition.body(again, ALL_FILES, only=only)) == Counter()  # type: ignore[misc]  # mypy does not infer lambdas with defaults


def test_a_new_answer_that_says_the_same_renders_only_its_time(exposition: Exposition, rendered: Rendered) -> None:
    live, done = unfinished(20), finished(20)
    scrape(exposition, [*done, *live])()
    live[3], done[3] = refreshed_at(live[3], 300.0), refreshed_at(done[3], 300.0)
    again = rendered.during(scrape(exposition, [*done, *live]))
    assert again == {"job_refreshed_timestamp_seconds": 40}


def test_of_a_job_that_changed_only_its_block_and_what_changed_of_it_is_rendered(
    exposition: Exposition, rendered: Rendered
) -> None:
    live, done = unfinished(3 * BLOCK_JOBS), finished(3 * BLOCK_JOBS)
    scrape(exposition, [*done, *live])()
    live[3] = job_snapshot("x00003", cluster_id="a", files=some_files(2), progress=0.75, refreshed=300.0)
    again = rendered.during(scrape(exposition, [*done, *live]))
    assert again == {"job_refreshed_timestamp_seconds": BLOCK_JOBS, "job_progress_ratio": BLOCK_JOBS}


def test_a_job_that_finishes_costs_the_block_that_it_leaves_and_the_one_that_it_joins(
    exposition: Exposition, rendered: Rendered
) -> None:
    live, done = unfinished(2 * BLOCK_JOBS), finished(2 * BLOCK_JOBS)
    scrape(exposition, [*done, *live])()
    live[3] = job_snapshot("x00003", cluster_id="a", state=State.COMPLETED, files=some_files(2, State.COMPLETED))
    again = rendered.during(scrape(exposition, [*done, *live]))
    assert again["job_up"] == BLOCK_JOBS - 1 + 1
    assert rendered.during(scrape(exposition, [*done, *live])) == Counter()


def test_a_finished_job_that_leaves_costs_its_own_block(exposition: Exposition, rendered: Rendered) -> None:
    jobs = finished(4 * BLOCK_JOBS)
    scrape(exposition, jobs)()
    assert rendered.during(scrape(exposition, jobs[1:]))["job_up"] == BLOCK_JOBS - 1
    check(exposition.body(both(jobs[1:]), ALL_FILES), Naive(both(jobs[1:]), ALL_FILES))


def test_blocks_that_most_jobs_left_are_put_together(exposition: Exposition, rendered: Rendered) -> None:
    jobs = finished(20 * BLOCK_JOBS)
    scrape(exposition, jobs)()
    left = jobs[:: BLOCK_JOBS // 2]
    rendered.during(scrape(exposition, left))
    assert rendered.runs[blocks.FINISHED_LEVEL] <= len(JOB_FAMILIES)
    check(exposition.body(both(left), ALL_FILES), Naive(both(left), ALL_FILES))
    runs = exposition._texts["a"]._finished._blocks
    assert [len(block.jobs) for block in runs] == [len(left)]


def test_while_answers_arrive_each_finished_job_is_rendered_once(exposition: Exposition, rendered: Rendered) -> None:
    silent = [silent_job(f"{index:05d}", cluster_id="a") for index in range(5 * BLOCK_JOBS)]
    jobs = {job.job_id: job for job in silent}

    def answers_arrive() -> None:
        for number, job in enumerate(finished(5 * BLOCK_JOBS)):
            jobs[job.job_id] = job
            if number % 7 == 0:
                exposition.update(both(jobs.values()), ALL_FILES)

    ahead = rendered.during(answers_arrive)
    last = rendered.during(scrape(exposition, jobs.values()))
    assert ahead["job_up"] + last["job_up"] == 5 * BLOCK_JOBS
    assert last["job_up"] <= BLOCK_JOBS
    check(exposition.body(both(jobs.values()), ALL_FILES), Naive(both(jobs.values()), ALL_FILES))


def test_while_answers_arrive_unfinished_jobs_are_rendered_a_few_times_at_most(
    exposition: Exposition, rendered: Rendered
) -> None:
    jobs = {job.job_id: job for job in unfinished(3 * BLOCK_JOBS)}
    scrape(exposition, jobs.values())()

    def answers_arrive() -> None:
        for job_id, job in jobs.items():
            jobs[job_id] = refreshed_at(job, 300.0)
            exposition.update(both(jobs.values()), ALL_FILES)

    ahead = rendered.during(answers_arrive)
    last = rendered.during(scrape(exposition, jobs.values()))
    assert (ahead + last).total() <= 2 * len(jobs)
    assert last.total() <= BLOCK_JOBS


def test_nothing_is_rendered_ahead_while_the_next_job_may_take_the_room_of_others(
    exposition: Exposition, rendered: Rendered
) -> None:
    policy = Files(max_total=2 * BLOCK_JOBS)
    jobs: list[Record] = []

    def answers_arrive() -> None:
        for job in unfinished(2 * BLOCK_JOBS):
            jobs.append(job)
            exposition.update(both(jobs), policy)

    assert rendered.during(answers_arrive)["job_up"] <= 1.5 * BLOCK_JOBS
    check(exposition.body(both(jobs), policy), Naive(both(jobs), policy))


def test_jobs_that_lose_or_win_room_for_files_are_rendered_and_no_others(
    exposition: Exposition, rendered: Rendered
) -> None:
    policy = Files(max_total=4 * BLOCK_JOBS)
    done = finished(4 * BLOCK_JOBS, files=2)
    scrape(exposition, done, policy)()
    live = job_snapshot("1", cluster_id="b", files=some_files(6))
    more = rendered.during(scrape(exposition, [*done, live], policy))
    assert more["job_up"] == 1
    assert more["file_state"] == len(State) * (6 + 2 * BLOCK_JOBS - 6)
    check(exposition.body(both([*done, live]), policy), Naive(both([*done, live]), policy))


def test_a_job_of_which_only_the_collection_changed_is_exposed_under_its_new_name(exposition: Exposition) -> None:
    jobs = finished(3)
    scrape(exposition, jobs)()
    jobs[0] = replace(jobs[0], collection_name="renamed")
    check(exposition.body(both(jobs), ALL_FILES), Naive(both(jobs), ALL_FILES))


def test_a_finished_job_that_turns_out_otherwise_is_exposed_as_the_api_now_says(exposition: Exposition) -> None:
    jobs = finished(3)
    scrape(exposition, jobs)()
    jobs[0] = job_snapshot(jobs[0].job_id, cluster_id="a", state=State.FAILED, reason="collection dropped")
    jobs[1] = silent_job(jobs[1].job_id, cluster_id="a", error=ErrorClass.EXPIRED)
    check(exposition.body(both(jobs), ALL_FILES), Naive(both(jobs), ALL_FILES))


class OutOfMemory:
    """Raises MemoryError at the `at`-th call within the package, of Python or C functions alike."""

    PACKAGE = str(Path(exporter.metrics.__file__).parent)

    def __init__(self, at: int) -> None:
        self._left = at
        self.raised = False

    def __enter__(self) -> None:
        sys.setprofile(self._called)

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _called(self, frame: FrameType, event: str, _argument: object) -> None:
        if event not in {"call", "c_call"} or not frame.f_code.co_filename.startswith(self.PACKAGE):
            return
        self._left -= 1
        if self._left == 0:
            self.raised = True
            raise MemoryError


def test_after_a_memory_error_at_any_call_the_next_body_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_JOBS", 2)
    policy = Files(max_total=9)
    before = both([*finished(4), *unfinished(3), job_snapshot("y", cluster_id="b", files=some_files(1))])
    live = refreshed_at(unfinished(1)[0], 300.0)
    after = both([*finished(2)[1:], live, job_snapshot("y", cluster_id="b", state=State.FAILED, files=some_files(2))])
    expected = {
        id(clusters): sample_counts(generate_latest(Naive(clusters, policy)).decode()) for clusters in (before, after)
    }
    raised = 0
    for at in range(1, 100_000, 31):
        exposition = Exposition()
        exposition.body(before, policy)
        memory = OutOfMemory(at)
        try:
            with memory:
                exposition.update(after, policy)
                exposition.body(after, policy)
        except MemoryError:
            raised += 1
        if not memory.raised:
            break
        again = before if at % 2 else after
        assert sample_counts(text_of(exposition.body(again, policy))) == expected[id(again)]
    assert raised > 30


def test_a_body_that_is_still_being_sent_does_not_change_with_the_next_one(exposition: Exposition) -> None:
    jobs = [*finished(5), *unfinished(1)]
    own = OwnMetrics()
    own.add_cluster("a")
    body = exposition.body(both(jobs), ALL_FILES, own.collect())
    sending = body.chunks(openmetrics=True, gzip=False)
    again = exposition.body(both(jobs), ALL_FILES)
    own.forget_cluster("a")
    exposition.body([], ALL_FILES)
    assert sample_counts(b"".join(sending).decode()) == sample_counts(text_of(body, openmetrics=True))
    assert sample_counts(text_of(again)) < sample_counts(text_of(body))
    assert 'zilliz_import_api_requests_total{cluster_id="a"' in text_of(body)


def test_own_metrics_come_in_each_formats_own_way(exposition: Exposition) -> None:
    own = OwnMetrics()
    own.add_cluster("a")
    own.observe("a", "list", 0.25, ErrorClass.AUTH)
    body = exposition.body(both([job_snapshot(cluster_id="a")]), ALL_FILES, own.collect())
    plain, openmetrics = text_of(body), text_of(body, openmetrics=True)
    assert "# TYPE zilliz_import_api_requests_total counter" in plain
    assert "# TYPE zilliz_import_api_requests counter" in openmetrics
    assert openmetrics.endswith("\n# EOF\n")
    assert openmetrics.count("# EOF") == 1
    assert not re.search("_created(?!_timestamp)", plain + openmetrics)
    assert list(parse_text(plain))
    assert list(parse_openmetrics(openmetrics))


def test_own_metrics_alone_need_no_exposition() -> None:
    body = Body(own=OwnMetrics().collect())
    assert "zilliz_import_job_" not in text_of(body)
    assert "zilliz_import_exporter_build_info" in text_of(body)


def test_nothing_at_all_is_still_a_valid_body(exposition: Exposition) -> None:
    body = exposition.body([], ALL_FILES)
    assert text_of(body) == ""
    assert text_of(body, openmetrics=True) == "# EOF\n"


@pytest.mark.parametrize("compressed", [True, False])
def test_slices_are_bounded_so_that_a_slow_reader_costs_no_memory(exposition: Exposition, compressed: bool) -> None:
    slices = list(scrape(exposition, finished(400, files=6))().chunks(openmetrics=False, gzip=compressed))
    assert max(map(len, slices)) <= SLICE_BYTES
    assert all(len(each) == SLICE_BYTES for each in slices[:-1])
