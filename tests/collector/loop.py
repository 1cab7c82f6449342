"""An event loop whose clock moves only when nothing is left to do, so that hours pass at once and exactly."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Never sleeps: where the loop would, its clock moves on by the same time."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready now; else move the clock. Raises RuntimeError if nothing would ever happen."""
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None:
            message = f"nothing is left that could end {asyncio.all_tasks(self.loop)}"
            raise RuntimeError(message)
        self.loop.passes(timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs coroutines in simulated time. Errors in callbacks, which asyncio would only log, are raised at the end."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._errors: list[dict[str, Any]] = []
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)
        self.set_exception_handler(lambda _, context: self._errors.append(context))

    def time(self) -> float:
        """The simulated time, in seconds."""
        return self._now

    def passes(self, seconds: float) -> None:
        """Move the clock alone. What is due happens when the loop runs the next time."""
        self._now += seconds

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end."""
        return self.run_until_complete(coroutine)

    def wait(self, seconds: float = 0.001) -> None:
        """Let time pass, and all happen that is due until then."""
        self.run(asyncio.sleep(seconds))

    def call(self, function: Callable[[], T]) -> T:
        """Call a function that needs a running loop."""

        async def call() -> T:
            return function()

        return self.run(call())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Cancel what is under way, and close."""
        tasks = asyncio.all_tasks(self)
        for task in tasks:
            task.cancel()
        if tasks:
            self.run(_ended(tasks))
        self.close()
        if kind is None:
            assert self._errors == []


async def _ended(tasks: set[asyncio.Task[Any]]) -> None:
    await asyncio.wait(tasks)
