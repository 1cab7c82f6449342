"""A deadline for a whole call, enforced in every phase of it by shutting its connection down.

Timeouts of sockets begin anew with every byte, so that a server which drips holds a call for as long as it
likes. Here one thread for the process watches all calls, and ends the connection of one that is late; the call
then fails wherever it is. Only name resolution cannot be ended so: its thread stays until the resolver gives up.
"""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from collections.abc import Callable
from typing import Final

from exporter.api.errors import ConnectError

# A connection that is shut down in the instant between two system calls may not notice; so it is done again.
_AGAIN: Final = 0.05


class Deadline:
    """When a call must be over, in monotonic seconds; others may put it off while the call runs."""

    __slots__ = ("_at", "_lock")

    def __init__(self, at: float) -> None:
        self._at = at
        self._lock = threading.Lock()

    @property
    def at(self) -> float:
        """The moment itself."""
        return self._at

    def extend(self, at: float) -> None:
        """Put the deadline off; an earlier moment changes nothing."""
        with self._lock:
            self._at = max(self._at, at)

    def remaining(self, now: float | None = None) -> float:
        """Return the seconds that are left, negative ones once it has passed."""
        return self._at - (time.monotonic() if now is None else now)


class Line:
    """A second descriptor of one connection, for shutting it down while its owner is stuck in TLS or a read."""

    __slots__ = ("call", "hung_up", "socket")

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection.dup()
        self.call: Call | None = None
        self.hung_up = False


class Call:
    """One attempt at a request, as the watchdog and the connection that serves it see it."""

    __slots__ = ("answered", "deadline", "expired", "fresh", "kept", "line", "phase", "sent")

    def __init__(self, deadline: Deadline, *, fresh: bool, sent: Callable[[], None] | None) -> None:
        self.deadline = deadline
        # Whether a kept connection must not serve it, whether one does, and whether a byte of the reply came.
        self.fresh = fresh
        self.kept = False
        self.answered = False
        self.sent = sent
        self.line: Line | None = None
        self.expired = False
        self.phase = "waiting for a connection"


class Watchdog:
    """Shuts down the connections of calls that are past their deadline; its thread ends when there are none."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._calls: set[Call] = set()
        self._thread: threading.Thread | None = None
        self._wakes_at = math.inf

    def begin(self, call: Call) -> None:
        """Watch a call until `end`."""
        with self._changed:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="api-watchdog", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:
                    raise ConnectError(f"cannot watch the deadline of a call: {error}") from None
                self._thread = thread
            self._calls.add(call)
            if call.deadline.at < self._wakes_at:
                self._changed.notify()

    def end(self, call: Call) -> None:
        """Watch the call no more; its connection may serve another one."""
        with self._changed:
            self._calls.discard(call)
            _leave(call)

    def serve(self, call: Call, line: Line) -> None:
        """Note which connection serves the call."""
        with self._changed:
            _leave(call)
            call.line = line
            line.call = call
            if call.expired:
                _shut_down(call)

    def hang_up(self, line: Line) -> None:
        """Note that a connection is closed; a reply may still be read from it until its call ends."""
        with self._changed:
            line.hung_up = True
            if line.call is None:
                line.socket.close()

    def _run(self) -> None:
        with self._changed:
            while self._calls:
                self._wakes_at = min(map(self._look_at, self._calls))
                left = self._wakes_at - time.monotonic()
                self._changed.wait(min(max(left, 0.0), threading.TIMEOUT_MAX))
            self._thread = None

    def _look_at(self, call: Call) -> float:
        """End the call if it is late; return when to look again (monotonic)."""
        now = time.monotonic()
        at = call.deadline.at
        if at > now and not call.expired:
            return at
        call.expired = True
        _shut_down(call)
        return now + _AGAIN


def _leave(call: Call) -> None:
    line = call.line
    if line is not None and line.call is call:
        line.call = None
        if line.hung_up:
            line.socket.close()


def _shut_down(call: Call) -> None:
    if call.line is not None and call.line.call is call:
        # Not connected yet, or no longer: there is nothing to shut down.
        with contextlib.suppress(OSError):
            call.line.socket.shutdown(socket.SHUT_RDWR)


watchdog: Final = Watchdog()
