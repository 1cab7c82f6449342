"""Snapshots to the answer of a scrape: what did not change since the last one is not made again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client.metrics_core import Metric

from exporter.collector.record import Record
from exporter.collector.snapshot import ClusterSnapshot
from exporter.config.schema import Files
from exporter.metrics.blocks import LIVE_LEVEL, ClusterText
from exporter.metrics.body import Body
from exporter.metrics.families import CLUSTER_FAMILIES, JOB_FAMILIES
from exporter.metrics.files import JobKey, claim, series_of, shares
from exporter.metrics.render import header, sample_lines
from exporter.metrics.splice import Run, deflate, join

_HEADERS = [deflate(header(family), LIVE_LEVEL) for family in JOB_FAMILIES]


class Exposition:
    """Keeps the text of the jobs of the last snapshots, so that the next body costs what changed since.

    Bodies follow from their arguments alone: snapshots may come in any order and under any configuration. After an
    exception the kept text is dropped, so that the next call makes all of it again. For use in one thread.
    """

    def __init__(self) -> None:
        self._texts: dict[str, ClusterText] = {}
        self._files = Files()
        self._cut: Mapping[JobKey, int] = {}

    def update(self, clusters: Sequence[ClusterSnapshot], files: Files) -> None:
        """Does ahead of `body` what can be done of its work while a scrape still waits for answers."""
        self._show(clusters, files, ahead=True)

    def body(
        self, clusters: Sequence[ClusterSnapshot], files: Files, own: Iterable[Metric] = (), *, only: str | None = None
    ) -> Body:
        """The text of these clusters, in this order, then of the exporter's own metrics.

        `clusters` are all those of a configuration, since its jobs share `max_total`, and the kept text of others is
        dropped. `only`: the id of the one cluster that is in the body.
        """
        self._show(clusters, files, ahead=False)
        exposed = [cluster for cluster in clusters if only in {None, cluster.cluster_id}]
        texts = [self._texts[cluster.cluster_id] for cluster in exposed]
        return Body(join((*_about_jobs(texts), *_about_clusters(exposed))), own)

    def _show(self, clusters: Sequence[ClusterSnapshot], files: Files, *, ahead: bool) -> None:
        try:
            self._bring_up_to_date({cluster.cluster_id: cluster.jobs for cluster in clusters}, files, ahead=ahead)
        except BaseException:
            self._texts.clear()
            self._cut = {}
            raise

    def _bring_up_to_date(self, clusters: Mapping[str, Mapping[str, Record]], files: Files, *, ahead: bool) -> None:
        shown = {cluster_id: text.jobs for cluster_id, text in self._texts.items()}
        changes = {
            cluster_id: _changes(shown.get(cluster_id, {}), clusters.get(cluster_id, {}))
            for cluster_id in shown.keys() | clusters.keys()
        }
        cut = self._cut
        if files != self._files or any(
            claim(shown.get(cluster_id, {}).get(job_id), files) != claim(record, files)
            for cluster_id, changed in changes.items()
            for job_id, record in changed.items()
        ):
            cut = shares((record for jobs in clusters.values() for record in jobs.values()), files)
        if ahead and cut != self._cut:
            # The next answer may give the room that these jobs take to others.
            return
        everything = cut != self._cut or files != self._files
        self._cut, self._files = cut, files
        for cluster_id in shown.keys() - clusters.keys():
            del self._texts[cluster_id]
        for cluster_id, jobs in clusters.items():
            text = self._texts.setdefault(cluster_id, ClusterText())
            for job_id, record in changes[cluster_id].items():
                if record is None:
                    text.remove(job_id)
            for record in jobs.values() if everything else changes[cluster_id].values():
                if record is not None:
                    text.put(series_of(record, files, cut.get((cluster_id, record.job_id))))
            text.jobs = jobs
            text.render(ahead=ahead)


def job_body(record: Record, files: Files) -> Body:
    """The text of one job that is not kept, without its cluster."""
    key = (record.cluster_id, record.job_id)
    text = ClusterText()
    text.put(series_of(record, files, shares([record], files).get(key)))
    text.render(ahead=False)
    return Body(join(_about_jobs([text])))


def _about_jobs(texts: Sequence[ClusterText]) -> Iterator[Run]:
    for index, help_and_type in enumerate(_HEADERS):
        runs = [run for text in texts for run in text.runs(index) if run.length]
        if runs:
            yield help_and_type
            yield from runs


def _about_clusters(clusters: Sequence[ClusterSnapshot]) -> Iterator[Run]:
    for family in CLUSTER_FAMILIES:
        rows = [row for cluster in clusters for row in family.rows(cluster)]
        if rows:
            yield deflate(header(family) + sample_lines(family, rows), LIVE_LEVEL)


def _changes(before: Mapping[str, Record], now: Mapping[str, Record]) -> dict[str, Record | None]:
    """The jobs that are not the same objects, by id; None for those that are gone."""
    changes: dict[str, Record | None] = {}
    if now is before:
        return changes
    changes.update({job_id: record for job_id, record in now.items() if before.get(job_id) is not record})
    known = len(now) - sum(job_id not in before for job_id in changes)
    if known < len(before):
        changes.update(dict.fromkeys(before.keys() - now.keys()))
    return changes
