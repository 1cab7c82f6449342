"""What `/probe?debug=true` tells a person, and what it keeps to itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from exporter.demo import CLUSTER, KEY, MILVUS, FileScript, JobScript, SimulatedApi, Stages
from exporter.demo.faults import Hang, Respond
from tests.discovery.bench import Service, lists, milvus, zilliz
from tests.web.backend import running

ENDLESS = Stages(pending=0, preimporting=0, importing=1e9)
SIGNED = FileScript(("https://user:hunter2@bucket.example.com/a.parquet?X-Amz-Signature=5ecre7&Expires=9",), 10, 20)


@pytest.fixture
def api() -> Iterator[SimulatedApi]:
    with SimulatedApi() as running_api:
        yield running_api


def test_a_job_is_explained_from_question_to_gauges(api: SimulatedApi) -> None:
    api.add(JobScript("448761313698322011", "articles", stages=ENDLESS))
    api.clock.set(10)
    with Service(api, zilliz(api)) as service:
        service.scrape()
        told = service.backend.probe_debug(CLUSTER, "448761313698322011", "5").splitlines()
        assert f"cluster {CLUSTER} (zilliz) at {api.url}" in told
        assert "watched: yes, named by discovery" in told
        assert f"> POST {api.url}/v2/vectordb/jobs/import/getProgress" in told
        assert "> Authorization: Bearer <secret>" in told
        assert f'> {{"clusterId":"{CLUSTER}","jobId":"448761313698322011"}}' in told
        assert "< HTTP 200" in told
        assert any('"state":"Importing"' in line for line in told if line.startswith("< "))
        assert "= up 1" in told
        assert "=   state: Importing" in told
        assert "=   collection_name: articles" in told
        told = service.backend.probe_debug(CLUSTER, "unknown", "5").splitlines()
        assert "watched: no" in told
        assert "= up 0, error not_found: HTTP 200, code 96026: The job does not exist: unknown." in told


def test_a_cluster_is_explained_by_its_list_and_the_jobs_that_need_a_look(api: SimulatedApi) -> None:
    api.add(*(JobScript(str(number), stages=ENDLESS) for number in range(10)))
    with Service(api, zilliz(api, discovery={"collections": ["articles"]})) as service:
        service.scrape()
        calls = lists(api.requests)
        told = service.backend.probe_debug(CLUSTER, None, "5").splitlines()
    assert "== list of collection articles, page 1" in told
    assert f"> POST {api.url}/v2/vectordb/jobs/import/list" in told
    assert "= 10 jobs: 10 Importing" in told
    assert sum(line.startswith("== job ") for line in told) == 3
    assert "asked about 3 of them; name one with &job_id=" in told
    assert lists(api.requests) == calls + 1


def test_a_refused_key_is_seen_before_any_job_is_known(api: SimulatedApi) -> None:
    with Service(api, zilliz(api, api_key="wrong-key-5ecre7")) as service:
        service.scrape()
        told = service.backend.probe_debug(CLUSTER, None, "5")
    assert "= up 0, error auth: HTTP 200, code 21119: The API key is illegal." in told.splitlines()
    assert "jobs watched: 0; last error: HTTP 200, code 21119: The API key is illegal." in told.splitlines()
    assert "5ecre7" not in told


def test_a_job_of_another_database_is_asked_for_there(api: SimulatedApi) -> None:
    api.add(JobScript("461000000000000001", "articles", db_name="analytics", stages=ENDLESS), cluster=MILVUS)
    discovery = {"databases": ["analytics"], "collections": ["articles"]}
    with Service(api, milvus(api, discovery=discovery, db_name="default")) as service:
        service.scrape()
        told = service.backend.probe_debug(MILVUS, "461000000000000001", "5").splitlines()
    assert "> DB-Name: analytics" in told
    assert not any(line.startswith("> Authorization") for line in told)
    assert "= up 1" in told


def test_no_secret_is_told(api: SimulatedApi) -> None:
    api.add(JobScript("1", files=(SIGNED,), stages=ENDLESS))
    api.clock.set(10)
    echo = f'{{"code":1,"message":"bad header Bearer {KEY}","key":"{KEY}"}}'.encode()
    with Service(api, zilliz(api)) as service:
        service.scrape()
        told = service.backend.probe_debug(CLUSTER, "1", "5")
        api.faults.inject(Respond(body=echo, headers=(("Set-Cookie", "session=5ecre7"), ("X-Echo", KEY))))
        told += service.backend.probe_debug(CLUSTER, "1", "5")
        service.scrape()
        told += service.backend.probe_debug(CLUSTER, None, "5")
    for secret in (KEY, "5ecre7", "hunter2"):
        assert secret not in told
    assert "bad header Bearer <secret>" in told


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x0b", "\x85", "\u2028", "\u202e", "\x7f", "\r"])
def test_control_characters_are_shown_as_such(api: SimulatedApi, character: str) -> None:
    api.add(JobScript("1", stages=ENDLESS))
    with Service(api, zilliz(api)) as service, running(service.backend) as server:
        service.scrape()
        api.faults.inject(
            Respond(status=500, body=f"<html>\n a{character}b </html>".encode(), content_type="text/html")
        )
        service.scrape()
        response, body = server.get(f"/probe?target={CLUSTER}&job_id=1&debug=true")
        assert (response.status, response.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        told = body.decode()
    assert character not in told
    shown = "\ufffd" if character == "\x00" else repr(character)[1:-1]
    assert f"<  a{shown}b </html>" in told.splitlines()
    assert all(line.isprintable() for line in told.split("\n"))


def test_what_hangs_is_told_within_the_budget(api: SimulatedApi) -> None:
    api.add(JobScript("1", stages=ENDLESS))
    with Service(api, zilliz(api)) as service:
        service.scrape()
        api.faults.inject(Hang())
        told = service.backend.probe_debug(CLUSTER, "1", "1").splitlines()
    assert "< no complete reply" in told
    assert any(line.startswith("= up 0, error timeout: ") for line in told)


def test_a_rate_without_room_is_told_too(api: SimulatedApi) -> None:
    api.add(JobScript("1", stages=ENDLESS))
    with Service(api, zilliz(api, requests_per_second=0.01)) as service:
        service.backend.probe_debug(CLUSTER, "1", "1")
        told = service.backend.probe_debug(CLUSTER, "1", "1").splitlines()
    assert "not asked: the rate limit gave no turn within the budget" in told
