"""The status page as a person sees it, in the real Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.support.exporter import Exporter
from tests.support.simulated import CLUSTER, KEY, JobScript, SimulatedApi

pytestmark = [pytest.mark.e2e, pytest.mark.needs("chromium")]

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=alert(1)>"
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
        yield running
        running.close()


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
        with Exporter(config, tmp_path_factory.mktemp("exporter")) as running:
            running.scrape()
            yield running


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_shows_each_job_with_its_state_in_words_and_no_error_in_the_console(
    browser: Browser, exporter: Exporter, scheme: Literal["light", "dark"], tmp_path: Path
) -> None:
    page = browser.new_page(viewport={"width": 1400, "height": 900}, color_scheme=scheme)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{exporter.url}/")
    shown = page.inner_text("body")
    for word in ("medium_articles", "reviews", "products", "Importing", "Failed", "Completed", "not_found"):
        assert word in shown, word
    assert HOSTILE in shown
    assert page.title() != "owned"
    assert complaints == []
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 1400
    page.screenshot(path=tmp_path / "page.png")
    page.close()


def test_the_page_fits_a_narrow_window(browser: Browser, exporter: Exporter) -> None:
    page = browser.new_page(viewport={"width": 420, "height": 900})
    page.goto(f"{exporter.url}/")
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
    page.close()


def test_the_links_of_the_page_lead_somewhere(browser: Browser, exporter: Exporter) -> None:
    page = browser.new_page()
    page.goto(f"{exporter.url}/")
    links = page.eval_on_selector_all("a[href]", "found => found.map(each => each.href)")
    assert len(links) >= 4
    for link in dict.fromkeys(links):
        if link.startswith(exporter.url):
            assert page.request.get(link).ok, link
    page.close()
