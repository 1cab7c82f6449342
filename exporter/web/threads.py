"""Blocking calls beside the event loop, in threads that never keep the process from exiting."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

from exporter.log import get_logger

log = get_logger()

T = TypeVar("T")


async def in_thread(function: Callable[[], T]) -> T:
    """Result of `function`, called in a daemon thread of its own; raises what it raises.

    Not `asyncio.to_thread`: its pool is shared, so that slow scrapes would hold up whatever else wants a thread, and
    it is joined at exit, so that a scrape waiting for an API would hold up the exit. A thread costs some 0.1 ms.
    A cancelled caller leaves the call running and its result unused.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if outcome.done():
            return
        if error is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)  # type: ignore[arg-type]  # T may itself be optional; no error means a T

    def run() -> None:
        result: T | None = None
        failure: BaseException | None = None
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001 - raised again where the result is awaited
            failure = error
        try:
            loop.call_soon_threadsafe(settle, result, failure)
        except RuntimeError:
            return  # the loop was closed meanwhile: the process exits, nobody waits

    threading.Thread(target=run, name="web", daemon=True).start()
    return await outcome


async def repeat(interval: float, action: Callable[[], Awaitable[None]], what: str) -> None:
    """Does something every `interval` seconds until cancelled; an exception is logged and ends nothing."""
    while True:
        await asyncio.sleep(interval)
        try:
            await action()
        except Exception:
            log.exception(f"{what} failed")
