"""The rate limit: how many requests may begin in any one second, and the pauses that the API asks for."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Final, TypeVar

from exporter.api.errors import ApiError, RateLimitedError
from exporter.config.secret import Secret

Choice = TypeVar("Choice")

BACK_OFF: Final = 1.0
"""Seconds without requests after a refusal for the rate that names none."""
ON_THE_WAY: Final = 0.25
"""Seconds that a request without a reply may take to reach the API, after it was sent."""


class Permit:
    """The right to send one request. It counts for a second from when the API has surely seen the request."""

    __slots__ = ("_limit", "_outstanding", "_timer")

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._outstanding = True
        self._timer: asyncio.TimerHandle | None = None

    def sent(self) -> None:
        """Note that the request is on its way; once more if it is sent again on another connection."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(ON_THE_WAY, self.done)

    def done(self) -> None:
        """Note that the API has seen the request, or that there is none any more."""
        if self._outstanding:
            self._outstanding = False
            self._limit.seen()


class RateLimit:
    """Lets at most floor(`rate`) requests begin in any one second, or one in 1/`rate` seconds below 1; 0 = unlimited.

    Who waits is served in order of arrival. Used on one event loop, whose time is the only clock.
    """

    def __init__(self, rate: float = 0.0) -> None:
        self.rate = rate
        self.held_until = -math.inf
        """Nothing begins before (time of the loop)."""
        self._queue = asyncio.Lock()
        self._waiting = 0
        self._outstanding = 0
        self._seen: deque[float] = deque()
        self._changed = asyncio.Event()

    def set_rate(self, rate: float) -> None:
        """Change the rate; requests under way count against the new one."""
        self.rate = rate
        self._changed.set()

    def hold(self, seconds: float) -> None:
        """Let nothing begin for so long; a shorter pause does not cut a longer one short."""
        self.held_until = max(self.held_until, asyncio.get_running_loop().time() + seconds)
        self._changed.set()

    def back_off(self, outcome: object) -> None:
        """Let nothing begin for as long as the API asked for, with a refusal for the rate or with another error."""
        if isinstance(outcome, ApiError) and (outcome.retry_after is not None or isinstance(outcome, RateLimitedError)):
            self.hold(BACK_OFF if outcome.retry_after is None else outcome.retry_after)

    async def acquire(self, until: float, begin: Callable[[Permit], Choice | None]) -> Choice | None:
        """Wait for a turn, and return what `begin` begins with it; None if no turn comes until then (time of the loop).

        `begin` is called at the moment at which the turn has come. If it returns None, the turn costs nothing.
        """
        now = asyncio.get_running_loop().time()
        if not (self.rate or self._waiting) and self.held_until <= now < until:
            return self._begin(begin)
        self._waiting += 1
        try:
            return await self._wait_for_turn(until, begin)
        finally:
            self._waiting -= 1

    async def _wait_for_turn(self, until: float, begin: Callable[[Permit], Choice | None]) -> Choice | None:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until), self._queue:
                while (now := asyncio.get_running_loop().time()) < until:
                    free_at = self._free_at(now)
                    if free_at <= now:
                        return self._begin(begin)
                    if self.held_until >= until:
                        return None
                    await self._wait_until(free_at)
        return None

    def idle(self) -> bool:
        """Return whether nothing that happened matters for the next request."""
        now = asyncio.get_running_loop().time()
        self._free_at(now)
        return not self._outstanding and not self._seen and self.held_until <= now

    def seen(self) -> None:
        """Count the second of one permit from now on."""
        self._outstanding -= 1
        self._seen.append(asyncio.get_running_loop().time())
        self._changed.set()

    def _begin(self, begin: Callable[[Permit], Choice | None]) -> Choice | None:
        choice = begin(Permit(self))
        if choice is not None:
            self._outstanding += 1
        return choice

    def _free_at(self, now: float) -> float:
        """Return when a request may begin, infinity while that is unknown."""
        window = 1 / self.rate if 0 < self.rate < 1 else 1.0
        while self._seen and self._seen[0] + window <= now:
            self._seen.popleft()
        if self.rate and self._outstanding + len(self._seen) >= max(1, math.floor(self.rate)):
            return max(self.held_until, self._seen[0] + window if self._seen else math.inf)
        return self.held_until

    async def _wait_until(self, moment: float) -> None:
        self._changed.clear()
        try:
            async with asyncio.timeout_at(moment):
                await self._changed.wait()
        except TimeoutError:
            return


class RateLimits:
    """One limit for all clusters that share an API and a key. They outlive reloads of the configuration."""

    def __init__(self) -> None:
        self._limits: dict[tuple[str, Secret | None], RateLimit] = {}

    def configure(
        self, rates: Iterable[tuple[tuple[str, Secret | None], float]]
    ) -> Mapping[tuple[str, Secret | None], RateLimit]:
        """Return the limit of each API and key. The smallest rate of those that share one holds (0 = unlimited).

        A limit that is not named any more is kept until nothing that happened under it matters.
        """
        smallest: dict[tuple[str, Secret | None], float] = {}
        for owner, rate in rates:
            before = smallest.get(owner, 0.0)
            smallest[owner] = min(rate, before) or max(rate, before)
        self._limits = {owner: limit for owner, limit in self._limits.items() if owner in smallest or not limit.idle()}
        for owner, rate in smallest.items():
            self._limits.setdefault(owner, RateLimit()).set_rate(rate)
        return {owner: self._limits[owner] for owner in smallest}
