"""The demo's world, its configuration, the jobs for benchmarks, and the program."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import requests

from exporter.demo.jobs import RecurringJob
from exporter.demo.launch import DEMO_CLUSTER, DEMO_MILVUS, DEMO_SPEED, Demo, start
from exporter.demo.scenario import JobScript, Moment, Phase
from exporter.demo.world import ABORTED, MILVUS_JOBS, ZILLIZ_JOBS
from exporter.model import id_order
from tests.demo.conftest import ROOT
from tests.support.simulated import KEY
from tests.support.simulated.bulk import bulk_jobs

FIVE_MINUTES = int(5 * 60 * DEMO_SPEED)


def course(jobs: Iterable[RecurringJob], times: Iterable[int] = range(0, FIVE_MINUTES, 20)) -> list[dict[str, Moment]]:
    """What each job that is known looks like at these scenario seconds."""
    recurring = tuple(jobs)
    return [
        {run.job_id: now for each in recurring for run in each.present(time) if (now := run.at(time)) is not None}
        for time in times
    ]


@pytest.mark.parametrize("jobs", [ZILLIZ_JOBS, MILVUS_JOBS])
def test_within_five_minutes_jobs_start_progress_finish_and_fail(jobs: tuple[RecurringJob, ...]) -> None:
    moments = course(jobs)
    first, last = moments[0], moments[-1]
    assert set(last) - set(first)
    seen = {now.state for each in moments for now in each.values()}
    assert seen >= {Phase.PENDING, Phase.IMPORTING, Phase.COMPLETED, Phase.FAILED}
    ended = {Phase.COMPLETED, Phase.FAILED}
    assert {
        now.state
        for each in moments
        for job_id, now in each.items()
        if job_id in first and first[job_id].state not in ended
    } >= ended
    assert all(5 <= len(each) <= 16 for each in moments)


def test_at_any_time_something_is_under_way() -> None:
    day = 24 * 3600
    for moments in course((*ZILLIZ_JOBS, *MILVUS_JOBS), range(day, day + 6 * 3600, 300)):
        assert any(now.state is Phase.IMPORTING for now in moments.values())


def test_the_world_holds_every_trouble_that_is_worth_a_look() -> None:
    zilliz, milvus = course(ZILLIZ_JOBS), course(MILVUS_JOBS)

    def stands(moments: list[dict[str, Moment]], progress: int) -> bool:
        """Whether a job stays there for at least two minutes of watching."""
        at = [{job_id for job_id, now in each.items() if now.progress == progress} for each in moments]
        return any(sum(job_id in each for each in at) * 20 / DEMO_SPEED > 120 for job_id in set().union(*at))

    assert stands(zilliz, 70)
    assert stands(zilliz, 80)
    assert stands(zilliz, 0)
    assert max(len(now.files) for each in zilliz for now in each.values()) > 300
    assert vanished(zilliz)
    assert stands(milvus, 99)
    assert any(now.state is Phase.UNCOMMITTED for each in milvus for now in each.values())
    assert any(now.state is Phase.FAILED and now.completed_at for each in milvus for now in each.values())


def test_the_world_holds_failures_of_each_kind() -> None:
    reasons = {now.reason for each in course((*ZILLIZ_JOBS, *MILVUS_JOBS)) for now in each.values() if now.reason}
    assert any("schema" in reason for reason in reasons)
    assert any(re.fullmatch(r"collection \d+ dropped", reason) for reason in reasons)
    assert ABORTED in reasons
    assert any("s3a://" in reason and reason.count(": ") >= 4 and len(reason) > 512 for reason in reasons)


@pytest.mark.parametrize(
    ("jobs", "collection", "state"),
    [
        (ZILLIZ_JOBS, "product_reviews", Phase.IMPORTING),
        (ZILLIZ_JOBS, "web_pages", Phase.SUSPENDED),
        (MILVUS_JOBS, "audit_log", Phase.IMPORTING),
    ],
)
def test_a_job_of_the_world_stands_still_for_hours(
    jobs: tuple[RecurringJob, ...], collection: str, state: Phase
) -> None:
    (job,) = (each for each in jobs if each.script.collection_name == collection)
    begin, hours = int(2 * DEMO_SPEED), int(12 * 3600 * DEMO_SPEED)
    (now,) = {moment for each in course([job], (begin, hours // 2, hours)) for moment in each.values()}
    assert now.state is state


def vanished(moments: list[dict[str, Moment]]) -> set[str]:
    """Jobs that were last seen unfinished, before the end."""
    last = {job_id: now.state for each in moments for job_id, now in each.items()}
    return {job_id for job_id, state in last.items() if state is Phase.IMPORTING} - set(moments[-1])


def test_the_world_is_the_same_each_time() -> None:
    def runs(job: RecurringJob) -> list[JobScript]:
        return list(job.present(5000))

    for job in (*ZILLIZ_JOBS, *MILVUS_JOBS):
        assert runs(job) == runs(replace(job))


@pytest.mark.parametrize("jobs", [ZILLIZ_JOBS, MILVUS_JOBS])
def test_ids_are_unique_and_ascend_with_the_start(jobs: tuple[RecurringJob, ...]) -> None:
    runs = [run for each in jobs for time in range(0, 86_400, 600) for run in each.present(time)]
    starts = {run.job_id: run.starts_at for run in runs}
    assert len(starts) == len({(run.collection_name, run.starts_at) for run in runs})
    in_order = [starts[job_id] for job_id in sorted(starts, key=id_order)]
    assert in_order == sorted(in_order)


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    running = start()
    yield running
    running.api.stop()


def clusters(demo: Demo) -> list[dict[str, Any]]:
    found = demo.config["clusters"]
    assert isinstance(found, list)
    return found


def ask(cluster: dict[str, Any], operation: str, key: str | None = None, **fields: object) -> requests.Response:
    return requests.post(
        cluster["base_url"] + ROOT + operation,
        json={"clusterId": cluster["cluster_id"], **fields},
        headers={"Authorization": f"Bearer {key or cluster['api_key']}"},
        timeout=5,
    )


def test_the_demo_names_the_two_longest_jobs_of_one_cluster_and_has_the_others_found(demo: Demo) -> None:
    assert [each["cluster_id"] for each in clusters(demo)] == [DEMO_CLUSTER, DEMO_MILVUS]
    assert [len(each.get("jobs", ())) for each in clusters(demo)] == [2, 0]
    assert all(each["discovery"] == {"refresh_interval": "10s", "finished_for": "5m"} for each in clusters(demo))


@pytest.mark.parametrize(("index", "operation"), [(0, "getProgress"), (1, "describe")])
def test_the_demo_can_be_watched_with_the_configuration_it_gives(demo: Demo, index: int, operation: str) -> None:
    cluster = clusters(demo)[index]
    records = ask(cluster, "list", pageSize=100).json()["data"]["records"]
    found = [record["jobId"] for record in records]
    assert len(found) >= 8
    assert set(cluster.get("jobs", ())) <= set(found)
    assert {ask(cluster, operation, jobId=job_id).json()["code"] for job_id in found} == {0}


@pytest.mark.parametrize(("index", "refusal"), [(0, (200, 21119)), (1, (401, 1800))])
def test_the_demo_asks_for_the_key_that_its_configuration_gives(
    demo: Demo, index: int, refusal: tuple[int, int]
) -> None:
    reply = ask(clusters(demo)[index], "list", key="wrong")
    assert (reply.status_code, reply.json()["code"]) == refusal


def test_a_stop_of_the_demo_leaves_no_thread_and_no_listener() -> None:
    threads = threading.active_count()
    running = start()
    ask(clusters(running)[0], "list")
    running.api.stop()
    assert threading.active_count() == threads
    with pytest.raises(requests.ConnectionError):
        ask(clusters(running)[0], "list")


def test_the_share_of_unfinished_bulk_jobs_is_exact_and_lasts_a_while() -> None:
    scripts = list(bulk_jobs(2000, files=3, unfinished=0.025))
    for time in (0, 3600):
        states = [now.state for script in scripts if (now := script.at(time)) is not None]
        assert [states.count(Phase.COMPLETED), states.count(Phase.IMPORTING)] == [1950, 50]
    assert len({script.job_id for script in scripts}) == 2000
    assert [script.job_id for script in scripts] == sorted((script.job_id for script in scripts), key=id_order)


def test_bulk_jobs_finished_within_the_last_twelve_hours() -> None:
    for script in bulk_jobs(100, unfinished=0):
        now = script.at(0)
        assert now is not None
        assert now.completed_at is not None
        assert -43_200 <= now.completed_at <= 0


@pytest.mark.parametrize(("dialect", "operation"), [("zilliz", "getProgress"), ("milvus", "describe")])
def test_the_program_prints_its_url_serves_and_ends_when_asked(dialect: str, operation: str) -> None:
    command = [sys.executable, "-m", "tests.support.simulated"]
    command += [f"--api={dialect}", "--jobs=3", "--files=2", "--latency=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        url = program.stdout.readline().strip()
        try:
            reply = requests.post(
                f"{url}{ROOT}{operation}",
                json={"jobId": "457000000000000003", "clusterId": DEMO_CLUSTER},
                headers={"Authorization": f"Bearer {KEY}"},
                timeout=5,
            )
        finally:
            program.send_signal(signal.SIGTERM)
        assert len(reply.json()["data"]["details"]) == 2
        assert program.wait(10) == 0
