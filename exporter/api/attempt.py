"""One blocking call to the import API, and how another thread ends it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Final

from exporter.api.errors import CallTimeoutError

LONGEST_CALL: Final = 20.0
"""Seconds after which whoever makes a call aborts it, at the latest."""


class AbortHandle:
    """A second descriptor of a connection, to shut it down while another thread reads from it.

    It is closed with the last reference to it: whoever is about to shut it down holds one, so the number cannot
    belong to another connection by then.
    """

    __slots__ = ("_socket",)

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected.dup()

    def __del__(self) -> None:
        # Without the attribute, there was no descriptor left to make it.
        with contextlib.suppress(AttributeError):
            self._socket.close()

    def shut_down(self) -> None:
        """End what any thread reads from the connection or writes to it, now and later."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)


class Attempt:
    """One blocking call to the import API, which `abort` ends from any thread, in every phase but name resolution.

    `phase` says what the call is doing, `was_sent` whether its request got on its way. The other methods are for the
    thread that makes the call.
    """

    __slots__ = ("_aborted", "_handle", "_sent", "phase", "was_sent")

    def __init__(self, sent: Callable[[], None] | None = None) -> None:
        """`sent` is called by the calling thread when the request is on its way, and once more if it is sent again."""
        self.phase = "choosing a connection"
        self.was_sent = False
        self._aborted = False
        self._handle: AbortHandle | None = None
        self._sent = sent

    @property
    def aborted(self) -> bool:
        """Whether the call was aborted: it raises CallTimeoutError, even if its reply is complete."""
        return self._aborted

    def abort(self) -> None:
        """End the call, or keep it from beginning. Never blocks; does nothing to a call that is over."""
        # The calling thread attaches a connection first and looks at the flag then, here it is the other way
        # round: one of the two sees the other.
        self._aborted = True
        handle = self._handle
        if handle is not None:
            handle.shut_down()

    def attach(self, handle: AbortHandle) -> None:
        """Let `abort` end this connection from now on; `enter` must follow, to notice an abort that came before."""
        self._handle = handle

    def detach(self) -> None:
        """Let `abort` end no connection. One that came before may still be at it: look at `aborted` afterwards."""
        self._handle = None

    def enter(self, phase: str) -> None:
        """Begin the next phase. Raises CallTimeoutError if the call was aborted in the last one."""
        if self._aborted:
            raise self.timeout()
        self.phase = phase

    def sent(self) -> None:
        """Note that the request is on its way."""
        self.was_sent = True
        if self._sent is not None:
            self._sent()

    def timeout(self) -> CallTimeoutError:
        """Return the error of an aborted call."""
        return CallTimeoutError(f"no complete reply before the deadline, while {self.phase}")
