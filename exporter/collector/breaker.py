"""The circuit breaker of one cluster: after a scrape in which all calls failed alike, one call decides for all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from enum import Enum, auto
from typing import Literal

from exporter.model import ErrorClass

Operation = Literal["progress", "list"]

DOWN = frozenset({ErrorClass.TIMEOUT, ErrorClass.CONNECT, ErrorClass.TLS, ErrorClass.AUTH, ErrorClass.HTTP})
"""The classes of failures that say something about the cluster; the others are answers."""


class BreakerState(Enum):
    """Closed: calls go. Open: the next call goes alone. Half-open: that call is under way, the others wait for it."""

    CLOSED = auto()
    OPEN = auto()
    HALF_OPEN = auto()


class Breaker:
    """Closed, open or half-open. Used on one event loop."""

    def __init__(self) -> None:
        self.state = BreakerState.CLOSED
        self.error: ErrorClass | None = None
        """How the calls failed; set unless the breaker is closed."""
        self._last_trial: Operation = "progress"
        self._changed = asyncio.Event()

    async def admit(self, operation: Operation, wanted: Callable[[], Collection[Operation]]) -> bool:
        """Wait until this call may go. True: it goes alone, and `end_trial` or `give_up_trial` must follow.

        `wanted` returns the kinds of calls that wait; they take turns in going alone, so that neither kind, always
        failing, hides that the other works. It is empty where nothing is to be sent any more.
        """
        while self.state is not BreakerState.CLOSED and (kinds := wanted()):
            if self.state is BreakerState.OPEN and (operation != self._last_trial or len(kinds) == 1):
                self.state = BreakerState.HALF_OPEN
                self._last_trial = operation
                return True
            await self._changed.wait()
        return False

    def end_trial(self, error: ErrorClass | None) -> None:
        """Take in how the call that went alone ended: close if it worked or its error is an answer, else open again."""
        if self.state is BreakerState.HALF_OPEN:
            self._set(error if error in DOWN else None)

    def give_up_trial(self) -> None:
        """Open again, since the call was not made."""
        if self.state is BreakerState.HALF_OPEN:
            self._set(self.error)

    def scrape_ended(self, results: Collection[ErrorClass | None]) -> None:
        """Open after a scrape in which every call failed alike, close after one in which any did not."""
        if results and self.state is not BreakerState.HALF_OPEN:
            alike = set(results)
            self._set(alike.pop() if len(alike) == 1 and alike <= DOWN else None)

    def close(self) -> None:
        """Let all calls go, since the cluster is reached in another way now."""
        self._set(None)

    def notify(self) -> None:
        """Let those that wait look again at what is wanted."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _set(self, error: ErrorClass | None) -> None:
        self.error = error
        self.state = BreakerState.CLOSED if error is None else BreakerState.OPEN
        self.notify()
