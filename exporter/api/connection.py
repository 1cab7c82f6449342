"""One connection to the import API: it serves one attempt after the other, as long as each reply ends cleanly."""

from __future__ import annotations

import http.client
import io
import logging
import socket
import ssl
from collections.abc import Mapping
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.response import HTTPResponse

from exporter.api.addresses import Addresses, host_and_port
from exporter.api.attempt import AbortHandle, Attempt

# They log odd headers at every call, in several lines, with bytes from the network; the errors say enough.
for _name in ("urllib3.connection", "urllib3.response"):
    logging.getLogger(_name).setLevel(logging.ERROR)


class _Reader(io.RawIOBase):
    """Reads from a connection, but nothing any more once the reply has `ended`."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        return None if self.ended else self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """Skips interim replies, refuses a reply whose end is unclear, and looks whether more than it was read."""

    def __init__(self, connection: Connection, sock: socket.socket, method: str | None) -> None:
        super().__init__(sock, method=method)
        self._connection = connection
        self._sock = sock
        self._reader = _Reader(self.fp.detach())
        self.fp = io.BufferedReader(self._reader)

    def begin(self) -> None:
        if not self.fp.peek(1):
            raise http.client.RemoteDisconnected("closed without a reply")
        self._connection.answered = True
        super().begin()
        codings = _listed(self.headers, "Transfer-Encoding")
        lengths = _listed(self.headers, "Content-Length")
        if codings and not (self.chunked and codings == {"chunked"}):
            raise http.client.UnknownTransferEncoding
        if len(lengths) > 1 or not all(length.isascii() and length.isdigit() for length in lengths):
            raise http.client.HTTPException("no valid Content-Length")
        if lengths and self.chunked:
            # Proxies and servers disagree on which of the two holds.
            self.will_close = True
        elif lengths and self.length is None:
            # A list of equal lengths, which http.client takes for none.
            self.length = int(lengths.pop())

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            status: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]  # not in its stubs
            if not 100 <= status[1] < 200:
                return status
            http.client.parse_headers(self.fp)

    def _close_conn(self) -> None:
        self._connection.clean = not self.will_close and not self._followed()
        super()._close_conn()  # type: ignore[misc]  # not in its stubs

    def _followed(self) -> bool:
        """Whether anything beyond the reply was read already; the rest is seen when the connection is taken again."""
        self._reader.ended = True
        decrypted = self._sock.pending() if isinstance(self._sock, ssl.SSLSocket) else 0
        return bool(self.fp.peek(1)) or decrypted > 0


class Connection(HTTPConnection):
    """A connection that `Attempt.abort` can end; for one request at a time, and never opened again once closed.

    `kept`: whether it has served a request before. `answered`: whether a byte of the reply to the last one came.
    `clean`: whether that reply is complete and nothing follows it, so that the connection can serve another.
    """

    def __init__(self, *, addresses: Addresses, **options: Any) -> None:
        super().__init__(timeout=None, **options)
        self.kept = False
        self.answered = False
        self.clean = False
        self._addresses = addresses
        self._attempt = Attempt()
        self._handle: AbortHandle | None = None
        self._gathered: list[bytes] | None = None

    def serve(self, attempt: Attempt) -> None:
        """Send the next request for this attempt."""
        self._attempt = attempt
        self.kept = self._handle is not None
        self.answered = self.clean = False
        if self._handle is not None:
            attempt.attach(self._handle)

    def urlopen(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], **_options: Any
    ) -> HTTPResponse:
        """Send a request and read the head of its reply; requests calls it as it would call a pool."""
        if self.is_closed:
            self.connect()
        self._attempt.enter("sending")
        try:
            self.request(method, url, body, headers, preload_content=False, decode_content=False)
        except (BrokenPipeError, ConnectionResetError):
            # The server may have answered before it closed.
            pass
        finally:
            self._attempt.sent()
        self._attempt.enter("waiting for the reply")
        return self.getresponse()

    def request(self, *args: Any, **kwargs: Any) -> None:
        parts: list[bytes] = []
        self._gathered = parts
        try:
            super().request(*args, **kwargs)
        finally:
            self._gathered = None
        self.send(b"".join(parts))

    def send(self, data: Any) -> None:
        """Send; but the parts of a request are gathered, so that it leaves in one packet and one system call."""
        if self._gathered is None:
            super().send(data)
        else:
            self._gathered.append(data)

    def close(self) -> None:
        self._handle = None
        super().close()

    def response_class(  # type: ignore[override]  # http.client calls it, whatever it is
        self, sock: socket.socket, *, method: str | None = None
    ) -> _Response:
        return _Response(self, sock, method)

    @property
    def address(self) -> str:
        """Host and port to which it connects: those of the proxy, if there is one."""
        return host_and_port(self._host, self.port)

    @property
    def _host(self) -> str:
        return self._dns_host.strip("[]")

    def _new_conn(self) -> socket.socket:
        sock = self._addresses.connect(self._host, self.port, self._attempt)
        try:
            self._handle = AbortHandle(sock)
            self._attempt.attach(self._handle)
            in_tls = isinstance(self, HTTPSConnection)
            self._attempt.enter(f"in the TLS handshake with {self.address}" if in_tls else "sending")
        except BaseException:
            sock.close()
            raise
        return sock

    def _tunnel(self) -> None:
        self._attempt.enter(f"in CONNECT to the proxy {self.address}")
        super()._tunnel()
        self._attempt.enter(f"in the TLS handshake with {self._tunnel_host}")


class TlsConnection(Connection, HTTPSConnection):
    """The same over TLS."""


def _listed(headers: http.client.HTTPMessage, name: str) -> set[str]:
    return {item.strip().lower() for line in headers.get_all(name, []) for item in line.split(",")}
