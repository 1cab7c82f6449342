"""One scrape of all clusters side by side, within one budget, under one configuration."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from exporter.api.client import ApiSettings, Exchange
from exporter.api.limiter import Limiter, Limiters
from exporter.config.load import Loaded
from exporter.config.schema import Cluster, Scrape
from exporter.settings import api_settings, watch_settings
from exporter.watch.cluster import Api, ClusterWatch, Journal
from exporter.watch.deadline import Deadline
from exporter.watch.rounds import Round
from exporter.watch.settings import Clock
from exporter.watch.sources import ListTarget
from exporter.watch.view import ClusterView

LONGEST_TIMEOUT = 300.0


class ExplainingApi(Api, Protocol):
    """An API that can also tell what exactly was asked and answered."""

    def explain(
        self, job_id: str, deadline: Deadline, *, database: str = "", sent: Callable[[], None] | None = None
    ) -> Exchange:
        """Ask about one job and tell all about it."""

    def explain_list(
        self,
        deadline: Deadline,
        *,
        collection: str = "",
        database: str = "",
        sent: Callable[[], None] | None = None,
    ) -> Exchange:
        """Read the first page of a list and tell all about it."""


MakeApi = Callable[[ApiSettings], ExplainingApi]


def budget(header: str | None, offset: float, scrape: Scrape) -> float:
    """Seconds that a scrape may take, from the value of `X-Prometheus-Scrape-Timeout-Seconds`.

    The offset is taken off; a header not above it counts by half. A header that is absent or no sensible
    number leaves `scrape.timeout`, which also caps the header where the configuration sets it.
    """
    try:
        seconds = float(header or "nan")
    except ValueError:
        seconds = math.nan
    if not (seconds / 2 > 0 and seconds <= LONGEST_TIMEOUT):  # half of the smallest number there is, is 0
        return scrape.timeout
    allowed = seconds - offset if seconds > offset else seconds / 2
    return min(allowed, scrape.timeout) if scrape.timeout_set else allowed


@dataclass(frozen=True, slots=True)
class Target:
    """One configured cluster, its watch, and how it is asked."""

    cluster: Cluster
    watch: ClusterWatch
    api: ExplainingApi
    limiter: Limiter

    def explain(self, job_id: str, deadline: float) -> Exchange | None:
        """Ask about one job at the cluster's rate and tell all about it; None if its turn did not come in time."""
        database = self.watch.database(job_id)
        return self._explained(
            deadline, lambda sent: self.api.explain(job_id, Deadline(deadline), database=database, sent=sent)
        )

    def explain_list(self, listed: ListTarget, deadline: float) -> Exchange | None:
        """Read the first page of a list and tell all about it; likewise."""
        where = {"collection": listed.collection, "database": listed.database}
        return self._explained(deadline, lambda sent: self.api.explain_list(Deadline(deadline), **where, sent=sent))

    def _explained(self, deadline: float, call: Callable[[Callable[[], None]], Exchange]) -> Exchange | None:
        slot = self.limiter.acquire(deadline)
        if slot is None:
            return None
        try:
            exchange = call(slot.sent)
        finally:
            slot.done()
        self.limiter.back_off(exchange.outcome)
        return exchange


@dataclass(frozen=True, slots=True)
class Configured:
    """What one configuration watches, in its order; one reference, swapped at a reload."""

    loaded: Loaded
    targets: tuple[Target, ...]

    def named(self, cluster_id: str) -> Target | None:
        """The target with this id."""
        return next((target for target in self.targets if target.cluster.cluster_id == cluster_id), None)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a scrape found, under the configuration that held at its end."""

    configured: Configured
    views: tuple[ClusterView, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A configuration with the connections that it needs, ready to be swapped in."""

    loaded: Loaded
    settings: Mapping[str, ApiSettings]
    apis: Mapping[ApiSettings, ExplainingApi]


class Fleet:
    """All clusters of the configuration. `apply` may race with `scrape`: each scrape answers for one configuration."""

    def __init__(self, loaded: Loaded, make_api: MakeApi, clock: Clock, journal: Journal) -> None:
        self._make_api = make_api
        self._clock = clock
        self._journal = journal
        self._limiters = Limiters()
        self._apis: dict[ApiSettings, ExplainingApi] = {}
        self._configured = Configured(loaded, ())
        self.apply(self.prepare(loaded))

    @property
    def configured(self) -> Configured:
        """What is watched now."""
        return self._configured

    def prepare(self, loaded: Loaded) -> Prepared:
        """Build what the configuration needs and does not have yet. Raises ApiError; nothing has changed then."""
        settings = {
            cluster.cluster_id: api_settings(cluster, loaded.keys.get(cluster.cluster_id))
            for cluster in loaded.config.clusters
        }
        apis = {each: self._apis.get(each) or self._make_api(each) for each in settings.values()}
        return Prepared(loaded, settings, apis)

    def apply(self, prepared: Prepared) -> None:
        """Watch what this configuration names; jobs and clusters that stay keep their answers and connections.

        One at a time, and no `prepare` in between.
        """
        loaded = prepared.loaded
        before = {target.cluster.cluster_id: target.watch for target in self._configured.targets}
        targets = []
        self._limiters.renew()
        limiters = [
            self._limiters.get(cluster.base_url, loaded.keys.get(cluster.cluster_id), cluster.requests_per_second)
            for cluster in loaded.config.clusters
        ]
        sharing = Counter(limiters)
        for cluster, limiter in zip(loaded.config.clusters, limiters, strict=True):
            api = prepared.apis[prepared.settings[cluster.cluster_id]]
            settings = watch_settings(cluster, loaded, limiter.rate / sharing[limiter])
            watch = before.pop(cluster.cluster_id, None)
            if watch is None:
                watch = ClusterWatch(settings, api, limiter, self._clock, self._journal)
            else:
                watch.reconfigure(settings, api, limiter)
            targets.append(Target(cluster, watch, api, limiter))
        dropped = [api for settings, api in self._apis.items() if settings not in prepared.apis]
        self._apis = dict(prepared.apis)
        self._configured = Configured(loaded, tuple(targets))
        for watch in before.values():
            watch.retire()
        for api in dropped:
            api.close()

    def scrape(
        self, deadline: float, cluster_id: str | None = None, *, meanwhile: Callable[[], None] | None = None
    ) -> Snapshot:
        """Ask what is due, of one cluster or of all, until `deadline` (monotonic seconds).

        A configuration that is swapped meanwhile is followed within the same time. `meanwhile` is called now and
        then while answers are waited for.
        """
        before: Mapping[ClusterWatch, Round] = {}
        while True:
            configured = self._configured
            watches = [target.watch for target in configured.targets if cluster_id in (None, target.cluster.cluster_id)]
            rounds: list[Round] = []
            try:
                rounds += (watch.begin(deadline, after=before.get(watch)) for watch in watches)
                views = [watch.end(round_, meanwhile) for watch, round_ in zip(watches, rounds, strict=True)]
            finally:
                for watch, round_ in zip(watches, rounds, strict=False):
                    watch.abandon(round_)
            if self._configured is configured:
                return Snapshot(configured, tuple(views))
            before = dict(zip(watches, rounds, strict=True))

    def close(self) -> None:
        """Drop all kept connections."""
        for api in self._apis.values():
            api.close()
