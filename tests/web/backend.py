"""A backend whose answers the test decides, and the server in front of it in a thread of its own."""

from __future__ import annotations

import asyncio
import gzip as gzip_module
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection, HTTPResponse
from typing import Literal

from exporter.threads import in_thread
from exporter.web.routes import Backend, Reloaded
from exporter.web.server import Server, ServerSettings
from exporter.web.status import Status

QUICK = ServerSettings(client_timeout=0.5)
"""For tests that wait for a client to be dropped."""

PATIENT = ServerSettings(client_timeout=20)


@dataclass(frozen=True)
class FakeBody:
    """A body of given text in slices; the formats differ in their last line as in the real one."""

    text: bytes
    slice_size: int = 256 * 1024

    def _bytes(self, *, openmetrics: bool, gzip: bool) -> bytes:
        whole = self.text + (b"# EOF\n" if openmetrics else b"")
        return gzip_module.compress(whole, 1, mtime=0) if gzip else whole

    def chunks(self, *, openmetrics: bool, gzip: bool) -> Iterator[bytes]:
        whole = self._bytes(openmetrics=openmetrics, gzip=gzip)
        for start in range(0, len(whole), self.slice_size):
            yield whole[start : start + self.slice_size]

    def size(self, *, openmetrics: bool, gzip: bool) -> int:
        return len(self._bytes(openmetrics=openmetrics, gzip=gzip))


@dataclass
class FakeBackend:
    """Answers with what its fields say and records what it was asked; each scrape calls `before` in a thread."""

    text: bytes = b"zilliz_import_job_progress_ratio 0.5\n"
    clusters: tuple[str, ...] = ("in01-a", "in01-b")
    reloaded: Reloaded = field(default_factory=lambda: Reloaded(replaced=True))
    page: Status = field(default_factory=lambda: Status("0.1.0", 0.0, ()))
    before: Callable[[], object] = lambda: None
    asked: list[tuple[object, ...]] = field(default_factory=list)

    async def metrics(self, timeout_header: str | None, scope: Literal["all", "exporter"]) -> FakeBody:
        self.asked.append(("metrics", timeout_header, scope))
        await in_thread(self.before)
        return FakeBody(self.text)

    async def probe(self, target: str, job_id: str | None, timeout_header: str | None) -> FakeBody:
        self.asked.append(("probe", target, job_id, timeout_header))
        await in_thread(self.before)
        return FakeBody(self.text)

    async def probe_debug(self, target: str, job_id: str | None, timeout_header: str | None) -> str:
        self.asked.append(("debug", target, job_id, timeout_header))
        await in_thread(self.before)
        return "POST /v2/vectordb/jobs/import/getProgress"

    async def scrape(self, target: str) -> None:
        self.asked.append(("scrape", target))
        await in_thread(self.before)

    def status(self) -> Status:
        return self.page

    def cluster_ids(self) -> Sequence[str]:
        return self.clusters

    async def reload(self) -> Reloaded:
        self.asked.append(("reload",))
        return self.reloaded


@contextmanager
def clients(server: Running, number: int, sent: bytes = b"") -> Iterator[list[socket.socket]]:
    """That many connections which sent something and then no more."""
    with ExitStack() as stack:
        opened = []
        for _ in range(number):
            client = stack.enter_context(socket.create_connection((server.host.strip("[]"), server.port), timeout=20))
            client.sendall(sent)
            opened.append(client)
        yield opened


def is_closed(client: socket.socket) -> bool:
    """Waits for more from the server, up to the socket's timeout: whether there is none, with or without a farewell."""
    try:
        return client.recv(1) == b""
    except ConnectionError:
        return True


class Running:
    """A server that runs in a thread; addresses are those of the loopback."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self.server = server
        self.loop = loop
        self.host, _, port = server.addresses[0].rpartition(":")
        self.port = int(port)

    def get(
        self, path: str, *, method: str = "GET", headers: dict[str, str] | None = None, timeout: float = 20
    ) -> tuple[HTTPResponse, bytes]:
        """One request over a connection of its own: the response and its body."""
        connection = HTTPConnection(self.host.strip("[]"), self.port, timeout=timeout)
        try:
            connection.request(method, path, headers=headers or {})
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    def run(self, function: Callable[[], object]) -> object:
        """Calls `function` on the server's event loop."""

        async def call() -> object:
            return function()

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(10)

    def stop(self, grace: float = 5.0) -> None:
        asyncio.run_coroutine_threadsafe(self.server.stop(grace), self.loop).result(grace + 10)


@contextmanager
def running(backend: Backend, settings: ServerSettings | None = None) -> Iterator[Running]:
    """The server on a free port of the loopback, stopped at the end."""
    chosen = settings or PATIENT
    if chosen.listen == (":10530",):
        chosen = replace(chosen, listen=("127.0.0.1:0",))
    started = threading.Event()
    outcome: list[Running | BaseException] = []
    done: list[asyncio.Event] = []

    async def serve() -> None:
        done.append(asyncio.Event())
        server = Server(backend, chosen)
        try:
            await server.start()
            outcome.append(Running(server, asyncio.get_running_loop()))
        except BaseException as error:  # noqa: BLE001 - raised again in the test's thread
            outcome.append(error)
            return
        finally:
            started.set()
        await done[0].wait()
        await server.stop(grace=0.2)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert started.wait(10)
    first = outcome[0]
    if isinstance(first, BaseException):
        thread.join(10)
        raise first
    try:
        yield first
    finally:
        first.loop.call_soon_threadsafe(done[0].set)
        thread.join(10)
