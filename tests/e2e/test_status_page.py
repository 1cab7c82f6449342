"""The status page as a person sees it, in the real Chromium, with script switched off."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from exporter.model import ErrorClass, State
from exporter.web.status import Status
from tests.support.exporter import Exporter
from tests.support.program import wait_for
from tests.support.simulated import CLUSTER, KEY, JobScript, SimulatedApi
from tests.support.statuses import NOW, cluster, job, watched
from tests.web.backend import FakeBackend, running

pytestmark = [pytest.mark.e2e, pytest.mark.needs("chromium")]

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=alert(1)>"
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]
WIDTHS = (320, 390, 768, 1000, 1200, 1600)

# The contrast of each text with what is behind it, as WCAG 2 defines it; the page has no image or gradient behind text.
CONTRASTS = """() => {
  const rgb = color => color.match(/[0-9.]+/g).map(Number);
  const linear = c => c / 255 <= .03928 ? c / 255 / 12.92 : ((c / 255 + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const color = rgb(getComputedStyle(at).backgroundColor);
      if (color.length < 4 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.body.querySelectorAll("*")) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!own && element.tagName !== "INPUT" || !element.getClientRects().length) continue;
    const colors = [light(rgb(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(...colors) + .05) / (Math.min(...colors) + .05);
    found.push([ratio, element.className + ": " + element.textContent.trim().slice(0, 40)]);
  }
  return found;
}"""

# What is wider than its box, or longer than the word that it breaks.
OVERFLOWING = """() => [...document.querySelectorAll("main *")]
  .filter(element => element.getClientRects().length && getComputedStyle(element).display !== "inline")
  .filter(element => element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 1)
  .map(element => element.tagName + "." + element.className + ": " + element.textContent.trim().slice(0, 40))"""

# How often each element's text was broken within a word: its lines, less those that the breaks between words allow.
BROKEN = """() => [
  ...document.querySelectorAll("h2, dt, td.name > span, td.name a, td.number, td.age, .badge, .verdict")]
  .filter(element => element.getClientRects().length)
  .flatMap(element => {
    const broken = [];
    const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
    for (let node; node = walker.nextNode();)
      for (const {0: word, index} of node.data.matchAll(/[\\p{L}\\p{N}]+/gu)) {
        const range = document.createRange();
        range.setStart(node, index);
        range.setEnd(node, index + word.length);
        if (new Set([...range.getClientRects()].map(box => box.top)).size > 1) broken.push(word);
      }
    return broken;
  })"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    with SimulatedApi() as api:
        api.add(
            JobScript("running", "medium_articles"),
            JobScript("failed", "reviews", fails_after=30, reason=HOSTILE),
            JobScript("done", "products", starts_at=-1000),
        )
        api.clock.set(80)
        jobs = ["running", "failed", "done", "unknown"]
        config = {"clusters": [{"cluster_id": CLUSTER, "base_url": api.url, "api_key": KEY, "jobs": jobs}]}
        with Exporter(config, tmp_path_factory.mktemp("exporter")) as started:
            yield started


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1400, "height": 900}, java_script_enabled=False)
    yield context.new_page()
    context.close()


def everything() -> Status:
    """Five clusters in all conditions, with names that are long, hostile and absent."""
    long_name = "product_reviews_embeddings_v2_2026_11"
    first = [
        watched(job("448761313698322011")),
        watched(job("448761313698322012", State.FAILED, reason="the field 'x' has dim 767", collection_name=long_name)),
        watched(job("448761313698322013", State.FAILED, None, reason=HOSTILE, collection_name=HOSTILE)),
        watched(job("448761313698322014", State.COMPLETED, 1.0, collection_name="events")),
        watched(job("448761313698322015", State.UNCOMMITTED, 1.0, rows=999_999, imported_rows=999_999)),
        watched(job("448761313698322016", State.UNKNOWN, 0.2, collection_name="odd")),
        watched(job("448761313698322017", State.PENDING, 0.0, collection_name="x" * 255)),
        watched(job("4" * 128, State.PENDING, 0.0, created_at=None)),
        watched(None, job_id="448761313698322018"),
        watched(None, job_id="448761313698322019", error=ErrorClass.NOT_FOUND),
        watched(job("448761313698322020"), error=ErrorClass.TIMEOUT),
    ]
    alone = [watched(job("1"), error=ErrorClass.STARVED), watched(job("2", State.COMPLETED))]
    listed = {State.COMPLETED: 18, State.FAILED: 2}
    clusters = [
        cluster(first, waiting=2, omitted=3, discovery={}),
        cluster(alone, cluster_id="milvus-demo", api="milvus", base_url="http://milvus:19530", scraped=NOW - 900),
        cluster(cluster_id="in01-0123456789abcde", up=False, last_error="connection refused by api.example:443"),
        cluster(cluster_id="in01-empty", listed=listed, discovery={"collections": ["reviews", "events"]}),
        cluster(cluster_id="in01-new", scraped=None),
    ]
    return Status("0.1.0", NOW - 3700, clusters, reload_failed=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_at_every_width_it_fits_breaks_no_word_and_can_be_read(
    browser: Browser, width: int, scheme: Literal["light", "dark"], tmp_path: Path
) -> None:
    with running(FakeBackend(page=everything())) as server:
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"http://{server.host}:{server.port}/?refresh=off")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(OVERFLOWING) == []
        assert [word for word in page.evaluate(BROKEN) if len(word) <= 20] == []
        assert [text for ratio, text in page.evaluate(CONTRASTS) if ratio < 4.5] == []
        page.screenshot(path=tmp_path / f"{scheme}-{width}.png", full_page=True)
        assert complaints == []
        page.close()


def test_on_a_phone_a_job_is_two_lines(browser: Browser) -> None:
    with running(FakeBackend(page=everything())) as server:
        page = browser.new_page(viewport={"width": 390, "height": 900})
        page.goto(f"http://{server.host}:{server.port}/?q=448761313698322011")
        row = page.locator("table.jobs tbody tr")
        box = row.bounding_box()
        assert box is not None
        assert box["height"] <= 64
        assert row.inner_text().split() == ["medium_articles", "448761313698322011", "Importing", "66.3", "%"]
        page.close()


@pytest.mark.parametrize("width", [320, 1600])
def test_its_tables_stay_tables_for_a_screen_reader(browser: Browser, width: int) -> None:
    with running(FakeBackend(page=everything())) as server:
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.goto(f"http://{server.host}:{server.port}/?q=448761313698322011")
        table = page.get_by_role("table", name="in01-a")
        assert table.get_by_role("columnheader").count() >= 3
        headers = [each.split() for each in table.get_by_role("columnheader").all_inner_texts()]
        assert headers[:3] == [["Collection", "and", "job"], ["State"], ["Progress"]]
        assert table.get_by_role("row").count() == 2
        assert table.get_by_role("cell", name="Importing").count() == 1
        assert table.get_by_role("progressbar", name="Progress of job 448761313698322011").count() == 1
        page.close()


def test_scrape_now_queries_the_api_and_shows_each_job_with_its_state_in_words(page: Page, exporter: Exporter) -> None:
    page.goto(f"{exporter.url}/?refresh=off")
    page.get_by_role("button", name="Scrape now").click()
    assert page.url == f"{exporter.url}/?refresh=off"
    shown = page.locator("body").inner_text()
    for word in ("medium_articles", "reviews", "products", "Importing", "Failed", "Completed"):
        assert word in shown, word
    assert "The API does not know this job." in shown
    assert "not_found" not in shown
    assert HOSTILE in shown
    assert page.title() == "1 failed · Zilliz imports"


def test_a_filter_survives_scrape_now_and_the_reload(page: Page, exporter: Exporter) -> None:
    exporter.scrape()
    page.goto(f"{exporter.url}/?refresh=off")
    page.get_by_role("searchbox", name="Name").fill("ARTICLES")
    page.get_by_role("combobox", name="State").select_option("Importing")
    page.get_by_role("button", name="Filter").click()
    for step in (lambda: None, page.get_by_role("button", name="Scrape now").click, page.reload):
        step()
        assert page.url == f"{exporter.url}/?q=ARTICLES&state=importing&refresh=off"
        assert page.locator("table.jobs tbody tr").count() == 1
        assert page.get_by_role("searchbox", name="Name").input_value() == "ARTICLES"
    page.get_by_role("link", name="Show all").click()
    assert page.locator("table.jobs tbody tr").count() == 4
    page.get_by_role("link", name="Failed", exact=True).click()
    assert page.url == f"{exporter.url}/?state=failed&refresh=off"
    assert page.locator("table.jobs tbody tr").count() == 1


def test_it_reloads_itself_with_what_changed_until_stopped(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.web.page.RELOAD_EVERY", 1)
    backend = FakeBackend(page=everything())
    with running(backend) as server:
        page.goto(f"http://{server.host}:{server.port}/?q=medium")
        backend.page = Status("0.2.0", NOW, [])
        page.get_by_text("Version 0.2.0").wait_for(timeout=20_000)
        assert page.url.endswith("/?q=medium")
        backend.page = everything()
        page.get_by_role("link", name="Stop").click()
        assert page.url.endswith("/?q=medium&refresh=off")
        assert re.search("http-equiv=.refresh", page.content()) is None


def test_the_links_of_the_page_lead_somewhere(page: Page, exporter: Exporter) -> None:
    exporter.scrape()
    page.goto(f"{exporter.url}/")
    links = [str(each.get_attribute("href")) for each in page.locator("a[href^='/']").all()]
    assert len(links) >= 8
    for link in dict.fromkeys(links):
        assert page.request.get(exporter.url + link).ok, link


def test_the_page_of_the_demo_moves_without_a_prometheus(page: Page, tmp_path: Path) -> None:
    with Exporter(None, tmp_path, "--demo") as demo:
        page.goto(f"{demo.url}/?refresh=off")
        seen: set[str] = set()

        def moved_on() -> bool:
            page.reload()
            seen.update(each.inner_text() for each in page.locator("td.progress span").all())
            return len(seen - {"0 %", "100 %"}) > 12

        wait_for("progress on the page", moved_on)
