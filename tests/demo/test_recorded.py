"""The simulation beside what a real Milvus 2.6 answered, and what a real client sends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.simulated import CLUSTER, KEY, MILVUS, FileScript, JobScript, Pause, SimulatedApi, Stages
from tests.support.simulated.faults import Respond

HERE = Path(__file__).parent
RECORDED = HERE / "milvus-replies"
PYMILVUS: list[dict[str, Any]] = json.loads((HERE / "pymilvus-requests.json").read_text())["requests"]

STAGES = Stages(pending=10, preimporting=20, importing=102, sorting=20, indexing=40)
"""The work of the import stage takes 100 s, from 30 to 130."""
SET = (
    FileScript(("set/id.npy", "set/vec.npy"), 209_715_200, 500_000),
    FileScript(("run7/1.parquet",), 209_715_200, 500_000),
    FileScript(("run7/2.parquet",), 209_715_200, 500_000),
)
SMALL = tuple(FileScript((f"run7/{number}.parquet",), 1024, 1000) for number in (3, 4))
ODD = tuple(
    FileScript((name,), 3_000_000_000, 7) for name in ("dup.parquet", "dup.parquet", "a b/c d.json", 'x/ü"\\.json')
)


def job(job_id: str = "461000000000000000", files: tuple[FileScript, ...] = SET, **more: Any) -> JobScript:
    return JobScript(job_id, "articles", files=files, stages=STAGES, files_per_task=4, **more)


FAILED = "461000000270000193"
SCHEMA = "schema not equal, err=field 'lang' not in arrow schema: importing data failed"
NO_KEY = "io failure: no such key"
# Which job, at which scenario second, answers what the recording holds.
COURSE: dict[str, tuple[JobScript, float]] = {
    "01-pending": (job(), 5),
    "03-preimporting-half": (job(files=SMALL), 20),
    "05-importing-start": (job(), 30),
    "08-importing-partial": (job(), 70),
    "08b-importing-node-lost-task-back-to-pending": (job(pause=Pause(70, 100, node_lost=True)), 100),
    "09-importing-tasks-completed": (job(), 131),
    "10-sorting": (job(), 133),
    "12-indexbuilding": (job(), 153),
    "14-completed": (job(), 200),
    "21-failed-preimport-after-tick": (job("461000000270000190", fails_after=15, reason=SCHEMA), 20),
    "23-failed-import-before-tick": (job(FAILED, SMALL, fails_after=50, reason=NO_KEY), 51),
    "24-failed-import-after-tick": (job(FAILED, SMALL, fails_after=50, reason=NO_KEY), 52),
    "25-completed-zero-rows": (job("461000000270120260", (FileScript(("empty.json",), 2, 0),)), 100),
    "26-duplicate-and-odd-file-names": (job("461000000270120263", ODD), 116),
    "28-completed-job-after-timeout-tick": (job(fails_after=300, reason="import timeout"), 301),
    "32-list-collection": (job(), 70),
    "33-list-unknown-collection": (job(), 70),
    "40-jobid-number": (job(), 70),
    "44-unknown-job": (job(), 70),
    "45-cloud-id": (job(), 70),
    "48-empty-body": (job(), 70),
    "59-getProgress-cloud-path": (job(), 70),
    "59b-trailing-slash": (job(), 70),
    "70-datacoord-not-ready": (job(), 70),
    "72-coordinator-unreachable": (job(), 70),
    "72b-coordinator-unreachable-list": (job(), 70),
    "80-auth-none": (job(), 70),
    "93-expired-completed-job": (job("461000000270120260", retention=100), 500),
    "list-empty": (job(), -1),
}
COORDINATORS: dict[str, Any] = {"70": "initializing", "72": "unreachable", "72b": "unreachable"}
# Recordings of lists: their jobs are compared by shape, in test_a_list_has_the_shape_of_a_recorded_one.
# Faults, which are sent as they were recorded: a panic, a time-out, a worker that reports nonsense.
OTHERS = {"26b-artificial-worker-reports-too-many-rows", "30-list-all", "30-list-all-again", "32-list-collection"}
FAULTS = {"73-panic", "74c-timeout-default"}
USERS = {"87-auth-user-without-privilege"}


def recorded(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    exchange = json.loads((RECORDED / f"{name}.json").read_text())
    return exchange["request"], exchange["response"]


def ask(api: SimulatedApi, request: dict[str, Any], **headers: str) -> requests.Response:
    return requests.request(
        request["method"],
        api.milvus_url + request["path"],
        data=request["body"],
        headers=headers,
        allow_redirects=False,
        timeout=5,
    )


def comparable(body: str) -> object:
    """The reply without what differs from call to call (the order of files) and from day to day (times)."""
    reply = json.loads(body)
    data = reply.get("data", {})
    for part in (data, *data.get("details", ())):
        if part.get("completeTime"):
            part["completeTime"] = "some time"
    data.get("details", []).sort(key=lambda file: file["fileName"])
    return reply


def keys_in_order(body: str) -> list[list[str]]:
    found: list[list[str]] = []
    json.loads(body, object_pairs_hook=lambda pairs: found.append([key for key, _ in pairs]))
    return found


@pytest.mark.parametrize("name", sorted(set(COURSE) - OTHERS))
def test_the_simulation_answers_what_a_real_milvus_answered(api: SimulatedApi, name: str) -> None:
    script, time = COURSE[name]
    request, response = recorded(name)
    api.add(script, cluster=MILVUS)
    api.clock.set(time)
    api.milvus.coordinator = COORDINATORS.get(name.partition("-")[0], "healthy")
    if name == "80-auth-none":
        api.milvus.users["root"] = "Milvus"
    reply = ask(api, request)
    assert reply.status_code == response["status"]
    for header, value in response["headers"].items():
        assert reply.headers[header] == value
    if response["headers"].get("Content-Type", "").startswith("application/json"):
        assert comparable(reply.text) == comparable(response["body"])
        assert sorted(keys_in_order(reply.text)) == sorted(keys_in_order(response["body"]))
    else:
        assert reply.text == response["body"]


def test_a_list_has_the_shape_of_a_recorded_one(api: SimulatedApi) -> None:
    api.add(*(script for script, _ in COURSE.values()), cluster=MILVUS)
    api.clock.set(70)
    for name in ("30-list-all", "32-list-collection"):
        request, response = recorded(name)
        reply = ask(api, request)
        assert {tuple(keys) for keys in keys_in_order(reply.text)} == {
            tuple(keys) for keys in keys_in_order(response["body"])
        }
        for record in reply.json()["data"]["records"]:
            assert record["collectionName"] == "articles"
            assert isinstance(record["progress"], int)
            assert isinstance(record["jobId"], str)


def test_a_user_without_privilege_is_told_so_as_recorded(api: SimulatedApi) -> None:
    request, response = recorded("87-auth-user-without-privilege")
    api.milvus.users["reader"] = "secret"
    api.milvus.unprivileged.add("reader")
    reply = ask(api, request, Authorization="Bearer reader:secret")
    assert (reply.status_code, reply.text) == (response["status"], response["body"])


@pytest.mark.parametrize("name", sorted(path.stem for path in RECORDED.glob("*.json")))
def test_any_recorded_reply_can_be_sent_instead(api: SimulatedApi, name: str) -> None:
    request, response = recorded(name)
    headers = response["headers"]
    api.faults.inject(
        Respond(
            response["status"],
            response["body"].encode(),
            headers=tuple((key, value) for key, value in headers.items() if key != "Content-Type"),
            content_type=headers.get("Content-Type", ""),
        )
    )
    reply = ask(api, request)
    assert (reply.status_code, reply.text) == (response["status"], response["body"])


def test_every_recording_is_looked_at() -> None:
    assert set(COURSE) | OTHERS | FAULTS | USERS == {path.stem for path in RECORDED.glob("*.json")}


@pytest.mark.parametrize("request_", PYMILVUS, ids=[each["case"] for each in PYMILVUS])
def test_pymilvus_gets_what_it_accepts(api: SimulatedApi, request_: dict[str, Any]) -> None:
    cloud = "cloud" in request_["case"]
    api.cloud.keys = {"KEY"}
    api.add(JobScript("job-02ab4cd6ef81kq7z0example"), cluster="in01-xxx")
    api.add(JobScript("job-x"), cluster="proj-x/aws-us-west-2")
    api.add(JobScript("457000000000000001"), JobScript("1"), JobScript("2", db_name="other"), cluster=MILVUS)
    if request_["headers"]["Authorization"] == "Bearer root:Milvus":
        api.milvus.users["root"] = "Milvus"
    url = (api.url if cloud else api.milvus_url) + request_["path"]
    reply = requests.request(request_["method"], url, headers=request_["headers"], json=request_["body"], timeout=5)
    assert reply.status_code == 200
    # Milvus reads ids as strings only: with a number that client fails on it.
    expected = 1801 if request_["case"] == "progress-int-id" else 0
    assert reply.json()["code"] == expected
    assert type(reply.json()["code"]) is int


def test_pymilvus_may_ask_the_cloud_with_a_number(api: SimulatedApi) -> None:
    api.add(JobScript("457000000000000001"))
    request = next(each for each in PYMILVUS if each["case"] == "progress-int-id")
    headers = {**request["headers"], "Authorization": f"Bearer {KEY}"}
    body = {**request["body"], "clusterId": CLUSTER}
    assert requests.post(api.url + request["path"], headers=headers, json=body, timeout=5).json()["code"] == 0
