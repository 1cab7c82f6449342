"""The status page as HTML, with the headers that it is served with. Queries no API."""

from __future__ import annotations

import base64
import hashlib
from importlib.metadata import PackageNotFoundError, metadata
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from exporter import humanize
from exporter.web.cards import DOWN, Card, cards
from exporter.web.filter import Filter
from exporter.web.jobrows import MOST, SLUGS, slug
from exporter.web.status import Status
from exporter.web.urls import Urls

RELOAD_EVERY = 15
"""Seconds after which the page reloads itself."""

_BREAKS_AFTER = "_-./:"


def _breakable(text: str) -> Markup:
    """A name that may be broken after its separators."""
    whole = str(escape(humanize.printable(text)))
    for separator in _BREAKS_AFTER:
        whole = whole.replace(separator, separator + "<wbr>")
    return Markup(whole)  # noqa: S704 - escaped above


_environment = Environment(
    loader=PackageLoader("exporter.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    # Texts of the API can hold escape sequences and marks that reorder what is shown.
    finalize=lambda value: humanize.printable(value) if type(value) is str else value,
)
_environment.filters |= {"breakable": _breakable, "slug": slug, "count": humanize.count}
_template = _environment.get_template("status.html")
_css = files("exporter.web").joinpath("templates/status.css").read_text("utf-8")
_css_hash = base64.b64encode(hashlib.sha256(_css.encode()).digest()).decode()

CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_css_hash}'; img-src data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""Allows the page its own style sheet, its icon and its forms, and nothing else."""

HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    # Not no-referrer, with which the origin of its forms would be hidden, too.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def _documents() -> str:
    """The address of the documents, as the installed package gives it; "" where it does not."""
    try:
        urls = metadata("zilliz-import-exporter").get_all("Project-URL") or ()
    except PackageNotFoundError:
        return ""
    named = dict(url.split(", ", 1) for url in urls if ", " in url)
    return str(named.get("Documentation", ""))


DOCUMENTS = _documents()


def render(status: Status, *, urls: Urls, now: float, chosen: Filter | None = None) -> str:
    """The page as HTML. `now` in seconds since the epoch; `chosen` are the jobs to show, all of them by default."""
    chosen = chosen or Filter()
    found = cards(status.clusters, chosen, urls, now)
    links = [
        ("Metrics", urls.link(urls.telemetry_path)),
        ("Own metrics", urls.link(urls.telemetry_path) + "?scope=exporter"),
        ("Service discovery", urls.link("/sd")),
        ("Health", urls.link("/-/healthy")),
    ]
    return _template.render(
        css=_css,
        title=_title(found),
        status=status,
        uptime=humanize.duration(now - status.started),
        loaded="never" if status.loaded is None else humanize.age(now - status.loaded),
        cards=found,
        chosen=chosen,
        reload_every=RELOAD_EVERY,
        here=urls.link("/"),
        states=SLUGS,
        most=MOST,
        links=[*links, ("Documents", DOCUMENTS)] if DOCUMENTS else links,
    )


def _title(found: list[Card]) -> str:
    """The title of the page, which counts what is wrong."""
    down = sum(card.verdict == DOWN for card in found)
    failed = sum(card.failed for card in found)
    wrong = [f"{number} {what}" for number, what in ((down, "down"), (failed, "failed")) if number]
    return " · ".join([", ".join(wrong), "Zilliz imports"] if wrong else ["Zilliz imports"])
