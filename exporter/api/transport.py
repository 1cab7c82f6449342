"""One request to one origin over kept connections, with a cap on the reply; what goes wrong is an ApiError."""

from __future__ import annotations

import contextlib
import http.client
import re
import ssl
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import requests
import urllib3
from requests.adapters import HTTPAdapter

from exporter.api.attempt import Attempt
from exporter.api.connection import Connection, TlsConnection
from exporter.api.errors import ApiError, ConnectError, HttpError, PayloadError, TlsError
from exporter.api.route import Route, TlsSettings

LARGEST_REPLY: Final = 64 * 1024 * 1024
_PIECE: Final = 256 * 1024
# No connection, or one that broke: what else goes wrong is a reply that is not HTTP.
_BROKEN: Final = (OSError, UnicodeError, http.client.IncompleteRead)
# What OpenSSL calls bytes that are no TLS at all; from 3.2 on it is the second.
_NO_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"})


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete reply; header names as the server wrote them, looked up in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class ClosedBeforeReplyError(ConnectError):
    """A kept connection was closed before any byte of the reply: it was too old, send again on a fresh one."""


class Transport:
    """Sends requests to one origin; thread-safe. Follows no redirect, keeps no cookie, reads no environment."""

    def __init__(
        self, base_url: str, *, connections: int, proxy_url: str | None = None, tls: TlsSettings | None = None
    ) -> None:
        """`connections`: how many are kept. Raises TlsError if the files of `tls` cannot be used."""
        self._base_url = base_url
        self._route = Route(base_url, proxy_url, tls or TlsSettings())
        self._adapter = _Adapter(whole_url=self._route.whole_url)
        # Appending and popping are atomic.
        self._kept: deque[Connection] = deque()
        self._connections = connections

    def post(self, path: str, headers: dict[str, str], body: bytes, attempt: Attempt, *, fresh: bool = False) -> Reply:
        """Send one POST and return the complete reply, whatever its status.

        `fresh`: on a new connection. Raises ApiError, CallTimeoutError if the attempt was aborted.
        """
        if fresh:
            # A server that closed one idle connection has closed, or will close, the others too.
            self._keep_at_most(0)
        connection = (None if fresh else self._kept_connection()) or self._route.connection()
        connection.serve(attempt)
        request = _Request(connection)
        request.method = "POST"
        request.url = self._base_url + path
        request.headers = requests.structures.CaseInsensitiveDict(headers | self._route.proxy_headers)
        request.headers["Content-Length"] = str(len(body))
        request.body = body
        failure: ApiError
        try:
            return self._reply(request, attempt)
        except ApiError as error:
            failure = error
        except (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException) as error:
            failure = _failure(_root(error), connection, attempt.phase)
        except (OSError, ValueError) as error:
            failure = _failure(error, connection, attempt.phase)
        # Raised here so that it has no context: exceptions of requests hold the request and with it the key.
        raise attempt.timeout() if attempt.aborted else failure

    def close(self) -> None:
        """Close the kept connections and keep no more; calls under way, and later ones, end as they would."""
        self._connections = 0
        self._keep_at_most(0)

    def _reply(self, request: _Request, attempt: Attempt) -> Reply:
        connection, complete = request.connection, False
        try:
            response = self._adapter.send(request, stream=True)
            with contextlib.closing(response.raw):
                attempt.enter("reading the body")
                reply = Reply(response.status_code, response.headers, _read(response))
            complete = True
        finally:
            attempt.detach()
            # An abort after this look finds no connection to end; one before it may be at this one.
            if complete and connection.clean and not attempt.aborted:
                self._kept.append(connection)
                self._keep_at_most(self._connections)
            else:
                connection.close()
        attempt.enter("reading the reply")
        return reply

    def _kept_connection(self) -> Connection | None:
        """Take the kept connection that was used last; those on which anything arrived since then are closed."""
        with contextlib.suppress(IndexError):
            while True:
                connection = self._kept.pop()
                if connection.is_connected:
                    return connection
                connection.close()
        return None

    def _keep_at_most(self, number: int) -> None:
        with contextlib.suppress(IndexError):
            while len(self._kept) > number:
                self._kept.popleft().close()


class _Request(requests.PreparedRequest):
    """A request and the connection on which it is sent."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection


@dataclass(frozen=True, slots=True)
class _Head:
    """A reply whose body is not read yet, with the attributes of a response of requests."""

    request: requests.PreparedRequest
    status_code: int
    headers: Mapping[str, str]
    raw: Any


class _Adapter(HTTPAdapter):
    """requests' own way of sending, on a connection that is chosen already: the key goes nowhere else."""

    def __init__(self, *, whole_url: bool) -> None:
        super().__init__()
        self._whole_url = whole_url

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Have no pools."""

    def get_connection_with_tls_context(self, request: Any, *_args: Any, **_kwargs: Any) -> Any:
        """Return the connection of the request, which serves as a pool of one."""
        return request.connection

    def cert_verify(self, *args: Any, **kwargs: Any) -> None:
        """Leave verification to the context of the connection."""

    def build_response(self, request: Any, raw: Any) -> Any:
        """Return what is needed of the reply; one of requests would look for cookies, and takes a tenth of a call."""
        return _Head(request, raw.status, raw.headers, raw)

    def request_url(self, request: requests.PreparedRequest, *_args: Any) -> str:
        """Return what stands in the request line."""
        return str(request.url) if self._whole_url else request.path_url


def _read(response: _Head | requests.Response) -> bytes:
    pieces = []
    size = 0
    while True:
        # Only the last piece is shorter than it was asked for.
        piece = response.raw.read(_PIECE, decode_content=True)
        pieces.append(piece)
        size += len(piece)
        if size > LARGEST_REPLY:
            raise PayloadError(f"the reply is larger than {LARGEST_REPLY // 1024**2} MiB")
        if len(piece) < _PIECE:
            return b"".join(pieces)


def _root(error: BaseException) -> BaseException:
    """Find what went wrong beneath the exceptions in which requests and urllib3 wrap it."""
    while not isinstance(error, urllib3.exceptions.DecodeError):
        inner = next((item for item in reversed(error.args) if isinstance(item, BaseException)), error.__cause__)
        if inner is None:
            break
        error = inner
    return error


def _failure(error: BaseException, connection: Connection, phase: str) -> ApiError:
    where = f"while {phase}"
    used = connection.kept or connection.answered
    if isinstance(error, ssl.SSLError | ssl.CertificateError):
        # A server that refuses the client's certificate may leave without a word right after the handshake.
        broke_off = isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError) and used
        if not broke_off:
            if error.reason in _NO_TLS and not used:
                return TlsError(f"{connection.address} does not speak TLS ({error.reason}); is its URL http?")
            return TlsError(f"{getattr(error, 'verify_message', '') or error.reason or 'TLS failed'}, {where}")
    elif isinstance(error, urllib3.exceptions.DecodeError):
        return PayloadError("the reply cannot be decoded as its Content-Encoding says")
    # A TLS port answers plain HTTP with a TLS alert, or closes the connection.
    hint = "; is its URL https?" if not isinstance(connection, TlsConnection) and not connection.kept else ""
    if not isinstance(error, _BROKEN):
        return HttpError("the reply is not HTTP" + (hint if isinstance(error, http.client.BadStatusLine) else ""))
    kind = ClosedBeforeReplyError if connection.kept and not connection.answered else ConnectError
    closed = isinstance(error, http.client.RemoteDisconnected | ConnectionResetError)
    return kind(f"{_words(error, connection)}, {where}" + (hint if closed and not connection.answered else ""))


def _words(error: BaseException, connection: Connection) -> str:
    if isinstance(error, http.client.RemoteDisconnected):
        return f"the server closed the connection to {connection.address}"
    if isinstance(error, http.client.IncompleteRead):
        return "the connection was closed in the middle of the reply"
    if refused := re.match(r"Tunnel connection failed: (\d+)", str(error)):
        return f"the proxy answered {refused[1]}"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if isinstance(error, UnicodeError):
        return "that is no host name"
    return type(error).__name__
