"""The answer to one scrape, in the formats and encodings that scrapers accept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

from prometheus_client import generate_latest
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric

from exporter.metrics.render import Collected
from exporter.metrics.splice import EMPTY, Run, deflate, gzip_member, gzip_size, inflate, join

SLICE_BYTES = 64 * 1024
"""What a slow reader holds in memory at a time."""

_LEVEL = 1

_generate_openmetrics, _ = choose_encoder("application/openmetrics-text; version=1.0.0")


class Body:
    """The answer to one scrape. It never changes: it can be sent while the next one is made."""

    def __init__(self, gauges: Run = EMPTY, own: Iterable[Metric] = ()) -> None:
        """`gauges` are text in both formats, `own` the exporter's own metrics."""
        self._gauges = gauges
        self._own = tuple(own)

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
        return join((self._gauges, deflate(generate_latest(Collected(self._own)), _LEVEL)))

    @cached_property
    def _openmetrics(self) -> Run:
        return join((self._gauges, deflate(_generate_openmetrics(Collected(self._own)), _LEVEL)))


def _slices(pieces: Iterable[bytes]) -> Iterator[bytes]:
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        while len(waiting) >= SLICE_BYTES:
            yield bytes(waiting[:SLICE_BYTES])
            del waiting[:SLICE_BYTES]
    if waiting:
        yield bytes(waiting)
