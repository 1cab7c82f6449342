"""What `/probe?debug=true` tells a person, and what it keeps to itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.debug import _json_lines
from tests.discovery.bench import Service, lists, milvus, zilliz
from tests.support.rig import Remote
from tests.support.simulated import CLUSTER, KEY, MILVUS, FileScript, JobScript, SimulatedApi, Stages
from tests.support.simulated.faults import Hang, Respond
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
        output = service.backend.probe_debug(CLUSTER, "448761313698322011", "5").splitlines()
        assert f"cluster {CLUSTER} (zilliz) at {api.url}" in output
        assert "watched: yes, named by discovery" in output
        assert f"> POST {api.url}/v2/vectordb/jobs/import/getProgress" in output
        assert "> Authorization: Bearer <secret>" in output
        assert f'> {{"clusterId":"{CLUSTER}","jobId":"448761313698322011"}}' in output
        assert "< HTTP 200" in output
        assert '<     "state": "Importing",' in output
        assert "= up 1" in output
        assert "=   state: Importing" in output
        assert "=   collection_name: articles" in output
        output = service.backend.probe_debug(CLUSTER, "unknown", "5").splitlines()
        assert "watched: no" in output
        assert "= up 0, error not_found: HTTP 200, code 96026: The job does not exist: unknown." in output


def test_a_cluster_is_explained_by_its_list_and_the_jobs_that_need_a_look(api: SimulatedApi) -> None:
    api.add(*(JobScript(str(number), stages=ENDLESS) for number in range(10)))
    with Service(api, zilliz(api, discovery={"collections": ["articles"]})) as service:
        service.scrape()
        calls = lists(api.requests)
        output = service.backend.probe_debug(CLUSTER, None, "5").splitlines()
    assert "== list of collection articles, page 1" in output
    assert f"> POST {api.url}/v2/vectordb/jobs/import/list" in output
    assert "= 10 jobs: 10 Importing" in output
    assert sum(line.startswith("== job ") for line in output) == 3
    assert (
        "queried 3 of them, unreadable ones first, then failed, uncommitted, unfinished and finished ones, "
        "the latest of each; name another one with &job_id="
    ) in output
    assert lists(api.requests) == calls + 1


def test_a_refused_key_is_seen_before_any_job_is_known(api: SimulatedApi) -> None:
    with Service(api, zilliz(api, api_key="wrong-key-5ecre7")) as service:
        service.scrape()
        output = service.backend.probe_debug(CLUSTER, None, "5")
    assert "= up 0, error auth: HTTP 200, code 21119: The API key is illegal." in output.splitlines()
    assert "jobs watched: 0; last error: HTTP 200, code 21119: The API key is illegal." in output.splitlines()
    assert "5ecre7" not in output


def test_a_job_of_another_database_is_asked_for_there(api: SimulatedApi) -> None:
    api.add(JobScript("461000000000000001", "articles", db_name="analytics", stages=ENDLESS), cluster=MILVUS)
    discovery = {"databases": ["analytics"], "collections": ["articles"]}
    with Service(api, milvus(api, discovery=discovery, db_name="default")) as service:
        service.scrape()
        output = service.backend.probe_debug(MILVUS, "461000000000000001", "5").splitlines()
    assert "> DB-Name: analytics" in output
    assert not any(line.startswith("> Authorization") for line in output)
    assert "= up 1" in output


def test_no_secret_is_told(api: SimulatedApi) -> None:
    api.add(JobScript("1", files=(SIGNED,), stages=ENDLESS))
    api.clock.set(10)
    echo = f'{{"code":1,"message":"bad header Bearer {KEY}","key":"{KEY}"}}'.encode()
    with Service(api, zilliz(api)) as service:
        service.scrape()
        output = service.backend.probe_debug(CLUSTER, "1", "5")
        api.faults.inject(Respond(body=echo, headers=(("Set-Cookie", "session=5ecre7"), ("X-Echo", KEY))))
        output += service.backend.probe_debug(CLUSTER, "1", "5")
        service.scrape()
        output += service.backend.probe_debug(CLUSTER, None, "5")
    for secret in (KEY, "5ecre7", "hunter2"):
        assert secret not in output
    assert "bad header Bearer <secret>" in output


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x0b", "\x85", "\u2028", "\u202e", "\x7f", "\r"])
def test_control_characters_are_shown_as_such(api: SimulatedApi, character: str) -> None:
    api.add(JobScript("1", stages=ENDLESS))
    with Service(api, zilliz(api)) as service, running(Remote(service.backend)) as server:
        service.scrape()
        api.faults.inject(
            Respond(status=500, body=f"<html>\n a{character}b </html>".encode(), content_type="text/html")
        )
        service.scrape()
        response, body = server.get(f"/probe?target={CLUSTER}&job_id=1&debug=true")
        assert (response.status, response.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        output = body.decode()
    assert character not in output
    shown = "\ufffd" if character == "\x00" else repr(character)[1:-1]
    assert f"<  a{shown}b </html>" in output.splitlines()
    assert all(line.isprintable() for line in output.split("\n"))


def test_values_are_told_as_a_person_reads_them_and_as_they_are(api: SimulatedApi) -> None:
    data = {
        "collectionName": "",
        "fileName": "",
        "fileSize": 38950929347,
        "jobId": "1",
        "progress": 66,
        "state": "Completed",
        "completeTime": "2026-11-24T16:07:14Z",
        "totalRows": 5982,
        "details": [{"fileName": "a.parquet", "fileSize": 1536, "progress": 100, "state": "Completed"}],
    }
    with Service(api, zilliz(api)) as service:
        api.faults.inject(Respond(body=json.dumps({"code": 0, "data": data}).encode()))
        output = service.backend.probe_debug(CLUSTER, "1", "5").splitlines()
    for line in (
        "=   collection_name: not given",
        "=   progress: 66 % (0.66)",
        "=   size: 36.3 GiB (38950929347)",
        "=   rows: 5,982 (5982)",
        "=   imported_rows: not given",
        "=   completed_at: 2026-11-24T16:07:14Z (1795536434)",
        "=   reason: not given",
    ):
        assert line in output
    assert any(line.startswith("=   file name: a.parquet, state: Completed, progress: 100 % (1)") for line in output)


def reply_shown(api: SimulatedApi, body: bytes) -> list[str]:
    """The lines that show this reply."""
    with Service(api, zilliz(api)) as service:
        api.faults.inject(Respond(body=body))
        output = service.backend.probe_debug(CLUSTER, "1", "5").splitlines()
    start = next(number for number, line in enumerate(output) if line.startswith("< Content-Length"))
    return [line.removeprefix("< ") for line in output[start + 1 :] if line.startswith("< ")]


def test_a_reply_is_told_one_value_a_line_each_as_it_was_sent(api: SimulatedApi) -> None:
    body = rb'{"code":7, "a":[1.10,{}, []],"a":1e400,"message":"b{[,:\"\\","c":{"d":null,"e":tru e}}'
    assert reply_shown(api, body) == [
        "{",
        '  "code": 7,',
        '  "a": [',
        "    1.10,",
        "    {},",
        "    []",
        "  ],",
        '  "a": 1e400,',
        r'  "message": "b{[,:\"\\",',
        '  "c": {',
        '    "d": null,',
        '    "e": tru e',
        "  }",
        "}",
    ]


def test_a_reply_too_long_to_be_told_is_told_up_to_there(api: SimulatedApi) -> None:
    body = json.dumps({"code": 7, "message": "no", "rest": ["x" * 50] * 2000}).encode()
    output = reply_shown(api, body)
    assert output[:3] == ["{", '  "code": 7,', '  "message": "no",']
    assert output[-1] == f"… {len(body) - 65_536} more bytes"


@pytest.mark.parametrize("body", [b'{"a":' * 13_000, b"{" * 65_536, b"{" + rb"\"" * 30_000, b"{}" + b"]" * 60_000])
def test_no_reply_makes_much_more_of_itself(api: SimulatedApi, body: bytes) -> None:
    assert len("\n".join(reply_shown(api, body))) < 40 * len(body)


@given(st.text(st.sampled_from('{}[]:," \\ab1'), max_size=60))
def test_nothing_but_white_space_outside_of_strings_is_lost(text: str) -> None:
    lines = list(_json_lines(text))
    assert re.sub(r"\s", "", "".join(lines)) == re.sub(r"\s", "", text)
    assert not any(line != line.rstrip() for line in lines if '"' not in line)


def test_what_hangs_is_told_within_the_budget(api: SimulatedApi) -> None:
    api.add(JobScript("1", stages=ENDLESS))
    with Service(api, zilliz(api)) as service:
        service.scrape()
        api.faults.inject(Hang())
        output = service.backend.probe_debug(CLUSTER, "1", "1").splitlines()
    assert "< no complete reply" in output
    assert any(line.startswith("= up 0, error timeout: ") for line in output)


def test_a_list_that_hangs_leaves_the_jobs_half_of_the_budget(api: SimulatedApi) -> None:
    api.add(JobScript("1", stages=ENDLESS))
    with Service(api, zilliz(api)) as service:
        service.scrape()
        api.faults.inject(Hang(), operation="list")
        output = service.backend.probe_debug(CLUSTER, None, "1").splitlines()
    assert any(line.startswith("= up 0, error timeout: ") for line in output)
    assert "= up 1" in output


def test_who_is_not_asked_since_the_calls_before_hung_is_told_that(api: SimulatedApi) -> None:
    api.add(JobScript("1", stages=ENDLESS), JobScript("2", stages=ENDLESS))
    with Service(api, zilliz(api)) as service:
        service.scrape()
        api.faults.inject(Hang())
        output = service.backend.probe_debug(CLUSTER, None, "1").splitlines()
    assert output.count("< no complete reply") == 2
    assert output[-1] == "not queried: the calls before it used up the time"


def test_a_pause_that_the_api_asked_for_is_told(api: SimulatedApi) -> None:
    with Service(api, zilliz(api, jobs=["1"])) as service:
        api.faults.inject(Respond(status=429, headers=(("Retry-After", "20"),)))
        service.backend.probe_debug(CLUSTER, "1", "1")
        output = service.backend.probe_debug(CLUSTER, "1", "1").splitlines()
    assert re.fullmatch(r"not queried: the API asked to wait; nothing is sent for another (20|1\d) s", output[-1])


def test_what_was_not_sent_is_not_told_as_sent(api: SimulatedApi) -> None:
    with Service(api, {**zilliz(api), "base_url": "http://127.0.0.1:1"}) as service:
        output = service.backend.probe_debug(CLUSTER, "1", "5").splitlines()
    assert output.index("not sent; it would have been:") == output.index("watched: no") + 1
    assert "< no complete reply" not in output
    assert output[-1].startswith("= up 0, error connect: ")


def test_a_rate_without_room_is_told_too(api: SimulatedApi) -> None:
    api.add(JobScript("1", stages=ENDLESS))
    with Service(api, zilliz(api, requests_per_second=0.01)) as service:
        service.backend.probe_debug(CLUSTER, "1", "1")
        output = service.backend.probe_debug(CLUSTER, "1", "1").splitlines()
    assert "not queried: the rate limit gave no turn within the budget" in output
