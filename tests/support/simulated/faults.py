"""Faults to inject into the simulated API: what is done to which of its replies, and how often."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Literal

from tests.support.simulated.wire import JSON_TYPE, Behaviour, Reply, Request, Wire


@dataclass(frozen=True, slots=True)
class Respond:
    """Another reply, well-formed as HTTP."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = JSON_TYPE

    async def play(self, reply: Reply, wire: Wire) -> None:
        """Send it."""
        await wire.send(Reply(self.status, self.body, self.content_type, self.headers).encoded())


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The proper reply with another body made of its own, and further headers."""

    change: Callable[[bytes], bytes]
    headers: tuple[tuple[str, str], ...] = ()

    async def play(self, reply: Reply, wire: Wire) -> None:
        """Send what becomes of the reply."""
        await wire.send(replace(reply, body=self.change(reply.body), headers=reply.headers + self.headers).encoded())


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes as they are, which need not be HTTP, and then the end of the connection."""

    data: bytes

    async def play(self, reply: Reply, wire: Wire) -> None:
        """Send them and close."""
        await wire.send(self.data)
        wire.close()


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection ends before any byte of the reply (`after` is None) or after so many bytes of its body."""

    after: int | None = None
    reset: bool = False

    async def play(self, reply: Reply, wire: Wire) -> None:
        """Send the part and close or reset."""
        if self.after is not None:
            await wire.send(replace(reply, chunked=False).head() + reply.body[: self.after])
        if self.reset:
            wire.reset()
        else:
            wire.close()


@dataclass(frozen=True, slots=True)
class Delay:
    """The proper reply, so many seconds later."""

    seconds: float

    async def play(self, reply: Reply, wire: Wire) -> None:
        """Wait and send."""
        await asyncio.sleep(self.seconds)
        await wire.send(reply.encoded())


@dataclass(frozen=True, slots=True)
class Hang:
    """No byte until `release` is called, from any thread; then the proper reply, now and ever after."""

    _released: concurrent.futures.Future[None] = field(default_factory=concurrent.futures.Future)

    def release(self) -> None:
        """Let everything go that hangs."""
        if not self._released.done():
            self._released.set_result(None)

    async def play(self, reply: Reply, wire: Wire) -> None:
        """Wait for the release and send."""
        # Shielded: a client that gives up must not cancel the wait of the others.
        await asyncio.shield(asyncio.wrap_future(self._released))
        await wire.send(reply.encoded())


Place = Literal["continue", "status", "headers", "body", "chunk_extension"]
_TRICKLES: dict[Place, tuple[bytes, bytes]] = {
    "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "status": (b"HTTP/1.1 200 O", b"K"),
    "headers": (b"HTTP/1.1 200 OK\r\nX-Trickle: ", b"a"),
    "body": (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "chunk_extension": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"a"),
}


@dataclass(frozen=True, slots=True)
class Trickle:
    """A reply that never ends: past `place` a byte (or the smallest unit there is) every `interval` seconds."""

    place: Place
    interval: float = 0.5

    async def play(self, reply: Reply, wire: Wire) -> None:
        """Send until the client gives up."""
        start, piece = _TRICKLES[self.place]
        await wire.send(start)
        while True:
            await wire.send(piece)
            await asyncio.sleep(self.interval)


@dataclass(frozen=True, slots=True)
class Flood:
    """A body that never ends, as fast as the client reads it."""

    async def play(self, reply: Reply, wire: Wire) -> None:
        """Send until the client gives up."""
        start, _ = _TRICKLES["body"]
        await wire.send(start)
        while True:
            await wire.send(b"10000\r\n%b\r\n" % (b" " * 0x10000))
            await asyncio.sleep(0)


class Injection:
    """A fault in place."""

    def __init__(self, behaviour: Behaviour, applies: Callable[[Request], bool], times: int | None) -> None:
        """`times`: how often it strikes; None for ever."""
        self.behaviour = behaviour
        self.hits = 0
        self._applies = applies
        self._times = times

    def remove(self) -> None:
        """Let it strike no more."""
        self._times = 0

    def strikes(self, request: Request) -> bool:
        """Whether it is this request's turn; counted if so."""
        if (self._times is not None and self.hits >= self._times) or not self._applies(request):
            return False
        self.hits += 1
        return True


class Faults:
    """The faults in place; of several that apply to a request the one injected last strikes. Thread-safe."""

    def __init__(self) -> None:
        """Begin without any."""
        self._lock = threading.Lock()
        self._injections: list[Injection] = []

    def inject(
        self,
        behaviour: Behaviour,
        *,
        job_ids: Collection[str] | None = None,
        operation: Literal["progress", "list"] | None = None,
        when: Callable[[Request], bool] | None = None,
        times: int | None = None,
    ) -> Injection:
        """Do this to the replies about these jobs, to this operation, when this holds; None: whatever it is."""

        def applies(request: Request) -> bool:
            return (
                (job_ids is None or request.job_id in job_ids)
                and (operation is None or request.operation == operation)
                and (when is None or when(request))
            )

        injection = Injection(behaviour, applies, times)
        with self._lock:
            self._injections.insert(0, injection)
        return injection

    def clear(self) -> None:
        """Remove all."""
        with self._lock:
            self._injections.clear()

    def pick(self, request: Request) -> Behaviour | None:
        """What strikes this request, if anything."""
        if not self._injections:
            return None
        with self._lock:
            return next((each.behaviour for each in self._injections if each.strikes(request)), None)
