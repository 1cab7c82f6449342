"""Samples to text through prometheus_client, so that escaping and float formats are the library's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from exporter.metrics.family import Family, Row

BATCH_ROWS = 200
"""Samples passed to the library at once; many more do not fit in the processor's caches."""


@dataclass(frozen=True, slots=True)
class Collected:
    """A collector of metrics that are there already."""

    metrics: Iterable[Metric]

    def collect(self) -> Iterable[Metric]:
        """The metrics given."""
        return self.metrics


def header(family: Family[Any]) -> bytes:
    """The HELP and TYPE lines of a family: a gauge, whose text is the same in both formats."""
    return _render(family, ())


def sample_lines(family: Family[Any], rows: Iterable[Row]) -> bytes:
    """The lines of samples, without the two lines for HELP and TYPE."""
    rest = iter(rows)
    lines = []
    while batch := list(islice(rest, BATCH_ROWS)):
        lines.append(_render(family, batch).split(b"\n", 2)[2])
    return b"".join(lines)


def _render(family: Family[Any], rows: Iterable[Row]) -> bytes:
    metric = GaugeMetricFamily(family.name, family.help, labels=family.labels)
    for labels, value in rows:
        metric.add_metric(labels, value)
    return generate_latest(Collected([metric]))
