"""What discovery costs the API when nearly all jobs are finished, and what a restart costs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.discovery.bench import Service, asked, lists, milvus, samples, zilliz
from tests.support.simulated import CLUSTER, MILVUS, JobScript, SimulatedApi, Stages
from tests.support.simulated.bulk import bulk_jobs
from tests.support.simulated.faults import Respond, Rewrite

HOUR = 3600.0
JOBS, UNFINISHED = 2000, 50
SHORT = Stages(1, 1, 1, 1, 1)


@pytest.fixture
def api() -> Iterator[SimulatedApi]:
    with SimulatedApi() as running:
        yield running


def finished(job_id: str, hours_ago: float, **more: Any) -> JobScript:
    return JobScript(job_id, starts_at=-hours_ago * HOUR - 5, stages=SHORT, retention=1000 * HOUR, **more)


def without_complete_time(body: bytes) -> bytes:
    reply = json.loads(body)
    for part in (reply["data"], *reply["data"]["details"]):
        part["completeTime"] = ""
    return json.dumps(reply).encode()


@pytest.mark.parametrize("product", ["zilliz", "milvus"])
def test_two_thousand_jobs_cost_the_unfinished_ones_and_the_list_in_its_time(api: SimulatedApi, product: str) -> None:
    cluster = CLUSTER if product == "zilliz" else MILVUS
    api.add(*bulk_jobs(JOBS, files=1, unfinished=UNFINISHED / JOBS), cluster=cluster)
    unfinished = {str(457_000_000_000_000_001 + JOBS - 1 - number) for number in range(UNFINISHED)}
    pages = JOBS // 100 + 1 if product == "zilliz" else 1
    config = zilliz(api) if product == "zilliz" else milvus(api)
    with Service(api, config) as service:
        service.lines()
        assert lists(api.requests) == pages
        assert asked(api.requests).total() == JOBS
        assert set(asked(api.requests).values()) == {1}
        list_calls = []
        for _ in range(6):
            api.reset()
            service.passes(15)
            lines = service.lines()
            assert asked(api.requests) == dict.fromkeys(unfinished, 1)
            list_calls.append(lists(api.requests))
        assert list_calls == [0, 0, 0, pages, 0, 0]
        assert len(samples(lines, "job_up")) == JOBS
        assert set(samples(lines, "job_up").values()) == {1}
        assert set(samples(lines, "cluster_jobs_waiting").values()) == {0}


def test_finished_jobs_are_asked_again_once_in_half_to_all_of_recheck_finished(api: SimulatedApi) -> None:
    api.add(*bulk_jobs(200, files=1, unfinished=0))
    with Service(api, zilliz(api, discovery={"refresh_interval": "1d"})) as service:
        service.lines()
        api.reset()
        per_minute: list[int] = []
        for _ in range(10):
            service.passes(60)
            service.lines()
            per_minute.append(asked(api.requests).total() - sum(per_minute))
        assert asked(api.requests).total() == 200
        assert set(asked(api.requests).values()) == {1}
        assert sum(per_minute[:4]) == 0
        assert max(per_minute[5:]) < 100


@pytest.mark.parametrize("product", ["zilliz", "milvus"])
def test_a_restart_asks_each_finished_job_once_and_takes_up_none_that_is_too_old(
    api: SimulatedApi, product: str
) -> None:
    cluster, config = (CLUSTER, zilliz(api)) if product == "zilliz" else (MILVUS, milvus(api))
    young = {str(460_000_000_000_000_000 + number) for number in range(30)}
    old = {str(450_000_000_000_000_000 + number) for number in range(300)}
    api.add(*(finished(job_id, 23) for job_id in young), *(finished(job_id, 25) for job_id in old), cluster=cluster)
    for _ in range(2):
        api.reset()
        with Service(api, config) as service:
            for _ in range(5):
                shown = service.scrape()
                service.passes(0.5)
            assert asked(api.requests) == Counter(young | old)
            assert {dict(has)["job_id"] for has in shown.family("job_info")} == young
            assert set(shown.family("job_up").values()) == {1}
            api.reset()
            service.passes(61)
            service.scrape()
            assert asked(api.requests).total() == 0
            assert lists(api.requests) > 0


def test_old_jobs_beyond_max_jobs_are_asked_once_at_most_over_many_readings(api: SimulatedApi) -> None:
    old = [str(450_000_000_000_000_000 + number) for number in range(250)]
    api.add(*(finished(job_id, 30) for job_id in old), finished("460000000000000000", 1))
    with Service(api, zilliz(api, discovery={"max_jobs": 100, "refresh_interval": "0s"})) as service:
        omitted = []
        for _ in range(6):
            shown = service.scrape()
            omitted.append(shown.value("cluster_jobs_omitted"))
        assert set(asked(api.requests).values()) == {1}
        assert {dict(has)["job_id"] for has in shown.family("job_info")} == {"460000000000000000"}
        assert omitted == [151, 52, 0, 0, 0, 0]


def test_without_complete_time_zilliz_takes_up_no_finished_job_after_a_restart(api: SimulatedApi) -> None:
    api.faults.inject(Rewrite(without_complete_time), operation="progress")
    done = {str(460_000_000_000_000_000 + number) for number in range(20)}
    api.add(
        *(finished(job_id, 1) for job_id in done),
        JobScript("470000000000000000", stages=SHORT, starts_at=5, retention=1000 * HOUR),
    )
    api.clock.set(7)
    with Service(api, zilliz(api)) as service:
        service.scrape()
        service.passes(60)
        shown = service.scrape()
        service.passes(60)
        assert {dict(has)["job_id"] for has in shown.family("job_info")} == {"470000000000000000"}
        assert shown.state("470000000000000000") == "Completed"
        assert {count for job_id, count in asked(api.requests).items() if job_id in done} == {1}
        service.passes(23.5 * HOUR)
        assert service.scrape().state("470000000000000000") == "Completed"
        service.passes(HOUR)
        assert service.scrape().family("job_info") == {}


def test_without_complete_time_milvus_jobs_are_exposed_for_finished_for_from_first_sight(api: SimulatedApi) -> None:
    api.faults.inject(Rewrite(without_complete_time), operation="progress")
    api.add(finished("460000000000000000", 20), cluster=MILVUS)
    with Service(api, milvus(api)) as service:
        service.scrape()
        service.passes(23 * HOUR)
        assert service.scrape().state("460000000000000000") == "Completed"
        service.passes(1.1 * HOUR)
        assert service.scrape().family("job_info") == {}


def test_a_vanished_job_is_shown_for_finished_for_and_rechecked_like_a_finished_one(api: SimulatedApi) -> None:
    api.add(JobScript("460000000000000000", stages=Stages(importing=1e9), vanishes_after=60))
    with Service(api, zilliz(api)) as service:
        service.scrape()
        service.passes(61)
        assert service.scrape().error("460000000000000000") == "vanished"
        api.reset()
        for _ in range(40):
            service.passes(15)
            shown = service.scrape()
        assert asked(api.requests)["460000000000000000"] in {1, 2}
        assert shown.error("460000000000000000") == "vanished"
        assert shown.value("cluster_up") == 1
        service.passes(24 * HOUR)
        assert service.scrape().family("job_info") == {}


def test_a_recheck_that_fails_takes_nothing_away(api: SimulatedApi) -> None:
    api.add(finished("460000000000000000", 1))
    with Service(api, zilliz(api)) as service:
        before = service.scrape().about("460000000000000000")
        api.faults.inject(Respond(500, b"oops", content_type="text/plain"), operation="progress")
        for _ in range(3):
            service.passes(601)
            shown = service.scrape()
            assert shown.about("460000000000000000") == before
        assert shown.value("cluster_up") == 0
    assert asked(api.requests)["460000000000000000"] == 4


def test_an_id_handed_over_and_discovered_is_one_job_of_the_configuration(api: SimulatedApi) -> None:
    api.add(finished("460000000000000000", 100), JobScript("470000000000000000", stages=Stages(importing=1e9)))
    config = zilliz(api, jobs=["460000000000000000", "470000000000000000"], discovery={"max_jobs": 1})
    with Service(api, config) as service:
        shown = service.scrape()
        assert shown.value("cluster_jobs", source="config") == 2
        assert shown.value("cluster_jobs", source="discovery") == 0
        assert shown.value("cluster_jobs_omitted") == 0
        # However old it is: what is configured is exposed as long as the server knows it.
        assert shown.state("460000000000000000") == "Completed"
    assert set(asked(api.requests).values()) == {1}


def test_old_jobs_that_max_jobs_leaves_for_later_readings_are_old_all_the_same(api: SimulatedApi) -> None:
    api.faults.inject(Rewrite(without_complete_time), operation="progress")
    api.add(*(finished(str(450_000_000_000_000_000 + number), 30) for number in range(50)))
    with Service(api, zilliz(api, discovery={"max_jobs": 20, "refresh_interval": "0s"})) as service:
        for _ in range(5):
            shown = service.scrape()
        assert shown.family("job_info") == {}
    assert len(asked(api.requests)) == 50
    assert set(asked(api.requests).values()) == {1}
