"""The HTTP server: an aiohttp application on the listen addresses, and the web configuration it serves with."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from aiohttp import web

from exporter.log import FailureLog, get_logger
from exporter.repeat import repeat
from exporter.threads import in_thread
from exporter.web.access import Access
from exporter.web.listen import BACKLOG, address, listen, raise_descriptor_limit
from exporter.web.routes import SLICE, Backend, Routes, text
from exporter.web.tls import ReplaceableContext
from exporter.web.urls import Urls
from exporter.web.webconfig import WebConfig, WebConfigError, WebConfigFile

log = get_logger()

_SERVER = {"Server": "zilliz-import-exporter"}
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_MOST_HEADERS = 64
_LINGER = 1.0


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How to serve: `listen` holds addresses as given to `--web.listen-address`, `web_config_file` is the file of
    `--web.config.file`, whose content is looked at every `refresh_interval` seconds.

    `client_timeout`: seconds that a client may take for a TLS handshake, for a request head, and between requests.
    """

    listen: Sequence[str] = (":10530",)
    web_config_file: Path | None = None
    refresh_interval: float = 1.0
    urls: Urls = field(default_factory=Urls)
    enable_lifecycle: bool = False
    max_requests: int = 40
    client_timeout: float = 5.0


class Server:
    """Serves a backend from `start` to `stop`, on the event loop on which it is started."""

    def __init__(self, backend: Backend, settings: ServerSettings) -> None:
        self._settings = settings
        self._file = WebConfigFile(settings.web_config_file) if settings.web_config_file else None
        self._config = WebConfig()
        self._refused: tuple[str, ...] = ()
        self._access = Access()
        self._context: ReplaceableContext | None = None
        self._listeners: list[socket.socket] = []
        self._watching: asyncio.Task[None] | None = None
        self._failures = FailureLog()
        routes = Routes(
            backend, settings.urls, enable_lifecycle=settings.enable_lifecycle, max_requests=settings.max_requests
        )
        app = web.Application(middlewares=[self._access.middleware])
        app.add_routes(routes.table())
        self._close_routes = routes.close
        app.on_response_prepare.append(self._add_headers)
        self._runner = web.AppRunner(app)

    @property
    def addresses(self) -> tuple[str, ...]:
        """`HOST:PORT` of each listening socket, in the order of the settings."""
        return tuple(address(listener) for listener in self._listeners)

    async def start(self) -> None:
        """Listens on all addresses. Raises WebConfigError or ListenError, and then listens on none."""
        if self._file is not None:
            self._use(await in_thread(self._file.load))
        if self._config.tls is not None:
            self._context = ReplaceableContext(self._config.tls)
        raise_descriptor_limit()
        asyncio.get_running_loop().set_exception_handler(self._log_loop_error)
        await self._runner.setup()
        try:
            for where in self._settings.listen:
                self._listeners.append(await in_thread(partial(listen, where)))
        except BaseException:
            for listener in self._listeners:
                listener.close()
            raise
        for listener in self._listeners:
            await _Site(self._runner, listener, self._context, self._settings.client_timeout).start()
        if self._file is not None:
            refresh = partial(self._refresh, self._file)
            what = "Looking for changes of the web configuration"
            self._watching = asyncio.create_task(repeat(self._settings.refresh_interval, refresh, what))

    async def stop(self, grace: float = 5.0) -> None:
        """Stops accepting, lets the requests under way finish within `grace` seconds, drops the other connections."""
        if self._watching is not None:
            self._watching.cancel()
        server = self._runner.server
        try:
            async with asyncio.timeout(grace):
                await self._runner.cleanup()
        except TimeoutError:
            connections = server.connections if server is not None else []
            log.warning("Requests were still under way when the exporter stopped", requests=len(connections))
            for connection in connections:
                if connection.transport is not None:
                    connection.transport.abort()
        self._close_routes()

    async def _refresh(self, file: WebConfigFile) -> None:
        """Uses what changed. What cannot be used changes nothing, and is logged once."""
        if not await in_thread(file.changed):
            return
        try:
            fresh = await in_thread(file.load)
        except WebConfigError as error:
            if error.errors != self._refused:
                self._refused = error.errors
                log.error("The web configuration changed but cannot be used; the one before stays", error=str(error))  # noqa: TRY400 - the reader needs the sentence, not the stack
            return
        if (fresh.tls is None) != (self._context is None):
            log.error("Switching TLS on or off takes a restart; the web configuration before stays")
            return
        self._refused = ()
        log.info("The web configuration was reloaded")
        self._use(fresh)

    def _use(self, config: WebConfig) -> None:
        for warning in config.warnings:
            log.warning("Web configuration", warning=warning)
        self._config = config
        self._access.use(config)
        if self._context is not None and config.tls is not None:
            self._context.current = config.tls

    async def _add_headers(self, _request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update({**_SERVER, "X-Content-Type-Options": "nosniff", **self._config.headers})

    def _log_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in _EXHAUSTED:
            self._failures.failing(None, error.errno, "Cannot accept connections", error=error.strerror)
        else:
            loop.default_exception_handler(context)


class _Site(web.BaseSite):
    """aiohttp's SockSite with a time limit for TLS handshakes, and connections that log as this program does."""

    def __init__(
        self, runner: web.AppRunner, listener: socket.socket, context: ReplaceableContext | None, client_timeout: float
    ) -> None:
        super().__init__(runner, ssl_context=context, backlog=BACKLOG)
        self._listener = listener
        self._client_timeout = client_timeout

    @property
    def name(self) -> str:
        return address(self._listener)

    async def start(self) -> None:
        await super().start()
        loop = asyncio.get_running_loop()
        connection = partial(
            _Connection,
            cast(web.Server, self._runner.server),
            loop=loop,
            keepalive_timeout=self._client_timeout,
            lingering_time=_LINGER,
            max_headers=_MOST_HEADERS,
            access_log=cast(logging.Logger, None),
            auto_decompress=False,
        )
        secure = self._ssl_context is not None
        self._server = await loop.create_server(
            connection,
            sock=self._listener,
            backlog=self._backlog,
            ssl=self._ssl_context,
            ssl_handshake_timeout=self._client_timeout if secure else None,
            ssl_shutdown_timeout=_LINGER if secure else None,
        )


class _Connection(web.RequestHandler):
    """A connection that logs a line for what fails, not a traceback, and echoes nothing of a malformed request."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # With asyncio's own limit, 512 KiB, slow readers over TLS cost 1 MB each.
        cast(asyncio.Transport, transport).set_write_buffer_limits(high=SLICE)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - quotes what the client sent, which may be its password
    ) -> web.StreamResponse:
        if status == 400:
            log.debug("Malformed request", peer=request.remote, error=type(exc).__name__)
        elif self.transport is None or self.transport.is_closing():
            log.debug("Client hung up before the answer ended", peer=request.remote)
        else:
            log.error("Request failed", path=request.path, exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer broke off")
        response = text(status, "Malformed request." if status == 400 else "Internal error; the log says which.")
        response.headers.update(_SERVER)
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        log.error("Connection failed", about=str(args[0]) % args[1:], exc_info=kw.get("exc_info"))
