from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace

import pytest

from exporter.model import ErrorClass, Job, Source, State
from exporter.watch.view import ClusterView, JobView
from exporter.web.status import CONTENT_SECURITY_POLICY, ClusterStatus, Status, render
from exporter.web.urls import Urls, urls_from_flags
from tests.web.backend import FakeBackend, running

NOW = 1_800_000_000.0
JOB = Job(
    "448761313698322011", "medium_articles", State.IMPORTING, 0.663, 1.5 * 2**30, 1_000_000, 250_000, file_states={
        State.COMPLETED: 3, State.FAILED: 1, State.PENDING: 8
    }
)  # fmt: skip
VIEW = JobView("in01-a", JOB.job_id, Source.CONFIG, "medium_articles", "default", NOW - 100, True, None, NOW - 200, JOB)
CLUSTER = ClusterStatus(
    ClusterView("in01-a", True, {Source.CONFIG: 1}, 0, 0, 1.5),
    "in01-a",
    "zilliz",
    "https://api.example",
    "",
    (VIEW,),
    1,
)


def page(*clusters: ClusterStatus, urls: Urls | None = None) -> str:
    html = render(Status("0.1.0", NOW - 3700, clusters), urls=urls or Urls(), now=NOW)
    return re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)


def test_a_job_is_shown_as_a_person_reads_it() -> None:
    html = page(CLUSTER)
    for piece in (
        "Version 0.1.0, up 1 h 1 m",
        "in01-a",
        "zilliz at https://api.example",
        "medium_articles",
        "448761313698322011",
        '<span class="badge importing">Importing</span>',
        "66.3 %",
        "1.50 GiB",
        "250,000 of 1.00 M",
        "3 of 12",
        "1 failed",
        "3 m 20 s ago",
        'value="66.3"',
    ):
        assert piece in html


def test_a_failed_job_gives_its_reason_and_an_unreadable_one_its_error() -> None:
    failed = replace(VIEW, job=replace(JOB, state=State.FAILED, reason="the field 'x' has dim 767"))
    unreadable = replace(VIEW, up=False, error=ErrorClass.TIMEOUT, job=None)
    html = page(replace(CLUSTER, jobs=(failed, unreadable)))
    assert "the field &#39;x&#39; has dim 767" in html
    assert '<span class="badge unreadable">Unreadable</span>' in html
    assert "<code>timeout</code>" in html


def test_a_very_long_reason_is_cut() -> None:
    html = page(replace(CLUSTER, jobs=(replace(VIEW, job=replace(JOB, state=State.FAILED, reason="x" * 5000)),)))
    assert "x" * 299 + "…" in html
    assert "x" * 300 not in html


def test_whatever_the_api_says_is_escaped() -> None:
    evil = "<script>alert(1)</script>\" onload='x'"
    job = replace(JOB, state=State.FAILED, reason=evil)
    view = replace(VIEW, collection_name=evil, db_name=evil, job=job, job_id=evil)
    html = page(replace(CLUSTER, cluster_id=evil, base_url=evil, dialect=evil, last_error=evil, jobs=(view,)))
    assert "<script" not in html
    assert "onload='" not in html


def test_what_cannot_be_seen_or_reorders_text_is_shown_as_its_escape() -> None:
    evil = "a\x1b[31m\x07\x9b\u202e\u2066\u200b\r\nb"
    job = replace(JOB, collection_name=evil, state=State.FAILED, reason=evil)
    view = replace(VIEW, collection_name=evil, db_name=evil, job=job, job_id=evil)
    html = page(replace(CLUSTER, cluster_id=evil, base_url=evil, dialect=evil, last_error=evil, jobs=(view,)))
    assert all(character.isprintable() or character == "\n" for character in html)
    assert html.count(r"a\x1b[31m\x07\x9b\u202e\u2066\u200b\r\nb") >= 7


@pytest.mark.parametrize("state", State)
def test_every_state_has_its_badge_and_its_word(state: State) -> None:
    html = page(replace(CLUSTER, jobs=(replace(VIEW, job=replace(JOB, state=state)),)))
    assert f'<span class="badge {state.lower()}">{state}</span>' in html
    css = render(Status("", 0, ()), urls=Urls(), now=NOW)
    assert f".badge.{state.lower()}" in css or state is State.PENDING


def test_empty_states_say_what_to_do() -> None:
    assert "No clusters are configured" in page()
    assert "Scrape this cluster now" in page(replace(CLUSTER, view=None, jobs=(), jobs_total=0))
    assert "job_lists" in page(replace(CLUSTER, jobs=(), jobs_total=0))


def test_jobs_that_were_never_asked_do_not_hide_how_to_ask() -> None:
    never = replace(VIEW, up=None, refreshed=None, job=None)
    html = page(replace(CLUSTER, view=None, jobs=(never,)))
    assert "Not asked yet" in html
    assert "Scrape this cluster now" in html
    assert "Scrape this cluster now" not in page(replace(CLUSTER, jobs=(never,)))


def test_a_list_that_cannot_be_read_is_not_called_empty() -> None:
    view = ClusterView("in01-a", False, {}, 0, 0, 1.5)
    html = page(replace(CLUSTER, view=view, last_error="Connection refused", jobs=(), jobs_total=0))
    assert "The job list could not be read: see the error above." in html
    assert "Start an import" not in html


def test_jobs_stand_in_order_of_concern_whatever_order_they_come_in() -> None:
    words = ("Unreadable", "Failed", "Unknown", "Uncommitted", "Importing", "Pending", "Not asked yet", "Completed")
    views = [replace(VIEW, job=replace(JOB, state=state)) for state in reversed(State)]
    views += [replace(VIEW, up=None, job=None), replace(VIEW, up=False, error=ErrorClass.TIMEOUT, job=None)]
    badges = re.findall(r'<span class="badge [a-z-]+">([^<]*)<', page(replace(CLUSTER, jobs=views, jobs_total=8)))
    assert badges == [*words, *words]


def test_when_the_last_scrape_was_and_how_long_it_took_cannot_be_mistaken() -> None:
    assert "<dt>Last scrape</dt><dd>12 s ago, took 1.5 s</dd>" in page(replace(CLUSTER, scraped=NOW - 12))
    assert "<dt>Last scrape</dt><dd>took 1.5 s</dd>" in page(CLUSTER)


def test_a_configuration_that_could_not_be_reloaded_is_on_the_page() -> None:
    assert "could not be reloaded" not in page(CLUSTER)
    for loaded, said in ((NOW - 200, "3 m 20 s ago"), (None, "never")):
        html = render(Status("0.1.0", NOW, (), reload_failed=True, loaded=loaded), urls=Urls(), now=NOW)
        assert "The configuration could not be reloaded." in html
        assert f"Last loaded without an error: {said}." in html


def test_trouble_of_a_cluster_is_shown() -> None:
    view = ClusterView("in01-a", False, {Source.DISCOVERY: 4000}, 12, 34, 9.5)
    html = page(replace(CLUSTER, view=view, last_error="list: connect", jobs_total=4000))
    for piece in ("verdict down", "list: connect", "12 waiting", "34 over max_jobs", "1 most urgent of 4000 jobs"):
        assert piece in html


def test_links_follow_the_external_url() -> None:
    html = page(CLUSTER, urls=urls_from_flags("/m", "https://example.org/zie", "/"))
    assert re.findall(r'href="(?!data:)([^"]*)"', html)
    assert all(link.startswith("/zie/") for link in re.findall(r'href="(?!data:)([^"]*)"', html))


def test_the_policy_allows_the_style_sheet_alone_and_nothing_is_fetched() -> None:
    html = render(Status("0.1.0", NOW, (CLUSTER,)), urls=Urls(), now=NOW)
    css = re.findall(r"<style>(.*?)</style>", html, flags=re.DOTALL)
    assert len(css) == 1
    digest = base64.b64encode(hashlib.sha256(css[0].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in CONTENT_SECURITY_POLICY
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY
    assert not re.search(r"<script|style=|src=|@import|url\(", html)


def test_the_page_is_served_with_its_policy() -> None:
    backend = FakeBackend(page=Status("0.1.0", 0, (CLUSTER,)))
    with running(backend) as server:
        response, body = server.get("/")
        assert response.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert b"medium_articles" in body
    assert backend.asked == []
