"""Jobs in any number for benchmarks, all alike but for their ids and how far they have come."""

from __future__ import annotations

import math
from collections.abc import Iterator

from exporter.demo.scenario import FileScript, JobScript, Stages

_FIRST_ID = 457_000_000_000_000_001
_STAGES = Stages(pending=0, preimporting=0, importing=86_400, sorting=600, indexing=1200)


def bulk_jobs(count: int, *, files: int = 5, unfinished: float = 1.0) -> Iterator[JobScript]:
    """Make jobs with decimal ids that ascend from 457000000000000001, the unfinished ones (a share, 0 to 1) last.

    At scenario second 0 the unfinished ones are spread over a day's import, of which they never see the end; the
    others finished within the twelve hours before.
    """
    file_scripts = tuple(FileScript((f"bulk/part-{number:04}.parquet",), 256 << 20, 900_000) for number in range(files))
    running = round(count * unfinished)
    duration = _STAGES.importing + _STAGES.sorting + _STAGES.indexing
    for index in range(count):
        share = index / count
        finished = index < count - running
        yield JobScript(
            str(_FIRST_ID + index),
            f"collection_{index % 10}",
            files=file_scripts,
            starts_at=-duration - 43_200 * (1 - share) if finished else -_STAGES.importing * share / 2,
            stages=_STAGES,
            retention=math.inf,
        )
