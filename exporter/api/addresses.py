"""Connecting to a host that may have several addresses, some of them dead."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from exporter.api.attempt import Attempt

HEAD_START: Final = 0.25
"""Seconds until the next address is tried beside one that does not answer; as in RFC 8305."""
# How often an abort is looked for while connecting, in seconds.
_GLANCE: Final = 0.05

_Found = Sequence[tuple[int, int, int, str, Any]]


class Addresses:
    """The addresses of one host; the one that worked last is tried first."""

    def __init__(self) -> None:
        self._worked: Any = None

    def connect(self, host: str, port: int, attempt: Attempt) -> socket.socket:
        """Return a connected socket. Raises OSError, UnicodeError (no host name) or CallTimeoutError."""
        attempt.enter(f"resolving the host name {host}")
        found: _Found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        attempt.enter(f"connecting to {host_and_port(host, port)}")
        connected = _first_connected(sorted(found, key=lambda info: info[4] != self._worked), attempt)
        # A timeout would begin anew with every byte, and cost each call a system call more; `abort` ends them all.
        connected.settimeout(None)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._worked = connected.getpeername()
        return connected


class _Socket(socket.socket):
    """Sets its timeout only where that changes it: urllib3 sets it twice per request, each time by a system call."""

    def settimeout(self, value: float | None) -> None:
        if value != self.gettimeout():
            super().settimeout(value)


def host_and_port(host: str, port: int) -> str:
    """Write an address as in a URL: `host:80`, `[::1]:80`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _first_connected(found: _Found, attempt: Attempt) -> socket.socket:
    """Try the addresses side by side, each with a head start before the next."""
    untried = deque(found)
    next_start = 0.0
    failure = OSError("the host name has no address")
    with selectors.DefaultSelector() as connecting:
        try:
            while untried or connecting.get_map():
                attempt.enter(attempt.phase)
                now = time.monotonic()
                if untried and now >= next_start:
                    next_start = now + HEAD_START
                    try:
                        _begin(connecting, *untried.popleft())
                    except OSError as error:
                        failure, next_start = error, 0.0
                        continue
                for sock in _ready(connecting, min(_GLANCE, next_start - now) if untried else _GLANCE):
                    connecting.unregister(sock)
                    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    if code == 0:
                        return sock
                    sock.close()
                    failure, next_start = OSError(code, os.strerror(code)), 0.0
            raise failure
        finally:
            for key in list(connecting.get_map().values()):
                key.data.close()


def _begin(connecting: selectors.BaseSelector, family: int, kind: int, protocol: int, _: str, address: Any) -> None:
    sock = _Socket(family, kind, protocol)
    sock.setblocking(False)
    code = sock.connect_ex(address)
    if code not in (0, errno.EINPROGRESS):
        sock.close()
        raise OSError(code, os.strerror(code))
    connecting.register(sock, selectors.EVENT_WRITE, data=sock)


def _ready(connecting: selectors.BaseSelector, seconds: float) -> list[socket.socket]:
    return [key.data for key, _ in connecting.select(seconds)]
