"""Lives of imports minute by minute, and which alerts are to fire when: the look-alikes of each alert included."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from exporter.model import State
from prometheus.rules import PREFIX, SCRAPE_JOB, TIMINGS
from tests.support.promtool import DOWN, GONE, Exposure, NoScrape, Series, Targets, series

EXPORTER = "exporter:10530"
HOUR = 60


def job(
    state: str = "",
    progress: float | None = None,
    *,
    job_id: str = "1",
    cluster_id: str = "c1",
    collection: str = "docs",
    db: str = "default",
    rows: float | None = None,
    completed: float | None = None,
    reason: str = "",
    first_seen: float = 0,
    source: str = "config",
    error: str = "",
    info: bool = True,
) -> dict[Series, float]:
    """What the exporter exposes about one job: current in `state`, or unreadable with `error`. Times in seconds."""
    who = {"cluster_id": cluster_id, "job_id": job_id}
    named = {**who, "collection_name": collection}
    exposed = {
        series("zilliz_import_job_up", **who): 0.0 if error else 1.0,
        series("zilliz_import_job_first_seen_timestamp_seconds", **who): first_seen,
    }
    if info:
        exposed[series("zilliz_import_job_info", **named, db_name=db, source=source)] = 1.0
    if error:
        return {**exposed, series("zilliz_import_job_error", **who, error=error): 1.0}
    exposed |= {series("zilliz_import_job_state", **named, state=one): float(one == state) for one in State}
    values = {"progress_ratio": progress, "imported_rows": rows, "completed_timestamp_seconds": completed}
    exposed |= {
        series(f"zilliz_import_job_{name}", **named): value for name, value in values.items() if value is not None
    }
    if reason:
        exposed[series("zilliz_import_job_failure_info", **named, reason=reason)] = 1.0
    return exposed


def cluster(cluster_id: str = "c1", *, up: float = 1, waiting: float = 0, omitted: float = 0) -> dict[Series, float]:
    """What the exporter exposes about one cluster."""
    return {
        series("zilliz_import_cluster_up", cluster_id=cluster_id): up,
        series("zilliz_import_cluster_jobs_waiting", cluster_id=cluster_id): waiting,
        series("zilliz_import_cluster_jobs_omitted", cluster_id=cluster_id): omitted,
    }


def calls(operation: str, requests: float, cluster_id: str = "c1", **errors: float) -> dict[Series, float]:
    """Counters of the API client: requests so far, and errors so far by class."""
    who = {"cluster_id": cluster_id, "operation": operation}
    return {
        series("zilliz_import_api_requests_total", **who): requests,
        **{series("zilliz_import_api_errors_total", **who, error=error): count for error, count in errors.items()},
    }


BASE: Exposure = {**cluster(), series("zilliz_import_exporter_config_last_reload_successful"): 1.0}

Labels = Mapping[str, str]


def alert(name: str, **labels: str) -> Labels:
    """The labels of a firing alert."""
    return {
        "alertname": f"{PREFIX}{name}",
        "alertstate": "firing",
        "severity": TIMINGS[name].severity,
        "job": SCRAPE_JOB,
        **labels,
    }


def about_job(name: str, job_id: str = "1", collection_name: str = "docs", db_name: str = "default") -> Labels:
    """The labels of a firing alert about a job of cluster c1."""
    return alert(name, cluster_id="c1", job_id=job_id, collection_name=collection_name, db_name=db_name)


def about_cluster(name: str) -> Labels:
    """The labels of a firing alert about cluster c1."""
    return alert(name, cluster_id="c1")


Life = Callable[[int], Exposure | NoScrape]
Nights = Mapping[int, tuple[Labels, ...]]


@dataclass(frozen=True)
class Case:
    """What happens, and all alerts that fire at some minutes.

    `life` is one exporter's page by minute, over which `BASE` is laid. It is lived by three sets of clusters side by
    side: one scraped through `/metrics`, one by a pair of exporters, one through `/sd`; the alerts must be the same.
    `targets` instead is every target's page by minute, as it is written.
    `about`: the alerts whose rules the case is to hold to account.
    """

    name: str
    about: tuple[str, ...]
    want: Nights
    life: Life | None = None
    targets: Callable[[int], Targets] | None = None

    def minutes(self) -> list[Targets]:
        """Every target's page from minute 0 to the last one that is asked about."""
        return [self._minute(minute) for minute in range(max(self.want) + 1)]

    def _minute(self, minute: int) -> Targets:
        if self.targets:
            return {instance: _whole(page) for instance, page in self.targets(minute).items()}
        assert self.life is not None
        page = _whole(self.life(minute))
        return {
            "alone:10530": _of(page, "-alone"),
            "a:10530": _of(page, "-pair"),
            "b:10530": _of(page, "-pair"),
            **_sd(_of(page, "-sd")),
        }

    def firing(self, minute: int) -> list[Labels]:
        """All alerts that are to fire at that minute."""
        if self.targets:
            return list(self.want[minute])
        return [
            {**labels, "cluster_id": labels["cluster_id"] + shape}
            for labels in self.want[minute]
            for shape in ("-alone", "-pair", "-sd")
        ]


def _whole(page: Exposure | NoScrape) -> Exposure | NoScrape:
    return page if isinstance(page, NoScrape) else {**BASE, **page}


def _of(page: Exposure | NoScrape, shape: str) -> Exposure | NoScrape:
    """The page with other clusters that go through the same."""
    if isinstance(page, NoScrape):
        return page
    return {
        (name, tuple((label, value + shape if label == "cluster_id" else value) for label, value in labels)): sample
        for (name, labels), sample in page.items()
    }


def _sd(page: Exposure | NoScrape) -> Targets:
    """Cluster c1 as a target of its own with its id as instance, the exporter's own metrics on another."""
    if isinstance(page, NoScrape):
        return {"c1-sd": page, EXPORTER: page}
    prefixes = ("zilliz_import_api", "zilliz_import_exporter")
    own = {one: value for one, value in page.items() if one[0].startswith(prefixes)}
    return {"c1-sd": {one: value for one, value in page.items() if one not in own}, EXPORTER: own}


def percent(value: float) -> float:
    """A ratio in whole percent, as the API gives it."""
    return int(value) / 100


failed = partial(job, "Failed", 0.0)
"""A job that failed, as Milvus shows it: back at 0."""


def moving_progress(minute: int) -> float:
    """One percent in ten minutes."""
    return percent(10 + minute / 10)


def moving(minute: int) -> dict[Series, float]:
    """An import that goes on."""
    return job("Importing", moving_progress(minute))


def restart(begin: int, end: int, life: Life) -> Life:
    """The same life while the exporter is down from minute `begin` to before `end`."""
    return lambda minute: DOWN if begin <= minute < end else life(minute)


FAILED = (about_job("JobFailed"),)
STALLED = (about_job("JobStalled"),)
PENDING = (about_job("JobPending"),)
UNCOMMITTED = (about_job("JobUncommitted"),)
UNREADABLE = (about_job("JobUnreadable"),)
NOBODY: tuple[Labels, ...] = ()


def after(minute: int, then: Exposure | NoScrape, before: Exposure | Life | None = None) -> Life:
    """One page until `minute`, another from then on; without `before` there is no job until then."""

    def life(now: int) -> Exposure | NoScrape:
        if now >= minute:
            return then
        return before(now) if callable(before) else before or {}

    return life


def always(page: Exposure) -> Life:
    """The same page at each scrape."""
    return lambda _minute: page


def stuck_from(minute: int, percents: int) -> Life:
    """Progress of one percent a minute up to `percents` at `minute`, then none."""
    return lambda now: job("Importing", percent(percents - max(0, minute - now)))


FAILURES = (
    Case("failed after importing", ("JobFailed",), {9: NOBODY, 10: FAILED, 120: FAILED}, after(10, failed(), moving)),
    Case("failed at first sight, without a completion time", ("JobFailed",), {0: FAILED}, always(failed())),
    Case("failed faster than a scrape", ("JobFailed",), {4: NOBODY, 5: FAILED}, after(5, failed())),
    Case(
        "had failed 13 hours before it was first seen",
        ("JobFailed",),
        {0: NOBODY, 60: NOBODY},
        always(failed(completed=0, first_seen=13 * 3600)),
    ),
    Case(
        "had failed 11 hours before it was first seen",
        ("JobFailed",),
        {0: FAILED, 60: FAILED},
        always(failed(completed=0, first_seen=11 * 3600)),
    ),
    Case(
        "completed 13 hours ago, then failed",
        ("JobFailed",),
        {9: NOBODY, 10: FAILED, 60: FAILED},
        after(
            10,
            failed(completed=-13 * 3600, first_seen=-14 * 3600),
            always(job("Completed", 1, completed=-13 * 3600, first_seen=-14 * 3600)),
        ),
    ),
    Case(
        "completed 13 hours ago, exporter restarted, then failed",
        ("JobFailed",),
        {9: NOBODY, 10: FAILED, 60: FAILED},
        restart(
            2,
            4,
            after(
                10,
                failed(completed=-13 * 3600, first_seen=4 * 60),
                after(
                    4,
                    job("Completed", 1, completed=-13 * 3600, first_seen=4 * 60),
                    always(job("Completed", 1, completed=-13 * 3600, first_seen=-14 * 3600)),
                ),
            ),
        ),
    ),
    Case(
        "failed, exporter restarts for five minutes",
        ("JobFailed",),
        {99: FAILED, 100: FAILED, 104: FAILED, 105: FAILED, 120: FAILED},
        restart(100, 105, always(failed())),
    ),
    Case(
        "failed for 12 hours with a gap",
        ("JobFailed",),
        {10: FAILED, 12 * HOUR: FAILED} | dict.fromkeys((12 * HOUR + 22, 12 * HOUR + 24, 12 * HOUR + 30), NOBODY),
        restart(20, 25, after(5, failed())),
    ),
    Case("failed, then no longer watched", ("JobFailed",), {44: FAILED, 46: NOBODY}, after(30, {}, always(failed()))),
    Case(
        "failed, known to two exporters by different sources and collections",
        ("JobFailed",),
        {5: FAILED},
        targets=lambda _minute: {"a": failed(), "b": failed(collection="", source="discovery")},
    ),
    Case(
        "failed, the pod is replaced",
        ("JobFailed",),
        {50: FAILED, 101: FAILED, 104: FAILED, 130: FAILED},
        targets=lambda minute: {
            "a": failed() if minute < 100 else GONE,
            "b": failed(first_seen=103 * 60) if minute >= 103 else GONE,
        },
    ),
    Case(
        "two jobs of one collection failed, another one did not",
        ("JobFailed",),
        {3: (about_job("JobFailed", "1"), about_job("JobFailed", "2"))},
        always(failed() | failed(job_id="2") | job("Completed", 1, job_id="3")),
    ),
)

STALLS = (
    Case(
        "one missed scrape while importing",
        ("JobStalled",),
        dict.fromkeys((50, 51, 52, 140, 141, 142, 410, 411), NOBODY),
        restart(50, 51, moving),
    ),
    Case(
        "a job disappears while importing",
        ("JobStalled",),
        dict.fromkeys((50, 55, 140, 150, 411), NOBODY),
        after(50, {}, moving),
    ),
    Case(
        "progress falls after a retry",
        ("JobStalled",),
        dict.fromkeys((60, 70, 140, 150, 200), NOBODY),
        lambda minute: job("Importing", percent(50 + minute / 10 if minute < 60 else 10 + minute / 10)),
    ),
    Case(
        "one percent in half an hour",
        ("JobStalled",),
        dict.fromkeys((89, 91, 120, 200), NOBODY),
        lambda minute: job("Importing", percent(10 + minute / 30)),
    ),
    Case(
        "percent stands, rows move",
        ("JobStalled",),
        dict.fromkeys((95, 200), NOBODY),
        lambda minute: job("Importing", 0.33, rows=10 * minute),
    ),
    Case(
        "percent stands in a late stage, rows move",
        ("JobStalled",),
        dict.fromkeys((95, 365), NOBODY),
        lambda minute: job("Importing", 0.8, rows=10 * minute),
    ),
    Case(
        "stuck at 33 when first seen",
        ("JobStalled",),
        {0: NOBODY, 60: NOBODY, 89: NOBODY, 95: STALLED, 200: STALLED},
        always(job("Importing", 0.33, rows=100)),
    ),
    Case(
        "stuck at 33 later on",
        ("JobStalled",),
        {90: NOBODY, 100: NOBODY, 115: NOBODY, 125: STALLED},
        stuck_from(30, 33),
    ),
    Case("stuck at 70", ("JobStalled",), {180: NOBODY, 355: NOBODY, 365: STALLED}, always(job("Importing", 0.7))),
    Case("stuck at 80", ("JobStalled",), {180: NOBODY, 355: NOBODY, 365: STALLED}, always(job("Importing", 0.8))),
    Case(
        "pending for 100 minutes, then importing at 0",
        ("JobStalled",),
        {101: PENDING, 150: NOBODY, 185: NOBODY, 195: STALLED},
        after(100, job("Importing", 0), always(job("Pending", 0))),
    ),
    Case(
        "completed: progress stands, and that is all right",
        ("JobStalled",),
        {100: NOBODY, 370: NOBODY},
        after(5, job("Completed", 1), moving),
    ),
    Case(
        "stuck, exporter restarts before the window is full",
        ("JobStalled",),
        dict.fromkeys((95, 144, 146, 150, 170), STALLED) | {85: NOBODY},
        restart(55, 60, always(job("Importing", 0.33))),
    ),
    Case(
        "stuck since a restart of the exporter",
        ("JobStalled",),
        {118: NOBODY, 122: STALLED, 124: STALLED},
        restart(30, 35, stuck_from(32, 33)),
    ),
    Case(
        "stuck, exporter restarts during the page",
        ("JobStalled",),
        dict.fromkeys((99, 101, 103, 106), STALLED),
        restart(100, 104, always(job("Importing", 0.33))),
    ),
    Case(
        "stuck, known to two exporters with different collections",
        ("JobStalled",),
        {95: STALLED},
        targets=lambda _minute: {"a": job("Importing", 0.33), "b": job("Importing", 0.33, collection="")},
    ),
)

WAITS = (
    Case("pending", ("JobPending",), {30: NOBODY, 58: NOBODY, 65: PENDING}, always(job("Pending", 0))),
    Case(
        "pending, importing, pending again",
        ("JobPending",),
        {65: NOBODY, 104: NOBODY, 108: PENDING},
        lambda minute: job("Importing", 0.1) if 41 <= minute < 46 else job("Pending", 0),
    ),
    Case(
        "pending, exporter restarts",
        ("JobPending",),
        {58: NOBODY, 65: PENDING, 71: PENDING, 80: PENDING},
        restart(70, 74, always(job("Pending", 0))),
    ),
    Case(
        "pending since a restart of the exporter",
        ("JobPending",),
        {58: NOBODY, 61: PENDING},
        restart(1, 5, always(job("Pending", 0))),
    ),
    Case(
        "uncommitted",
        ("JobUncommitted",),
        {60: NOBODY, 355: NOBODY, 365: UNCOMMITTED},
        always(job("Uncommitted", 0.99)),
    ),
    Case(
        "uncommitted, exporter restarts during the page",
        ("JobUncommitted",),
        dict.fromkeys((369, 371, 373, 380), UNCOMMITTED),
        restart(370, 374, always(job("Uncommitted", 0.99))),
    ),
    Case(
        "uncommitted, retried, uncommitted again",
        ("JobUncommitted",),
        {365: NOBODY, 383: NOBODY, 390: UNCOMMITTED},
        lambda minute: job("Importing", percent(minute / 4)) if 20 <= minute < 25 else job("Uncommitted", 0.99),
    ),
)

VANISHED = (about_job("JobVanished"),)
UNKNOWN = (about_job("JobUnknown"),)
NOT_FOUND = job(error="not_found")

UNREAD = (
    Case(
        "unreadable",
        ("JobUnreadable",),
        {10: NOBODY, 24: NOBODY, 26: UNREADABLE},
        after(10, job(error="timeout"), moving),
    ),
    Case(
        "unreadable for two scrapes",
        ("JobUnreadable",),
        {11: NOBODY, 26: NOBODY, 60: NOBODY},
        lambda minute: job(error="timeout") if minute in (10, 11) else moving(minute),
    ),
    Case(
        "unreadable from the first request on, so that its collection is not known",
        ("JobUnreadable",),
        {14: NOBODY, 16: (about_job("JobUnreadable", collection_name=""),)},
        always(job(collection="", error="http")),
    ),
    Case(
        "unreadable, no job_info",
        ("JobUnreadable",),
        {16: (about_job("JobUnreadable", collection_name="", db_name=""),)},
        always(job(error="http", info=False)),
    ),
    Case(
        "unreadable, the error alternates",
        ("JobUnreadable",),
        {14: NOBODY, 16: UNREADABLE, 33: UNREADABLE},
        lambda minute: job(error="timeout" if minute // 5 % 2 else "connect"),
    ),
    Case(
        "unreadable for one exporter of two",
        ("JobUnreadable",),
        {30: NOBODY},
        targets=lambda minute: {"a": moving(minute), "b": job(error="timeout")},
    ),
    Case(
        "unreadable for two exporters that know it by different sources",
        ("JobUnreadable",),
        {30: UNREADABLE},
        targets=lambda _minute: {"a": job(error="timeout"), "b": job(error="timeout", source="discovery")},
    ),
    Case(
        "unreadable for two exporters, one of which never knew the collection",
        ("JobUnreadable",),
        {30: UNREADABLE},
        targets=lambda _minute: {"a": job(error="timeout", collection=""), "b": job(error="connect")},
    ),
    Case(
        "unreadable beside a job with two names, which mutes no other",
        ("JobUnreadable",),
        {30: (about_job("JobUnreadable", "2"),)},
        targets=lambda minute: {
            "a": moving(minute) | job(job_id="2", error="timeout"),
            "b": job("Importing", moving_progress(minute), collection="other") | job(job_id="2", error="timeout"),
        },
    ),
    Case(
        "unreadable, exporter restarts",
        ("JobUnreadable",),
        {40: UNREADABLE, 51: UNREADABLE, 54: UNREADABLE, 60: UNREADABLE},
        restart(50, 54, always(job(error="timeout"))),
    ),
    Case("expired", ("JobUnreadable", "JobVanished", "JobUnknown"), {60: NOBODY}, always(job(error="expired"))),
    Case(
        "not found, after it was completed and the exporter restarted",
        ("JobVanished", "JobUnknown", "JobUnreadable"),
        {40: NOBODY, 60: NOBODY},
        restart(30, 33, after(33, NOT_FOUND, after(20, job("Completed", 1), moving))),
    ),
    Case(
        "configured, never found",
        ("JobVanished", "JobUnknown", "JobUnreadable"),
        {14: NOBODY, 16: UNKNOWN, 60: UNKNOWN},
        always(NOT_FOUND),
    ),
    Case(
        "discovered, never found",
        ("JobUnknown", "JobVanished"),
        {60: NOBODY},
        always(job(source="discovery", error="not_found")),
    ),
    Case(
        "not found, after it was importing",
        ("JobVanished", "JobUnknown", "JobUnreadable"),
        {14: NOBODY, 16: VANISHED, 60: VANISHED},
        after(10, NOT_FOUND, moving),
    ),
    Case(
        "not found, after it was in a state that nobody has heard of",
        ("JobVanished",),
        {16: VANISHED},
        after(10, NOT_FOUND, always(job("Unknown", 0.5))),
    ),
    Case(
        "importing, then unreadable for long",
        ("JobVanished", "JobUnknown"),
        {60: UNREADABLE},
        after(10, job(error="timeout"), moving),
    ),
    Case(
        "not found, exporter restarts after it was importing",
        ("JobVanished",),
        {20: VANISHED, 31: VANISHED, 33: VANISHED, 40: VANISHED},
        restart(30, 33, after(10, NOT_FOUND, moving)),
    ),
    Case(
        "not found for one scrape",
        ("JobVanished",),
        {10: NOBODY, 11: NOBODY, 30: NOBODY},
        lambda minute: NOT_FOUND if minute == 10 else moving(minute),
    ),
    Case(
        "seen only when completed, then not found",
        ("JobVanished", "JobUnknown"),
        {40: NOBODY},
        after(10, NOT_FOUND, always(job("Completed", 1))),
    ),
    Case(
        "not found by one exporter of two that started anew",
        ("JobUnknown",),
        {30: NOBODY},
        targets=lambda _minute: {"a": job(info=False) | job(), "b": NOT_FOUND},
    ),
    Case(
        "not found by one exporter of two",
        ("JobVanished", "JobUnknown"),
        {30: NOBODY},
        targets=lambda minute: {"a": moving(minute), "b": NOT_FOUND if minute >= 10 else moving(minute)},
    ),
)


def three_jobs(error: str) -> dict[Series, float]:
    """Three jobs of cluster c1 that cannot be read for one reason."""
    return job(job_id="1", error=error) | job(job_id="2", error=error) | job(job_id="3", error=error)


AUTH = about_cluster("AuthFailing")
UNREACHABLE = about_cluster("ClusterUnreachable")
THROTTLED = (about_cluster("Throttled"),)
BACKLOG = (about_cluster("Backlog"),)

CLUSTERS = (
    Case(
        "the key is refused for three jobs",
        ("AuthFailing", "JobUnreadable"),
        {4: NOBODY, 8: (AUTH,), 60: (AUTH, UNREACHABLE)},
        lambda minute: three_jobs("auth") | cluster(up=0) | calls("progress", minute, auth=minute),
    ),
    Case(
        "the key is refused for the list",
        ("AuthFailing",),
        {4: NOBODY, 8: (AUTH,)},
        lambda minute: moving(minute) | cluster(up=0) | calls("list", minute, auth=minute),
    ),
    Case(
        "the key is refused for the list and for jobs",
        ("AuthFailing",),
        {8: (AUTH,)},
        lambda minute: (
            three_jobs("auth")
            | cluster(up=0)
            | calls("list", minute, auth=minute)
            | calls("progress", minute, auth=minute)
        ),
    ),
    Case(
        "the key may not read one job's database",
        ("AuthFailing",),
        {8: (AUTH,), 60: (AUTH,)},
        lambda minute: moving(minute) | job(job_id="2", error="auth") | calls("progress", 2 * minute, auth=minute),
    ),
    Case(
        "the key is changed, and refused for two minutes",
        ("AuthFailing",),
        {11: NOBODY, 16: NOBODY, 20: NOBODY, 60: NOBODY},
        lambda minute: (
            three_jobs("auth") | cluster(up=0) | calls("progress", 3 * minute, auth=minute - 9)
            if minute in (10, 11)
            else moving(minute) | calls("progress", 3 * minute, auth=2 if minute > 11 else 0)
        ),
    ),
    Case(
        "one exporter of two has an old key",
        ("AuthFailing",),
        {60: NOBODY},
        targets=lambda minute: {
            "a": moving(minute) | calls("progress", minute, auth=0),
            "b": job(error="auth") | cluster(up=0) | calls("progress", minute, auth=minute),
        },
    ),
    Case(
        "a cluster cannot be reached",
        ("ClusterUnreachable",),
        {9: NOBODY, 12: (UNREACHABLE,)},
        lambda minute: cluster(up=0) | calls("progress", minute, connect=minute),
    ),
    Case(
        "a cluster can be reached by one exporter of two",
        ("ClusterUnreachable",),
        {30: NOBODY},
        targets=lambda _minute: {"a": {}, "b": cluster(up=0)},
    ),
    Case(
        "the list fails",
        ("DiscoveryFailing",),
        {14: (UNREACHABLE,), 18: (UNREACHABLE, about_cluster("DiscoveryFailing"))},
        lambda minute: cluster(up=0) | calls("list", minute, api=minute) | calls("progress", 60 * minute, api=0),
    ),
    Case(
        "every third page of the list fails",
        ("DiscoveryFailing",),
        {30: NOBODY, 60: NOBODY},
        lambda minute: calls("list", 3 * minute, http=minute) | calls("progress", minute, http=minute),
    ),
    Case(
        "jobs are omitted",
        ("JobsOmitted",),
        {14: NOBODY, 16: (about_cluster("JobsOmitted"),)},
        always(cluster(omitted=3)),
    ),
    Case(
        "throttled, some requests still go through",
        ("Throttled",),
        {14: NOBODY, 18: THROTTLED},
        lambda minute: moving(minute) | calls("progress", 60 * minute, rate_limited=10 * minute),
    ),
    Case(
        "throttled once",
        ("Throttled",),
        {5: NOBODY, 16: NOBODY, 22: NOBODY},
        lambda minute: (
            (job(error="rate_limited") if minute == 5 else moving(minute))
            | calls("progress", 2 * minute, rate_limited=float(minute >= 5))
        ),
    ),
    Case(
        "Retry-After stops all requests",
        ("Throttled", "JobUnreadable"),
        {14: NOBODY, 16: THROTTLED, 40: THROTTLED},
        always(three_jobs("rate_limited") | calls("progress", 100, rate_limited=1)),
    ),
    Case(
        "jobs wait for ten minutes after a start",
        ("Backlog",),
        {9: NOBODY, 16: NOBODY, 30: NOBODY},
        after(10, {}, cluster(waiting=50)),
    ),
    Case("jobs wait for long", ("Backlog",), {14: NOBODY, 16: BACKLOG, 40: BACKLOG}, always(cluster(waiting=50))),
    Case(
        "jobs wait now and then",
        ("Backlog",),
        dict.fromkeys((16, 30, 60), NOBODY),
        lambda minute: cluster(waiting=float(minute % 10 != 0)),
    ),
    Case(
        "jobs wait at one exporter of two",
        ("Backlog",),
        {40: NOBODY},
        targets=lambda _minute: {"a": {}, "b": cluster(waiting=50)},
    ),
    Case(
        "jobs are starved",
        ("Backlog", "JobUnreadable"),
        {14: NOBODY, 16: BACKLOG, 40: BACKLOG},
        always(three_jobs("starved")),
    ),
    Case(
        "jobs are starved at one exporter of two",
        ("Backlog",),
        {40: NOBODY},
        targets=lambda minute: {"a": moving(minute), "b": job(error="starved")},
    ),
    Case(
        "two clusters, one of which is unreachable",
        ("ClusterUnreachable",),
        {30: (UNREACHABLE,)},
        always(cluster(up=0) | cluster("c2")),
    ),
)

ABSENT = alert("ExporterAbsent")


def down(instance: str) -> Labels:
    """The labels of ExporterDown about one target."""
    return alert("ExporterDown", instance=instance)


RELOAD_FAILED: Exposure = {series("zilliz_import_exporter_config_last_reload_successful"): 0.0}

EXPORTERS = (
    Case(
        "the exporter is down",
        ("ExporterDown", "ExporterAbsent"),
        {14: NOBODY, 16: (ABSENT,), 21: (ABSENT, down(EXPORTER))},
        targets=lambda minute: {EXPORTER: {} if minute < 10 else DOWN},
    ),
    Case(
        "the exporter restarts within four minutes",
        ("ExporterDown", "ExporterAbsent"),
        {11: NOBODY, 13: NOBODY, 14: NOBODY, 30: NOBODY},
        targets=lambda minute: {EXPORTER: DOWN if 10 <= minute < 14 else {}},
    ),
    Case(
        "the target is gone",
        ("ExporterDown", "ExporterAbsent"),
        {14: NOBODY, 16: (ABSENT,), 30: (ABSENT,)},
        targets=lambda minute: {EXPORTER: {} if minute < 10 else GONE},
    ),
    Case(
        "one exporter of two is down",
        ("ExporterDown", "ExporterAbsent"),
        {19: NOBODY, 21: (down("b"),)},
        targets=lambda minute: {"a": {}, "b": {} if minute < 10 else DOWN},
    ),
    Case(
        "/sd with three targets, all down",
        ("ExporterDown", "ExporterAbsent"),
        {16: (ABSENT,), 21: (ABSENT, down("c1"), down("c2"), down(EXPORTER))},
        targets=lambda minute: dict.fromkeys(("c1", "c2", EXPORTER), {} if minute < 10 else DOWN),
    ),
    Case(
        "failed, then the exporter is down for good: kept until the page about the exporter is out",
        ("JobFailed", "ExporterAbsent"),
        {12: FAILED, 15: (*FAILED, ABSENT), 24: (*FAILED, ABSENT, down(EXPORTER)), 26: (ABSENT, down(EXPORTER))},
        targets=lambda minute: {EXPORTER: failed() if minute < 10 else DOWN},
    ),
    Case(
        "one exporter of two refuses its configuration",
        ("ReloadFailed",),
        {4: NOBODY, 6: (alert("ReloadFailed", instance="b"),)},
        targets=lambda _minute: {"a": {}, "b": RELOAD_FAILED},
    ),
)

CASES = (*FAILURES, *STALLS, *WAITS, *UNREAD, *CLUSTERS, *EXPORTERS)
