"""The demo's world: imports of two clusters that run, finish, fail, stall and vanish; times are scenario seconds."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from functools import partial
from string import ascii_lowercase, digits
from typing import Any

from exporter.demo.jobs import RecurringJob
from exporter.demo.scenario import FileScript, JobScript, Pause, Stages

_MINUTE = 60.0
_DAY = 24 * 60 * _MINUTE
_RETENTION = 30 * _MINUTE
_BASE36 = digits + ascii_lowercase

ABORTED = "aborted by user"
"""The reason of an import that its owner has aborted; Milvus' documents do not give its exact wording."""
_DENIED = (
    "import file failed, err=read row group 3 of "
    "s3a://acme-lake-eu-central-1/tenants/legal/contracts/2026-11/part-0003.parquet: io failure: "
    "open column chunk 'embedding' at offset 402653184: GetObject "
    "https://s3.eu-central-1.amazonaws.com/acme-lake-eu-central-1/tenants/legal/contracts/2026-11/part-0003.parquet: "
    "operation error S3: GetObject, https response error StatusCode: 403, RequestID: 7Q2M4T9E1ZC8K3VD, "
    "api error AccessDenied: User arn:aws:iam::123456789012:role/vector-import is not authorized to perform "
    "s3:GetObject on this resource: worker 12 on node 1843 gave up after 3 attempts: importing data failed"
)
"""A chain of causes, longer than the label in which it is exposed."""


def _zilliz_id(starts_at: float, chance: random.Random) -> str:
    """Like `job-02ab4cd6ef81kq7z0h3m`; ids of later jobs sort behind those of earlier ones."""
    number, head = int(starts_at) + 10**10, ""
    while number:
        number, digit = divmod(number, 36)
        head = _BASE36[digit] + head
    return "job-" + head.rjust(8, "0") + "".join(chance.choices(_BASE36, k=12))


def _milvus_id(starts_at: float, chance: random.Random) -> str:
    """Like Milvus' timestamps: milliseconds, and a counter in the lowest 18 bits."""
    return str(461_000_000_000_000_000 + (math.floor(starts_at * 1000) << 18) + chance.randrange(1 << 18))


def _parquet(folder: str, count: int, megabytes: int, rows: int, suffix: str = "parquet") -> tuple[FileScript, ...]:
    """About so many megabytes and rows in each of `count` files."""
    names = (f"{folder}/part-{number:04}.{suffix}" for number in range(count))
    return tuple(FileScript((name,), megabytes * 1_000_000, rows) for name in names)


def _numpy(folder: str, count: int, megabytes: int, rows: int) -> tuple[FileScript, ...]:
    """Sets of NumPy files, one file for each column."""
    sets = ((f"{folder}/{number}/id.npy", f"{folder}/{number}/vector.npy") for number in range(1, count + 1))
    return tuple(FileScript(paths, megabytes * 1_000_000, rows) for paths in sets)


def _job(
    make_id: Callable[[float, random.Random], str],
    collection: str,
    files: tuple[FileScript, ...],
    stages: tuple[float, float, float, float, float],
    *,
    first: float,
    every: float,
    **more: Any,
) -> RecurringJob:
    """A job with the durations of its stages, its first start and the time between two starts in minutes."""
    durations = Stages(*(minutes * _MINUTE for minutes in stages))
    script = JobScript("", collection, files, stages=durations, **{"retention": _RETENTION, **more})
    return RecurringJob(script, make_id, first * _MINUTE, every * _MINUTE)


_zilliz, _milvus = partial(_job, _zilliz_id), partial(_job, _milvus_id)
_RARELY = 11 * 24 * 60
"""Minutes between two starts of a job that stands still for days, so that there is one of its kind at a time."""

ZILLIZ_JOBS = (
    _zilliz("product_vectors", _parquet("catalog/products", 24, 1_600, 480_000), (2, 4, 20, 4, 8), first=-20, every=80),
    _zilliz("medium_articles", _parquet("articles", 1, 380, 5_979, "json"), (1, 1, 4, 1, 2), first=-14, every=20),
    _zilliz("events", _parquet("lake/events/hour", 340, 210, 1_250_000), (2, 6, 45, 6, 12), first=-30, every=100),
    _zilliz(
        "events_staging",
        _parquet("lake/staging", 6, 210, 1_250_000),
        (2, 8, 20, 4, 8),
        first=5,
        every=70,
        fails_after=6 * _MINUTE,
        reason="schema not equal, err=field 'lang' not in arrow schema: importing data failed",
    ),
    _zilliz(
        "image_embeddings",
        _parquet("images/clip", 12, 2_400, 800_000),
        (2, 5, 30, 4, 8),
        first=-10,
        every=90,
        fails_after=22 * _MINUTE,
        reason="field 'embedding' has dimension 512, expected 768: importing data failed",
    ),
    _zilliz(
        "contracts",
        _parquet("tenants/legal/contracts/2026-11", 5, 820, 240_000),
        (1, 2, 15, 4, 8),
        first=-6,
        every=75,
        fails_after=9 * _MINUTE,
        reason=_DENIED,
    ),
    _zilliz(
        "support_tickets",
        _parquet("crm/tickets", 4, 900, 350_000),
        (1, 2, 6, 4, 8),
        first=-8,
        every=110,
        pause=Pause(9.2 * _MINUTE, 70 * _MINUTE),
    ),
    _zilliz(
        "product_reviews",
        _parquet("catalog/reviews", 8, 1_100, 620_000),
        (1, 3, 10, 4, 8),
        first=-40,
        every=_RARELY,
        pause=Pause(18.2 * _MINUTE, 10 * _DAY),
    ),
    _zilliz(
        "web_pages",
        _parquet("crawl/2026-47", 3, 650, 410_000),
        (1, 2, 12, 3, 6),
        first=-15,
        every=_RARELY,
        pause=Pause(11 * _MINUTE, 10 * _DAY, suspended=True),
    ),
    _zilliz("user_profiles", _parquet("crm/profiles", 5, 700, 900_000), (60, 2, 12, 2, 4), first=-25, every=95),
    _zilliz(
        "fraud_signals",
        _parquet("risk/signals", 10, 450, 300_000),
        (1, 3, 40, 4, 8),
        first=-12,
        every=75,
        vanishes_after=26 * _MINUTE,
    ),
    _zilliz("holiday_calendar", _parquet("reference/holidays", 1, 0, 0, "json"), (1, 2, 1, 1, 1), first=2, every=85),
)
"""The jobs of a Zilliz Cloud cluster."""

MILVUS_JOBS = (
    _milvus("articles", _parquet("run7", 8, 200, 500_000), (1, 3, 15, 3, 6), first=-12, every=45, files_per_task=4),
    _milvus("product_vectors", _numpy("export", 6, 6_100, 2_000_000), (1, 4, 25, 5, 10), first=-18, every=70),
    _milvus(
        "sessions",
        _parquet("clickstream/sessions", 16, 320, 400_000),
        (1, 3, 18, 3, 6),
        first=-6,
        every=60,
        db_name="analytics",
        pause=Pause(9 * _MINUTE, 6 * _MINUTE, node_lost=True),
    ),
    _milvus(
        "events",
        _parquet("backfill/events", 3, 540, 3_100_000),
        (1, 2, 8, 2, 4),
        first=-15,
        every=150,
        auto_commit=False,
        commits_after=100 * _MINUTE,
    ),
    _milvus(
        "rehearsal",
        _parquet("backfill/rehearsal", 2, 310, 1_400_000),
        (1, 2, 6, 2, 4),
        first=-16,
        every=70,
        auto_commit=False,
        fails_after=20 * _MINUTE,
        reason=ABORTED,
    ),
    _milvus(
        "experiments",
        _parquet("lab/run", 4, 130, 90_000),
        (1, 2, 8, 2, 4),
        first=-20,
        every=80,
        fails_after=30 * _MINUTE,
        reason="collection 460882331905327105 dropped",
    ),
    _milvus(
        "logs",
        _parquet("logs/day", 30, 95, 210_000),
        (1, 3, 20, 4, 8),
        first=-4,
        every=65,
        db_name="analytics",
        fails_after=12 * _MINUTE,
        reason="io failure: no such key",
    ),
    _milvus(
        "translations",
        _parquet("i18n/pairs", 2, 760, 1_900_000),
        (1, 2, 6, 2, 4),
        first=-9,
        every=90,
        pause=Pause(9.5 * _MINUTE, 50 * _MINUTE),
    ),
    _milvus(
        "audit_log",
        _parquet("audit/2026", 6, 280, 760_000),
        (1, 3, 15, 3, 6),
        first=-25,
        every=_RARELY,
        pause=Pause(9.4 * _MINUTE, 10 * _DAY),
    ),
    _milvus(
        "thumbnails",
        _parquet("media/thumbs", 2, 48, 40_000),
        (1, 1, 3, 1, 2),
        first=-5,
        every=25,
        retention=6 * _MINUTE,
    ),
)
"""The jobs of a Milvus."""
