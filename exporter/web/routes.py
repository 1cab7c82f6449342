"""The pages: paths, methods and parameters. Knows nothing of sockets, TLS or passwords."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

from aiohttp import web

from exporter.collector.collector import UnknownClusterError
from exporter.log import get_logger
from exporter.model import JOB_ID
from exporter.threads import Threads, in_thread
from exporter.web import page as status_page
from exporter.web.discovery import target_groups
from exporter.web.filter import OFF, Filter
from exporter.web.jobrows import SLUGS
from exporter.web.negotiate import accepts_gzip, choose_format
from exporter.web.status import Status
from exporter.web.urls import Urls, is_host

SCRAPE_TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"

SLICE = 64 * 1024
"""Bytes of an answer that are sent before the client has to have taken those before."""

LONGEST_USER_AGENT = 100
"""Characters of it that the log shows."""

log = get_logger()


class Body(Protocol):
    """A rendered exposition. Its methods may block; it is the same every time it is read."""

    def chunks(self, *, openmetrics: bool, gzip: bool) -> Iterator[bytes]:
        """The bytes of the body, one gzip member over all of them where `gzip`."""

    def size(self, *, openmetrics: bool, gzip: bool) -> int:
        """Number of bytes that `chunks` yields."""


@dataclass(frozen=True, slots=True)
class Reloaded:
    """How a reload ended: whether the configuration was replaced, and what is wrong with it or with a job list."""

    replaced: bool
    problems: Sequence[str] = ()


class Backend(Protocol):
    """What the pages show and the scrapes return.

    `timeout_header` is the scrape timeout as Prometheus sent it: any text, or None. Upstream failures are part of the
    bodies; `probe`, `probe_debug` and `scrape` raise UnknownClusterError, and nothing else is expected to be raised.
    """

    async def metrics(self, timeout_header: str | None, scope: Literal["all", "exporter"]) -> Body:
        """Everything, or the exporter's own metrics alone."""

    async def probe(self, target: str, job_id: str | None, timeout_header: str | None) -> Body:
        """One cluster's gauges, or one job's."""

    async def probe_debug(self, target: str, job_id: str | None, timeout_header: str | None) -> str:
        """What was sent and answered, for a person, without secrets."""

    async def scrape(self, target: str) -> None:
        """Scrape one cluster, for the status page."""

    def status(self) -> Status:
        """What is known now; queries no API and does not block."""

    def cluster_ids(self) -> Sequence[str]:
        """The configured clusters."""

    async def reload(self) -> Reloaded:
        """Reads the configuration again."""


class Routes:
    """All paths and their handlers.

    At most `max_requests` scrapes are under way at once, from their start until their answer is taken (0: no limit);
    the other paths never wait for scrapes. `clock` gives seconds since the epoch.
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
        # Few threads, since each that allocates much keeps memory of its own.
        self._encoders = Threads(2, "encode")
        self._scrapes = 0
        self._scraped = False
        self._rendering = asyncio.Lock()

    def table(self) -> Sequence[web.RouteDef]:
        """The routes, below the route prefix."""
        prefix = self._urls.prefix
        routes = [
            web.get(prefix + self._urls.telemetry_path, self._metrics),
            web.get(prefix + "/probe", self._probe),
            web.get(prefix + "/sd", self._sd),
            web.get(prefix + "/", self._status),
            web.get(prefix + "/-/healthy", self._healthy),
            web.get(prefix + "/-/ready", self._healthy),
            web.post(prefix + "/-/scrape", self._scrape_now),
            web.post(prefix + "/-/reload", self._reload),
            web.put(prefix + "/-/reload", self._reload),
        ]
        if prefix:
            routes += [web.get(prefix, self._status), web.get("/", self._to_prefix)]
        return routes

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        scope = _parameter(request, "scope")
        if scope not in (None, "exporter"):
            raise _bad_request("The only scope is exporter; without the parameter everything is exposed.")
        timeout = request.headers.get(SCRAPE_TIMEOUT_HEADER)
        return await self._scrape(request, partial(self._backend.metrics, timeout, "exporter" if scope else "all"))

    async def _probe(self, request: web.Request) -> web.StreamResponse:
        target = self._target(request)
        job_id, debug = (_parameter(request, name) for name in ("job_id", "debug"))
        if debug not in (None, "true", "false"):
            raise _bad_request("The parameter debug must be true or false.")
        if job_id is not None and not JOB_ID.fullmatch(job_id):
            raise _bad_request("The parameter job_id must be 1 to 128 of A-Z, a-z, 0-9, _ and -.")
        timeout = request.headers.get(SCRAPE_TIMEOUT_HEADER)
        if debug != "true":
            return await self._scrape(request, partial(self._backend.probe, target, job_id, timeout))
        if request.method == "HEAD":
            return web.Response(content_type="text/plain", charset="utf-8")
        with self._scraping():
            return text(200, await self._backend.probe_debug(target, job_id, timeout))

    async def _scrape(self, request: web.Request, scrape: Callable[[], Awaitable[Body]]) -> web.StreamResponse:
        exposition = choose_format(_header(request, "Accept"))
        gzip = accepts_gzip(_header(request, "Accept-Encoding"))
        response = web.StreamResponse(headers={"Content-Type": exposition.value, "Vary": "Accept, Accept-Encoding"})
        if gzip:
            response.headers["Content-Encoding"] = "gzip"
        if request.method == "HEAD":
            return response
        self._log_first_scrape(request)
        with self._scraping():
            body = await scrape()
            coding = {"openmetrics": exposition.openmetrics, "gzip": gzip}
            response.content_length = await self._encoders.run(partial(body.size, **coding))
            await response.prepare(request)
            chunks = body.chunks(**coding)
            while (chunk := await self._encoders.run(partial(next, chunks, None))) is not None:
                for start in range(0, len(chunk), SLICE):
                    await response.write(memoryview(chunk)[start : start + SLICE])
            await response.write_eof()
        return response

    def _log_first_scrape(self, request: web.Request) -> None:
        if not self._scraped:
            self._scraped = True
            log.info("First scrape", path=request.path, user_agent=_header(request, "User-Agent")[:LONGEST_USER_AGENT])

    def close(self) -> None:
        """Let the threads that encode answers end."""
        self._encoders.close()

    @contextmanager
    def _scraping(self) -> Iterator[None]:
        if self._max_requests and self._scrapes >= self._max_requests:
            raise web.HTTPServiceUnavailable(
                text="Too many scrapes at once; the limit is --web.max-requests.\n", headers={"Retry-After": "1"}
            )
        self._scrapes += 1
        try:
            yield
        except UnknownClusterError:
            raise self._no_cluster("must be") from None
        finally:
            self._scrapes -= 1

    def _target(self, request: web.Request) -> str:
        target = _parameter(request, "target")
        if not target:
            raise self._no_cluster("is missing:")
        if target not in self._backend.cluster_ids():
            raise self._no_cluster("must be")
        return target

    def _no_cluster(self, what: str) -> web.HTTPBadRequest:
        listed = self._urls.link("/sd")
        return _bad_request(f"The parameter target {what} the id of a configured cluster; {listed} lists them.")

    async def _sd(self, request: web.Request) -> web.StreamResponse:
        host = request.headers.get("Host", "")
        if not self._urls.external_host and not is_host(host):
            raise _bad_request("The Host header must be this exporter's name or address and its port.")
        groups = target_groups(self._backend.cluster_ids(), urls=self._urls, host=host, scheme=request.scheme)
        headers = {"Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store"}
        return web.Response(body=groups, headers=headers)

    async def _status(self, request: web.Request) -> web.StreamResponse:
        chosen = _filter(request)
        async with self._rendering:
            status, now = self._backend.status(), self._clock()
            render = partial(status_page.render, status, urls=self._urls, now=now, chosen=chosen)
            page = await in_thread(lambda: render().encode("utf-8", "replace"))
        return web.Response(body=page, headers=status_page.HEADERS)

    async def _scrape_now(self, request: web.Request) -> web.StreamResponse:
        if not self._is_own_form(request):
            raise web.HTTPForbidden(
                text="A page of another site sent this. If it was the status page, behind a reverse proxy that changes "
                "the Host header, start with --web.external-url.\n"
            )
        target, chosen = self._target(request), _filter(request)
        with self._scraping():
            await self._backend.scrape(target)
        raise web.HTTPSeeOther(self._urls.link("/") + chosen.query)

    def _is_own_form(self, request: web.Request) -> bool:
        """Whether no browser says that another site makes it send the request.

        Browsers send Sec-Fetch-Site to https and loopback addresses alone, and the origin to all.
        """
        site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
        if site is not None:
            return site in ("same-origin", "none")
        if origin is None:
            return True
        hosts = {request.headers.get("Host", "").lower(), self._urls.external_host.lower()} - {""}
        return origin.lower().rpartition("://")[2] in hosts

    async def _healthy(self, request: web.Request) -> web.StreamResponse:
        return text(200, f"zilliz-import-exporter is {request.path.rpartition('/')[2]}.")

    async def _reload(self, _request: web.Request) -> web.StreamResponse:
        if not self._enable_lifecycle:
            raise web.HTTPForbidden(text="Reloading over HTTP is not enabled; start with --web.enable-lifecycle.\n")
        reloaded = await self._backend.reload()
        if not reloaded.problems:
            return text(200, "The configuration was reloaded.")
        outcome = (
            "The configuration was replaced, except:" if reloaded.replaced else "The configuration was not replaced:"
        )
        return text(500, "\n".join((outcome, *reloaded.problems)))

    async def _to_prefix(self, _request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(self._urls.prefix + "/")


def text(status: int, message: str) -> web.Response:
    """A plain answer for a person."""
    body = (message.rstrip("\n") + "\n").encode("utf-8", "replace")
    return web.Response(status=status, body=body, content_type="text/plain", charset="utf-8")


def _bad_request(message: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text=message + "\n")


def _filter(request: web.Request) -> Filter:
    text, state, refresh = (_parameter(request, name) or "" for name in ("q", "state", "refresh"))
    if state and state not in SLUGS:
        raise _bad_request(f"The parameter state must be one of {', '.join(SLUGS)}.")
    return Filter(text, state, reloads=refresh != OFF)


def _header(request: web.Request, name: str) -> str:
    """All lines of that header joined by commas, "" where there is none."""
    return ", ".join(request.headers.getall(name, ()))


def _parameter(request: web.Request, name: str) -> str | None:
    values = request.query.getall(name, [])
    if len(values) > 1:
        raise _bad_request(f"The parameter {name} is given more than once.")
    return values[0] if values else None
