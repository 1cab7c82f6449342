"""The addresses of source, image and documents are those in `[project.urls]`, wherever they stand."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.docs.markdown import ROOT, all_fences, documents, read

URLS: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
ADDRESS = re.compile(r"(?:https?://)?(?:[\w-]+\.)+[a-z]+(?:/[\w.-]+)*/zilliz-import-exporter\b(?:/[\w./-]*\w)?")
IN_EXAMPLES = re.compile(r"(?:https?://)?[\w.-]*\bexample\.com/")
PLACES = (".github", "benchmarks", "deploy", "docs", "exporter", "grafana", "prometheus", "tests")
PUBLISHED = re.compile(r"(?:pipx?|uvx) (?:install )?zilliz-import-exporter|ghcr\.io/")


def texts() -> Iterator[tuple[Path, str]]:
    """Every text file of the repository."""
    top = (path for path in ROOT.iterdir() if path.is_file())
    for path in (*top, *(path for place in PLACES for path in (ROOT / place).rglob("*") if path.is_file())):
        try:
            yield path.relative_to(ROOT), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def addresses(text: str) -> list[str]:
    """The addresses in a text that name this project, without their scheme and without those of examples."""
    found = (match[0] for match in ADDRESS.finditer(text) if not IN_EXAMPLES.match(match[0]))
    return [address.removeprefix("https://") for address in found]


def test_every_address_of_this_project_is_one_of_its_urls() -> None:
    known = (URLS["Source"].removeprefix("https://"), URLS["Image"].removeprefix("https://"))
    strange = {
        (str(path), address)
        for path, text in texts()
        for address in addresses(text)
        if not any(address == url or address.startswith(f"{url}/") for url in known)
    }
    assert strange == set()


def test_every_link_into_the_repository_leads_to_a_file() -> None:
    files = f"{URLS['Source'].removeprefix('https://')}/blob/main/"
    linked = {address.removeprefix(files) for _, text in texts() for address in addresses(text) if files in address}
    assert {"docs/runbooks.md", "docs"} <= linked
    assert {path for path in linked if not (ROOT / path).exists()} == set()


def test_another_address_is_noticed() -> None:
    other = "see https://github.com/" + "somebody/zilliz-import-exporter/blob/main/docs"
    assert addresses(other) == ["github.com/somebody/" + "zilliz-import-exporter/blob/main/docs"]
    assert addresses("docker push registry.example.com/zilliz-import-exporter:0.1.0") == []


def test_documents_install_from_a_checkout_and_mark_published_names() -> None:
    assert [str(fence) for fence in all_fences("bash") if PUBLISHED.search(fence.body)] == []
    for document in documents():
        before, found, _ = read(document).partition("pip install zilliz-import-exporter")
        assert not found or "After the first release" in before
