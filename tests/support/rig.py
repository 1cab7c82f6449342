"""The exporter without its listener, wired as the command wires it; time and API can be replaced."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from exporter.api.client import ApiSettings, ImportApi
from exporter.app import App
from exporter.collector.clock import Clock
from exporter.collector.jobs import Jobs
from exporter.config.load import Loader
from exporter.log import FailureLog
from exporter.metrics.body import Body
from exporter.metrics.own import OwnMetrics
from exporter.web.routes import Reloaded
from exporter.web.status import Status
from tests.support.strict import Exposed

MakeApi = Callable[[ApiSettings, OwnMetrics], Any]
"""Makes an `ImportApi`, or what a test puts in its place."""
T = TypeVar("T")


def real_api(settings: ApiSettings, own: OwnMetrics) -> ImportApi:
    """A client that asks over real sockets."""
    return ImportApi(settings, observe=partial(own.observe, settings.cluster_id))


def real_clock() -> Clock:
    """Real time, without chance."""
    return Clock(time.monotonic, time.time, lambda: 0.5)


class LoopThread:
    """An event loop in a thread of its own, for tests that block."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="loop", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop, and return or raise what it does."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def stop(self) -> None:
        """End the loop and its thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class Backend:
    """The application, for tests that block. All methods may be called in any thread."""

    def __init__(self, app: App, loop: LoopThread) -> None:
        self.app = app
        self._loop = loop

    def metrics(self, timeout_header: str | None, scope: Literal["all", "exporter"]) -> Body:
        """As the application's."""
        return self._loop.run(self.app.metrics(timeout_header, scope))

    def probe(self, target: str, job_id: str | None, timeout_header: str | None) -> Body:
        """As the application's."""
        return self._loop.run(self.app.probe(target, job_id, timeout_header))

    def probe_debug(self, target: str, job_id: str | None, timeout_header: str | None) -> str:
        """As the application's."""
        return self._loop.run(self.app.probe_debug(target, job_id, timeout_header))

    def scrape(self, target: str | None = None) -> None:
        """As the application's."""
        self._loop.run(self.app.scrape(target))

    def scrape_unless_scraped(self, seconds: float) -> None:
        """As the application's."""
        self._loop.run(self.app.scrape_unless_scraped(seconds))

    def status(self) -> Status:
        """As the application's."""
        return self._loop.run(self._on_loop(self.app.status))

    def cluster_ids(self) -> Sequence[str]:
        """As the application's."""
        return self._loop.run(self._on_loop(self.app.cluster_ids))

    def jobs(self, cluster_id: str) -> Jobs:
        """The jobs of a cluster, and how its API is called."""
        return self._loop.run(self._on_loop(lambda: self.app.collector.cluster(cluster_id).jobs))

    def reload(self) -> Reloaded:
        """As the application's."""
        return self._loop.run(self.app.reload())

    def reload_if_changed(self) -> None:
        """As the application's."""
        self._loop.run(self.app.reload_if_changed())

    def close(self) -> None:
        """Close the application, and end its loop."""
        self._loop.run(self._on_loop(self.app.close))
        self._loop.stop()

    @staticmethod
    async def _on_loop(call: Callable[[], T]) -> T:
        return call()


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
        self.own = OwnMetrics("test")
        clock = clock or real_clock()
        loader = config if isinstance(config, Loader) else Loader.from_mapping(config)
        loop = LoopThread()

        async def start() -> App:
            app = App(
                loader,
                self.own,
                lambda settings: make_api(settings, self.own),
                clock,
                changes or FailureLog(),
                timeout_offset=0.5,
            )
            await app.start()
            return app

        try:
            self.backend = Backend(loop.run(start()), loop)
        except BaseException:
            loop.stop()
            raise

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


class Remote:
    """The application, for a web server on another loop."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.status = backend.status
        self.cluster_ids = backend.cluster_ids

    async def metrics(self, timeout_header: str | None, scope: Literal["all", "exporter"]) -> Body:
        """As the application's."""
        return await asyncio.to_thread(self._backend.metrics, timeout_header, scope)

    async def probe(self, target: str, job_id: str | None, timeout_header: str | None) -> Body:
        """As the application's."""
        return await asyncio.to_thread(self._backend.probe, target, job_id, timeout_header)

    async def probe_debug(self, target: str, job_id: str | None, timeout_header: str | None) -> str:
        """As the application's."""
        return await asyncio.to_thread(self._backend.probe_debug, target, job_id, timeout_header)

    async def reload(self) -> Reloaded:
        """As the application's."""
        return await asyncio.to_thread(self._backend.reload)

    async def scrape(self, target: str) -> None:
        """As the application's."""
        await asyncio.to_thread(self._backend.scrape, target)
