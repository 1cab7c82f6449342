"""The status page: what the exporter knows at this moment, for a person. Queries no API."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined

from exporter import humanize
from exporter.model import State
from exporter.watch.view import ClusterView, JobView
from exporter.web.urls import Urls

_REASON_LENGTH = 300
# In order of concern.
_ORDER = ("Unreadable", "Failed", "Unknown", "Uncommitted", "Importing", "Pending", "Not asked yet", "Completed")


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """One cluster: `view` is None before its first scrape, `jobs` are the worst ones out of `jobs_total`.

    `last_error` is a sentence without secrets, "" where there is none. `scraped` is when the last scrape of the whole
    cluster ended, in seconds since the epoch, None where that is not known.
    """

    view: ClusterView | None
    cluster_id: str
    dialect: str
    base_url: str
    last_error: str
    jobs: Sequence[JobView]
    jobs_total: int
    scraped: float | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """All that the page shows; times in seconds since the epoch.

    `reload_failed`: whether the configuration, or a job list, was not valid when it was last loaded. `loaded` is when
    all of it last was, None if it never was.
    """

    version: str
    started: float
    clusters: Sequence[ClusterStatus]
    reload_failed: bool = False
    loaded: float | None = None


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of the table of jobs, ready to print. `progress` is percent, None where there is no bar."""

    job_id: str
    collection: str
    database: str
    state: str
    progress: float | None
    size: str
    rows: str
    rows_exact: str
    files: str
    files_failed: int
    asked: str
    note: str
    href: str


@dataclass(frozen=True, slots=True)
class _Card:
    """One cluster, ready to print; `states` are the numbers of listed jobs by state in order of concern."""

    cluster: ClusterStatus
    verdict: str
    rows: Sequence[_Row]
    states: Sequence[tuple[str, int]]
    facts: Sequence[tuple[str, str]]
    probe: str


_environment = Environment(
    loader=PackageLoader("exporter.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    # Texts of the API can hold escape sequences and marks that reorder what is shown.
    finalize=lambda value: humanize.printable(value) if type(value) is str else value,
)
_template = _environment.get_template("status.html")
_css = files("exporter.web").joinpath("templates/status.css").read_text("utf-8")
_css_hash = base64.b64encode(hashlib.sha256(_css.encode()).digest()).decode()

CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_css_hash}'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Allows the page its own style sheet and nothing else."""

HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def render(status: Status, *, urls: Urls, now: float) -> str:
    """The page as HTML. `now` in seconds since the epoch."""
    return _template.render(
        css=_css,
        status=status,
        uptime=humanize.duration(now - status.started),
        loaded="never" if status.loaded is None else humanize.age(now - status.loaded),
        cards=[_card(cluster, urls, now) for cluster in status.clusters],
        links=(
            ("Metrics", urls.link(urls.telemetry_path)),
            ("Own metrics", urls.link(urls.telemetry_path) + "?scope=exporter"),
            ("Service discovery", urls.link("/sd")),
            ("Health", urls.link("/-/healthy")),
        ),
    )


def _card(cluster: ClusterStatus, urls: Urls, now: float) -> _Card:
    rows = sorted((_row(view, urls, now) for view in cluster.jobs), key=lambda row: _ORDER.index(row.state))
    counted = Counter(row.state for row in rows)
    up = cluster.view.up if cluster.view else None
    return _Card(
        cluster=cluster,
        verdict={None: "not asked yet", True: "up", False: "down"}[up],
        rows=rows,
        states=[(state, counted[state]) for state in _ORDER if counted[state]],
        facts=_facts(cluster, now),
        probe=urls.link("/probe") + "?" + urlencode({"target": cluster.cluster_id}),
    )


def _facts(cluster: ClusterStatus, now: float) -> list[tuple[str, str]]:
    facts = [("API", f"{cluster.dialect} at {cluster.base_url}")]
    if (view := cluster.view) is None:
        return facts
    sources = [f"{humanize.count(number)} {source}" for source, number in view.jobs.items() if number]
    facts.append(("Jobs watched", humanize.count(cluster.jobs_total) + (f" ({', '.join(sources)})" if sources else "")))
    ago = [] if cluster.scraped is None else [humanize.age(now - cluster.scraped)]
    facts.append(("Last scrape", ", ".join([*ago, f"took {humanize.duration(view.scrape_duration)}"])))
    if view.waiting:
        facts.append(("Backlog", f"{humanize.count(view.waiting)} waiting for their turn"))
    if view.omitted:
        facts.append(("Left out", f"{humanize.count(view.omitted)} over max_jobs"))
    return facts


def _row(view: JobView, urls: Urls, now: float) -> _Row:
    job = view.job
    file_states = job.file_states if job else None
    query = {"target": view.cluster_id, "job_id": view.job_id, "debug": "true"}
    return _Row(
        job_id=view.job_id,
        collection=view.collection_name,
        database=view.db_name,
        state=job.state if job else "Unreadable" if view.up is False else "Not asked yet",
        progress=round(job.progress * 100, 1) if job and job.progress is not None else None,
        size=humanize.size(job.size) if job and job.size is not None else "",
        rows=_rows(job.imported_rows, job.rows, humanize.count) if job else "",
        rows_exact=_rows(job.imported_rows, job.rows, "{:,.0f}".format) if job else "",
        files=f"{file_states.get(State.COMPLETED, 0)} of {sum(file_states.values())}" if file_states else "",
        files_failed=file_states.get(State.FAILED, 0) if file_states else 0,
        asked=humanize.age(now - view.refreshed) if view.refreshed is not None else "never",
        note=_note(view),
        href=urls.link("/probe") + "?" + urlencode(query),
    )


def _rows(imported: float | None, total: float | None, text: Callable[[float], str]) -> str:
    known = [text(number) for number in (imported, total) if number is not None]
    return " of ".join(known)


def _note(view: JobView) -> str:
    text = str(view.error) if view.error else view.job.reason if view.job else ""
    return text if len(text) <= _REASON_LENGTH else text[: _REASON_LENGTH - 1] + "…"
