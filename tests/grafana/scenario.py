"""A believable day: jobs of two clusters in every state, in every kind of trouble, and ordinary ones."""

from __future__ import annotations

import random
from functools import partial

from exporter.model import Source, State
from tests.support.feed import CLOUD, MILVUS, Course

ZILLIZ_CLOUD = "in01-7f3c9a41d2e8b05"
SELF_HOSTED = "milvus-staging"
HOUR = 3600.0

_cloud = partial(Course, ZILLIZ_CLOUD, bands=CLOUD)
_milvus = partial(Course, SELF_HOSTED, bands=MILVUS)
_DIMENSION = "field 'embedding' has dim 768, file part-0003.parquet has dim 1024: schema not equal"
_MISSING = "no such key: s3://lake/orders/part-0001.parquet"
_DENIED = (
    "import file failed, err=read row group 3 of s3a://acme-lake-eu-central-1/tenants/legal/contracts/2026-11/"
    "part-0003.parquet: io failure: open column chunk 'embedding' at offset 402653184: GetObject: operation error S3:"
    " GetObject, https response error StatusCode: 403, RequestID: 7Q2M4T9E1ZC8K3VD, api error AccessDenied: User"
    " arn:aws:iam::123456789012:role/vector-import is not authorized to perform s3:GetObject on this resource: worker"
    " 12 on node 1843 gave up after 3 attempts: importing data failed"
)

RUNNING = (
    _cloud("product_vectors", "job-02ab4cd6ef81kq7z0021", -2.2 * HOUR, 3.1 * HOUR, size=96e9, rows=2.4e7, files=12),
    _cloud("articles_v2", "job-02ab4cd6ef81kq7z0024", -0.6 * HOUR, 1.1 * HOUR, size=28e9, rows=6.1e6, files=8),
    _cloud("reviews", "job-02ab4cd6ef81kq7z0025", -0.3 * HOUR, 0.5 * HOUR, size=9e9, rows=2.2e6),
    _cloud("orders", "job-02ab4cd6ef81kq7z0026", -120, HOUR, pending=HOUR, size=5e9),
    _milvus("user_embeddings", "448761313698322011", -1.1 * HOUR, 1.6 * HOUR, size=33e9, rows=1.1e7, files=10),
    _milvus("medium_articles", "448761313698322014", -0.8 * HOUR, 1.15 * HOUR, size=14e9, rows=3.6e6, files=5),
    _milvus("products_fr", "448761313698322015", -600, 1.5 * HOUR, pending=HOUR, size=6e9, db_name="shop"),
)


def _ends_badly(course: partial[Course], state: State, at: float) -> partial[Course]:
    return partial(course, ends=state, stops_at=at)


STOPPED = (
    _ends_badly(_cloud, State.IMPORTING, 0.57)(
        "image_clip", "job-02ab4cd6ef81kq7z0019", -3 * HOUR, 1.4 * HOUR, size=41e9, rows=3.3e6, files=6
    ),
    _ends_badly(_cloud, State.FAILED, 0.62)(
        "events", "job-02ab4cd6ef81kq7z0022", -1.5 * HOUR, 0.9 * HOUR, size=12e9, rows=8e6, reason=_DIMENSION
    ),
    _ends_badly(_cloud, State.FAILED, 0.3)(
        "orders", "job-02ab4cd6ef81kq7z0016", -3.9 * HOUR, 0.5 * HOUR, size=2e9, rows=8e5, reason=_MISSING
    ),
    _ends_badly(_cloud, State.FAILED, 0.2)(
        "contracts", "job-02ab4cd6ef81kq7z0027", -2 * HOUR, HOUR, size=4e9, rows=1.2e6, files=5, reason=_DENIED
    ),
    _ends_badly(_milvus, State.FAILED, 0.9)(
        "rehearsal", "448761313698322016", -2 * HOUR, HOUR, reason="aborted by user", cause="aborted"
    ),
    _cloud("user_profiles", "job-02ab4cd6ef81kq7z0028", -1.8 * HOUR, HOUR, pending=5 * HOUR, size=3.5e9),
    _ends_badly(_milvus, State.UNCOMMITTED, 0.9)(
        "chat_history", "448761313698322009", -9 * HOUR, 0.9 * HOUR, size=7e9, rows=1.9e6
    ),
    _ends_badly(_milvus, State.UNCOMMITTED, 0.9)(
        "chat_history", "448761313698322017", -1.5 * HOUR, 0.9 * HOUR, size=7e9, rows=1.9e6
    ),
    _ends_badly(_milvus, State.UNKNOWN, 0.4)("faces_v3", "448761313698322008", -2.5 * HOUR, HOUR, rows=5e5, files=2),
)


def _silent(course: partial[Course], error: str, seconds: float) -> partial[Course]:
    return partial(course, silent=error, silent_for=seconds)


UNSEEN = (
    _silent(_cloud, "timeout", 1500)("search_logs", "job-02ab4cd6ef81kq7z0020", -2.5 * HOUR, 3 * HOUR),
    _silent(_cloud, "expired", 2000)(
        "chat_history", "job-02ab4cd6ef81kq7z0015", -2.4 * HOUR, HOUR, source=Source.CONFIG
    ),
    _silent(_milvus, "not_found", 900)("reviews", "448761313698322012", -HOUR, 1.5 * HOUR, source=Source.LIST),
    _silent(_milvus, "vanished", 1200)("faces", "448761313698322013", -0.9 * HOUR, 1.5 * HOUR, db_name="vision"),
)


def completed(number: int) -> list[Course]:
    """So many jobs of both clusters that ended well, spread over the last six hours."""
    chance = random.Random(7)
    collections = ("articles_v2", "orders", "reviews", "events", "image_clip", "product_vectors")
    jobs = []
    for index in range(number):
        course, job_id = (
            (_cloud, f"job-02ab4cd6ef81kq7z{index:04d}") if index % 3 else (_milvus, f"44876131369832{index:04d}")
        )
        jobs.append(
            course(
                collections[index % len(collections)],
                job_id,
                -(5.8 - 4.8 * index / number) * HOUR,
                chance.uniform(0.25, 0.8) * HOUR,
                pending=chance.uniform(30, 500),
                size=chance.uniform(2, 40) * 1e9,
                rows=chance.uniform(0.5, 9) * 1e6,
                files=chance.randint(2, 8),
            )
        )
    return jobs


def everything() -> list[Course]:
    """Twenty-five jobs: every word that the dashboard's State column knows."""
    return [*RUNNING, *STOPPED, *UNSEEN, *completed(8)]
