"""An API that asks for a pause, or is down, is left alone as agreed, counted at the API, and not a scrape longer."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate

import pytest

from exporter.model import ErrorClass
from tests.resilience.night import JOBS, SLOW, UNFINISHED, VICTIMS, Night
from tests.support.rig import Rig
from tests.support.simulated import CLUSTER, JobScript, SimulatedApi
from tests.support.simulated.faults import Cut, Respond
from tests.support.strict import Exposed

HOUR = 3600.0
REFUSED = VICTIMS[0]
OTHERS = tuple(job for job in JOBS if job.job_id != REFUSED)


def requests_counted(exposed: Exposed, operation: str) -> float:
    return exposed.value("api_requests_total", cluster_id=CLUSTER, operation=operation) or 0.0


@pytest.mark.parametrize(
    "retry_after", [lambda: "3600", lambda: formatdate(time.time() + HOUR, usegmt=True)], ids=["seconds", "date"]
)
def test_nothing_is_sent_while_retry_after_holds(plain: Night, retry_after: Callable[[], str]) -> None:
    jobs = (JobScript("s-1", stages=SLOW), JobScript("s-2", stages=SLOW))
    sharing = plain.cluster(jobs, cluster_id="in01-sharing", project_id="p", region_id="r")
    plain.api.add(*jobs, cluster="p/r")
    with Rig(plain.config(plain.cluster(), sharing)) as rig:
        plain.assert_exact(rig.scrape(), JOBS)
        plain.api.faults.inject(Respond(429, headers=(("Retry-After", retry_after()),)), job_ids=[REFUSED])
        assert rig.scrape("5").error(REFUSED) == ErrorClass.RATE_LIMITED
        plain.api.reset()
        at_the_refusal = plain.api.clock.time()
        plain.api.clock.advance(7)
        for _ in range(3):
            exposed = rig.scrape("5")
            assert exposed.error(REFUSED) == ErrorClass.RATE_LIMITED
            assert exposed.value("cluster_jobs_waiting", cluster_id=CLUSTER) == len(UNFINISHED)
            assert exposed.value("cluster_jobs_waiting", cluster_id="in01-sharing") == 2
        assert plain.api.requests == ()
        plain.api.clock.set(at_the_refusal)
        plain.assert_exact(exposed, OTHERS)


def test_a_scrape_that_outlasts_retry_after_waits_and_goes_on(plain: Night) -> None:
    with Rig(plain.config(plain.cluster(concurrency=1))) as rig:
        plain.api.faults.inject(Respond(429, headers=(("Retry-After", "1"),)), job_ids=[REFUSED])
        exposed = rig.scrape("60")
        assert exposed.error(REFUSED) == ErrorClass.RATE_LIMITED
        plain.assert_exact(exposed, OTHERS)
    times = [request.at for request in plain.api.requests]
    refused = next(at for at, request in zip(times, plain.api.requests, strict=True) if request.job_id == REFUSED)
    assert min(at for at in times if at > refused) >= refused + 1
    assert len(times) == len(JOBS)


def test_a_date_that_has_passed_asks_for_no_pause(plain: Night) -> None:
    with Rig(plain.config()) as rig:
        past = formatdate(time.time() - HOUR, usegmt=True)
        plain.api.faults.inject(Respond(429, headers=(("Retry-After", past),)), job_ids=[REFUSED], times=1)
        rig.scrape("5")
        plain.assert_exact(rig.scrape("5"), JOBS)


def refuse_connections(api: SimulatedApi) -> None:
    api.stop()


DOWN: dict[str, tuple[Callable[[SimulatedApi], object], ErrorClass]] = {
    "502": (lambda api: api.faults.inject(Respond(502)), ErrorClass.HTTP),
    "401": (lambda api: api.faults.inject(Respond(401)), ErrorClass.AUTH),
    "closing": (lambda api: api.faults.inject(Cut()), ErrorClass.CONNECT),
    "refusing": (refuse_connections, ErrorClass.CONNECT),
}


def come_back(api: SimulatedApi) -> None:
    api.faults.clear()
    with suppress(RuntimeError):  # it has been running all the time
        api.start()


@pytest.mark.parametrize("kind", DOWN)
def test_a_cluster_that_is_down_is_asked_once_per_scrape_and_recovers_at_once(night: Night, kind: str) -> None:
    go_down, error = DOWN[kind]
    discovery = {"refresh_interval": "0s", "databases": ["default", "other"]}
    late = JobScript("448761313698322099", "late", starts_at=30, stages=SLOW)
    with Rig(night.config(night.cluster(discovery=discovery))) as rig:
        before = rig.scrape()
        night.assert_exact(
            before, tuple(job for job in JOBS if before.value("job_info", job_id=job.job_id, db_name=""))
        )
        go_down(night.api)
        try:
            first = rig.scrape()
            assert first.value("cluster_up", cluster_id=CLUSTER) == 0
            counted = requests_counted(first, "progress") + requests_counted(first, "list")
            for number in (1, 2, 3):
                exposed = rig.scrape()
                now = requests_counted(exposed, "progress") + requests_counted(exposed, "list")
                assert now == counted + number
                assert {exposed.error(job.job_id) for job in UNFINISHED} == {str(error)}
                assert exposed.value("cluster_up", cluster_id=CLUSTER) == 0
                assert exposed.value("cluster_jobs_waiting", cluster_id=CLUSTER) == 0
        finally:
            come_back(night.api)
        night.api.add(late)
        recovered = rig.scrape()
        assert recovered.value("cluster_up", cluster_id=CLUSTER) == 1
        assert {recovered.value("job_up", job_id=job.job_id) for job in (*JOBS, late)} == {1.0}
        assert recovered.value("job_info", job_id=late.job_id, source="discovery") == 1
    night.api.jobs(CLUSTER).remove(late.job_id)
