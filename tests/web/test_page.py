from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace

import pytest

from exporter.model import ErrorClass, State
from exporter.web import page
from exporter.web.filter import Filter
from exporter.web.page import CONTENT_SECURITY_POLICY, render
from exporter.web.status import ClusterStatus, Status
from exporter.web.urls import Urls, urls_from_flags
from tests.support.statuses import NOW, cluster, job, watched
from tests.web.backend import FakeBackend, running

EVIL = "<script>alert(1)</script>\" onload='x'"
REFRESH = '<meta http-equiv="refresh" content="15">'


def html(*clusters: ClusterStatus, urls: Urls | None = None, chosen: Filter | None = None) -> str:
    """The page without its style sheet and without the places where names may be broken."""
    whole = render(Status("0.1.0", NOW - 3700, clusters), urls=urls or Urls(), now=NOW, chosen=chosen)
    return re.sub(r"<style>.*?</style>|<wbr>", "", whole, flags=re.DOTALL)


def title(*clusters: ClusterStatus) -> str:
    return html(*clusters).partition("<title>")[2].partition("</title>")[0]


def test_a_job_is_shown_as_a_person_reads_it() -> None:
    shown = html(cluster([watched(job("448761313698322011"))]))
    for piece in (
        "Version 0.1.0, up 1 h 1 m",
        "in01-a",
        "zilliz at https://api.example",
        "medium_articles",
        "448761313698322011",
        "in default",
        '<span class="badge importing">Importing</span>',
        "66.3 %",
        "1.50 GiB",
        "250,000 of 1.00 M",
        "3 of 12",
        "1 failed",
        "3 m 20 s ago",
        "Created 1 h ago",
        "unchanged for 4 m 20 s",
        '<progress max="100" value="66.3"',
    ):
        assert piece in shown, piece


def test_whatever_the_api_says_is_escaped() -> None:
    said = replace(job(EVIL, State.FAILED, reason=EVIL), collection_name=EVIL)
    shown = html(
        cluster([watched(said, db_name=EVIL)], last_error=EVIL, discovery={"collections": ["a"]}),
        chosen=Filter(text=EVIL),
    )
    assert "alert(1)" in shown
    assert "<script" not in shown
    assert "onload='" not in shown


def test_what_cannot_be_seen_or_reorders_text_is_shown_as_its_escape() -> None:
    evil = "a\x1b[31m\x07\x9b\u202e\u2066\u200b\r\nb"
    said = replace(job(evil, State.FAILED, reason=evil), collection_name=evil)
    shown = html(cluster([watched(said, db_name=evil)], last_error=evil), chosen=Filter(text="\u202e"))
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert shown.count(r"a\x1b[31m\x07\x9b\u202e\u2066\u200b\r\nb") >= 5


def test_a_name_may_be_broken_after_its_separators_and_is_whole_otherwise() -> None:
    shown = render(Status("", 0, [cluster([watched(job("a&b-c_d"))])]), urls=Urls(), now=NOW)
    assert ">a&amp;b-<wbr>c_<wbr>d</a>" in shown


@pytest.mark.parametrize("state", [*State, "Unreadable", "Not queried"])
def test_every_state_has_its_badge_and_its_word(state: str) -> None:
    record = watched(None, error=ErrorClass.TIMEOUT if state == "Unreadable" else None)
    if isinstance(state, State):
        record = watched(job("1", state))
    name = state.lower().replace(" ", "-")
    assert f'<span class="badge {name}">{state}</span>' in html(cluster([record]))
    css = render(Status("", 0, ()), urls=Urls(), now=NOW)
    assert f".badge.{name}" in css or state == "Pending"


def test_it_reloads_itself_unless_switched_off() -> None:
    assert REFRESH in html(cluster())
    stopped = html(cluster(), chosen=Filter(reloads=False))
    assert REFRESH not in stopped
    assert '<input type="hidden" name="refresh" value="off">' in stopped


def test_the_title_counts_what_is_wrong() -> None:
    failed = [watched(job(str(number), State.FAILED)) for number in range(2)]
    assert title(cluster([watched(job("1"))])) == "Zilliz imports"
    assert title(cluster(failed)) == "2 failed · Zilliz imports"
    assert title(cluster(failed[:1]), cluster(failed), cluster(up=False)) == "1 down, 3 failed · Zilliz imports"


def test_there_is_a_list_of_clusters_if_there_are_more_than_two() -> None:
    names = ["in01-a", "in01-b", "in01-c"]
    two, three = (html(*(cluster(cluster_id=name) for name in names[:number])) for number in (2, 3))
    assert 'class="clusters"' not in two
    assert [f'<a href="#cluster-{number}">{name}</a>' in three for number, name in enumerate(names, 1)] == [True] * 3


def test_a_filter_stays_in_all_that_leads_back_to_the_page() -> None:
    chosen = Filter(text="a b", state="failed", reloads=False)
    shown = html(cluster([watched(job("1"))]), chosen=chosen)
    for piece in (
        'value="a b"',
        '<option value="failed" selected>Failed</option>',
        'action="/-/scrape?target=in01-a&amp;q=a+b&amp;state=failed&amp;refresh=off"',
        'href="/?q=a+b&amp;state=importing&amp;refresh=off"',
        'href="/?q=a+b&amp;state=failed"',
        "None of the 1 jobs matches.",
    ):
        assert piece in shown, piece


def test_a_page_that_shows_a_part_of_the_jobs_says_so() -> None:
    records = [watched(job(str(number))) for number in range(201)]
    assert "The 200 most urgent of 201 jobs" in html(cluster(records))
    assert "1 of 201 jobs match." in html(cluster(records), chosen=Filter(text="107"))
    assert "jobs match" not in html(cluster(records[:2]))


def test_a_page_without_clusters_says_what_to_do() -> None:
    assert "No clusters are configured" in html()


def test_a_configuration_that_could_not_be_reloaded_is_on_the_page() -> None:
    assert "could not be reloaded" not in html(cluster())
    for loaded, said in ((NOW - 200, "3 m 20 s ago"), (None, "never")):
        shown = render(Status("0.1.0", NOW, (), reload_failed=True, loaded=loaded), urls=Urls(), now=NOW)
        assert "The configuration could not be reloaded." in shown
        assert f"Last loaded without an error: {said}." in shown


def test_links_and_forms_follow_the_external_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "DOCUMENTS", "")
    clusters = [cluster([watched(job("1"))], cluster_id=name) for name in "abc"]
    shown = html(*clusters, urls=urls_from_flags("/m", "https://example.org/zie", "/"), chosen=Filter(text="m"))
    found = re.findall(r'(?:href|action)="(?!data:|#)([^"]*)"', shown)
    assert len(found) > 10
    assert all(link.startswith("/zie/") for link in found)


def test_the_documents_are_linked_where_the_package_says_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "DOCUMENTS", "")
    assert "Documents" not in html()
    monkeypatch.setattr(page, "DOCUMENTS", "https://docs.example/")
    assert '<a href="https://docs.example/">Documents</a>' in html()


def test_the_policy_allows_the_style_sheet_alone_and_nothing_is_fetched() -> None:
    whole = render(Status("0.1.0", NOW, [cluster([watched(job("1"))])]), urls=Urls(), now=NOW)
    css = re.findall(r"<style>(.*?)</style>", whole, flags=re.DOTALL)
    assert len(css) == 1
    digest = base64.b64encode(hashlib.sha256(css[0].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in CONTENT_SECURITY_POLICY
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY
    assert not re.search(r"<script|style=|src=|@import|url\(", whole)


def test_the_page_is_served_with_its_policy() -> None:
    backend = FakeBackend(page=Status("0.1.0", 0, [cluster([watched(job("1"))])]))
    with running(backend) as server:
        response, body = server.get("/")
        assert response.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert b"medium_" in body
    assert backend.asked == []
