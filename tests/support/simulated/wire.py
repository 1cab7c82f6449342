"""HTTP/1.1 as far as the simulated API needs it: small enough to be bent by faults, fast enough for benchmarks."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import Protocol, cast

JSON_TYPE = "application/json; charset=utf-8"
_MAX_HEAD = 64 << 10
_MAX_BODY = 1 << 20
_REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) ([!-~]{1,8192}) HTTP/1\.([01])")
_JSON = json.JSONDecoder()


@dataclass(frozen=True)
class Request:
    """One request as it came in. `at` in monotonic seconds; header names are lower-case."""

    at: float
    connection: int
    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes

    @cached_property
    def json(self) -> object:
        """The body's first JSON value, as Go's decoder reads it; None where there is none."""
        try:
            value: object = _JSON.raw_decode(self.body.decode().lstrip())[0]
        except (ValueError, RecursionError):
            return None
        return value

    @property
    def fields(self) -> Mapping[str, object]:
        """The body's keys, without any where it is no JSON object."""
        return self.json if isinstance(self.json, dict) else {}

    @property
    def authorized(self) -> bool:
        """Whether the request carried an Authorization header, of whatever value."""
        return "authorization" in self.headers

    @property
    def operation(self) -> str:
        """`list` or `progress`."""
        return "list" if self.path.rstrip("/").endswith("/list") else "progress"

    @property
    def job_id(self) -> str:
        """The job that is asked about, empty where none is."""
        return str(self.fields.get("jobId", ""))


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply; `chunked` sends the body without a length before it."""

    status: int
    body: bytes = b""
    content_type: str = JSON_TYPE
    headers: tuple[tuple[str, str], ...] = ()
    chunked: bool = False

    def head(self) -> bytes:
        """Status line and headers, with the empty line."""
        lines = [f"HTTP/1.1 {self.status} {_phrase(self.status)}"]
        if self.content_type:
            lines.append(f"Content-Type: {self.content_type}")
        lines += [f"{name}: {value}" for name, value in self.headers]
        lines.append("Transfer-Encoding: chunked" if self.chunked else f"Content-Length: {len(self.body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def encoded(self) -> bytes:
        """The whole reply as it goes over the wire."""
        if not self.chunked:
            return self.head() + self.body
        return b"%b%x\r\n%b\r\n0\r\n\r\n" % (self.head(), len(self.body), self.body)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


class Wire(Protocol):
    """The server's end of one connection, as a behaviour sees it."""

    async def send(self, data: bytes) -> None:
        """Write, and wait while the client does not read."""

    def close(self) -> None:
        """Close once everything written is out."""

    def reset(self) -> None:
        """Tear the connection down with a TCP reset."""


class Behaviour(Protocol):
    """What the server does instead of sending its proper reply."""

    async def play(self, reply: Reply, wire: Wire) -> None:
        """Send `reply`, or something else, or nothing; the connection is kept unless it was closed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The proper reply, the seconds to wait before it, and what happens instead of sending it."""

    reply: Reply
    delay: float = 0.0
    behaviour: Behaviour | None = None


class Connection(asyncio.Protocol):
    """One client's connection: requests in, answers out, one at a time."""

    def __init__(self, number: int, answer: Callable[[Request], Answer], open_ones: set[Connection]) -> None:
        """`answer` is called on the event loop and must not block; the connection is in `open_ones` while it is."""
        self._number = number
        self._answer = answer
        self._open_ones = open_ones
        self._received = bytearray()
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)
        self._open_ones.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of asyncio.Protocol."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
        self._writable.set()
        self._open_ones.discard(self)

    def pause_writing(self) -> None:
        """Part of asyncio.Protocol."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Part of asyncio.Protocol."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol."""
        self._received += data
        if not self._busy:
            self._serve()

    async def send(self, data: bytes) -> None:
        """Write, and wait while the client does not read."""
        self._transport.write(data)
        await self._writable.wait()

    def close(self) -> None:
        """Close once everything written is out."""
        self._transport.close()

    def reset(self) -> None:
        """Tear the connection down with a TCP reset."""
        sock: socket.socket = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def abort(self) -> None:
        """Close at once, whatever is still to be sent."""
        self._transport.abort()

    def _serve(self) -> None:
        while not self._transport.is_closing():
            try:
                request, last = self._parse()
            except _MalformedError as error:
                self._transport.write(error.reply.encoded())
                self._transport.close()
                return
            if request is None:
                return
            answer = self._answer(request)
            if answer.behaviour is not None:
                self._busy = True
                self._task = asyncio.get_running_loop().create_task(self._play(answer, answer.behaviour, last))
                return
            if answer.delay > 0:
                self._busy = True
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(answer.delay, self._finish, answer.reply.encoded(), last)
                return
            self._write(answer.reply.encoded(), last)

    def _finish(self, data: bytes, last: bool) -> None:
        self._busy = False
        self._write(data, last)
        self._serve()

    def _write(self, data: bytes, last: bool) -> None:
        self._transport.write(data)
        if last:
            self._transport.close()

    async def _play(self, answer: Answer, behaviour: Behaviour, last: bool) -> None:
        await asyncio.sleep(answer.delay)
        await behaviour.play(answer.reply, self)
        self._finish(b"", last)

    def _parse(self) -> tuple[Request | None, bool]:
        """Take one whole request off what was received, and say whether the client wants no other after it."""
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            if len(self._received) > _MAX_HEAD:
                raise _MalformedError(431)
            return None, False
        first, *lines = bytes(self._received[:end]).split(b"\r\n")
        line = _REQUEST_LINE.fullmatch(first)
        if line is None:
            raise _MalformedError(400)
        headers: dict[str, str] = {}
        for header in lines:
            name, colon, value = header.partition(b":")
            if not colon:
                raise _MalformedError(400)
            headers[name.decode("latin-1").lower()] = value.strip().decode("latin-1")
        if "transfer-encoding" in headers:
            raise _MalformedError(501)
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdecimal():
            raise _MalformedError(400)
        if int(length) > _MAX_BODY:
            raise _MalformedError(413)
        body_end = end + 4 + int(length)
        if len(self._received) < body_end:
            return None, False
        body = bytes(self._received[end + 4 : body_end])
        del self._received[:body_end]
        path = line[2].decode().partition("?")[0]
        request = Request(time.monotonic(), self._number, line[1].decode(), path, headers, body)
        connection = headers.get("connection", "").lower()
        return request, connection == "close" or (line[3] == b"0" and connection != "keep-alive")


class _MalformedError(Exception):
    """A request that this server does not read on."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.reply = Reply(status, _phrase(status).encode(), "text/plain", (("Connection", "close"),))
