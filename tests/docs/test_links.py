"""Every link within the repository leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from exporter.model import ErrorClass
from tests.docs.markdown import ROOT, anchors, documents, links, prose


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_exist(document: Path) -> None:
    assert [link for link in links(document) if not resolves(document, link)] == []


def resolves(document: Path, link: str) -> bool:
    """Whether a link leads outside, or to a file, and a heading, of the repository."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return bool(parts.netloc)
    target = (document.parent / unquote(parts.path)).resolve() if parts.path else document
    if not target.exists() or not target.is_relative_to(ROOT):
        return False
    return not parts.fragment or (target.suffix == ".md" and parts.fragment in anchors(target))


def test_a_link_to_nothing_is_noticed() -> None:
    readme = ROOT / "README.md"
    assert not resolves(readme, "docs/no-such-page.md")
    assert not resolves(readme, "docs/metrics.md#no-such-heading")
    assert not resolves(readme, "../elsewhere.md")
    assert resolves(readme, "docs/metrics.md#queries-to-start-from")


def test_every_page_and_picture_is_linked_from_somewhere() -> None:
    linked = {
        (document.parent / unquote(urlsplit(link).path)).resolve()
        for document in documents()
        for link in links(document)
        if not urlsplit(link).scheme
    }
    assert {*ROOT.glob("docs/*.md"), *ROOT.glob("docs/images/*")} - linked == set()


def test_the_documents_explain_exactly_the_classes_of_errors_that_there_are() -> None:
    section = prose(ROOT / "docs/metrics.md").partition("## Error classes")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)[1:] == [error.value for error in ErrorClass]
