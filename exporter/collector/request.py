"""One request in flight: a blocking call in a thread, its deadline, and its outcome on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from exporter.api.attempt import LONGEST_CALL, Attempt
from exporter.api.client import Exchange, ImportApi
from exporter.api.errors import ApiError, CallTimeoutError, ConnectError, PayloadError
from exporter.collector.ratelimit import Permit, RateLimit
from exporter.threads import Threads

Reply = TypeVar("Reply")


@dataclass(frozen=True, slots=True, eq=False)
class Endpoint:
    """How the API of a cluster is called: its client, where blocking calls run, how many at once, and how fast.

    `rate` is the cluster's part of the requests per second that `limit` allows, 0 for no limit.
    """

    api: ImportApi
    threads: Threads
    slots: asyncio.Semaphore
    limit: RateLimit
    rate: float


class Request(Generic[Reply]):
    """A call that ends at its deadline, whatever its thread does. Used on one event loop; await it for its outcome.

    The slot and the permit that it was begun with are returned when its thread is free again.
    """

    def __init__(
        self,
        call: Callable[[Attempt], Reply],
        endpoint: Endpoint,
        permit: Permit,
        deadline: float,
        begun_at: float,
        settled: Callable[[Request[Reply], Reply | ApiError], None] = lambda _request, _outcome: None,
    ) -> None:
        """Begin `call`, which blocks, and ends when its attempt is aborted. `settled` is called with the outcome.

        `deadline` is a time of the loop, `begun_at` the present moment on the clock on which ages are measured.
        """
        self._loop = asyncio.get_running_loop()
        self.begun_at = begun_at
        self.endpoint = endpoint
        self.trial = False
        """Whether it goes alone while the breaker is half-open, and decides for all."""
        self.outcome: asyncio.Future[Reply | ApiError] = self._loop.create_future()
        self._latest = self._loop.time() + LONGEST_CALL
        self._deadline = deadline
        self._permit = permit
        self._settled = settled
        self._attempt = Attempt(partial(_call_on, self._loop, permit.sent) if endpoint.rate else None)
        self._timer = self._loop.call_at(min(deadline, self._latest), self.abort)
        try:
            endpoint.threads.call(partial(_outcome, call, self._attempt), self._thread_ended)
        except RuntimeError as error:
            self._loop.call_soon(self._returned, ConnectError(f"no thread can be started for a call: {error}"))

    def __await__(self) -> Generator[Any, None, Reply | ApiError]:
        """Wait for the outcome; whoever is cancelled meanwhile leaves the call to its deadline."""
        return asyncio.shield(self.outcome).__await__()

    def extend(self, deadline: float) -> None:
        """Let the call last until this time of the loop, if that is later than its deadline."""
        if deadline > self._deadline:
            self.set_deadline(deadline)

    def set_deadline(self, deadline: float) -> None:
        """Let the call last until this time of the loop, but no longer than `LONGEST_CALL` in all."""
        self._deadline = deadline
        self._timer.cancel()
        self._timer = self._loop.call_at(min(deadline, self._latest), self.abort)

    def abort(self) -> None:
        """End the call: its outcome is a timeout, unless it has one."""
        if not self.outcome.done():
            late = self._loop.time() >= self._latest
            limit = f"the {LONGEST_CALL:.0f} s that one call may take" if late else "the time that the scrape had"
            phase = self._attempt.phase
            self._attempt.abort()
            self._settle(CallTimeoutError(f"no answer within {limit}, while {phase}"))

    def _thread_ended(self, outcome: Reply | ApiError | None, failure: BaseException | None) -> None:
        self._returned(ConnectError(f"the call ended with {failure!r}") if outcome is None else outcome)

    def _returned(self, outcome: Reply | ApiError) -> None:
        self._permit.done()
        self.endpoint.slots.release()
        if not self.outcome.done():
            self._settle(outcome)

    def _settle(self, outcome: Reply | ApiError) -> None:
        self._timer.cancel()
        self.outcome.set_result(outcome)
        self._settled(self, outcome)


async def explained(endpoint: Endpoint, call: Callable[[Attempt], Exchange], deadline: float) -> Exchange | None:
    """Make one call beside the scrapes, for a person; None if no turn comes before `deadline` (time of the loop)."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout_at(deadline):
            await endpoint.slots.acquire()
    except TimeoutError:
        return None
    try:
        permit = await endpoint.limit.acquire(deadline, lambda permit: permit)
        if permit is None:
            return None
        attempt = Attempt(partial(_call_on, loop, permit.sent))
        timer = loop.call_at(min(deadline, loop.time() + LONGEST_CALL), attempt.abort)
        try:
            exchange: Exchange = await endpoint.threads.run(partial(call, attempt))
        finally:
            timer.cancel()
            permit.done()
    finally:
        endpoint.slots.release()
    endpoint.limit.back_off(exchange.outcome)
    return exchange


def _call_on(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    """Let a function be called on the loop, from another thread; not at all if the loop was closed meanwhile."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(function)


def _outcome(call: Callable[[Attempt], Reply], attempt: Attempt) -> Reply | ApiError:
    try:
        return call(attempt)
    except ApiError as error:
        return error
    except Exception as error:  # noqa: BLE001 - the boundary: a fault of this program costs one call its answer, no more
        return PayloadError(f"{type(error).__name__} while reading the reply: {error}")
