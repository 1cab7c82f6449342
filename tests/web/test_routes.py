from __future__ import annotations

import gzip
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from exporter.collector.collector import UnknownClusterError
from exporter.web.routes import Reloaded
from exporter.web.urls import urls_from_flags
from tests.web.backend import PATIENT, FakeBackend, FakeBody, running

OPENMETRICS = "application/openmetrics-text;version=1.0.0"


def test_metrics_in_both_formats_plain_and_compressed() -> None:
    backend = FakeBackend()
    with running(backend) as server:
        response, body = server.get("/metrics")
        assert (response.status, body) == (200, backend.text)
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert response.headers["Vary"] == "Accept, Accept-Encoding"
        assert response.headers["Content-Length"] == str(len(body))
        assert "Content-Encoding" not in response.headers
        response, body = server.get("/metrics", headers={"Accept": OPENMETRICS, "Accept-Encoding": "gzip"})
        assert response.headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
        assert response.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(body) == backend.text + b"# EOF\n"


def test_the_first_scrape_is_logged_with_who_made_it() -> None:
    with capture_logs() as logs, running(FakeBackend()) as server:
        server.get("/-/healthy", headers={"User-Agent": "kube-probe/1.33"})
        server.get("/metrics", headers={"User-Agent": "Prometheus/3.5.0"})
        server.get("/probe?target=in01-a", headers={"User-Agent": "vmagent"})
    assert [(entry["path"], entry["user_agent"]) for entry in logs if entry["event"] == "First scrape"] == [
        ("/metrics", "Prometheus/3.5.0")
    ]


def test_a_large_body_arrives_whole() -> None:
    backend = FakeBackend(text=b"".join(b'a_metric{n="%d"} 1\n' % number for number in range(200_000)))
    with running(backend) as server:
        for headers in ({}, {"Accept-Encoding": "gzip"}):
            response, body = server.get("/metrics", headers=headers)
            assert response.headers["Content-Length"] == str(len(body))
            assert (gzip.decompress(body) if headers else body) == backend.text


def test_timeout_header_and_scope_reach_the_backend() -> None:
    backend = FakeBackend()
    with running(backend) as server:
        server.get("/metrics", headers={"X-Prometheus-Scrape-Timeout-Seconds": "10"})
        server.get("/metrics?scope=exporter&unheard=of")
        server.get("/probe?target=in01-a", headers={"X-Prometheus-Scrape-Timeout-Seconds": "junk"})
        server.get("/probe?target=in01-b&job_id=448761313698322011")
        server.get("/probe?target=in01-b&job_id=1&debug=true")
        server.get("/probe?target=in01-b&debug=false")
    assert backend.asked == [
        ("metrics", "10", "all"),
        ("metrics", None, "exporter"),
        ("probe", "in01-a", None, "junk"),
        ("probe", "in01-b", "448761313698322011", None),
        ("debug", "in01-b", "1", None),
        ("probe", "in01-b", None, None),
    ]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/metrics?scope=all", b"scope"),
        ("/metrics?scope=", b"scope"),
        ("/metrics?scope=exporter&scope=exporter", b"more than once"),
        ("/probe", b"target is missing"),
        ("/probe?target=in01", b"; /sd lists them"),
        ("/probe?target=in01-a&debug=yes", b"debug must be true or false"),
        ("/probe?target=in01-a&debug=", b"debug must be true or false"),
        ("/probe?target=", b"target is missing"),
        ("/probe?target=unknown", b"id of a configured cluster"),
        ("/probe?target=http://169.254.169.254/", b"id of a configured cluster"),
        ("/probe?target=in01-a&target=in01-b", b"more than once"),
        ("/probe?target=in01-a&job_id=", b"job_id must be"),
        ("/probe?target=in01-a&job_id=a%0Ab", b"job_id must be"),
        ("/probe?target=in01-a&job_id=1%00", b"job_id must be"),
        ("/probe?target=in01-a&job_id=" + "1" * 129, b"job_id must be"),
        ("/probe?target=in01-a&job_id=%D9%A1", b"job_id must be"),
    ],
)
def test_bad_parameters_are_400_with_a_sentence_that_echoes_nothing(path: str, words: bytes) -> None:
    backend = FakeBackend()
    with running(backend) as server:
        response, body = server.get(path)
        assert response.status == 400
        assert words in body
        assert b"unknown" not in body
        assert b"169.254" not in body
        assert b"in01" not in body
    assert backend.asked == []


def test_a_job_id_of_10_kb_is_refused() -> None:
    with running(FakeBackend()) as server:
        response, _ = server.get("/probe?target=in01-a&job_id=" + "1" * 10_000)
        assert response.status == 400


def test_a_cluster_that_vanishes_in_a_reload_is_400() -> None:
    def vanish() -> None:
        raise UnknownClusterError

    with running(FakeBackend(before=vanish)) as server:
        assert server.get("/probe?target=in01-a")[0].status == 400
        assert server.get("/probe?target=in01-a&debug=true")[0].status == 400


@pytest.mark.parametrize(
    "path", ["/nothing", "/metrics/", "//metrics", "/-/", "/-/../metrics", "/metrics%00", "/METRICS"]
)
def test_anything_else_is_404(path: str) -> None:
    with running(FakeBackend()) as server:
        assert server.get(path)[0].status == 404


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/metrics", "GET,HEAD"),
        ("DELETE", "/", "GET,HEAD"),
        ("OPTIONS", "/probe", "GET,HEAD"),
        ("PUT", "/-/healthy", "GET,HEAD"),
        ("GET", "/-/reload", "POST,PUT"),
        ("HEAD", "/-/reload", "POST,PUT"),
    ],
)
def test_other_methods_are_405_and_say_which_are_right(method: str, path: str, allow: str) -> None:
    with running(FakeBackend()) as server:
        response, _ = server.get(path, method=method)
        assert response.status == 405
        assert response.headers["Allow"] == allow


@pytest.mark.parametrize("path", ["/metrics", "/probe?target=in01-a", "/sd", "/", "/-/healthy", "/-/ready"])
def test_head_has_the_headers_and_no_body(path: str) -> None:
    backend = FakeBackend()
    with running(backend) as server:
        response, body = server.get(path, method="HEAD")
        assert (response.status, body) == (200, b"")
        assert response.headers["Content-Type"] == server.get(path)[0].headers["Content-Type"]


def test_head_asks_no_api() -> None:
    backend = FakeBackend()
    with running(backend) as server:
        server.get("/metrics", method="HEAD")
        assert server.get("/probe?target=unknown", method="HEAD")[0].status == 400
    assert backend.asked == []


def test_reload_is_forbidden_unless_enabled() -> None:
    backend = FakeBackend()
    with running(backend) as server:
        assert server.get("/-/reload", method="POST")[0].status == 403
    assert backend.asked == []


def test_reload_answers_what_came_of_it() -> None:
    backend = FakeBackend()
    with running(backend, replace(PATIENT, enable_lifecycle=True)) as server:
        assert server.get("/-/reload", method="POST")[0].status == 200
        problems = ("clusters[0].jobs[1]: is a number to YAML; put it in quotes",)
        for replaced, outcome in ((False, b"was not replaced:"), (True, b"was replaced, except:")):
            backend.reloaded = Reloaded(replaced, problems)
            response, body = server.get("/-/reload", method="PUT")
            assert response.status == 500
            assert outcome in body
            assert b"clusters[0].jobs[1]" in body


def test_health_pages_and_reload_answer_while_scrapes_hang_and_scrapes_above_the_limit_get_503() -> None:
    release, entered = threading.Event(), threading.Semaphore(0)

    def hang() -> None:
        entered.release()
        assert release.wait(20)

    backend = FakeBackend(before=hang)
    settings = replace(PATIENT, max_requests=2, enable_lifecycle=True)
    with running(backend, settings) as server, ThreadPoolExecutor(2) as pool:
        scrapes = [pool.submit(server.get, path) for path in ("/metrics", "/probe?target=in01-a")]
        try:
            assert entered.acquire(timeout=10)
            assert entered.acquire(timeout=10)
            for path in ("/-/healthy", "/-/ready", "/", "/sd"):
                assert server.get(path)[0].status == 200
            assert server.get("/-/reload", method="POST")[0].status == 200
            for path in ("/metrics", "/probe?target=in01-a", "/probe?target=in01-a&debug=true"):
                response, _ = server.get(path)
                assert response.status == 503
                assert response.headers["Retry-After"] == "1"
            assert server.get("/-/scrape?target=in01-a", method="POST")[0].status == 503
        finally:
            release.set()
        assert [scrape.result()[0].status for scrape in scrapes] == [200, 200]
        assert server.get("/metrics")[0].status == 200


def test_no_limit_where_it_is_0() -> None:
    everybody = threading.Barrier(20)
    backend = FakeBackend(before=lambda: everybody.wait(20))
    with running(backend, replace(PATIENT, max_requests=0)) as server, ThreadPoolExecutor(20) as pool:
        statuses = [pool.submit(server.get, "/metrics") for _ in range(20)]
        assert {scrape.result()[0].status for scrape in statuses} == {200}


def test_a_bug_is_500_without_its_text_and_costs_one_answer() -> None:
    def fail() -> None:
        raise RuntimeError("a secret")

    backend = FakeBackend(before=fail)
    with running(backend) as server:
        response, body = server.get("/metrics")
        assert response.status == 500
        assert b"secret" not in body
        assert b"Traceback" not in body
        backend.before = lambda: None
        assert server.get("/metrics")[0].status == 200


def test_a_body_that_breaks_off_cannot_be_taken_for_a_whole_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: FakeBody, *, openmetrics: bool, gzip: bool) -> object:
        yield b"x" * 1000
        raise RuntimeError

    monkeypatch.setattr(FakeBody, "chunks", broken)
    with running(FakeBackend(text=b"x" * 1_000_000)) as server, pytest.raises(Exception, match=r"IncompleteRead|reset"):
        server.get("/metrics")


def test_service_discovery_points_back_at_where_it_was_asked() -> None:
    with running(FakeBackend()) as server:
        response, body = server.get("/sd", headers={"Host": "exporter:10530"})
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
        groups = json.loads(body)
        assert [group["targets"] for group in groups] == [["exporter:10530"]] * 3
        assert groups[0]["labels"]["__scheme__"] == "http"
        for host in ("evil/path", "user@evil", "a b", "[::1"):
            assert server.get("/sd", headers={"Host": host})[0].status == 400


def test_the_external_url_replaces_the_host_header() -> None:
    settings = replace(PATIENT, urls=urls_from_flags("/metrics", "https://example.org/exporter", None))
    with running(FakeBackend(), settings) as server:
        groups = json.loads(server.get("/exporter/sd", headers={"Host": "?"})[1])
        assert groups[0]["targets"] == ["example.org"]
        assert groups[0]["labels"]["__metrics_path__"] == "/exporter/probe"


def test_everything_is_below_the_prefix_and_the_root_leads_there() -> None:
    settings = replace(PATIENT, urls=urls_from_flags("/scrape", "http://example.org/zie/", None))
    with running(FakeBackend(), settings) as server:
        response, _ = server.get("/")
        assert (response.status, response.headers["Location"]) == (302, "/zie/")
        for path in ("/zie", "/zie/", "/zie/scrape", "/zie/-/healthy", "/zie/probe?target=in01-a"):
            assert server.get(path)[0].status == 200
        for path in ("/scrape", "/-/healthy", "/zie/metrics", "/ziescrape"):
            assert server.get(path)[0].status == 404
        assert b'href="/zie/scrape"' in server.get("/zie/")[1]


def test_no_answer_names_software_versions() -> None:
    with running(FakeBackend()) as server:
        for path in ("/metrics", "/nothing", "/"):
            assert server.get(path)[0].headers["Server"] == "zilliz-import-exporter"
