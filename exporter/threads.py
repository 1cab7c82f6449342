"""Blocking calls beside the event loop, in threads that never keep the process from exiting."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


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
        # Of each call these threads, its future and its function; None ends a thread. No thread keeps a reference to
        # this object between calls.
        self._calls: SimpleQueue[tuple[Threads, asyncio.Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._started = 0
        self._outstanding = 0
        # The calls that ended and are to be taken in on the loop, with their results and exceptions.
        self._ended: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._loop_woken = False

    def run(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """Call `function` in a thread; the future has what it returns or raises. Raises RuntimeError without a thread.

        If the future is cancelled, the call goes on and its result is dropped.
        """
        if self._outstanding >= self._started and self._started < self._most:
            threading.Thread(target=_work, args=[self._calls], name=self._name, daemon=True).start()
            self._started += 1
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._outstanding += 1
        self._calls.put((self, outcome, function))
        return outcome

    def close(self) -> None:
        """End each thread, at once or after its call."""
        for _ in range(self._started):
            self._calls.put(None)
        self._started = 0

    def __del__(self) -> None:
        self.close()

    def note_end(self, outcome: asyncio.Future[Any], result: object, failure: BaseException | None) -> None:
        """Let the loop give a call its outcome. For the threads alone."""
        self._ended.append((outcome, result, failure))
        # Calls that end at about the same time wake the loop once. The flag is set after a call was added and reset
        # before calls are taken out, so that none is left behind.
        if not self._loop_woken:
            self._loop_woken = True
            with suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits
                outcome.get_loop().call_soon_threadsafe(self._take_in)

    def _take_in(self) -> None:
        """Give the calls that ended their outcomes, on the loop."""
        self._loop_woken = False
        while self._ended:
            outcome, result, failure = self._ended.popleft()
            self._outstanding -= 1
            if outcome.done():
                continue
            if failure is None:
                outcome.set_result(result)
            else:
                outcome.set_exception(failure)


def _work(calls: SimpleQueue[tuple[Threads, asyncio.Future[Any], Callable[[], Any]] | None]) -> None:
    while (call := calls.get()) is not None:
        threads, outcome, function = call
        result: Any = None
        failure: BaseException | None = None
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001 - raised again where the result is awaited
            failure = error
        threads.note_end(outcome, result, failure)
        # An exception refers to this frame, and must not refer to itself; nor does an idle thread keep anything.
        del call, threads, outcome, function, result, failure


async def in_thread(function: Callable[[], T]) -> T:
    """Return what `function` returns, called in a thread of its own, which costs some 0.1 ms; raise what it raises.

    A thread of its own, so that nothing that is slow holds up anything else.
    """
    threads = Threads(1, "in-thread")
    try:
        return await threads.run(function)
    finally:
        threads.close()
