"""One request to one origin over kept connections, with a deadline for the whole call and a cap on the reply."""

from __future__ import annotations

import functools
import http.client
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import certifi
import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.util import make_headers

from exporter.api.connection import POOLS, serving
from exporter.api.deadline import Call, Deadline
from exporter.api.errors import ApiError, CallTimeoutError, ConnectError, HttpError, PayloadError, TlsError

LARGEST_REPLY: Final = 64 * 1024 * 1024
_PIECE: Final = 256 * 1024
# No connection, or one that broke: what else goes wrong is a reply that is not HTTP.
_BROKEN: Final = (
    OSError,
    UnicodeError,
    http.client.IncompleteRead,
    urllib3.exceptions.NewConnectionError,
)
# What OpenSSL calls bytes that are no TLS at all; from 3.2 on it is the second.
_NO_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"})


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """How to verify the server, and which certificate to show it; as Prometheus' tls_config."""

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    server_name: str | None = None
    insecure_skip_verify: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete reply; header names as the server wrote them, looked up in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class ClosedBeforeReplyError(ConnectError):
    """A kept connection was closed before any byte of the reply: it had grown too old, ask again on a fresh one."""


class Transport:
    """Sends requests to one origin; thread-safe. Follows no redirect, keeps no cookie, reads no environment."""

    def __init__(
        self, base_url: str, *, connections: int, proxy_url: str | None = None, tls: TlsSettings | None = None
    ) -> None:
        """`connections`: how many are kept. Raises TlsError if the files of `tls` cannot be used."""
        self._base_url = base_url
        self._adapter = _Adapter(base_url, connections, proxy_url, tls or TlsSettings())

    def post(
        self,
        path: str,
        headers: dict[str, str],
        body: bytes,
        deadline: Deadline,
        *,
        fresh: bool = False,
        sent: Callable[[], None] | None = None,
    ) -> Reply:
        """Send one POST and return the complete reply, whatever its status.

        `fresh`: on a new connection. `sent` is called when the request is on its way. Raises ApiError.
        """
        request = requests.PreparedRequest()
        request.method = "POST"
        request.url = self._base_url + path
        request.headers = requests.structures.CaseInsensitiveDict(headers)
        request.headers["Content-Length"] = str(len(body))
        request.body = body
        call = Call(deadline, fresh=fresh, sent=sent)
        failure: ApiError
        try:
            with serving(call):
                reply = self._reply(request, call)
            if deadline.remaining() > 0:
                return reply
            failure = _late(call)
        except ApiError as error:
            failure = _late(call) if call.expired else error
        except (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException) as error:
            failure = _failure(call, _root(error))
        except (OSError, ValueError) as error:
            failure = _failure(call, error)
        # Raised here so that it has no context: exceptions of requests hold the request and with it the key.
        raise failure

    def close(self) -> None:
        """Close the kept connections and keep no more; calls under way, and later ones, end as they would."""
        self._adapter.close()

    def _reply(self, request: requests.PreparedRequest, call: Call) -> Reply:
        response = self._adapter.send(request, stream=True)
        call.phase = "reading the body"
        try:
            return Reply(response.status_code, response.headers, _read(response))
        finally:
            response.raw.close()


def _read(response: requests.Response) -> bytes:
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


def _late(call: Call) -> CallTimeoutError:
    return CallTimeoutError(f"no complete reply before the deadline, while {call.phase}")


def _root(error: BaseException) -> BaseException:
    """Find what went wrong beneath the exceptions in which requests and urllib3 wrap it."""
    while not isinstance(error, urllib3.exceptions.DecodeError):
        inner = getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((item for item in reversed(error.args) if isinstance(item, BaseException)), error.__cause__)
        if inner is None:
            break
        error = inner
    return error


def _failure(call: Call, error: BaseException) -> ApiError:
    if call.expired or call.deadline.remaining() <= 0:
        return _late(call)
    where = f"while {call.phase}"
    if isinstance(error, ssl.SSLError | ssl.CertificateError):
        # A server that refuses the client's certificate may leave without a word right after the handshake.
        broke_off = isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError) and (call.kept or call.answered)
        if not broke_off:
            if error.reason in _NO_TLS and not (call.kept or call.answered):
                return TlsError(f"the server does not speak TLS ({error.reason}); is its URL http?")
            return TlsError(f"{getattr(error, 'verify_message', '') or error.reason or 'TLS failed'}, {where}")
    elif isinstance(error, urllib3.exceptions.DecodeError):
        return PayloadError("the reply cannot be decoded as its Content-Encoding says")
    elif not isinstance(error, _BROKEN):
        return HttpError("the reply is not HTTP")
    kind = ClosedBeforeReplyError if call.kept and not call.answered else ConnectError
    return kind(f"{_words(error)}, {where}")


def _words(error: BaseException) -> str:
    if isinstance(error, http.client.RemoteDisconnected):
        return "the server closed the connection"
    if isinstance(error, http.client.IncompleteRead):
        return "the connection was closed in the middle of the reply"
    if refused := re.match(r"Tunnel connection failed: (\d+)", str(error)):
        return f"the proxy answered {refused[1]}"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if isinstance(error, UnicodeError):
        return "that is no host name"
    return type(error).__name__


class _Adapter(HTTPAdapter):
    """requests' own way of sending, on one pool whose connections the watchdog can end."""

    def __init__(self, base_url: str, connections: int, proxy_url: str | None, tls: TlsSettings) -> None:
        origin = urlsplit(base_url)
        settings: dict[str, Any] = {"maxsize": connections}
        context = _tls_context(tls)
        if origin.scheme == "https":
            settings |= {"ssl_context": context, "server_hostname": tls.server_name}
        manager = _manager(proxy_url, context, settings)
        manager.pool_classes_by_scheme = POOLS
        self._pool = manager.connection_from_host(origin.hostname, origin.port, origin.scheme)
        # A proxy that does not tunnel wants the whole URL.
        self._whole_url = proxy_url is not None and origin.scheme == "http"
        super().__init__(pool_maxsize=connections)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Leave the pool as it was made for this origin."""

    def get_connection_with_tls_context(self, *_args: Any, **_kwargs: Any) -> HTTPConnectionPool:
        """Return the pool of this origin: there is no other place to send a request, nor the key, to."""
        return self._pool

    def cert_verify(self, *args: Any, **kwargs: Any) -> None:
        """Leave verification to the context that was made for this origin."""

    def request_url(self, request: requests.PreparedRequest, *_args: Any) -> str:
        """Return what stands in the request line."""
        return str(request.url) if self._whole_url else request.path_url

    def close(self) -> None:
        """Close the kept connections."""
        self._pool.close()


def _manager(proxy_url: str | None, context: ssl.SSLContext, settings: dict[str, Any]) -> urllib3.PoolManager:
    if proxy_url is None:
        return urllib3.PoolManager(**settings)
    proxy = urlsplit(proxy_url)
    headers = None
    if proxy.username:
        headers = make_headers(proxy_basic_auth=f"{unquote(proxy.username)}:{unquote(proxy.password or '')}")
    without_user = proxy._replace(netloc=proxy.netloc.rpartition("@")[2]).geturl()
    return urllib3.ProxyManager(without_user, proxy_headers=headers, proxy_ssl_context=context, **settings)


def _tls_context(tls: TlsSettings) -> ssl.SSLContext:
    if tls == TlsSettings(server_name=tls.server_name):
        return _default_tls_context()
    try:
        context = _verifying_context(tls.ca_file or certifi.where())
        if tls.cert_file:
            context.load_cert_chain(tls.cert_file, tls.key_file)
    except (OSError, ValueError) as error:
        files = ", ".join(name for name in (tls.ca_file, tls.cert_file, tls.key_file) if name)
        raise TlsError(f"cannot use {files}: {error}") from None
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@functools.cache
def _default_tls_context() -> ssl.SSLContext:
    return _verifying_context(certifi.where())


def _verifying_context(ca_file: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    # From Python 3.13 on set by default, and refuses private authorities that Prometheus, curl and browsers accept.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
