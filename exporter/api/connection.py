"""urllib3's connections and pools, made to serve calls that the watchdog can end in every phase."""

from __future__ import annotations

import contextlib
import http.client
import logging
import socket
import threading
from collections.abc import Iterator
from typing import Any, Final, cast

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ClosedPoolError, NewConnectionError

from exporter.api.deadline import Call, Line, watchdog

# For systems where a shutdown does not wake a thread that is connecting; the longest that a call may take.
_LONGEST_CONNECT: Final = 20.0

_current = threading.local()

# They tell of odd headers at every call, in several lines, with bytes from the network; errors tell enough.
for _name in ("urllib3.connection", "urllib3.response"):
    logging.getLogger(_name).setLevel(logging.ERROR)


@contextlib.contextmanager
def serving(call: Call) -> Iterator[None]:
    """Make this thread's requests serve `call`, under the eyes of the watchdog."""
    watchdog.begin(call)
    _current.call = call
    try:
        yield
    finally:
        _current.call = None
        watchdog.end(call)


def _call() -> Call:
    return cast(Call, _current.call)


class _Response(http.client.HTTPResponse):
    """Tells whether any byte of the reply came."""

    def begin(self) -> None:
        if not self.fp.peek(1):
            raise http.client.RemoteDisconnected("closed without a reply")
        _call().answered = True
        super().begin()


class _Served(HTTPConnection):
    """A connection that tells the call which it serves what it is doing."""

    response_class = _Response
    _line: Line | None = None
    _gathered: list[bytes] | None = None

    def _new_conn(self) -> socket.socket:
        call = _call()
        call.phase = "resolving the host name"
        host = self._dns_host.strip("[]")
        try:
            addresses = socket.getaddrinfo(host, self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise NewConnectionError(self, "the host name was not resolved") from error
        call.phase = "connecting"
        failure: OSError | None = None
        for index, (family, kind, protocol, _, address) in enumerate(addresses):
            if call.expired:
                break
            left = len(addresses) - index
            try:
                sock = socket.socket(family, kind, protocol)
            except OSError as error:
                failure = error
                continue
            try:
                line = Line(sock)
            except OSError as error:
                failure = error
                sock.close()
                continue
            watchdog.serve(call, line)
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                # One address that swallows packets must not use up the time of the others.
                remaining = min(call.deadline.remaining(), threading.TIMEOUT_MAX)
                sock.settimeout(max(remaining / left, 0.001) if left > 1 else max(remaining, _LONGEST_CONNECT))
                sock.connect(address)
                sock.settimeout(None)
            except OSError as error:
                failure = error
                sock.close()
                watchdog.hang_up(line)
            else:
                self._line = line
                call.phase = "in the TLS handshake" if isinstance(self, HTTPSConnection) else "sending"
                return sock
        # Not the failure itself: urllib3 takes a reset for one that came after the request.
        raise NewConnectionError(self, "no address was reached") from failure

    def _tunnel(self) -> None:
        call = _call()
        call.phase = "in CONNECT to the proxy"
        super()._tunnel()
        call.phase = "in the TLS handshake"

    def request(self, *args: Any, **kwargs: Any) -> None:
        call = _call()
        if self._line is not None and self._line is not call.line:
            call.kept = True
            watchdog.serve(call, self._line)
            call.phase = "sending"
        parts: list[bytes] = []
        self._gathered = parts
        try:
            super().request(*args, **kwargs)
            self._gathered = None
            self.send(b"".join(parts))
        finally:
            self._gathered = None
            if self.sock is not None and call.sent is not None:
                call.sent()
        call.phase = "waiting for the reply"

    def send(self, data: Any) -> None:
        """Send; but the parts of a request are gathered, so that it leaves in one packet and one system call."""
        if self._gathered is None:
            super().send(data)
        else:
            self._gathered.append(data)

    def close(self) -> None:
        line, self._line = self._line, None
        try:
            super().close()
        finally:
            if line is not None:
                watchdog.hang_up(line)


class _ServedTls(_Served, HTTPSConnection):
    """The same over TLS."""


class _Pool(HTTPConnectionPool):
    """Keeps connections for later calls, but gives a fresh one to a call that must have it."""

    ConnectionCls = _Served

    def _get_conn(self, timeout: float | None = None) -> Any:
        try:
            connection = super()._get_conn(timeout)
        except ClosedPoolError:
            # A reload replaced this client while the call was on its way here; that is no failure of the API.
            return self._new_conn()
        if _call().fresh:
            connection.close()
        return connection


class _TlsPool(_Pool, HTTPSConnectionPool):
    """The same over TLS."""

    ConnectionCls = _ServedTls

    def _validate_conn(self, conn: Any) -> None:
        # urllib3 would warn at every request where verification is off; whoever switched it off knows.
        if conn.is_closed:
            conn.connect()


POOLS: Final = {"http": _Pool, "https": _TlsPool}
