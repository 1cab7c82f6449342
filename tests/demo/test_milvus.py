"""Milvus' side of the simulated API; what a real one answered is in test_recorded.py."""

from __future__ import annotations

import base64

import pytest

from tests.demo.conftest import Client
from tests.support.simulated import MILVUS, FileScript, JobScript, SimulatedApi

JOB = "461000000000000000"
RUNNING = 80


def test_both_paths_are_one_operation(api: SimulatedApi, client: Client) -> None:
    api.add(JobScript(JOB), cluster=MILVUS)
    assert client.milvus("describe", {"jobId": JOB}).json() == client.milvus("get_progress", {"jobId": JOB}).json()


def test_the_order_of_files_and_of_jobs_changes_from_call_to_call(api: SimulatedApi, client: Client) -> None:
    files = tuple(FileScript((str(number),), 1, 1) for number in range(30))
    api.add(JobScript(JOB, files=files), *(JobScript(str(number)) for number in range(1, 30)), cluster=MILVUS)
    api.clock.set(RUNNING)
    details = [client.milvus("describe", {"jobId": JOB}).json()["data"]["details"] for _ in range(2)]
    names = [[file["fileName"] for file in each] for each in details]
    assert names[0] != names[1]
    assert sorted(names[0]) == sorted(names[1])
    records = [client.milvus("list", {}).json()["data"]["records"] for _ in range(2)]
    ids = [[record["jobId"] for record in each] for each in records]
    assert ids[0] != ids[1]
    assert sorted(ids[0]) == sorted(ids[1])


def test_every_page_holds_every_job(api: SimulatedApi, client: Client) -> None:
    api.add(*(JobScript(str(number)) for number in range(1, 31)), cluster=MILVUS)
    data = client.milvus("list", {"pageSize": 10, "currentPage": 2}).json()["data"]
    assert set(data) == {"records"}
    assert len(data["records"]) == 30


def test_the_list_covers_all_databases_unless_a_collection_is_named(api: SimulatedApi, client: Client) -> None:
    api.add(JobScript("1"), JobScript("2", db_name="other"), JobScript("3", "events"), cluster=MILVUS)

    def listed(**more: dict[str, str]) -> set[str]:
        fields, headers = more.get("fields", {}), more.get("headers")
        return {record["jobId"] for record in client.milvus("list", fields, headers=headers).json()["data"]["records"]}

    assert listed() == listed(headers={"DB-Name": "other"}) == {"1", "2", "3"}
    assert listed(fields={"collectionName": "articles"}) == {"1"}
    assert listed(fields={"collectionName": "articles", "dbName": "other"}) == {"2"}
    assert listed(fields={"collectionName": "articles"}, headers={"DB-Name": "other"}) == {"2"}


def test_a_large_reply_comes_in_chunks_and_a_small_one_with_its_length(api: SimulatedApi, client: Client) -> None:
    files = tuple(FileScript((f"part-{number:04}.parquet",), 1, 1) for number in range(1024))
    api.add(JobScript(JOB, files=files), cluster=MILVUS)
    assert "Content-Length" in client.milvus("describe", {"jobId": JOB}).headers
    api.clock.set(RUNNING)
    reply = client.milvus("describe", {"jobId": JOB})
    assert reply.headers["Transfer-Encoding"] == "chunked"
    assert len(reply.json()["data"]["details"]) == 1024


@pytest.mark.parametrize("written", ["+461000000000000000", "00461000000000000000"])
def test_an_id_is_read_as_a_number_and_echoed_as_written(api: SimulatedApi, client: Client, written: str) -> None:
    api.add(JobScript(JOB), cluster=MILVUS)
    assert client.milvus("describe", {"jobId": written}).json()["data"]["jobId"] == written


def test_the_body_is_read_as_go_reads_it(api: SimulatedApi, client: Client) -> None:
    api.add(JobScript(JOB), cluster=MILVUS)
    body = b' {"jobId": "1", "JOBID": "461000000000000000"} trailing garbage'
    assert client.milvus("describe", body).json()["data"]["jobId"] == JOB


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"jobId=1", 1801),
        (b"[]", 1801),
        (b'{"jobId": true}', 1801),
        (b'{"jobId": {}}', 1801),
        (b"{}", 1802),
        (b'{"jobId": ""}', 1802),
        (b'{"jobId": null}', 1802),
        (b'{"jobId": "9223372036854775808"}', 2100),
        (b'{"jobId": "' + b"9" * 5000 + b'"}', 2100),
    ],
)
def test_what_cannot_be_read_is_refused_under_http_200(client: Client, body: bytes, code: int) -> None:
    reply = client.milvus("describe", body)
    assert (reply.status_code, reply.json()["code"]) == (200, code)


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("Bearer root:Milvus", 200),
        ("root:Milvus", 200),
        ("Basic " + base64.b64encode(b"root:Milvus").decode(), 200),
        ("bearer root:Milvus", 401),
        ("Basic junk", 401),
        ("Bearer root:wrong", 401),
        ("Bearer nobody:", 401),
        ("Bearer some-api-key", 401),
        (None, 401),
    ],
)
def test_with_authorization_on_user_and_password_are_asked_for(
    api: SimulatedApi, client: Client, authorization: str | None, status: int
) -> None:
    api.milvus.users["root"] = "Milvus"
    headers = {} if authorization is None else {"Authorization": authorization}
    assert client.milvus("list", {}, headers=headers).status_code == status


def test_a_refusal_comes_before_a_wrong_path_and_bad_json(api: SimulatedApi, client: Client) -> None:
    api.milvus.users["root"] = "Milvus"
    assert client.milvus("getProgress", b"junk").status_code == 401


def test_a_privilege_is_missed_before_the_job_is_looked_up(api: SimulatedApi, client: Client) -> None:
    api.milvus.users["reader"] = "secret"
    api.milvus.unprivileged.add("reader")
    headers = {"Authorization": "Bearer reader:secret", "DB-Name": "other"}
    reply = client.milvus("describe", {"jobId": "1"}, headers=headers)
    assert (reply.status_code, reply.json()["code"]) == (403, 65535)
    assert reply.json()["message"].endswith("permission deny to reader in the `other` database")


def test_a_coordinator_that_starts_is_not_ready_for_either_call(api: SimulatedApi, client: Client) -> None:
    api.milvus.coordinator = "initializing"
    assert [client.milvus(operation, {"jobId": "1"}).json()["code"] for operation in ("describe", "list")] == [1, 1]


def test_an_unreachable_coordinator_makes_the_list_falsely_empty(api: SimulatedApi, client: Client) -> None:
    api.add(JobScript(JOB), cluster=MILVUS)
    api.milvus.coordinator = "unreachable"
    assert client.milvus("list", {}).json() == {"code": 0, "data": {"records": []}}
    assert client.milvus("describe", {"jobId": JOB}).json()["code"] == 65535


def test_an_uncommitted_job_is_shown_as_such(api: SimulatedApi, client: Client) -> None:
    api.add(JobScript(JOB, auto_commit=False), cluster=MILVUS)
    api.clock.set(1e6)
    data = client.milvus("describe", {"jobId": JOB}).json()["data"]
    assert (data["state"], data["progress"], data["completeTime"]) == ("Uncommitted", 99, "")
