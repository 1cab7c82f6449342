"""Paths, methods and parameters: turns a request into an answer. Knows nothing of sockets, TLS or passwords."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, Protocol
from urllib.parse import parse_qsl

from multidict import CIMultiDictProxy

from exporter.model import JOB_ID
from exporter.web import status as status_page
from exporter.web.discovery import target_groups
from exporter.web.negotiate import accepts_gzip, choose_format
from exporter.web.status import Status
from exporter.web.threads import in_thread, iterate_in_threads
from exporter.web.urls import Urls, is_host

SCRAPE_TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"

_MAX_PARAMETERS = 32
_AT_ONCE = 256 * 1024
_PAGE_FRESH_FOR = 1.0
_READ = ("GET", "HEAD")


class UnknownClusterError(Exception):
    """A `Backend` was asked about a cluster that is not, or no longer, configured."""


class Body(Protocol):
    """A rendered exposition. May be read in any thread; the same every time it is read."""

    def chunks(self, *, openmetrics: bool, gzip: bool) -> Iterator[bytes]:
        """The bytes of the body, one gzip member over all of them where `gzip`."""

    def size(self, *, openmetrics: bool, gzip: bool) -> int:
        """Number of bytes that `chunks` yields."""


class Backend(Protocol):
    """What the pages show and the scrapes ask. Every call may block and is made in a thread.

    `timeout_header` is the scrape timeout as Prometheus sent it: any text, or None. Upstream failures are part of the
    bodies; `probe` and `probe_debug` raise UnknownClusterError, and nothing else is expected to be raised.
    """

    def metrics(self, timeout_header: str | None, scope: Literal["all", "exporter"]) -> Body:
        """Everything, or the exporter's own metrics alone."""

    def probe(self, target: str, job_id: str | None, timeout_header: str | None) -> Body:
        """One cluster's gauges, or one job's."""

    def probe_debug(self, target: str, job_id: str | None, timeout_header: str | None) -> str:
        """What was asked and answered, for a person, without secrets."""

    def status(self) -> Status:
        """What is known now; asks no API."""

    def cluster_ids(self) -> Sequence[str]:
        """The configured clusters. Must not block: called on the event loop."""

    def reload(self) -> Reloaded:
        """Reads the configuration again."""


@dataclass(frozen=True, slots=True)
class Reloaded:
    """How a reload ended: whether the configuration was replaced, and what is wrong with it or with a job list."""

    replaced: bool
    problems: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """A request as far as answers depend on it. `target` is the request target as sent, `scheme` http or https."""

    method: str
    target: str
    headers: CIMultiDictProxy[str]
    scheme: str

    def header(self, name: str) -> str:
        """All lines of that header joined by commas, "" where there is none."""
        return ", ".join(self.headers.getall(name, ()))


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to send. `length` is the number of bytes of `body`, None where it is not known or there is none."""

    status: int
    body: bytes | AsyncIterator[bytes]
    length: int | None
    headers: Mapping[str, str] = field(default_factory=dict)


Send = Callable[[Answer], Awaitable[None]]
Handler = Callable[[Request, Mapping[str, str], Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Route:
    handler: Handler
    methods: Sequence[str] = _READ


class Routes:
    """The table of paths.

    At most `max_requests` scrapes are under way at once, from their start until their answer is taken (0: no limit);
    the other paths never wait for scrapes. Used on one event loop; `clock` gives seconds since the epoch.
    """

    def __init__(
        self,
        backend: Backend,
        urls: Urls,
        *,
        enable_lifecycle: bool = False,
        max_requests: int = 40,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._backend = backend
        self._urls = urls
        self._enable_lifecycle = enable_lifecycle
        self._max_requests = max_requests
        self._clock = clock
        self._scrapes = 0
        self._page: tuple[float, bytes] | None = None
        self._page_lock = asyncio.Lock()
        self._reload_lock = asyncio.Lock()
        routes = {
            urls.telemetry_path: _Route(self._metrics),
            "/probe": _Route(self._probe),
            "/sd": _Route(self._sd),
            "/": _Route(_page(self._status)),
            "/-/healthy": _Route(_fixed(text(200, "zilliz-import-exporter is healthy."))),
            "/-/ready": _Route(_fixed(text(200, "zilliz-import-exporter is ready."))),
            "/-/reload": _Route(_page(self._reload), ("POST", "PUT")),
        }
        self._routes = {urls.prefix + path: route for path, route in routes.items()}
        if urls.prefix:
            self._routes[urls.prefix] = _Route(_page(self._status))
            self._routes["/"] = _Route(
                _fixed(text(302, "The pages are below the route prefix.", Location=urls.prefix + "/"))
            )

    async def answer(self, request: Request, send: Send) -> None:
        """Answers the request: calls `send` once."""
        path, _, query = request.target.partition("?")
        if not path.startswith("/"):
            await send(text(400, "The request target must be a path: this is no proxy.", Connection="close"))
            return
        route = self._routes.get(path)
        if route is None:
            await send(text(404, "There is nothing here; the pages are listed at " + self._urls.link("/")))
            return
        if request.method not in route.methods:
            allow = ", ".join(route.methods)
            await send(text(405, f"This path answers {allow}.", Allow=allow))
            return
        try:
            parameters = _parameters(query)
        except ValueError as error:
            await send(text(400, str(error)))
            return
        await route.handler(request, parameters, send)

    async def _metrics(self, request: Request, parameters: Mapping[str, str], send: Send) -> None:
        scope = parameters.get("scope")
        if scope not in (None, "exporter"):
            await send(text(400, "The only scope is exporter; without the parameter everything is exposed."))
            return
        timeout = request.headers.get(SCRAPE_TIMEOUT_HEADER)
        await self._scrape(request, send, partial(self._backend.metrics, timeout, "exporter" if scope else "all"))

    async def _probe(self, request: Request, parameters: Mapping[str, str], send: Send) -> None:
        target, job_id, debug = (parameters.get(name) for name in ("target", "job_id", "debug"))
        if not target:
            await send(self._no_cluster("is missing:"))
        elif target not in self._backend.cluster_ids():
            await send(self._no_cluster("must be"))
        elif debug not in (None, "true", "false"):
            await send(text(400, "The parameter debug must be true or false."))
        elif job_id is not None and not JOB_ID.fullmatch(job_id):
            await send(text(400, "The parameter job_id must be 1 to 128 of A-Z, a-z, 0-9, _ and -."))
        else:
            timeout = request.headers.get(SCRAPE_TIMEOUT_HEADER)
            if debug == "true":
                await self._debug(request, send, partial(self._backend.probe_debug, target, job_id, timeout))
            else:
                await self._scrape(request, send, partial(self._backend.probe, target, job_id, timeout))

    async def _scrape(self, request: Request, send: Send, scrape: Callable[[], Body]) -> None:
        exposition = choose_format(request.header("Accept"))
        gzip = accepts_gzip(request.header("Accept-Encoding"))
        headers = {"Content-Type": exposition.value, "Vary": "Accept, Accept-Encoding", **_SAFE}
        if gzip:
            headers["Content-Encoding"] = "gzip"

        def run() -> tuple[int, bytes | Iterator[bytes]]:
            body = scrape()
            length = body.size(openmetrics=exposition.openmetrics, gzip=gzip)
            chunks = body.chunks(openmetrics=exposition.openmetrics, gzip=gzip)
            return length, b"".join(chunks) if length <= _AT_ONCE else chunks

        async def reply() -> None:
            length, body = await in_thread(run)
            await send(Answer(200, body if isinstance(body, bytes) else iterate_in_threads(body), length, headers))

        await self._limited(request, send, headers, reply)

    async def _debug(self, request: Request, send: Send, explain: Callable[[], str]) -> None:
        async def reply() -> None:
            await send(text(200, await in_thread(explain)))

        await self._limited(request, send, text(200, "").headers, reply)

    async def _limited(
        self, request: Request, send: Send, headers: Mapping[str, str], reply: Callable[[], Awaitable[None]]
    ) -> None:
        """Calls `reply` unless too many scrapes are under way. HEAD asks for the headers: no API is asked for it."""
        if request.method == "HEAD":
            await send(Answer(200, b"", None, headers))
            return
        if self._max_requests and self._scrapes >= self._max_requests:
            await send(text(503, "Too many scrapes at once; the limit is --web.max-requests.", **{"Retry-After": "1"}))
            return
        self._scrapes += 1
        try:
            await reply()
        except UnknownClusterError:
            await send(self._no_cluster("must be"))
        finally:
            self._scrapes -= 1

    def _no_cluster(self, what: str) -> Answer:
        listed = self._urls.link("/sd")
        return text(400, f"The parameter target {what} the id of a configured cluster; {listed} lists them.")

    async def _sd(self, request: Request, _parameters: Mapping[str, str], send: Send) -> None:
        host = request.headers.get("Host", "")
        if not self._urls.external_host and not is_host(host):
            await send(text(400, "The Host header must be this exporter's name or address and its port."))
            return
        body = target_groups(self._backend.cluster_ids(), urls=self._urls, host=host, scheme=request.scheme)
        headers = {"Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store", **_SAFE}
        await send(Answer(200, body, len(body), headers))

    async def _status(self) -> Answer:
        async with self._page_lock:
            now = self._clock()
            if self._page is None or not 0 <= now - self._page[0] < _PAGE_FRESH_FOR:
                self._page = (now, await in_thread(self._render))
            body = self._page[1]
        headers = {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Security-Policy": status_page.CONTENT_SECURITY_POLICY,
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
            **_SAFE,
        }
        return Answer(200, body, len(body), headers)

    def _render(self) -> bytes:
        page = status_page.render(self._backend.status(), urls=self._urls, now=self._clock())
        return page.encode("utf-8", "replace")

    async def _reload(self) -> Answer:
        if not self._enable_lifecycle:
            return text(403, "Reloading over HTTP is not enabled; start with --web.enable-lifecycle.")
        async with self._reload_lock:
            reloaded = await in_thread(self._backend.reload)
        if not reloaded.problems:
            return text(200, "The configuration was reloaded.")
        outcome = (
            "The configuration was replaced, except:" if reloaded.replaced else "The configuration was not replaced:"
        )
        return text(500, "\n".join((outcome, *reloaded.problems)))


_SAFE = {"X-Content-Type-Options": "nosniff"}


def text(status: int, message: str, **headers: str) -> Answer:
    """A plain answer for a person."""
    body = (message.rstrip("\n") + "\n").encode("utf-8", "replace")
    return Answer(status, body, len(body), {"Content-Type": "text/plain; charset=utf-8", **_SAFE, **headers})


def _page(make: Callable[[], Awaitable[Answer]]) -> Handler:
    async def handler(_request: Request, _parameters: Mapping[str, str], send: Send) -> None:
        await send(await make())

    return handler


def _fixed(answer: Answer) -> Handler:
    async def handler(_request: Request, _parameters: Mapping[str, str], send: Send) -> None:
        await send(answer)

    return handler


def _parameters(query: str) -> dict[str, str]:
    """Query parameters, each at most once. Raises ValueError with a sentence."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    except ValueError as error:
        raise ValueError(f"At most {_MAX_PARAMETERS} parameters are read.") from error
    parameters = dict(pairs)
    twice = [name for name in ("target", "job_id", "scope", "debug") if sum(key == name for key, _ in pairs) > 1]
    if twice:
        raise ValueError(f"The parameter {twice[0]} is given more than once.")
    return parameters
