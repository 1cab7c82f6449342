"""The demo's cast: imports of two clusters that start, finish, fail, stall and vanish again and again."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from string import ascii_lowercase, digits

from exporter.demo.jobs import Series
from exporter.demo.scenario import FileScript, JobScript, Pause, Stages

MINUTE = 60.0
HOUR = 60 * MINUTE
_RETENTION = 30 * MINUTE
_BASE36 = digits + ascii_lowercase

Files = Callable[[random.Random], tuple[FileScript, ...]]


def cloud_cast(seed: int) -> tuple[Series, ...]:
    """The jobs of a Zilliz Cloud cluster; times are scenario seconds, the same seed gives the same jobs."""
    cast = _Cast(seed, _cloud_id)
    return (
        cast.series(
            JobScript("", "product_vectors", stages=_stages(2, 4, 20, 4, 8)),
            _parquet("catalog/products", 24, megabytes=1_600, rows=480_000),
            every=80 * MINUTE,
            first=-20 * MINUTE,
        ),
        cast.series(
            JobScript("", "medium_articles", stages=_stages(1, 1, 4, 1, 2)),
            _parquet("articles/medium", 1, megabytes=380, rows=5_979, suffix="json"),
            every=20 * MINUTE,
            first=-14 * MINUTE,
        ),
        cast.series(
            JobScript("", "events", stages=_stages(2, 6, 45, 6, 12)),
            _parquet("lake/events/hour", 340, megabytes=210, rows=1_250_000),
            every=100 * MINUTE,
            first=-30 * MINUTE,
        ),
        cast.series(
            JobScript(
                "",
                "events_staging",
                stages=_stages(2, 8, 20, 4, 8),
                fails_after=6 * MINUTE,
                reason="schema not equal, err=field 'lang' not in arrow schema: importing data failed",
            ),
            _parquet("lake/staging", 6, megabytes=210, rows=1_250_000),
            every=70 * MINUTE,
            first=5 * MINUTE,
        ),
        cast.series(
            JobScript(
                "",
                "image_embeddings",
                stages=_stages(2, 5, 30, 4, 8),
                fails_after=22 * MINUTE,
                reason="field 'embedding' has dimension 512, expected 768: importing data failed",
            ),
            _parquet("images/clip", 12, megabytes=2_400, rows=800_000),
            every=90 * MINUTE,
            first=-10 * MINUTE,
        ),
        cast.series(
            JobScript("", "support_tickets", stages=_stages(1, 2, 6, 4, 8), pause=Pause(9.2 * MINUTE, 70 * MINUTE)),
            _parquet("crm/tickets", 4, megabytes=900, rows=350_000),
            every=110 * MINUTE,
            first=-8 * MINUTE,
        ),
        cast.series(
            JobScript("", "product_reviews", stages=_stages(1, 3, 10, 4, 8), pause=Pause(18.2 * MINUTE, 4 * HOUR)),
            _parquet("catalog/reviews", 8, megabytes=1_100, rows=620_000),
            every=5 * HOUR,
            first=-40 * MINUTE,
        ),
        cast.series(
            JobScript("", "user_profiles", stages=_stages(60, 2, 12, 2, 4)),
            _parquet("crm/profiles", 5, megabytes=700, rows=900_000),
            every=95 * MINUTE,
            first=-25 * MINUTE,
        ),
        cast.series(
            JobScript("", "fraud_signals", stages=_stages(1, 3, 40, 4, 8), vanishes_after=26 * MINUTE),
            _parquet("risk/signals", 10, megabytes=450, rows=300_000),
            every=75 * MINUTE,
            first=-12 * MINUTE,
        ),
        cast.series(
            JobScript("", "holiday_calendar", stages=_stages(1, 2, 1, 1, 1)),
            _parquet("reference/holidays", 1, megabytes=0, rows=0, suffix="json"),
            every=85 * MINUTE,
            first=2 * MINUTE,
        ),
    )


def milvus_cast(seed: int) -> tuple[Series, ...]:
    """The jobs of a Milvus; times are scenario seconds, the same seed gives the same jobs."""
    cast = _Cast(seed, _milvus_id)
    return (
        cast.series(
            JobScript("", "articles", stages=_stages(1, 3, 15, 3, 6), files_per_task=4),
            _parquet("run7", 8, megabytes=200, rows=500_000),
            every=45 * MINUTE,
            first=-12 * MINUTE,
        ),
        cast.series(
            JobScript("", "product_vectors", stages=_stages(1, 4, 25, 5, 10)),
            _numpy("export", 6, megabytes=6_100, rows=2_000_000),
            every=70 * MINUTE,
            first=-18 * MINUTE,
        ),
        cast.series(
            JobScript(
                "",
                "sessions",
                db_name="analytics",
                stages=_stages(1, 3, 18, 3, 6),
                pause=Pause(9 * MINUTE, 6 * MINUTE, node_lost=True),
            ),
            _parquet("clickstream/sessions", 16, megabytes=320, rows=400_000),
            every=60 * MINUTE,
            first=-6 * MINUTE,
        ),
        cast.series(
            JobScript("", "events", stages=_stages(1, 2, 8, 2, 4), auto_commit=False, commits_after=100 * MINUTE),
            _parquet("backfill/events", 3, megabytes=540, rows=3_100_000),
            every=150 * MINUTE,
            first=-15 * MINUTE,
        ),
        cast.series(
            JobScript(
                "",
                "experiments",
                stages=_stages(1, 2, 8, 2, 4),
                fails_after=30 * MINUTE,
                reason="collection 460882331905327105 dropped",
            ),
            _parquet("lab/run", 4, megabytes=130, rows=90_000),
            every=80 * MINUTE,
            first=-20 * MINUTE,
        ),
        cast.series(
            JobScript(
                "",
                "logs",
                db_name="analytics",
                stages=_stages(1, 3, 20, 4, 8),
                fails_after=12 * MINUTE,
                reason="io failure: no such key",
            ),
            _parquet("logs/day", 30, megabytes=95, rows=210_000),
            every=65 * MINUTE,
            first=-4 * MINUTE,
        ),
        cast.series(
            JobScript("", "translations", stages=_stages(1, 2, 6, 2, 4), pause=Pause(9.5 * MINUTE, 50 * MINUTE)),
            _parquet("i18n/pairs", 2, megabytes=760, rows=1_900_000),
            every=90 * MINUTE,
            first=-9 * MINUTE,
        ),
        cast.series(
            JobScript("", "thumbnails", stages=_stages(1, 1, 3, 1, 2), retention=6 * MINUTE),
            _parquet("media/thumbs", 2, megabytes=48, rows=40_000),
            every=25 * MINUTE,
            first=-5 * MINUTE,
        ),
    )


class _Cast:
    """Makes the series of one cluster, each with ids and files of its own."""

    def __init__(self, seed: int, job_id: Callable[[int, float, random.Random], str]) -> None:
        self._seed = seed
        self._job_id = job_id
        self._count = 0

    def series(self, script: JobScript, files: Files, *, every: float, first: float) -> Series:
        """A job like `script`, run again and again."""
        index = self._count
        self._count += 1

        @lru_cache(maxsize=64)
        def run(number: int, starts_at: float) -> JobScript:
            chance = random.Random(f"{self._seed}/{script.collection_name}/{number}")  # noqa: S311 - no secret
            retention = min(script.retention, _RETENTION)
            job_id = self._job_id(index, starts_at, chance)
            return replace(script, job_id=job_id, files=files(chance), starts_at=starts_at, retention=retention)

        return Series(run, first, every, run(0, first).forgotten_after)


def _cloud_id(index: int, starts_at: float, chance: random.Random) -> str:
    """Like `job-02ab4cd6ef81kq7z0h3m`; ids of later jobs sort behind those of earlier ones."""
    number, head = (int(starts_at) + 10**8) * 100 + index, ""
    while number:
        number, digit = divmod(number, 36)
        head = _BASE36[digit] + head
    return "job-" + head.rjust(8, "0") + "".join(chance.choices(_BASE36, k=12))


def _milvus_id(index: int, starts_at: float, chance: random.Random) -> str:  # noqa: ARG001 - all of it is given
    """Like Milvus' timestamps: milliseconds, and a counter in the lowest 18 bits."""
    return str(461_000_000_000_000_000 + (math.floor(starts_at * 1000) << 18) + index)


def _stages(pending: float, preimporting: float, importing: float, sorting: float, indexing: float) -> Stages:
    """Durations of the stages, from minutes."""
    return Stages(pending * MINUTE, preimporting * MINUTE, importing * MINUTE, sorting * MINUTE, indexing * MINUTE)


def _parquet(folder: str, count: int, *, megabytes: int, rows: int, suffix: str = "parquet") -> Files:
    """About so many megabytes and rows in each of `count` files."""

    def files(chance: random.Random) -> tuple[FileScript, ...]:
        return tuple(
            FileScript((f"{folder}/part-{number:04}.{suffix}",), *_about(chance, megabytes, rows))
            for number in range(count)
        )

    return files


def _numpy(folder: str, count: int, *, megabytes: int, rows: int) -> Files:
    """Sets of NumPy files, one file for each column."""

    def files(chance: random.Random) -> tuple[FileScript, ...]:
        return tuple(
            FileScript((f"{folder}/{number}/id.npy", f"{folder}/{number}/vector.npy"), *_about(chance, megabytes, rows))
            for number in range(1, count + 1)
        )

    return files


def _about(chance: random.Random, megabytes: int, rows: int) -> tuple[int, int]:
    """A size in bytes and rows, up to a fifth more or less."""
    factor = chance.uniform(0.8, 1.2)
    return int(megabytes * 1_000_000 * factor), int(rows * factor)
