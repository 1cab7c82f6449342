"""Counts which samples of jobs are rendered, and how many runs are compressed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import pytest

from exporter.metrics import blocks
from exporter.metrics.family import JobFamily, Row
from exporter.metrics.render import sample_lines
from exporter.metrics.splice import Run, deflate


class Rendered:
    """`lines` are samples rendered by family, `runs` those compressed by level."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lines: Counter[str] = Counter()
        self.runs: Counter[int] = Counter()
        monkeypatch.setattr(blocks, "sample_lines", self._sample_lines)
        monkeypatch.setattr(blocks, "deflate", self._deflate)

    def during(self, work: Callable[[], object]) -> Counter[str]:
        """Samples rendered by family while `work` is called; names without `zilliz_import_`."""
        self.lines.clear()
        self.runs.clear()
        work()
        return +self.lines

    def _sample_lines(self, family: JobFamily, rows: Iterable[Row]) -> bytes:
        rows = list(rows)
        self.lines[family.name.removeprefix("zilliz_import_")] += len(rows)
        return sample_lines(family, rows)

    def _deflate(self, text: bytes, level: int) -> Run:
        self.runs[level] += 1
        return deflate(text, level)
