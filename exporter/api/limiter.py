"""How fast an API may be asked: requests that begin in any one second, and the pauses that it demands."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from heapq import heappop, heappush
from itertools import count
from typing import Final

from exporter.api.errors import ApiError, RateLimitedError
from exporter.config.secret import Secret

# The pause after a refusal for the rate that names none, in seconds.
BACK_OFF: Final = 1.0
# How long a request that has no reply yet may take to reach the API, in seconds after it was sent.
_ON_THE_WAY: Final = 0.25


class Slot:
    """The right to begin one request: call `sent()` when it goes out and, in any case, `done()` at the end."""

    __slots__ = ("_noted", "seen_by", "taken")

    def __init__(self, noted: Callable[[Slot, float], None]) -> None:
        self._noted = noted
        self.taken = True
        # When the API has seen the request at the latest (monotonic seconds); unknown until it is sent.
        self.seen_by = math.inf

    def sent(self) -> None:
        """Note that the request is on its way; once more if it is sent again on a fresh connection."""
        self._noted(self, _ON_THE_WAY)

    def done(self) -> None:
        """Note that the reply is here, or that there will be none."""
        self._noted(self, 0.0)


class Limiter:
    """Lets at most floor(`rate`) requests begin in any one second, or one in 1/`rate` seconds below 1; 0 = unlimited.

    This holds for what the API sees, however requests are delayed on their way: a slot is free again one
    second after the API has surely seen its request. Who waits gets a slot in turn with the others who wait, however
    many threads each of them has; threads of one get theirs in the order in which they came.
    """

    def __init__(
        self,
        rate: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[threading.Condition, float], object] = threading.Condition.wait,
    ) -> None:
        """`clock` gives monotonic seconds; `wait` blocks on a condition for at most so many of them."""
        self._clock = clock
        self._wait = wait
        self._lock = threading.Lock()
        self._waiters: dict[Hashable, deque[threading.Condition]] = {}
        # Start-time fair queueing: each slot moves its taker's tag on by one, and the lowest tag that waits is next.
        self._tags: dict[Hashable, float] = {}
        self._tag_served = 0.0
        self._taken = 0
        self._returning: list[tuple[float, int, Slot]] = []
        self._sequence = count()
        self._held_until = -math.inf
        self._rate = rate

    @property
    def rate(self) -> float:
        """Requests per second; 0 = unlimited."""
        return self._rate

    @property
    def held_until(self) -> float:
        """Nothing begins before (monotonic); minus infinity where nothing was ever held."""
        return self._held_until

    @property
    def waiting(self) -> int:
        """How many threads wait for a slot."""
        return sum(map(len, self._waiters.values()))

    def set_rate(self, rate: float) -> None:
        """Change the rate; requests under way count against the new one."""
        with self._lock:
            self._rate = rate
            self._wake_first()

    def back_off(self, outcome: object) -> None:
        """Send nothing for as long as the API asked for, with a refusal for the rate or with another error."""
        if isinstance(outcome, ApiError) and (outcome.retry_after is not None or isinstance(outcome, RateLimitedError)):
            self.hold(self._clock() + (BACK_OFF if outcome.retry_after is None else outcome.retry_after))

    def hold(self, until: float) -> None:
        """Let nothing begin before `until` (monotonic); a shorter pause does not cut a longer one short."""
        with self._lock:
            self._held_until = max(self._held_until, until)
            for waiters in self._waiters.values():
                for waiter in waiters:
                    waiter.notify()

    def acquire(self, until: float, who: Hashable = "") -> Slot | None:
        """Block until a request of `who` may begin; None once that is not before `until` (monotonic)."""
        with self._lock:
            slot = None if self._waiters else self._take(self._clock(), until, who)
            return slot or self._queue(until, who)

    def _queue(self, until: float, who: Hashable) -> Slot | None:
        turn = threading.Condition(self._lock)
        self._waiters.setdefault(who, deque()).append(turn)
        try:
            while (now := self._clock()) < until and self._held_until < until:
                wake_at = until
                if self._first() is turn:
                    slot = self._take(now, until, who)
                    if slot is not None:
                        return slot
                    wake_at = min(until, self._next_begin(now))
                self._wait(turn, min(wake_at - now, threading.TIMEOUT_MAX))
            return None
        finally:
            self._waiters[who].remove(turn)
            if not self._waiters[who]:
                del self._waiters[who]
            self._wake_first()

    def _take(self, now: float, until: float, who: Hashable) -> Slot | None:
        if now >= until or self._next_begin(now) > now:
            return None
        self._taken += 1
        tag = self._tag(who)
        self._tag_served = max(self._tag_served, tag)
        self._tags[who] = tag + 1
        return Slot(self._note)

    def _tag(self, who: Hashable) -> float:
        """Return the place in line: who did not ask for long has no claim to more than one window of slots."""
        earliest = self._tag_served - max(1.0, self._rate)
        return max(self._tags.get(who, earliest), earliest)

    def _first(self) -> threading.Condition | None:
        """Return the waiter whose turn is next."""
        if not self._waiters:
            return None
        return self._waiters[min(self._waiters, key=self._tag)][0]

    def _next_begin(self, now: float) -> float:
        """Return when a request may begin (monotonic), infinity while that is unknown."""
        while self._next_return() <= now:
            heappop(self._returning)[2].taken = False
            self._taken -= 1
        if self._rate and self._taken >= max(1, math.floor(self._rate)):
            return max(self._held_until, self._next_return())
        return self._held_until

    def _next_return(self) -> float:
        """Return when the next slot is free again (monotonic), infinity while that is unknown."""
        while self._returning and not self._is_current(self._returning[0]):
            heappop(self._returning)
        return self._returning[0][0] + self._window() if self._returning else math.inf

    def _window(self) -> float:
        return 1.0 if self._rate >= 1 or not self._rate else 1 / self._rate

    @staticmethod
    def _is_current(entry: tuple[float, int, Slot]) -> bool:
        seen_by, _, slot = entry
        return slot.taken and slot.seen_by == seen_by

    def _note(self, slot: Slot, on_the_way: float) -> None:
        with self._lock:
            seen_by = self._clock() + on_the_way
            if slot.taken and (on_the_way or seen_by < slot.seen_by):
                slot.seen_by = seen_by
                heappush(self._returning, (seen_by, next(self._sequence), slot))
                self._wake_first()

    def _wake_first(self) -> None:
        first = self._first()
        if first is not None:
            first.notify()


class Limiters:
    """One limiter for all clusters that share an API and a key; it outlives reloads of the configuration."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limiters: dict[tuple[str, Secret | None], Limiter] = {}
        self._asked: set[tuple[str, Secret | None]] = set()

    def renew(self) -> None:
        """Begin a new configuration: rates are those of the `get` calls that follow; limiters out of use go."""
        with self._lock:
            self._limiters = {who: self._limiters[who] for who in self._asked}
            self._asked = set()

    def get(self, base_url: str, key: Secret | None, rate: float) -> Limiter:
        """Return the limiter for this API and key; the smallest rate that was asked for wins (0 = unlimited)."""
        who = (base_url, key)
        with self._lock:
            limiter = self._limiters.get(who)
            if limiter is None:
                limiter = self._limiters[who] = Limiter(rate)
            elif who in self._asked:
                limiter.set_rate(min(rate, limiter.rate) or max(rate, limiter.rate))
            else:
                limiter.set_rate(rate)
            self._asked.add(who)
            return limiter
