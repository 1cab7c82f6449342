"""Blocking calls beside the event loop, in threads that never keep the process from exiting."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

Ended = Callable[[Any, BaseException | None], None]
"""Takes what a call returned, None if it raised, and what it raised, None if it returned."""


class Threads:
    """Makes up to `most` blocking calls at once for one event loop, the others in order of arrival.

    Threads start as calls need them, and end with `close` or the last reference to this object. Why not those of
    concurrent.futures: they are joined at exit, so that an API that hangs would hold it up, and they cost a tenth more
    CPU per call to the API.
    """

    def __init__(self, most: int, name: str) -> None:
        """`name`: of the threads."""
        self._most = most
        self._name = name
        # Of each call these threads, its loop, its function and who takes in its end; None ends a thread. No thread
        # keeps a reference to this object between calls.
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._started = 0
        self._outstanding = 0
        # The calls that ended and are to be taken in on the loop, with their results and exceptions.
        self._ended: deque[tuple[Ended, Any, BaseException | None]] = deque()
        self._loop_woken = False

    def run(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """Call `function` in a thread; the future has what it returns or raises. Raises RuntimeError without a thread.

        If the future is cancelled, the call goes on and its result is dropped.
        """
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.call(function, partial(_settle, outcome))
        return outcome

    def call(self, function: Callable[[], Any], ended: Ended) -> None:
        """Call `function` in a thread, and `ended` on the loop. Raises RuntimeError without a thread.

        Unlike with a future, `ended` is called as soon as the loop knows, which matters where many calls follow.
        """
        if self._outstanding >= self._started and self._started < self._most:
            threading.Thread(target=_work, args=[self._calls], name=self._name, daemon=True).start()
            self._started += 1
        self._outstanding += 1
        self._calls.put((self, asyncio.get_running_loop(), function, ended))

    def close(self) -> None:
        """End each thread, at once or after its call."""
        for _ in range(self._started):
            self._calls.put(None)
        self._started = 0

    def __del__(self) -> None:
        self.close()

    def note_end(
        self, loop: asyncio.AbstractEventLoop, ended: Ended, result: object, failure: BaseException | None
    ) -> None:
        """Let the loop take in the end of a call. For the threads alone."""
        self._ended.append((ended, result, failure))
        # Calls that end at about the same time wake the loop once. The flag is set after a call was added and reset
        # before calls are taken out, so that none is left behind.
        if not self._loop_woken:
            self._loop_woken = True
            with suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits
                loop.call_soon_threadsafe(self._take_in, loop)

    def _take_in(self, loop: asyncio.AbstractEventLoop) -> None:
        """Pass on the ends of calls, on the loop."""
        self._loop_woken = False
        while self._ended:
            ended, result, failure = self._ended.popleft()
            self._outstanding -= 1
            try:
                ended(result, failure)
            except Exception as error:  # noqa: BLE001 - the boundary: a fault there must not keep back the other ends
                loop.call_exception_handler({"message": "The end of a call could not be taken in", "exception": error})


_Call = tuple[Threads, asyncio.AbstractEventLoop, Callable[[], Any], Ended]


def _work(calls: SimpleQueue[_Call | None]) -> None:
    while (call := calls.get()) is not None:
        threads, loop, function, ended = call
        result: Any = None
        failure: BaseException | None = None
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001 - raised again where the result is awaited
            failure = error
        threads.note_end(loop, ended, result, failure)
        # An exception refers to this frame, and must not refer to itself; nor does an idle thread keep anything.
        del call, threads, loop, function, ended, result, failure


def _settle(outcome: asyncio.Future[Any], result: object, failure: BaseException | None) -> None:
    if outcome.done():
        return
    if failure is None:
        outcome.set_result(result)
    else:
        outcome.set_exception(failure)


async def in_thread(function: Callable[[], T]) -> T:
    """Return what `function` returns, called in a thread of its own, which costs some 0.1 ms; raise what it raises.

    A thread of its own, so that nothing that is slow holds up anything else.
    """
    threads = Threads(1, "in-thread")
    try:
        return await threads.run(function)
    finally:
        threads.close()
