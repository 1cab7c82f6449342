"""Views to the bytes of a scrape's answer: what did not change since the last one is not made again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b

from prometheus_client.exposition import choose_encoder, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from exporter.listing import FilePolicy, JobKey, Shares, listed, wish
from exporter.metrics import CLUSTER_FAMILIES, JOB_FAMILIES, REFRESHED, JobSubject, Rows
from exporter.render import JOB_HEADERS, Collected, render_families, render_pieces
from exporter.shelf import LIVE_LEVEL, Shelf, Stats
from exporter.splice import Run, deflate, gzip_member, gzip_size, inflate, join
from exporter.watch.view import ClusterView, JobView

SLICE_BYTES = 256 * 1024
"""What a slow reader holds in memory at a time."""

BATCH_JOBS = 16
"""Jobs rendered in one call of the library; with more, what is in the making outgrows the processor's caches."""

_generate_openmetrics, _ = choose_encoder("application/openmetrics-text; version=1.0.0")

_REFRESHED = JOB_FAMILIES.index(REFRESHED)
_HEADERS = [deflate(JOB_HEADERS[family.name], LIVE_LEVEL) for family in JOB_FAMILIES]


class Body:
    """The answer to one scrape. Nothing in it changes any more: it can be sent while the next one is made."""

    def __init__(self, gauges: Run, own: Sequence[Metric]) -> None:
        self._gauges = gauges
        self._own = own

    def chunks(self, *, openmetrics: bool, gzip: bool) -> Iterator[bytes]:
        """The body in slices of at most `SLICE_BYTES`: OpenMetrics 1.0.0 or text 0.0.4, as one gzip member or plain."""
        run = self._openmetrics if openmetrics else self._text
        return _slices(gzip_member(run) if gzip else inflate(run, SLICE_BYTES))

    def size(self, *, openmetrics: bool, gzip: bool) -> int:
        """Bytes that `chunks` yields."""
        run = self._openmetrics if openmetrics else self._text
        return gzip_size(run) if gzip else run.length

    @cached_property
    def _text(self) -> Run:
        return join((self._gauges, deflate(generate_latest(Collected(self._own)), LIVE_LEVEL)))

    @cached_property
    def _openmetrics(self) -> Run:
        return join((self._gauges, deflate(_generate_openmetrics(Collected(self._own)), LIVE_LEVEL)))


def _slices(pieces: Iterable[bytes]) -> Iterator[bytes]:
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        while len(waiting) >= SLICE_BYTES:
            yield bytes(waiting[:SLICE_BYTES])
            del waiting[:SLICE_BYTES]
    if waiting:
        yield bytes(waiting)


@dataclass(slots=True)
class _Shown:
    """What the shelf has of one job: its view while it is live, only the view's digest once it is packed."""

    share: int
    view: JobView | None
    digest: bytes = b""

    def says(self, view: JobView) -> bool:
        """Whether `view` says the same, the time of the last answer aside."""
        if self.view is None:
            return _digest(view) == self.digest
        return replace(self.view, refreshed=view.refreshed) == view


def _digest(view: JobView) -> bytes:
    return blake2b(repr(replace(view, refreshed=None)).encode(), digest_size=16).digest()


class Exposition:
    """Keeps the text of all jobs shown, and puts bodies together from it.

    Not thread-safe: the caller holds one lock around each call. `lookup` gives the view last shown of a job (cluster
    id, job id) whose text must be made anew although the job did not change; None where the caller forgot the job.
    """

    def __init__(self, files: FilePolicy, lookup: Callable[[str, str], JobView | None]) -> None:
        self._policy = files
        self._lookup = lookup
        self._shares = Shares(files.max_total)
        self._shown: dict[JobKey, _Shown] = {}
        self._shelves: dict[str, Shelf] = {}
        self._pending: dict[JobKey, JobView | None] = {}
        self.stats = Stats()
        """What had to be made so far."""

    def show(self, view: JobView) -> None:
        """Shows a job from the next body on, in place of what was shown of it."""
        self._expect((view.cluster_id, view.job_id), view)

    def forget(self, cluster_id: str, job_id: str) -> None:
        """Shows a job no longer; one that was never shown is no error."""
        self._expect((cluster_id, job_id), None)

    def _expect(self, key: JobKey, view: JobView | None) -> None:
        job = view.job if view is not None else None
        self._shares.wish(key, wish(job, self._policy), finished=job is not None and job.state.finished)
        self._pending[key] = view

    def body(
        self, clusters: Sequence[ClusterView], own: Collector | None, *, jobs_of: Iterable[str] | None = None
    ) -> Body:
        """The text of exactly these clusters, in this order, then of the exporter's own metrics if given.

        `jobs_of` are the ids of the clusters whose jobs are in it: those of `clusters` unless said otherwise.
        """
        self._update()
        cluster_ids = [cluster.cluster_id for cluster in clusters] if jobs_of is None else jobs_of
        return Body(join(self._runs(cluster_ids, clusters)), tuple(own.collect()) if own is not None else ())

    def _runs(self, cluster_ids: Iterable[str], clusters: Sequence[ClusterView]) -> Iterator[Run]:
        shelves = [self._shelves[cluster_id] for cluster_id in cluster_ids if cluster_id in self._shelves]
        for index, header in enumerate(_HEADERS):
            runs = [shelf.run(index) for shelf in shelves]
            if any(run.length for run in runs):
                yield header
                yield from runs
        about_clusters = [
            (family, tuple(row for cluster in clusters for row in family.rows(cluster))) for family in CLUSTER_FAMILIES
        ]
        yield deflate(render_families((family, rows) for family, rows in about_clusters if rows), LIVE_LEVEL)

    def update(self) -> None:
        """Does ahead of `body` what can be done of its work, unless what is still to be shown may undo it."""
        if not self._shares.contested:
            self._update()

    def _update(self) -> None:
        """Brings the shelves up to date with what was shown and forgotten since the last time."""
        for key in self._shares.settle():
            if key not in self._pending:
                self._pending[key] = self._shown[key].view or self._lookup(*key)
        for key, view in self._pending.items():
            if view is None:
                self._shares.wish(key, 0, finished=True)
                self._take_off(key)
        changed = [view for view in self._pending.values() if view is not None]
        for start in range(0, len(changed), BATCH_JOBS):
            self._put_on(changed[start : start + BATCH_JOBS])
        for cluster_id in {cluster_id for cluster_id, _job_id in self._pending} & self._shelves.keys():
            self._shelves[cluster_id].settle()
        self._pending.clear()

    def _put_on(self, views: Sequence[JobView]) -> None:
        """Renders what is outdated of some jobs, in one call of the library, and packs those that are finished."""
        outdated = [(view, index, rows) for view in views for index, rows in self._outdated(view)]
        pieces = render_pieces([(JOB_FAMILIES[index], rows) for _view, index, rows in outdated if rows])
        for view, index, rows in outdated:
            self._shelf(view).put(view.job_id, index, next(pieces) if rows else b"")
        for view in views:
            key = (view.cluster_id, view.job_id)
            if view.job is None or not view.job.state.finished:
                self._shown[key] = _Shown(self._shares.share(key), view)
            elif key not in self._shown or self._shown[key].view is not None:
                self._shown[key] = _Shown(self._shares.share(key), None, _digest(view))
                self._shelf(view).pack(view.job_id)

    def _outdated(self, view: JobView) -> list[tuple[int, Rows]]:
        """The families of whose samples the shelf has others, by index. Takes a job off that has to be packed anew."""
        key = (view.cluster_id, view.job_id)
        share = self._shares.share(key)
        shown = self._shown.get(key)
        subject = JobSubject(view, listed(view.job, self._policy, share))
        if shown is not None and shown.share == share and shown.says(view):
            return [(_REFRESHED, REFRESHED.rows(subject))]
        self.stats.jobs_rendered += 1
        if shown is None or shown.view is None:
            self._take_off(key)
            return [(index, rows) for index, family in enumerate(JOB_FAMILIES) if (rows := family.rows(subject))]
        before = JobSubject(shown.view, listed(shown.view.job, self._policy, shown.share))
        return [
            (index, rows)
            for index, family in enumerate(JOB_FAMILIES)
            if (rows := family.rows(subject)) != family.rows(before)
        ]

    def _take_off(self, key: JobKey) -> None:
        cluster_id, job_id = key
        if self._shown.pop(key, None) is not None:
            self._shelves[cluster_id].drop(job_id)

    def _shelf(self, view: JobView) -> Shelf:
        if view.cluster_id not in self._shelves:
            self._shelves[view.cluster_id] = Shelf(len(JOB_FAMILIES), frozenset({_REFRESHED}), self.stats)
        return self._shelves[view.cluster_id]


def own_body(own: Collector) -> Body:
    """The exporter's own metrics alone: asks no exposition, so that it is there whatever scrapes are doing."""
    return Body(join(()), tuple(own.collect()))


def render_once(files: FilePolicy, clusters: Sequence[ClusterView], jobs: Sequence[JobView]) -> Body:
    """A body of jobs that nobody keeps watching, such as the one that `/probe` was asked for, and of clusters."""
    exposition = Exposition(files, lambda _cluster_id, _job_id: None)
    for view in jobs:
        exposition.show(view)
    return exposition.body(clusters, None, jobs_of=dict.fromkeys(view.cluster_id for view in jobs))
