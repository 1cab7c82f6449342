"""The exporter without its listener, wired as the command wires it; time and API can be replaced."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self

from exporter.api.client import ApiSettings, ImportApi
from exporter.backend import Backend
from exporter.config.load import Loaded, Loader
from exporter.journal import LogJournal
from exporter.log import FailureLog
from exporter.scrape import ExplainingApi, Fleet
from exporter.selfmetrics import SelfMetrics
from exporter.watch.settings import Clock
from tests.support.strict import Exposed

MakeApi = Callable[[ApiSettings, SelfMetrics], ExplainingApi]


def real_api(settings: ApiSettings, own: SelfMetrics) -> ImportApi:
    """A client that asks over real sockets."""
    return ImportApi(settings, observe=partial(own.observe, settings.cluster_id))


def real_clock() -> Clock:
    """Real time, without chance."""
    return Clock(time.monotonic, time.time, lambda: 0.5)


class Rig:
    """Scrapes as the listener does. `config` is the YAML file as data, or a loader of any configuration."""

    def __init__(
        self,
        config: Mapping[str, Any] | Loader,
        *,
        clock: Clock | None = None,
        make_api: MakeApi = real_api,
        changes: FailureLog | None = None,
    ) -> None:
        self.own = SelfMetrics("test")
        clock = clock or real_clock()
        loader = config if isinstance(config, Loader) else Loader.from_mapping(config)

        def make_fleet(loaded: Loaded) -> Fleet:
            journal = LogJournal(changes or FailureLog())
            return Fleet(loaded, lambda settings: make_api(settings, self.own), clock, journal)

        self.backend = Backend(loader, make_fleet, self.own, clock, timeout_offset=0.5)

    def scrape(self, timeout: str | None = "30") -> Exposed:
        """What Prometheus would get, checked; `timeout` is its header."""
        return Exposed(self.backend.metrics(timeout, "all"))

    def text(self, timeout: str | None = "30") -> str:
        """The same in format 0.0.4, unchecked."""
        return b"".join(self.backend.metrics(timeout, "all").chunks(openmetrics=False, gzip=False)).decode()

    def probe(self, target: str, job_id: str | None = None, timeout: str | None = "30") -> Exposed:
        """The same of one cluster, or one job."""
        return Exposed(self.backend.probe(target, job_id, timeout))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.backend.close()
