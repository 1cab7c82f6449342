"""The form of the status page that scrapes a cluster, and the queries that the page takes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from exporter.collector.collector import UnknownClusterError
from exporter.web.urls import urls_from_flags
from tests.web.backend import PATIENT, FakeBackend, running

PATH = "/-/scrape?target=in01-a"


@pytest.mark.parametrize(
    ("query", "location"),
    [
        ("", "/"),
        ("&q=a+b&state=failed&refresh=off", "/?q=a+b&state=failed&refresh=off"),
        ("&q=//evil.example%0d%0aX:1&other=1", "/?q=//evil.example%0D%0AX:1"),
        ("&q=a%26state%3Dfailed%2Bb", "/?q=a%26state%3Dfailed%2Bb"),
    ],
)
def test_it_scrapes_the_cluster_and_leads_back_to_the_page_as_it_was(query: str, location: str) -> None:
    backend = FakeBackend()
    with running(backend) as server:
        response, _ = server.get(PATH + query, method="POST")
    assert (response.status, response.headers["Location"]) == (303, location)
    assert backend.asked == [("scrape", "in01-a")]


def test_it_lives_below_the_route_prefix_and_leads_back_to_where_the_proxy_has_the_page() -> None:
    settings = replace(PATIENT, urls=urls_from_flags("/metrics", "https://example.org/zie", "/inner"))
    with running(FakeBackend(), settings) as server:
        response, _ = server.get("/inner" + PATH, method="POST")
        assert (response.status, response.headers["Location"]) == (303, "/zie/")
        assert server.get(PATH, method="POST")[0].status == 404


@pytest.mark.parametrize("query", ["", "?target=", "?target=in01-x", "?target=in01-a&target=in01-b"])
def test_a_target_that_is_not_configured_is_400(query: str) -> None:
    backend = FakeBackend()
    with running(backend) as server:
        response, body = server.get("/-/scrape" + query, method="POST")
    assert response.status == 400
    assert b"target" in body
    assert backend.asked == []


def test_a_cluster_that_a_reload_dropped_meanwhile_is_400() -> None:
    def dropped() -> None:
        raise UnknownClusterError("in01-a")

    with running(FakeBackend(before=dropped)) as server:
        assert server.get(PATH, method="POST")[0].status == 400


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_another_method_is_405_and_scrapes_nothing(method: str) -> None:
    backend = FakeBackend()
    with running(backend) as server:
        assert server.get(PATH, method=method)[0].status == 405
    assert backend.asked == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://exporter:10530"},
        {"Origin": "https://Exporter:10530"},
        {"Origin": "https://example.org"},
    ],
)
def test_its_own_form_and_whoever_sends_no_origin_may_scrape(headers: dict[str, str]) -> None:
    settings = replace(PATIENT, urls=urls_from_flags("/metrics", "https://example.org/", None))
    with running(FakeBackend(), settings) as server:
        response, _ = server.get(PATH, method="POST", headers={"Host": "exporter:10530", **headers})
    assert response.status == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://exporter:10530"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://evil.example/exporter:10530"},
        {"Origin": "null"},
        {"Origin": ""},
    ],
)
def test_a_page_of_another_site_cannot_make_a_browser_scrape(headers: dict[str, str]) -> None:
    backend = FakeBackend()
    with running(backend) as server:
        response, body = server.get(PATH, method="POST", headers={"Host": "exporter:10530", **headers})
    assert response.status == 403
    assert b"--web.external-url" in body
    assert backend.asked == []


def test_a_state_that_is_none_of_the_pages_is_400_and_names_them() -> None:
    with running(FakeBackend()) as server:
        response, body = server.get("/?state=failing")
        assert response.status == 400
        assert b"failed, unreadable" in body
        for query in ("?q=%ff%00&refresh=off", "?refresh=whatever", "?state=&q=", "?state=not-queried"):
            assert server.get("/" + query)[0].status == 200
