"""Self-hosted Milvus: how it is asked, what it answers, and what stays exposed once it has forgotten a job."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from tests.discovery.bench import Service, asked, lists, milvus
from tests.support.simulated import MILVUS, JobScript, SimulatedApi, Stages
from tests.support.simulated.faults import Respond, Rewrite

ROOT = "/v2/vectordb/jobs/import/"
JOB = "461000000000000001"
RETENTION = 10_800.0
ENDLESS = Stages(pending=0, preimporting=0, importing=1e9)
SHORT = Stages(1, 1, 1, 1, 1)


@pytest.fixture
def api() -> Iterator[SimulatedApi]:
    with SimulatedApi() as running:
        yield running


def add(api: SimulatedApi, *jobs: JobScript) -> None:
    api.add(*jobs, cluster=MILVUS)


def code(value: object) -> Callable[[bytes], bytes]:
    """The reply with another `code`."""
    return lambda body: json.dumps({**json.loads(body), "code": value}).encode()


@pytest.mark.parametrize("path", [None, "get_progress"])
def test_jobs_are_asked_by_the_path_of_the_server(api: SimulatedApi, path: str | None) -> None:
    add(api, JobScript(JOB, stages=ENDLESS))
    keys = {} if path is None else {"progress_path": path}
    with Service(api, milvus(api, **keys)) as service:
        assert service.scrape().state(JOB) == "Importing"
    assert {request.path for request in api.requests} == {f"{ROOT}{path or 'describe'}", f"{ROOT}list"}
    assert {tuple(request.fields) for request in api.requests} == {("jobId",), ()}


def test_a_path_that_the_server_does_not_know_is_no_unknown_job(api: SimulatedApi) -> None:
    add(api, JobScript(JOB, stages=ENDLESS))
    with Service(api, milvus(api, progress_path="getProgress")) as service:
        shown = service.scrape()
        assert shown.error(JOB) == "http"
        assert shown.value("cluster_up") == 0
        service.passes(15)
        assert service.scrape().error(JOB) == "http"
    assert asked(api.requests)[JOB] == 2


def test_user_and_password_are_sent_as_a_bearer_and_nothing_where_there_is_none(api: SimulatedApi) -> None:
    add(api, JobScript(JOB, stages=ENDLESS))
    with Service(api, milvus(api)) as service:
        assert service.scrape().value("cluster_up") == 1
    assert not any(request.authorized for request in api.requests)
    api.reset()
    api.milvus.users = {"exporter": "pass:word"}
    with Service(api, milvus(api, api_key="exporter:pass:word")) as service:
        assert service.scrape().value("cluster_up") == 1
    assert {request.headers["authorization"] for request in api.requests} == {"Bearer exporter:pass:word"}
    with Service(api, milvus(api, api_key="exporter:wrong", jobs=[JOB])) as service:
        shown = service.scrape()
    assert shown.error(JOB) == "auth"
    assert shown.value("cluster_up") == 0


def test_a_missing_privilege_is_auth(api: SimulatedApi) -> None:
    add(api, JobScript(JOB, stages=ENDLESS))
    api.milvus.users = {"exporter": "password"}
    api.milvus.unprivileged = {"exporter"}
    with Service(api, milvus(api, api_key="exporter:password", jobs=[JOB])) as service:
        assert service.scrape().error(JOB) == "auth"


def test_the_database_is_the_configured_one_or_that_of_the_list(api: SimulatedApi) -> None:
    jobs = {"461000000000000001": "analytics", "461000000000000002": "archive", "461000000000000003": "default"}
    add(api, *(JobScript(job_id, db_name=database, stages=ENDLESS) for job_id, database in jobs.items()))
    discovery = {"databases": ["analytics", "archive"], "collections": ["articles"]}
    with Service(api, milvus(api, db_name="default", discovery=discovery, jobs=["461000000000000003"])) as service:
        shown = service.scrape()
    sent = {request.job_id: request.headers["db-name"] for request in api.requests if request.job_id}
    assert sent == jobs
    listed = {request.fields["dbName"] for request in api.requests if request.operation == "list"}
    assert listed == {"analytics", "archive"}
    assert {dict(has)["job_id"]: dict(has)["db_name"] for has in shown.family("job_info")} == jobs
    sources = {dict(has)["job_id"]: dict(has)["source"] for has in shown.family("job_info")}
    assert sources == {**dict.fromkeys(jobs, "discovery"), "461000000000000003": "config"}


def test_a_collection_that_does_not_exist_fails_the_list_and_no_job(api: SimulatedApi) -> None:
    add(api, JobScript(JOB, stages=ENDLESS))
    with Service(api, milvus(api, discovery={"collections": ["dropped"]}, jobs=[JOB])) as service:
        shown = service.scrape()
    assert shown.value("job_up", job_id=JOB) == 1
    assert shown.value("cluster_up") == 0
    assert shown.value("api_errors_total", operation="list", error="api") == 1


@pytest.mark.parametrize("success", [0, 200, "0", "200"])
def test_every_code_of_success_is_one(api: SimulatedApi, success: object) -> None:
    add(api, JobScript(JOB, stages=ENDLESS))
    api.faults.inject(Rewrite(code(success)))
    with Service(api, milvus(api)) as service:
        shown = service.scrape()
    assert (shown.state(JOB), shown.value("cluster_up")) == ("Importing", 1)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"code": 1, "message": "service not ready[=0]: Initializing"}, "api"),
        ({"code": 1800, "message": "user hasn't authenticated"}, "auth"),
        ({"code": 1807, "message": "request is rejected by limiter"}, "rate_limited"),
        ({"code": 2100, "message": f"import job does not exist, jobID={JOB}: importing data failed"}, "vanished"),
        ({"code": 2101, "message": f"import job does not exist, jobID={JOB}"}, "vanished"),
        ({"code": 2100, "message": "parse job id failed, err=%wstrconv.ParseInt"}, "api"),
        ({"code": 65535, "message": "rpc error: code = Unavailable"}, "api"),
        ({"code": 0, "message": "The token is illegal."}, "payload"),
    ],
)
def test_errors_under_http_200(api: SimulatedApi, body: dict[str, object], error: str) -> None:
    add(api, JobScript(JOB, stages=ENDLESS), JobScript("461000000000000002", stages=ENDLESS))
    with Service(api, milvus(api)) as service:
        service.scrape()
        api.faults.inject(Respond(body=json.dumps(body).encode()), job_ids=[JOB])
        service.passes(15)
        shown = service.scrape()
    assert shown.error(JOB) == error
    assert set(shown.about(JOB)) == {"job_info", "job_up", "job_error"}
    assert shown.value("job_up", job_id="461000000000000002") == 1
    assert shown.value("cluster_up") == 1


def test_a_finished_job_stays_exposed_after_the_server_forgot_it(api: SimulatedApi) -> None:
    add(api, JobScript(JOB, stages=SHORT, retention=RETENTION))
    with Service(api, milvus(api)) as service:
        service.scrape()
        service.passes(60)
        finished = service.scrape().about(JOB)
        service.passes(RETENTION + 60)
        assert service.scrape().about(JOB) == finished
        service.passes(3600)
        shown = service.scrape()
        assert shown.about(JOB) == finished
        assert shown.state(JOB) == "Completed"
        assert shown.value("cluster_up") == 1
        forgotten = [request for request in api.requests if request.job_id == JOB]
        # It was asked when it ran, when it finished, and for re-checks; never more.
        assert len(forgotten) == 4
        service.passes(24 * 3600)
        assert service.scrape().about(JOB) == {}


def test_a_configured_job_that_the_server_forgot_expires_after_its_time(api: SimulatedApi) -> None:
    add(api, JobScript(JOB, stages=SHORT, retention=RETENTION))
    config = milvus(api, jobs=[JOB])
    del config["discovery"]
    with Service(api, config) as service:
        service.passes(60)
        assert service.scrape().state(JOB) == "Completed"
        service.passes(RETENTION + 60)
        assert service.scrape().state(JOB) == "Completed"
        service.passes(24 * 3600)
        service.scrape()
        shown = service.scrape()
        assert shown.error(JOB) == "expired"
        assert shown.value("cluster_up") == 1


def test_a_completed_job_that_turns_failed_is_shown_failed(api: SimulatedApi) -> None:
    add(api, JobScript(JOB, stages=SHORT, fails_after=1000, reason="collection 461 dropped"))
    with Service(api, milvus(api)) as service:
        service.passes(60)
        assert service.scrape().state(JOB) == "Completed"
        service.passes(960)
        shown = service.scrape()
        assert shown.state(JOB) == "Failed"
        assert shown.value("job_failure_info", job_id=JOB, reason="collection 461 dropped") == 1
        service.passes(RETENTION + 1200)
        assert service.scrape().state(JOB) == "Failed"


def test_an_uncommitted_job_is_asked_at_every_scrape_and_never_ends_by_itself(api: SimulatedApi) -> None:
    add(api, JobScript(JOB, stages=SHORT, auto_commit=False, commits_after=7 * 86_400.0))
    with Service(api, milvus(api)) as service:
        service.passes(60)
        for _ in range(5):
            shown = service.scrape()
            assert shown.state(JOB) == "Uncommitted"
            assert shown.value("job_progress_ratio", job_id=JOB) == 0.99
            service.passes(86_400)
        assert asked(api.requests)[JOB] == 5
        service.passes(2 * 86_400)
        assert service.scrape().state(JOB) == "Completed"


def test_a_falsely_empty_list_ends_no_job(api: SimulatedApi) -> None:
    add(api, JobScript(JOB, stages=ENDLESS), JobScript("461000000000000002", stages=SHORT, retention=1e9))
    with Service(api, milvus(api, discovery={"refresh_interval": "0s"})) as service:
        service.scrape()
        service.passes(60)
        service.scrape()
        api.milvus.coordinator = "unreachable"
        for _ in range(3):
            service.passes(60)
            shown = service.scrape()
            assert shown.error(JOB) == "api"
            assert shown.state("461000000000000002") == "Completed"
        api.milvus.coordinator = "healthy"
        service.passes(60)
        assert service.scrape().value("job_up", job_id=JOB) == 1


def test_a_start_with_a_falsely_empty_list_takes_its_time_to_tell_old_jobs(api: SimulatedApi) -> None:
    add(api, JobScript(JOB, stages=SHORT, starts_at=-90_000, retention=1e9))
    api.milvus.coordinator = "unreachable"
    with Service(api, milvus(api, discovery={"refresh_interval": "0s"})) as service:
        service.scrape()
        api.milvus.coordinator = "healthy"
        service.scrape()
        assert service.scrape().family("job_info") == {}
    assert asked(api.requests)[JOB] == 1


def test_more_jobs_than_a_page_are_one_call(api: SimulatedApi) -> None:
    add(api, *(JobScript(str(461_000_000_000_000_000 + number), stages=ENDLESS) for number in range(250)))
    with Service(api, milvus(api)) as service:
        assert len(service.scrape().family("job_up")) == 250
    assert lists(api.requests) == 1
