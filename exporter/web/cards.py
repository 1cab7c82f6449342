"""One cluster on the status page: whether it is up, what is known of it, and why it shows no jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from exporter import humanize
from exporter.collector.settings import Settings
from exporter.model import State
from exporter.web.filter import Filter
from exporter.web.jobrows import UNREADABLE, Rows, rows
from exporter.web.status import ClusterStatus
from exporter.web.urls import Urls

DOWN = "down"
_NAMES = 5
"""Collections or databases that are named before the rest is counted."""


@dataclass(frozen=True, slots=True)
class Card:
    """One cluster, ready to print; `hint` says what its reader can do, "" where there is nothing to do."""

    cluster_id: str
    anchor: str
    verdict: str
    facts: Sequence[tuple[str, str]]
    last_error: str
    hint: str
    jobs: Rows
    probe: str
    scrape_now: str

    @property
    def failed(self) -> int:
        """Number of failed jobs."""
        return self.jobs.states.get("Failed", 0)

    @property
    def unreadable(self) -> int:
        """Number of jobs that could not be read."""
        return self.jobs.states.get(UNREADABLE, 0)

    @property
    def unfinished(self) -> int:
        """Number of jobs that are known to be unfinished."""
        finished = {State.FAILED, State.COMPLETED}
        return sum(self.jobs.states.get(state, 0) for state in State if state not in finished)


def cards(clusters: Sequence[ClusterStatus], chosen: Filter, urls: Urls, now: float) -> list[Card]:
    """Describe the clusters: those that are down first, then those with failed jobs, else in their order."""
    found = [_card(cluster, f"cluster-{number}", chosen, urls, now) for number, cluster in enumerate(clusters, 1)]
    return sorted(found, key=lambda card: (card.verdict != DOWN, not card.failed))


def _card(cluster: ClusterStatus, anchor: str, chosen: Filter, urls: Urls, now: float) -> Card:
    unscraped_for = cluster.unscraped_for(now)
    target = "?" + urlencode({"target": cluster.cluster_id})
    jobs = rows(cluster.jobs, chosen, urls, now, scraped=unscraped_for is None)
    return Card(
        cluster_id=cluster.cluster_id,
        anchor=anchor,
        verdict=_verdict(cluster, unscraped_for),
        facts=_facts(cluster, jobs, now),
        last_error=cluster.last_error,
        hint=_hint(cluster, unscraped_for),
        jobs=jobs,
        probe=urls.link("/probe") + target,
        scrape_now=urls.link("/-/scrape") + target + chosen.query.replace("?", "&", 1),
    )


def _verdict(cluster: ClusterStatus, unscraped_for: float | None) -> str:
    if cluster.view is None:
        return "not scraped yet"
    if unscraped_for is not None:
        return "not scraped"
    return {None: "nothing queried yet", True: "up", False: DOWN}[cluster.view.up]


def _facts(cluster: ClusterStatus, jobs: Rows, now: float) -> list[tuple[str, str]]:
    settings = cluster.settings
    facts = [("API", f"{settings.cluster.api} at {settings.cluster.base_url}")]
    if settings.cluster.discovery is not None:
        facts.append(("Discovery", _lists(settings)))
    if (view := cluster.view) is None:
        return facts
    sources = [f"{humanize.count(number)} from {source}" for source, number in view.counts.items() if number]
    facts.append(("Jobs watched", humanize.count(jobs.watched) + (f" ({', '.join(sources)})" if sources else "")))
    ago = [] if cluster.scraped is None else [humanize.age(now - cluster.scraped)]
    facts.append(("Last scrape", ", ".join([*ago, f"took {humanize.duration(view.scrape_duration)}"])))
    if view.waiting:
        facts.append(("Backlog", f"{humanize.count(view.waiting)} waiting for their turn"))
    if view.omitted:
        facts.append(("Left out", f"{humanize.count(view.omitted)} over max_jobs"))
    return facts


def _hint(cluster: ClusterStatus, unscraped_for: float | None) -> str:
    if cluster.view is None:
        return "Not scraped yet: this exporter queries the API when Prometheus scrapes it, or when you do."
    if unscraped_for is not None:
        question = "is Prometheus configured to scrape this exporter?"
        known = " What follows is the last known state." if cluster.jobs else ""
        return f"Not scraped for {humanize.duration(unscraped_for)}; {question}{known}"
    return "" if cluster.jobs else _why_empty(cluster)


def _why_empty(cluster: ClusterStatus) -> str:
    """Why no job of a cluster that was scraped is watched."""
    settings, view = cluster.settings, cluster.view
    if settings.cluster.discovery is None:
        return "No job is watched: discovery is off, and neither jobs nor the files of job_lists name a job."
    where = _lists(settings)
    if view is None or view.up is False:
        return f"No job is watched: the list of jobs in {where} could not be read."
    if view.listed is None:
        return f"No job is watched: the list of jobs in {where} is not read to its end yet."
    total = sum(view.listed.values())
    unfinished = sum(number for state, number in view.listed.items() if not state.finished)
    if not total:
        return f"The API lists no import jobs in {where}."
    found = f"The API lists {'1 job' if total == 1 else f'{humanize.count(total)} jobs'} in {where}"
    if unfinished:
        return f"{found}, {humanize.count(unfinished)} of them unfinished, but none is watched."
    ago = humanize.duration(settings.cluster.finished_for)
    return f"{found}; {'it' if total == 1 else 'all'} finished more than {ago} ago."


def _lists(settings: Settings) -> str:
    """Which lists discovery reads."""
    discovery, db_name = settings.cluster.discovery, settings.cluster.db_name
    collections = () if discovery is None else discovery.collections
    databases = () if discovery is None else discovery.databases
    which = _named("collection", collections) if collections else "all collections"
    if databases:
        return f"{which} of {_named('database', databases)}"
    if settings.lists_all_databases and not collections:
        return f"{which} of all databases"
    return f"{which} of database {db_name}" if db_name else f"{which} of the default database"


def _named(what: str, names: Sequence[str]) -> str:
    more = len(names) - _NAMES
    listed = ", ".join(names[:_NAMES]) + (f" and {humanize.count(more)} more" if more > 0 else "")
    return f"{what} {listed}" if len(names) == 1 else f"{what}s {listed}"
