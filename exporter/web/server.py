"""The HTTP server: accepts connections, lets them in, passes requests to the routes and sends the answers."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import HttpVersion10, web

from exporter.log import FailureLog, get_logger
from exporter.web.connections import SERVER_NAME, Connection, Connections, Limits, connection_limit
from exporter.web.entry import Entry
from exporter.web.listen import address, listen, readable
from exporter.web.routes import Answer, Backend, Request, Routes, text
from exporter.web.threads import in_thread, unfailing
from exporter.web.urls import Urls

log = get_logger()

_SLICE = 64 * 1024
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_COMPLAIN_EVERY = 60.0


def _default_limits() -> Limits:
    return replace(Limits(), connections=connection_limit())


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How to serve: `listen` holds addresses as given to `--web.listen-address`, `web_config_file` is the file of
    `--web.config.file`, whose content is looked at every `refresh_interval` seconds.
    """

    listen: Sequence[str] = (":10530",)
    web_config_file: Path | None = None
    refresh_interval: float = 1.0
    urls: Urls = field(default_factory=Urls)
    enable_lifecycle: bool = False
    max_requests: int = 40
    limits: Limits = field(default_factory=_default_limits)


class Server:
    """Serves a backend from `start` to `stop`, on the event loop on which it is started."""

    def __init__(self, backend: Backend, settings: ServerSettings) -> None:
        self._settings = settings
        self._entry = Entry(settings.web_config_file)
        self._registry = Connections(settings.limits)
        self._routes = Routes(
            backend,
            settings.urls,
            enable_lifecycle=settings.enable_lifecycle,
            max_requests=settings.max_requests,
        )
        self._listeners: list[socket.socket] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._running: list[asyncio.Task[None]] = []
        self._complained = float("-inf")
        self._handshakes = FailureLog()

    @property
    def addresses(self) -> tuple[str, ...]:
        """`HOST:PORT` of each listening socket, in the order of the settings."""
        return tuple(address(listener) for listener in self._listeners)

    async def start(self) -> None:
        """Listens on all addresses. Raises WebConfigError or ListenError, and then listens on none."""
        loop = asyncio.get_running_loop()
        await self._entry.load()
        try:
            for where in self._settings.listen:
                self._listeners.append(await in_thread(partial(listen, where)))
        except BaseException:
            self._close_listeners()
            raise
        self._manager = web.Server(self._handle, request_factory=_begin)
        self._running = [loop.create_task(self._accept(listener)) for listener in self._listeners]
        self._running.append(loop.create_task(self._entry.keep_current(self._settings.refresh_interval)))

    async def stop(self, grace: float = 5.0) -> None:
        """Stops accepting, lets the requests under way finish within `grace` seconds, drops the other connections."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._close_listeners()
        await self._registry.drain(grace)

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            await unfailing(partial(self._accept_one, listener), "Accepting a connection")

    async def _accept_one(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await readable(listener)
        try:
            client, (peer, *_) = await loop.sock_accept(listener)
        except OSError as error:
            await self._could_not_accept(error)
            return
        try:
            await self._registry.room()
        except asyncio.CancelledError:
            client.close()
            raise
        connection = Connection(self._manager, self._registry, self._admit, self._entry.unread)
        opening = loop.create_task(self._open(client, connection, peer))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)
        connection.open(opening)

    async def _open(self, client: socket.socket, connection: Connection, peer: str) -> None:
        context = self._entry.config.tls
        options: dict[str, Any] = {}
        if context is not None:
            limit = self._settings.limits.handshake
            options = {"ssl": context, "ssl_handshake_timeout": limit, "ssl_shutdown_timeout": 1.0}
        try:
            loop = asyncio.get_running_loop()
            await loop.connect_accepted_socket(lambda: connection, client, **options)
        except OSError as error:
            connection.drop(f"TLS handshake failed: {error}")
            self._tell_of_handshake(error, peer)
        finally:
            if not connection.opened:
                connection.drop("gone before it was open")
                client.close()

    def _tell_of_handshake(self, error: OSError, peer: str) -> None:
        """A line, of each kind one in ten minutes: the client itself is not told more than that it is not let in.

        Whoever hangs up, and plain HTTP, is nobody's mistake in particular: port scans and health checks do that.
        """
        if isinstance(error, ssl.SSLEOFError) or not isinstance(error, ssl.SSLError) or error.reason == "HTTP_REQUEST":
            return
        reason = (error.reason or "unknown").replace("_", " ").lower()
        self._handshakes.failing(reason, "failing", "TLS handshake failed", peer=peer, error=reason)

    async def _could_not_accept(self, error: OSError) -> None:
        if error.errno not in _EXHAUSTED:
            log.debug("Accepting a connection failed", error=str(error))
            return
        if time.monotonic() - self._complained >= _COMPLAIN_EVERY:
            self._complained = time.monotonic()
            log.warning("Cannot accept connections; the oldest idle ones are dropped", error=str(error))
        self._registry.drop_oldest("no file descriptors left")
        await asyncio.sleep(0.05)

    def _admit(self, transport: asyncio.Transport) -> str | None:
        return self._entry.objection(transport.get_extra_info("peercert"))

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        if not isinstance(connection, Connection):
            raise TypeError("requests come over connections of this server")
        exchange = _Exchange(request, connection, self._entry.config.headers)
        secure = connection.ssl_context is not None
        asked = Request(request.method, request.raw_path, request.headers, "https" if secure else "http")
        try:
            peer = request.remote or ""
            refusal = _VERSIONS if request.version < HttpVersion10 else await self._entry.refusal(asked, peer)
            if refusal is not None:
                await exchange.send(refusal)
            else:
                await self._routes.answer(asked, exchange.send)
        except Exception as error:
            log.error("Request failed", path=request.raw_path.partition("?")[0], exc_info=error)  # noqa: TRY400 - one line
            await exchange.fail()
        finally:
            connection.answered()
        return exchange.response

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.close()


_VERSIONS = text(400, "Only HTTP/1.0 and HTTP/1.1 are spoken here.", Connection="close")


class _Exchange:
    """One request's answer on its way to the client."""

    def __init__(self, request: web.BaseRequest, connection: Connection, headers: Mapping[str, str]) -> None:
        """`headers` go with every answer."""
        self._request = request
        self._connection = connection
        self._headers = headers
        self.response = web.StreamResponse(status=500)

    async def send(self, answer: Answer) -> None:
        """Sends the answer no faster than the client takes it; a client that hangs up is no error."""
        request, connection = self._request, self._connection
        response = self.response = _response(answer)
        response.headers.update(self._headers)
        response.headers["Server"] = SERVER_NAME
        if connection.last or answer.headers.get("Connection") == "close":
            response.force_close()
        connection.answering()
        try:
            await response.prepare(request)
            if request.method != "HEAD" and not isinstance(response, web.Response):
                await self._send_body(answer)
            await response.write_eof()
            await request.writer.drain()
        except ConnectionError:
            log.debug("Client hung up before the answer ended", path=request.raw_path.partition("?")[0])

    async def fail(self) -> None:
        """After an exception: an answer that says so, or where one has begun, an end that cannot be mistaken."""
        if self.response.prepared:
            self._connection.drop("the answer broke off")
        else:
            await self.send(text(500, "Internal error; the log says which."))

    async def _send_body(self, answer: Answer) -> None:
        if isinstance(answer.body, bytes):
            await self._send_slices(answer.body)
            return
        async for chunk in answer.body:
            await self._send_slices(chunk)

    async def _send_slices(self, chunk: bytes) -> None:
        view = memoryview(chunk)
        for start in range(0, len(view), _SLICE):
            await self.response.write(view[start : start + _SLICE])
            await self._request.writer.drain()


def _response(answer: Answer) -> web.StreamResponse:
    """A response that sends a small body together with its headers, and leaves others to be sent in slices."""
    if isinstance(answer.body, bytes) and answer.length is not None and answer.length <= _SLICE:
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_length = answer.length
    return response


def _begin(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
    """Makes the request object of a complete head, and tells its connection."""
    request = web.BaseRequest(message, payload, protocol, writer, task, asyncio.get_running_loop())
    protocol.begin(last=request.body_exists or message.upgrade)
    return request
