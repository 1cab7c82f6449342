"""Samples to text through prometheus_client, so that escaping and float formats are the library's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from exporter.metrics import JOB_FAMILIES, Family, Rows

Unrendered = tuple[Family[Any], Rows]
"""A family, and some of its samples."""


class Collected:
    """A collector of metrics that are there already."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        """The metrics given."""
        return self._metrics


def render_families(families: Iterable[Unrendered]) -> bytes:
    """Families with their HELP and TYPE lines: gauges, whose text is the same in both formats."""
    return generate_latest(Collected(_metric(family, rows) for family, rows in families))


def _metric(family: Family[Any], rows: Rows) -> Metric:
    metric = GaugeMetricFamily(family.name, family.help, labels=family.labels)
    for labels, value in rows:
        metric.add_metric(labels, value)
    return metric


JOB_HEADERS = {family.name: render_families([(family, ())]) for family in JOB_FAMILIES}
"""The HELP and TYPE lines of the job families, by name."""

_NEXT_FAMILY = b"\n# HELP "


def render_pieces(pieces: Sequence[Unrendered]) -> Iterator[bytes]:
    """The sample lines of each piece, without the HELP and TYPE lines; none of them may be without samples.

    All of them go through the library in one call. Its output can be cut where a family starts, because a newline
    within a label is escaped.
    """
    text = b"\n" + render_families(pieces).removesuffix(b"\n")
    for (family, _rows), piece in zip(pieces, text.split(_NEXT_FAMILY)[1:], strict=True):
        yield piece[len(JOB_HEADERS[family.name]) - len(_NEXT_FAMILY) + 1 :] + b"\n"
