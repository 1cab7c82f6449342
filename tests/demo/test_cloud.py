"""Zilliz Cloud's side of the simulated API."""

from __future__ import annotations

import pytest

from tests.demo.conftest import Client
from tests.support.simulated import FileScript, JobScript, SimulatedApi

RUNNING, DONE = 80, 400


@pytest.mark.parametrize("path", ["getProgress", "get_progress", "describe"])
def test_a_running_job_is_told_under_each_of_the_documented_paths(api: SimulatedApi, client: Client, path: str) -> None:
    api.add(JobScript("job-1", "medium_articles", files_per_task=2))
    api.clock.set(RUNNING)
    reply = client.cloud(path, {"jobId": "job-1"})
    assert (reply.status_code, reply.headers["Content-Type"]) == (200, "application/json; charset=utf-8")
    file = {"fileSize": 200 << 20, "state": "Importing", "progress": 42, "completeTime": "", "reason": ""}
    assert reply.json() == {
        "code": 0,
        "data": {
            "jobId": "job-1",
            "collectionName": "medium_articles",
            "fileName": "run7/1.parquet",
            "fileSize": 400 << 20,
            "state": "Importing",
            "progress": 52,
            "completeTime": "",
            "reason": "",
            "totalRows": 1_000_000,
            "importedRows": 423_728,
            "details": [
                {"fileName": "run7/1.parquet", **file, "totalRows": 500_000},
                {"fileName": "run7/2.parquet", **file, "totalRows": 500_000},
            ],
        },
    }


def test_a_completed_job_has_a_time_and_an_empty_reason(api: SimulatedApi, client: Client) -> None:
    api.add(JobScript("job-1"))
    api.clock.set(DONE)
    data = client.cloud("getProgress", {"jobId": "job-1"}).json()["data"]
    assert (data["state"], data["progress"], data["reason"]) == ("Completed", 100, "")
    assert data["completeTime"] == api.clock.timestamp(210)


def test_a_failed_job_has_a_reason_and_no_time(api: SimulatedApi, client: Client) -> None:
    api.add(JobScript("job-1", fails_after=15, reason="dimension 512, expected 768"))
    api.clock.set(DONE)
    data = client.cloud("getProgress", {"jobId": "job-1"}).json()["data"]
    assert (data["state"], data["progress"], data["details"]) == ("Failed", 0, [])
    assert (data["reason"], data["completeTime"]) == ("dimension 512, expected 768", None)


def test_a_job_id_may_be_a_number(api: SimulatedApi, client: Client) -> None:
    api.add(JobScript("448761313698322011"))
    reply = client.cloud("getProgress", {"jobId": 448761313698322011})
    assert reply.json()["data"]["jobId"] == "448761313698322011"


def test_an_unknown_and_a_forgotten_job_are_96026(api: SimulatedApi, client: Client) -> None:
    api.add(JobScript("job-1", vanishes_after=30))
    api.clock.set(31)
    for job_id in ("job-1", "job-2"):
        reply = client.cloud("getProgress", {"jobId": job_id})
        assert (reply.status_code, reply.json()["code"]) == (200, 96026)
        assert "data" not in reply.json()


@pytest.mark.parametrize(("refusal", "code"), [(200, 21119), (401, 80001)])
def test_a_wrong_key_is_refused_before_anything_else(
    api: SimulatedApi, client: Client, refusal: int, code: int
) -> None:
    api.cloud.refusal = 401 if refusal == 401 else 200
    reply = client.cloud("getProgress", "no object", key="wrong")
    assert (reply.status_code, reply.json()["code"]) == (refusal, code)
    assert "wrong" not in reply.text


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"clusterId": ""}, 96025),
        ({"clusterId": "cluster one"}, 96036),
        ({"clusterId": "in01-unknown"}, 96018),
        ({"clusterId": "", "projectId": "proj-x"}, 96001),
        ({"clusterId": "", "regionId": "aws-us-west-2"}, 96005),
        ({"projectId": "proj-x", "regionId": "aws-us-west-2"}, 96005),
        ({"jobId": ""}, 80000),
    ],
)
def test_what_names_the_job_is_checked(client: Client, fields: dict[str, object], code: int) -> None:
    assert client.cloud("getProgress", {"jobId": "job-1", **fields}).json()["code"] == code


def test_a_body_that_is_no_object_is_a_bad_parameter(client: Client) -> None:
    assert client.cloud("getProgress", ["job-1"]).json()["code"] == 80000


def test_a_project_with_its_region_stands_in_for_a_cluster(api: SimulatedApi, client: Client) -> None:
    api.add(JobScript("job-x"), cluster="proj-x/aws-us-west-2")
    fields = {"jobId": "job-x", "clusterId": "", "projectId": "proj-x", "regionId": "aws-us-west-2"}
    assert client.cloud("getProgress", fields).json()["code"] == 0


def test_a_cluster_does_not_know_the_jobs_of_another(api: SimulatedApi, client: Client) -> None:
    api.add(JobScript("job-1"), cluster="in01-other")
    assert client.cloud("getProgress", {"jobId": "job-1"}).json()["code"] == 96026
    assert client.cloud("getProgress", {"jobId": "job-1", "clusterId": "in01-other"}).json()["code"] == 0


def test_an_unknown_path_and_another_method_are_404(api: SimulatedApi, client: Client) -> None:
    assert client.cloud("getprogress", {"jobId": "job-1"}).status_code == 404
    assert client.session.get(f"{api.url}/v2/vectordb/jobs/import/list", timeout=5).status_code == 404


def test_the_list_has_pages_and_a_total(api: SimulatedApi, client: Client) -> None:
    api.add(*(JobScript(f"job-{number:03}") for number in range(25)))
    pages = [client.cloud("list", {"currentPage": page}).json()["data"] for page in (1, 2, 3, 4)]
    assert [len(page["records"]) for page in pages] == [10, 10, 5, 0]
    assert {(page["count"], page["pageSize"]) for page in pages} == {(25, 10)}
    assert [page["currentPage"] for page in pages] == [1, 2, 3, 4]
    listed = [record["jobId"] for page in pages for record in page["records"]]
    assert listed == [f"job-{number:03}" for number in range(25)]


@pytest.mark.parametrize("size", [0, 101, -1, "10", True])
def test_a_page_has_1_to_100_records(client: Client, size: object) -> None:
    assert client.cloud("list", {"pageSize": size}).json()["code"] == 96008


@pytest.mark.parametrize("page", [0, -1, 2**31, "1"])
def test_pages_begin_at_1(client: Client, page: object) -> None:
    assert client.cloud("list", {"currentPage": page}).json()["code"] == 96009


def test_the_list_calls_a_running_job_in_progress(api: SimulatedApi, client: Client) -> None:
    api.add(JobScript("job-1", "events"))
    api.clock.set(RUNNING)
    records = client.cloud("list", {}).json()["data"]["records"]
    assert records == [{"collectionName": "events", "jobId": "job-1", "state": "InProgress"}]


def test_the_list_can_be_narrowed_unless_told_not_to(api: SimulatedApi, client: Client) -> None:
    api.add(JobScript("job-1", "events"), JobScript("job-2", "articles"), JobScript("job-3", "events", db_name="other"))

    def listed(**fields: str) -> list[str]:
        return [record["jobId"] for record in client.cloud("list", fields).json()["data"]["records"]]

    assert listed(collectionName="", dbName="") == ["job-1", "job-2", "job-3"]
    assert listed(collectionName="events") == ["job-1", "job-3"]
    assert listed(collectionName="events", dbName="other") == ["job-3"]
    api.cloud.filters_list = False
    assert listed(collectionName="events") == ["job-1", "job-2", "job-3"]


def test_file_names_are_paths(api: SimulatedApi, client: Client) -> None:
    api.add(JobScript("job-1", files=(FileScript(("set/id.npy", "set/vec.npy"), 1, 1),)))
    api.clock.set(RUNNING)
    data = client.cloud("getProgress", {"jobId": "job-1"}).json()["data"]
    assert data["fileName"] == data["details"][0]["fileName"] == "set/id.npy,set/vec.npy"
