"""The simulated API as a running server: both dialects on loopback, in a thread of its own."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from types import TracebackType
from typing import Self

from exporter.demo.scenario import JobScript
from tests.support.simulated.clock import ScenarioClock
from tests.support.simulated.cloud import CloudApi
from tests.support.simulated.faults import Faults
from tests.support.simulated.jobs import Jobs
from tests.support.simulated.milvus import MilvusApi
from tests.support.simulated.wire import Answer, Connection, Reply, Request

CLUSTER = "in01-0123456789abcde"
"""The Zilliz Cloud cluster that is there from the start."""
MILVUS = "milvus"
"""Names the Milvus wherever a cluster is named."""
KEY = "demo-key"
"""The key that Zilliz Cloud accepts by default."""


class SimulatedApi:
    """Zilliz Cloud's control plane at `url` and one Milvus at `milvus_url`.

    Everything may be called from any thread. `requests` are all requests since the last `reset`, of which at most
    `keep_requests` are kept. `latency`, seconds before each reply, may be changed at any time.
    """

    def __init__(
        self,
        *,
        clock: ScenarioClock | None = None,
        latency: float = 0.0,
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        keep_requests: int = 100_000,
    ) -> None:
        """Nothing listens before `start`; port 0 takes any, and keeps it over a stop and another start."""
        self.clock = clock or ScenarioClock()
        self.latency = latency
        self.faults = Faults()
        self.cloud = CloudApi(self.clock, {KEY})
        self.cloud.clusters[CLUSTER] = Jobs()
        self.milvus = MilvusApi(self.clock, {}, random.Random(0))
        self.connections_opened = 0
        self._host = host
        self._ports = [port, 0]
        self._ssl_context = ssl_context
        self._requests: deque[Request] = deque(maxlen=keep_requests)
        self._changed = threading.Condition()
        self._connections: set[Connection] = set()
        self._handshakes: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Listen; raises OSError where that is not possible."""
        if self._thread is not None:
            raise RuntimeError("the simulated API is running already")
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        with ExitStack() as opened:
            listeners = []
            for port in self._ports:
                listener = opened.enter_context(socket.create_server((self._host, port), family=family, backlog=1024))
                listener.setblocking(False)
                listeners.append(listener)
            opened.pop_all()
        self._ports = [listener.getsockname()[1] for listener in listeners]
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(listeners, started), name="simulated-api", daemon=True)
        self._thread.start()
        started.wait()
        return self

    def stop(self) -> None:
        """Close the listeners and every connection; jobs, faults and requests stay."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
            self._thread = None

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    @property
    def url(self) -> str:
        """Base URL of Zilliz Cloud."""
        return self._url(self._ports[0])

    @property
    def milvus_url(self) -> str:
        """Base URL of the Milvus."""
        return self._url(self._ports[1])

    @property
    def requests(self) -> tuple[Request, ...]:
        """The requests so far, in the order in which they came in."""
        with self._changed:
            return tuple(self._requests)

    @property
    def connections_open(self) -> int:
        """Connections that are open now."""
        return len(self._connections)

    def wait_for_requests(self, count: int, timeout: float = 10.0) -> tuple[Request, ...]:
        """Wait until so many requests have come in; TimeoutError where they do not."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._requests) >= count, timeout):
                raise TimeoutError(f"{len(self._requests)} of {count} requests within {timeout} s")
            return tuple(self._requests)

    def reset(self) -> None:
        """Forget requests, counters and faults; jobs and connections stay."""
        self.faults.clear()
        with self._changed:
            self._requests.clear()
            self.connections_opened = 0

    def jobs(self, cluster: str = CLUSTER) -> Jobs:
        """The jobs of a cluster, of a project as `PROJECT/REGION`, or of `MILVUS`; a new one is made where needed."""
        return self.milvus.jobs if cluster == MILVUS else self.cloud.clusters.setdefault(cluster, Jobs())

    def add(self, *jobs: JobScript, cluster: str = CLUSTER) -> None:
        """Add jobs to a cluster."""
        self.jobs(cluster).add(*jobs)

    def drop_connections(self) -> None:
        """Close the connections that are open, as a server does with those that were idle too long."""
        done = threading.Event()

        def drop() -> None:
            for connection in tuple(self._connections):
                connection.close()
            # A transport closes its socket in the turn after it was closed itself.
            self._loop.call_soon(done.set)

        self._loop.call_soon_threadsafe(drop)
        done.wait()

    def _url(self, port: int) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'http' if self._ssl_context is None else 'https'}://{host}:{port}"

    def _run(self, listeners: Sequence[socket.socket], started: threading.Event) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._serve(listeners, started))

    async def _serve(self, listeners: Sequence[socket.socket], started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        for listener, answer in zip(listeners, (self.cloud.answer, self.milvus.answer), strict=True):
            self._loop.add_reader(listener, self._accept, listener, answer)
        started.set()
        await self._stopping.wait()
        for listener in listeners:
            self._loop.remove_reader(listener)
            listener.close()
        # asyncio leaves a socket open where it is stopped before it has begun with the connection.
        await _turns(3)
        for connection in tuple(self._connections):
            connection.abort()
        for task in tuple(self._handshakes):
            task.cancel()
        await asyncio.gather(*self._handshakes, return_exceptions=True)
        # A transport closes its socket in the turn after that.
        await _turns(2)

    def _accept(self, listener: socket.socket, answer: Callable[[Request], Reply]) -> None:
        """Take a connection. asyncio's own server loses those that come in while it is closed."""
        try:
            accepted, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        task = self._loop.create_task(self._welcome(accepted, answer))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def _welcome(self, accepted: socket.socket, answer: Callable[[Request], Reply]) -> None:
        with self._changed:
            self.connections_opened += 1
            number = self.connections_opened
        connection = Connection(number, partial(self._answer, answer), self._connections)
        # A client that breaks off its TLS handshake is nobody's failure here.
        with suppress(OSError):
            await self._loop.connect_accepted_socket(lambda: connection, accepted, ssl=self._ssl_context)

    def _answer(self, answer: Callable[[Request], Reply], request: Request) -> Answer:
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()
        return Answer(answer(request), self.latency, self.faults.pick(request))


async def _turns(count: int) -> None:
    """Let the event loop go round that often."""
    for _ in range(count):
        await asyncio.sleep(0)
