"""What is in the documents: fences, headings, links and words in code spans."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"^```(?P<info>[^\n`]+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(<?([^()\s>]+(?:\([^()]*\))?)>?\)|^\[[^\]]+\]: (\S+)$", re.MULTILINE)
_SPAN = re.compile(r"`([^`\n]+)`")


def documents() -> tuple[Path, ...]:
    """Every document of the repository."""
    return tuple(sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")}))


@dataclass(frozen=True, slots=True)
class Fence:
    """A fenced block: `language` and `kind` are the first two words after the backticks, `named` those with a `=`."""

    document: Path
    line: int
    language: str
    kind: str
    named: Mapping[str, str]
    body: str

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


@cache
def read(document: Path) -> str:
    """The text of a document."""
    return document.read_text(encoding="utf-8")


def fences(document: Path) -> tuple[Fence, ...]:
    """The fenced blocks of a document, in their order."""
    return tuple(_fences(document))


def _fences(document: Path) -> Iterator[Fence]:
    text = read(document)
    for found in _FENCE.finditer(text):
        language, *words = found["info"].split()
        named = dict(word.split("=", 1) for word in words if "=" in word)
        kinds = [word for word in words if "=" not in word]
        line = text.count("\n", 0, found.start()) + 1
        yield Fence(document, line, language, kinds[0] if kinds else "", named, found["body"])


def all_fences(language: str, kind: str | None = None) -> list[Fence]:
    """The blocks of all documents with that language, and that kind where one is given."""
    found = [fence for document in documents() for fence in fences(document)]
    return [fence for fence in found if fence.language == language and kind in (None, fence.kind)]


def prose(document: Path) -> str:
    """The text of a document without its fenced blocks."""
    return _FENCE.sub("", read(document))


def links(document: Path) -> list[str]:
    """The targets of all links and images."""
    text = _SPAN.sub("", prose(document))
    return [inline or reference for inline, reference in _LINK.findall(text)]


def spans(document: Path) -> list[str]:
    """The contents of all code spans."""
    return _SPAN.findall(prose(document))


def anchors(document: Path) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in _HEADING.findall(prose(document)):
        words = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()).replace(" ", "-")
        same = sum(1 for other in found if other == words or re.fullmatch(re.escape(words) + r"-\d+", other))
        found.add(f"{words}-{same}" if same else words)
    return found
