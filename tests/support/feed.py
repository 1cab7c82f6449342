"""A synthetic exporter: the course of made-up import jobs, as exposition at one moment or as hours of history."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

from exporter.model import ErrorClass, Source, State

EXPORTER_INSTANCE = "exporter:10530"
JOB = "zilliz-import-exporter"
BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)

# Share of the import's duration -> progress. Milvus pauses while it sorts (70 %) and builds indexes (80 %).
CLOUD = ((0.0, 0.0), (1.0, 1.0))
MILVUS = ((0.0, 0.1), (0.15, 0.4), (0.6, 0.7), (0.72, 0.7), (0.74, 0.8), (0.92, 0.8), (1.0, 0.91))

Sample = tuple[str, Mapping[str, str], float]


@dataclass(frozen=True, slots=True)
class Course:
    """What becomes of one job. Times are seconds, `begins` counts from the end of the feed and is negative.

    A job that ends as Importing stands still at `stops_at` (a ratio), one that ends as Failed fails there.
    `silent` is the class of the error that keeps it from being read for the last `silent_for` seconds.
    """

    cluster_id: str
    collection: str
    job_id: str
    begins: float
    takes: float
    pending: float = 60.0
    ends: State = State.COMPLETED
    stops_at: float = 1.0
    bands: Sequence[tuple[float, float]] = CLOUD
    size: float = 4e9
    rows: float = 1e6
    files: int = 4
    reason: str = ""
    cause: str = "other"
    source: Source = Source.DISCOVERY
    db_name: str = "default"
    silent: str = ""
    silent_for: float = 0.0

    @property
    def file_name(self) -> str:
        """The job's own file, which only Zilliz Cloud names."""
        return f"s3://lake/{self.collection}/{self.job_id}/" if self.job_id.startswith("job-") else ""

    def ratio(self, share: float) -> float:
        """Progress after this share of the duration, not yet stopped, not yet rounded."""
        for (x0, y0), (x1, y1) in pairwise(self.bands):
            if share < x1:
                return y0 + (y1 - y0) * max(0.0, share - x0) / (x1 - x0)
        return 1.0

    def at(self, age: float) -> tuple[State, float]:
        """State and exact ratio, `age` seconds after its beginning."""
        if age < self.pending:
            return State.PENDING, 0.0
        ratio = self.ratio((age - self.pending) / self.takes)
        if ratio < self.stops_at:
            return State.IMPORTING, ratio
        if self.ends is State.FAILED:
            return State.FAILED, 0.0
        return self.ends, self.stops_at

    def reached(self, ratio: float) -> float:
        """Seconds of Importing until it reaches `ratio`."""
        return next(share for share in (step / 1000 for step in range(1001)) if self.ratio(share) >= ratio) * self.takes

    @property
    def duration(self) -> float:
        """Seconds of Importing until it ends, or stands still."""
        return self.reached(self.stops_at)

    def changed(self, age: float) -> float:
        """Age at which state or progress last changed."""
        if age < self.pending:
            return 0.0
        return self.pending + min(self.duration, self.reached(_percent(self.at(age)[1])))


def _percent(ratio: float) -> float:
    """The API's progress comes in whole percents."""
    return math.floor(ratio * 100 + 1e-9) / 100


def _states(name: str, labels: Mapping[str, str], state: State) -> Iterator[Sample]:
    for each in State:
        yield name, {**labels, "state": each}, float(each is state)


class Feed:
    """The jobs of `courses` as an exporter that started at `start` would show them; `end` is the courses' time 0."""

    def __init__(self, courses: Sequence[Course], *, start: float, end: float) -> None:
        self.courses = courses
        self.start = start
        self.end = end
        self.clusters = tuple(sorted({course.cluster_id for course in courses}))

    def job(self, course: Course, at: float) -> Iterator[Sample]:
        """One job's gauges, none before it begins."""
        age = at - self.end - course.begins
        if age < 0:
            return
        asked = {"cluster_id": course.cluster_id, "job_id": course.job_id}
        key = {**asked, "collection_name": course.collection}
        silent = course.silent if self.end - at < course.silent_for else ""
        first_seen = max(self.start, self.end + course.begins)
        in_database = {**key, "db_name": course.db_name}
        yield "job_info", {**in_database, "file_name": course.file_name, "source": course.source}, 1
        yield "job_first_seen_timestamp_seconds", asked, first_seen
        yield "job_up", asked, float(not silent)
        yield "job_refreshed_timestamp_seconds", asked, self.end - course.silent_for if silent else at - 0.4
        if silent:
            yield "job_error", {**in_database, "error": silent}, 1
            return
        state, ratio = course.at(age)
        ended = self.end + course.begins + course.pending + course.duration
        changed = ended if state.finished else max(first_seen, self.end + course.begins + course.changed(age))
        yield "job_last_change_timestamp_seconds", {**in_database, "state": state}, changed
        yield "job_created_timestamp_seconds", key, self.end + course.begins
        known = state not in {State.PENDING, State.FAILED}
        yield "job_progress_ratio", key, _percent(ratio)
        yield from _states("job_state", key, state)
        yield "job_size_bytes", key, course.size
        yield "job_rows", key, course.rows * known
        yield "job_imported_rows", key, math.floor(course.rows * ratio) * known
        yield "job_files_omitted", key, 0
        if state is State.COMPLETED:
            yield "job_completed_timestamp_seconds", key, ended
        if state is State.FAILED and course.reason:
            yield "job_failure_info", {**key, "cause": course.cause, "reason": course.reason}, 1
        yield from self._files(course, key, state, ratio)

    def _files(self, course: Course, key: Mapping[str, str], state: State, ratio: float) -> Iterator[Sample]:
        """Files that go one after another, two at a time; all of a failed job's files are failed."""
        states = dict.fromkeys(State, 0)
        for index in range(course.files if state is not State.PENDING else 0):
            share = min(1.0, max(0.0, (ratio * (course.files + 1) - index) / 2))
            own = State.COMPLETED if share == 1.0 else State.IMPORTING if share > 0 else State.PENDING
            own = state if state.finished else own
            states[own] += 1
            rows = course.rows / course.files
            labels = {**key, "file_name": f"s3://lake/{course.collection}/{course.job_id}/part-{index:04d}.parquet"}
            yield "file_progress_ratio", labels, _percent(share)
            yield "file_size_bytes", labels, course.size / course.files * (0.7 + 0.6 * (index % 4) / 3)
            yield "file_rows", labels, math.floor(rows)
            yield "file_imported_rows", labels, math.floor(rows * share)
            yield from _states("file_state", labels, own)
            if own is State.FAILED and index == 1:
                why = {"cause": "schema", "reason": "row group 7 ends early"}
                yield "file_failure_info", {**labels, **why}, 1
            if own is State.COMPLETED:
                began = self.end + course.begins + course.pending
                ended = began + course.takes * min(1.0, (index + 2) / (course.files + 1))
                yield "file_completed_timestamp_seconds", labels, ended
        for each, number in states.items():
            yield "job_files", {**key, "state": each}, number

    def cluster(self, cluster_id: str, at: float) -> Iterator[Sample]:
        """All gauges of one cluster: what /probe shows."""
        labels = {"cluster_id": cluster_id}
        watched = [course for course in self.courses if course.cluster_id == cluster_id]
        for course in watched:
            yield from self.job(course, at)
        for source in Source:
            seen = [course for course in watched if course.source is source and course.begins <= at - self.end]
            yield "cluster_jobs", {**labels, "source": source}, len(seen)
        states = [course.at(age)[0] for course in watched if (age := at - self.end - course.begins) >= 0]
        for state in State:
            yield "cluster_listed_jobs", {**labels, "state": state}, states.count(state)
        busy = sum(course.begins + course.takes > at - self.end for course in watched) / (1 + len(watched))
        yield "cluster_up", labels, 1
        yield "cluster_jobs_waiting", labels, max(0.0, math.floor(12 - (at - self.start) / 60))
        yield "cluster_jobs_omitted", labels, 0
        yield "scrape_duration_seconds", labels, 0.05 + 0.2 * busy + 0.02 * math.sin(at / 400) ** 2

    def own(self, at: float) -> Iterator[Sample]:
        """The exporter's own metrics: what ?scope=exporter shows."""
        up_for = at - self.start
        finished: Counter[tuple[tuple[str, str], ...]] = Counter()
        for course in self.courses:
            for state in (State.COMPLETED, State.FAILED):
                labels = {"cluster_id": course.cluster_id, "collection_name": course.collection, "state": state}
                finished[tuple(labels.items())] += course.at(at - self.end - course.begins)[0] is state
        for key, number in finished.items():
            yield "jobs_finished_total", dict(key), number
        yield "exporter_build_info", {"version": "0.1.0"}, 1
        yield "exporter_config_last_reload_successful", {}, 1
        yield "exporter_config_last_reload_success_timestamp_seconds", {}, self.start
        for cluster_id, share in zip(self.clusters, (1.0, 0.55), strict=False):
            for operation, per_second in (("progress", 0.8 * share), ("list", 1 / 60)):
                labels = {"cluster_id": cluster_id, "operation": operation}
                requests = per_second * (up_for + 600 * math.sin(up_for / 4000))
                yield "api_requests_total", labels, requests
                slow = 1 + 0.5 * math.sin(self.end / 2000)
                for bucket in (*BUCKETS, math.inf):
                    within = requests * (1 - math.exp(-bucket / (0.07 * slow * (2 if operation == "list" else 1))))
                    yield (
                        "api_request_duration_seconds_bucket",
                        {**labels, "le": str(bucket).replace("inf", "+Inf")},
                        within,
                    )
                for error in ErrorClass:
                    burst = max(0.0, min(600.0, at - self.end + 6000)) if error is ErrorClass.TIMEOUT else 0.0
                    trickle = requests / 300 if error is ErrorClass.RATE_LIMITED else 0.0
                    yield "api_errors_total", {**labels, "error": error}, (burst / 20 + trickle) * share

    def targets(self, shape: str, at: float) -> Iterator[tuple[str, Iterable[Sample]]]:
        """Each scrape target's `instance` with its samples.

        `shape` is "metrics" (one target) or "sd" (one per cluster, one for the exporter's own metrics).
        """
        if shape == "metrics":
            everything = [sample for cluster in self.clusters for sample in self.cluster(cluster, at)]
            yield EXPORTER_INSTANCE, [*everything, *self.own(at)]
            return
        for cluster in self.clusters:
            yield cluster, self.cluster(cluster, at)
        yield EXPORTER_INSTANCE, self.own(at)

    def text(self, samples: Iterable[Sample]) -> str:
        """Exposition without timestamps, for a scrape."""
        lines = [_line(name, labels, value) for name, labels, value in samples]
        return "\n".join([*lines, "process_resident_memory_bytes 48e6", ""])

    def history(self, shape: str, *, step: float) -> Iterator[str]:
        """OpenMetrics lines with timestamps from `start` to `end`, for `promtool tsdb create-blocks-from`."""
        at = self.start
        while at <= self.end:
            stamp = f" {at:.3f}\n"
            for instance, samples in self.targets(shape, at):
                target = {"job": JOB, "instance": instance}
                for name, labels, value in samples:
                    yield _line(name, {**labels, **target}, value) + stamp
                yield f'up{{job="{JOB}",instance="{instance}"}} 1' + stamp
                memory = 46e6 + 3e6 * math.sin(at / 3000) ** 2
                yield f'process_resident_memory_bytes{{job="{JOB}",instance="{instance}"}} {memory:.0f}' + stamp
            at += step
        yield "# EOF\n"


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    inner = ",".join(f'{label}="{text}"' for label, text in labels.items())
    return f"zilliz_import_{name}{{{inner}}} {value:.10g}"


class FeedServer:
    """Serves a feed as the exporter would, at the present moment: /metrics, /metrics?scope=exporter, /probe?target=."""

    def __init__(self, feed: Feed) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url, at = urlsplit(self.path), time.time()
                target = parse_qs(url.query).get("target")
                if target:
                    body = feed.text(feed.cluster(target[0], at))
                elif url.query == "scope=exporter":
                    body = feed.text(feed.own(at))
                else:
                    body = feed.text(next(iter(feed.targets("metrics", at)))[1])
                self.send_response(HTTPStatus.OK)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that the base class gives it
                """Say nothing: the test asks Prometheus."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
