"""Content negotiation: which exposition format and which coding a client asked for, from its headers alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum


class Format(Enum):
    """The exposition formats on offer; the value is the Content-Type that announces it."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

    @property
    def openmetrics(self) -> bool:
        """Whether this is OpenMetrics 1.0.0 rather than text 0.0.4."""
        return self is Format.OPENMETRICS


_ELEMENT = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_PART = re.compile(r'(?:[^;"]|"(?:[^"\\]|\\.)*"?)+')
_QUALITY = re.compile(r"0(?:\.[0-9]*)?|1(?:\.0*)?")


@dataclass(frozen=True, slots=True)
class _Range:
    """One element of an Accept or Accept-Encoding header; `quality` is 0 to 1."""

    name: str
    parameters: Mapping[str, str]
    quality: float


def _ranges(header: str) -> Iterator[_Range]:
    """Elements of the header in order. One whose q is not a number from 0 to 1 is no element: it says nothing."""
    for element in _ELEMENT.findall(header):
        name, *rest = [part.strip() for part in _PART.findall(element)] or [""]
        parameters = {}
        for part in rest:
            key, _, value = part.partition("=")
            parameters[key.strip().lower()] = value.strip().strip('"')
        quality = parameters.pop("q", "1")
        if name and _QUALITY.fullmatch(quality):
            yield _Range(name.lower(), parameters, float(quality))


def choose_format(accept: str) -> Format:
    """The format for an Accept header (RFC 9110 12.5.1, several header lines joined by commas).

    OpenMetrics only where it is asked for by name, in version 1.0.0 or in no particular version, and liked no less
    than the text format; text 0.0.4 in every other case, also where the client accepts neither: a scraper can do
    more with an unexpected format than with a 406.
    """
    openmetrics = 0.0
    text: dict[str, float] = {}
    for media in _ranges(accept):
        version = media.parameters.get("version")
        if media.name == "application/openmetrics-text" and version in (None, "1.0.0"):
            openmetrics = max(openmetrics, media.quality)
        elif media.name in ("text/plain", "text/*", "*/*") and version in (None, "0.0.4"):
            text[media.name] = max(text.get(media.name, 0.0), media.quality)
    liked_text = next((text[name] for name in ("text/plain", "text/*", "*/*") if name in text), 0.0)
    return Format.OPENMETRICS if openmetrics > 0 and openmetrics >= liked_text else Format.TEXT


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header (RFC 9110 12.5.3) allows gzip and does not prefer the plain body."""
    codings: dict[str, float] = {}
    for coding in _ranges(accept_encoding):
        name = "gzip" if coding.name == "x-gzip" else coding.name
        codings[name] = max(codings.get(name, 0.0), coding.quality)
    gzip = codings.get("gzip", codings.get("*", 0.0))
    return gzip > 0 and gzip >= codings.get("identity", 0.0)
