"""Lists, job lists and probes that are not as they should be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from exporter.config.load import Loader
from tests.discovery.bench import Service, asked, milvus, samples, zilliz
from tests.support.hostile import Hostile, always, reply
from tests.support.rig import Remote, Rig
from tests.support.simulated import CLUSTER, KEY, MILVUS, JobScript, SimulatedApi, Stages
from tests.support.simulated.faults import Respond, Rewrite
from tests.web.backend import running

ENDLESS = Stages(importing=1e9)
BEYOND_DOUBLES = 448_761_313_698_322_011
TARGET = f"/probe?target={CLUSTER}"


@pytest.fixture
def api() -> Iterator[SimulatedApi]:
    with SimulatedApi() as running_api:
        yield running_api


def listing(*records: object) -> Rewrite:
    """The list with these records instead of its own."""

    def change(body: bytes) -> bytes:
        sent = json.loads(body)
        first = sent["data"].get("currentPage", 1) == 1
        return json.dumps({**sent, "data": {**sent["data"], "records": records if first else []}}).encode()

    return Rewrite(change)


def test_numeric_ids_duplicates_and_missing_states_name_each_job_once_and_exactly(api: SimulatedApi) -> None:
    ids = [BEYOND_DOUBLES, BEYOND_DOUBLES + 1]
    api.add(*(JobScript(str(each), stages=ENDLESS) for each in ids), JobScript("job-1", stages=ENDLESS))
    records: list[object] = [
        {"jobId": ids[0], "collectionName": "a", "state": "InProgress"},
        {"jobId": str(ids[0]), "collectionName": "a", "state": "Completed"},
        {"jobId": ids[1], "collectionName": None},
        {"jobID": "job-1", "collectionName": "a", "state": None},
        {"jobId": ids[1]},
        {"jobId": 4.5e17, "state": "Pending"},
        {"jobId": "a\nb", "state": "Pending"},
        {"jobId": "x" * 10_000, "state": "Pending"},
        {"jobId": "../../etc", "state": "Pending"},
        {"jobId": {}, "state": []},
        {"state": "Pending"},
        "job-2",
        None,
    ]
    api.faults.inject(listing(*records), operation="list")
    with Service(api, zilliz(api)) as service:
        shown = service.scrape()
    assert asked(api.requests) == {str(ids[0]): 1, str(ids[1]): 1, "job-1": 1}
    assert all(type(request.fields["jobId"]) is str for request in api.requests if request.operation == "progress")
    assert {dict(has)["job_id"] for has in shown.family("job_up")} == {str(ids[0]), str(ids[1]), "job-1"}
    assert set(shown.family("job_up").values()) == {1}


@pytest.mark.parametrize("product", ["zilliz", "milvus"])
def test_a_hundred_thousand_records_are_read_and_the_youngest_jobs_watched(api: SimulatedApi, product: str) -> None:
    cluster = CLUSTER if product == "zilliz" else MILVUS
    youngest = [str(BEYOND_DOUBLES + number) for number in range(99_990, 100_000)]
    api.add(*(JobScript(job_id, stages=ENDLESS) for job_id in youngest), cluster=cluster)
    records = [
        {"jobId": str(BEYOND_DOUBLES + number), "collectionName": "articles", "state": "InProgress"}
        for number in range(100_000)
    ]
    api.faults.inject(listing(*records), operation="list")
    make: Callable[..., dict[str, object]] = zilliz if product == "zilliz" else milvus
    with Service(api, make(api, discovery={"max_jobs": 10})) as service:
        lines = service.lines("60")
    assert samples(lines, "cluster_jobs_omitted") == {f'cluster_id="{cluster}"': 99_990}
    assert {labels.partition('job_id="')[2].rstrip('"') for labels in samples(lines, "job_up")} == set(youngest)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "payload"),
        (b"[]", "payload"),
        (b'{"code":0,"data":[]}', "payload"),
        (b'{"code":0,"data":{"records":{"jobId":"1"}}}', "payload"),
        (b'{"code":0,"data":{"records":"none"}}', "payload"),
        (b'{"code":96008,"message":"Invalid pageSize"}', "api"),
        (b"[" * 100_000, "payload"),
        (b'{"code":0,"data":{"records":null}}', None),
        (b'{"code":"0","data":{}}', None),
    ],
)
def test_a_list_that_cannot_be_read_costs_no_job_its_data(api: SimulatedApi, body: bytes, error: str | None) -> None:
    api.add(JobScript("1", stages=ENDLESS))
    with Service(api, zilliz(api, discovery={"refresh_interval": "0s"})) as service:
        service.scrape()
        api.faults.inject(Respond(body=body), operation="list")
        service.passes(15)
        shown = service.scrape()
    assert shown.value("job_up", job_id="1") == 1
    assert shown.value("cluster_up") == (error is None)
    errors = {dict(has)["error"] for has, value in shown.family("api_errors_total").items() if value}
    assert errors == ({error} if error else set())


def broken(path: Path, kind: str) -> None:
    path.unlink()
    match kind:
        case "not YAML":
            path.write_text("- '1\n")
        case "not a list":
            path.write_text("job: '1'\n")
        case "unreadable":
            path.symlink_to(path)
        case "a directory":
            path.mkdir()
        case "huge":
            with path.open("wb") as file:
                file.truncate(100 << 20)


@pytest.mark.parametrize("kind", ["not YAML", "not a list", "unreadable", "a directory", "huge"])
def test_a_job_list_that_breaks_costs_neither_its_jobs_nor_others(api: SimulatedApi, tmp_path: Path, kind: str) -> None:
    api.add(*(JobScript(job_id, stages=ENDLESS) for job_id in ("1", "2", "3", "4")))
    cluster = {"cluster_id": CLUSTER, "base_url": api.url, "api_key": KEY, "jobs": ["1"], "job_lists": ["*.list"]}
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"clusters": [cluster]}))
    (tmp_path / "a.list").write_text('["2"]')
    (tmp_path / "b.list").write_text('["3"]')
    with Rig(Loader(config, {})) as rig:
        assert len(rig.scrape().family("job_up")) == 3
        broken(tmp_path / "b.list", kind)
        cluster["jobs"] = ["1", "4"]
        config.write_text(yaml.safe_dump({"clusters": [cluster]}))
        reloaded = rig.backend.reload()
        assert reloaded.replaced
        assert "b.list" in " ".join(reloaded.problems)
        assert {dict(has)["job_id"] for has in rig.scrape().family("job_up")} == {"1", "2", "3", "4"}
    with Rig(Loader(config, {})) as rig:
        assert {dict(has)["job_id"] for has in rig.scrape().family("job_up")} == {"1", "2", "4"}


BAD_PROBES = [
    "/probe",
    "/probe?target=",
    "/probe?job_id=1",
    "/probe?target=unknown",
    "/probe?target={elsewhere}",
    "/probe?target=http://169.254.169.254/latest/meta-data",
    "/probe?target=127.0.0.1:19530",
    f"/probe?target={CLUSTER}.",
    f"/probe?target={CLUSTER}%00",
    f"/probe?target={CLUSTER}&target={CLUSTER}",
    f"{TARGET}&job_id=",
    f"{TARGET}&job_id=" + "1" * 10_000,
    f"{TARGET}&job_id=1%0d%0aAuthorization:%20x",
    f"{TARGET}&job_id=%00",
    f"{TARGET}&job_id=%1b[31m",
    f"{TARGET}&job_id=..%2f..%2f",
    f"{TARGET}&job_id=" + quote("\u202e1"),
    f"{TARGET}&job_id=1&job_id=2",
    f"{TARGET}&job_id=1%0a&debug=true",
]


@pytest.mark.parametrize("path", BAD_PROBES)
def test_a_probe_that_asks_for_what_is_not_configured_is_400_and_reaches_nobody(api: SimulatedApi, path: str) -> None:
    with (
        Hostile(always(reply({}))) as elsewhere,
        Service(api, zilliz(api)) as service,
        running(Remote(service.backend)) as server,
    ):
        path = path.format(elsewhere=quote(elsewhere.url))
        response, body = server.get(path, headers={"X-Prometheus-Scrape-Timeout-Seconds": "5"})
        assert response.status == 400
        assert len(body) < 200
        assert b"\x1b" not in body
        assert elsewhere.connections == 0
    assert api.requests == ()


def test_the_key_goes_to_the_configured_address_whatever_a_request_says(api: SimulatedApi) -> None:
    api.add(JobScript("1", stages=ENDLESS))
    with (
        Hostile(always(reply({}))) as elsewhere,
        Service(api, zilliz(api)) as service,
        running(Remote(service.backend)) as server,
    ):
        headers = {
            "Host": f"{elsewhere.host}:{elsewhere.port}",
            "X-Forwarded-Host": f"{elsewhere.host}:{elsewhere.port}",
        }
        for path in (
            f"{TARGET}&base_url={elsewhere.url}&module={elsewhere.url}",
            f"{TARGET}&job_id=1",
            "/metrics",
            "/sd",
        ):
            assert server.get(path, headers=headers)[0].status == 200
        assert elsewhere.connections == 0
    assert all(request.headers["host"] == api.url.removeprefix("http://") for request in api.requests)
    assert all(request.headers["authorization"] == f"Bearer {KEY}" for request in api.requests)


def test_probes_of_jobs_that_are_not_watched_leave_no_state_behind(api: SimulatedApi) -> None:
    api.add(*(JobScript(str(number), stages=ENDLESS) for number in range(200)), JobScript("watched", stages=ENDLESS))
    cluster: dict[str, Any] = {"cluster_id": CLUSTER, "base_url": api.url, "api_key": KEY, "jobs": ["watched"]}
    with Service(api, {**cluster, "requests_per_second": 0}) as service:
        before = service.scrape()
        for number in range(300):
            shown = service.probe(CLUSTER, str(number))
            assert shown.value("job_up", job_id=str(number)) == (number < 200)
            assert {dict(has)["job_id"] for has in shown.family("job_info")} == {str(number)}
            assert shown.family("cluster_up") == shown.family("api_requests_total") == {}
        assert len(service.backend.status().clusters[0].jobs) == 1
        after = service.scrape()
    assert set(after.family("job_info")) == set(before.family("job_info"))
    assert after.value("cluster_up") == 1
    assert '"5"' not in after.text
