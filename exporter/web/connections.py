"""Client connections: how long each may take, how much it may send, and who has to go when there are too many."""

from __future__ import annotations

import asyncio
import logging
import resource
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from exporter.log import get_logger
from exporter.web.routes import Answer, text

log = get_logger()

SERVER_NAME = "zilliz-import-exporter"
_LINGER = 1.0


def connection_limit() -> int:
    """How many connections to hold: half of the file descriptors this process may open, at most 1024.

    At least 64 descriptors are left for the API and for files, unless that leaves fewer than 8 connections.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1024 if soft == resource.RLIM_INFINITY else max(8, min(1024, soft // 2, soft - 64))


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may take. Times in seconds, sizes in bytes."""

    handshake: float = 5.0
    head: float = 5.0
    answer: float = 30.0
    idle: float = 120.0
    head_size: int = 16 * 1024
    line_size: int = 8190
    header_count: int = 100
    ahead_size: int = 64 * 1024
    connections: int = 512


class Connections:
    """All connections of a server, the ones without a complete request in the order in which they began to wait."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._all: set[Connection] = set()
        self._waiting: dict[Connection, None] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._all)

    def add(self, connection: Connection) -> None:
        """A new connection, waiting from now."""
        self._all.add(connection)
        self._waiting[connection] = None

    def wait(self, connection: Connection) -> None:
        """The connection's request is answered: it waits for its next one."""
        if connection in self._all:
            self._waiting[connection] = None
            self._changed.set()

    def work(self, connection: Connection) -> None:
        """The connection's request is complete."""
        self._waiting.pop(connection, None)

    def remove(self, connection: Connection) -> None:
        """The connection is gone."""
        self._all.discard(connection)
        self._waiting.pop(connection, None)
        self._changed.set()

    def drop_oldest(self, reason: str) -> bool:
        """Drops whoever has waited longest; False if all connections have a request under way."""
        oldest = next(iter(self._waiting), None)
        if oldest is None:
            return False
        oldest.drop(reason)
        return True

    async def room(self) -> None:
        """Makes room for one more, at the cost of the oldest without a complete request, else waits for room."""
        while len(self._all) >= self.limits.connections:
            if not self.drop_oldest("too many connections"):
                await self._change()

    async def drain(self, grace: float) -> None:
        """Lets the requests under way finish within `grace` seconds and drops everybody else."""
        for connection in list(self._all):
            connection.finish()
        try:
            async with asyncio.timeout(grace):
                while self._all:
                    await self._change()
        except TimeoutError:
            log.warning("Requests were still under way when the exporter stopped", requests=len(self._all))
        for connection in list(self._all):
            connection.drop("the exporter stops")

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class Connection(web.RequestHandler):
    """One client's connection: aiohttp's parser and keep-alive, with a deadline on everything a client does.

    `admit` sees the transport first and says why this client may not come in, or None; `unread` answers a request
    whose head is too large. The deadlines end with the connection, not with the last write, so that one which is
    closed but not read does not stay.
    """

    def __init__(
        self,
        manager: web.Server,
        registry: Connections,
        admit: Callable[[asyncio.Transport], str | None],
        unread: Callable[[], Answer],
    ) -> None:
        limits = registry.limits
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            access_log=cast(logging.Logger, None),
            auto_decompress=False,
            lingering_time=_LINGER,
            max_line_size=limits.line_size,
            max_field_size=limits.line_size,
            max_headers=limits.header_count,
        )
        self._registry = registry
        self._limits = limits
        self._admit = admit
        self._unread = unread
        self._wire: asyncio.Transport | None = None
        self._opening: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._waits = True
        self._last = False
        self._received = 0
        self._refused = False
        self._ended = False

    @property
    def opened(self) -> bool:
        """Whether the connection ever came to be, which for TLS means after the handshake."""
        return self._wire is not None

    @property
    def last(self) -> bool:
        """Whether the connection ends with the answer under way."""
        return self._last

    def open(self, opening: asyncio.Task[None]) -> None:
        """Registers the connection while `opening`, e.g. a TLS handshake, is under way."""
        self._opening = opening
        self._registry.add(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast(asyncio.Transport, transport)
        super().connection_made(transport)
        if (objection := self._admit(self._wire)) is not None:
            self.drop(objection)
            return
        # Every write then waits until the kernel took the one before, which bounds what a slow reader costs. Not
        # high=0, with which the TLS transport of asyncio (3.11 to 3.13) pauses although nothing waits to be sent.
        self._wire.set_write_buffer_limits(high=1, low=0)
        self._within(self._limits.head, "no complete request in time")

    def connection_lost(self, exc: BaseException | None) -> None:
        self._leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._ended or self._refused:
            return
        if self._waits:
            if not self._received:
                self._within(self._limits.head, "no complete request in time")
            end = data.find(b"\r\n\r\n")
            self._received += len(data) if end < 0 else end + 4
            if self._received > self._limits.head_size:
                self._refuse()
                return
        elif not self._last:
            self._received += len(data)
            if self._received > self._limits.ahead_size:
                self.drop("sends requests faster than it takes answers")
                return
        super().data_received(data)

    def begin(self, *, last: bool) -> None:
        """A request is complete; `last` if it has to be the last one of this connection."""
        self._waits = False
        self._last = self._last or last
        self._received = 0
        self._cancel_timer()
        self._registry.work(self)

    def answering(self) -> None:
        """The answer is ready to be taken."""
        self._within(self._limits.answer, "the answer was not taken in time")

    def answered(self) -> None:
        """The answer was taken."""
        if self._ended:
            return
        if self._last:
            self._within(self._limits.head, "still open after its last answer")
            return
        self._waits = True
        self._registry.wait(self)
        if self._received:
            self._within(self._limits.head, "no complete request in time")
        else:
            self._within(self._limits.idle, "idle")

    def finish(self) -> None:
        """Ends the connection, after the answer under way if there is one."""
        self._last = True
        if self._waits:
            self.drop("the exporter stops")

    def drop(self, reason: str) -> None:
        """Ends the connection at once."""
        if self._ended:
            return
        log.debug("Connection dropped", reason=reason, peer=_peer(self._wire))
        self._leave()
        if self._wire is not None:
            self._wire.abort()
        elif self._opening is not None:
            self._opening.cancel()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - quotes what the client sent, which may be its password
    ) -> web.StreamResponse:
        """Malformed HTTP: 400 without an echo of what was sent, and a line for whoever debugs the client."""
        self.answering()
        log.debug("Malformed request", peer=_peer(self._wire), error=type(exc).__name__)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was under way")
        if isinstance(exc, LineTooLong):
            answer = self._unread()
        else:
            answer = text(status, "Malformed request." if status == 400 else "Internal error.")
        response = web.Response(status=answer.status, body=answer.body, headers=answer.headers)
        response.headers["Server"] = SERVER_NAME
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """What aiohttp calls an unhandled exception, as one line."""
        about = str(args[0]) % args[1:]
        log.error("Connection failed", peer=_peer(self._wire), about=about, exc_info=kw.get("exc_info"))

    def _refuse(self) -> None:
        log.debug("Request head too large", peer=_peer(self._wire))
        if self._wire is not None:
            self._wire.write(_closing(self._unread()))
            if self._wire.can_write_eof():
                self._wire.write_eof()
        # Closed at once, with the rest of the head unread, it would be reset, which can cost the client the answer.
        self._refused = True
        self._within(_LINGER, "its request head is too large")

    def _within(self, seconds: float, reason: str) -> None:
        self._cancel_timer()
        if not self._ended:
            self._timer = self._loop.call_later(seconds, self.drop, reason)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _leave(self) -> None:
        self._ended = True
        self._cancel_timer()
        self._registry.remove(self)


def _closing(answer: Answer) -> bytes:
    """An answer as it is sent where nothing of the request was parsed, and with which the connection ends."""
    headers = {**answer.headers, "Content-Length": answer.length, "Server": SERVER_NAME, "Connection": "close"}
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join((*lines, "", "")).encode() + cast(bytes, answer.body)


def _peer(transport: asyncio.Transport | None) -> str:
    name = transport.get_extra_info("peername") if transport else None
    return f"{name[0]}:{name[1]}" if name else "unknown"
