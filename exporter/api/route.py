"""The way to one origin: its connections, direct or through a proxy, and what TLS trusts on them."""

from __future__ import annotations

import functools
import ssl
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import certifi
import urllib3
from urllib3.util import make_headers

from exporter.api.addresses import Addresses
from exporter.api.connection import Connection, TlsConnection
from exporter.api.errors import TlsError


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """How to verify the server, and which certificate to show it; as Prometheus' tls_config.

    `files` stands for what the files hold.
    """

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    server_name: str | None = None
    insecure_skip_verify: bool = False
    files: str = ""


class Route:
    """Makes connections to one origin. `proxy_headers` go into each request that a proxy forwards, with `whole_url`."""

    def __init__(self, base_url: str, proxy_url: str | None, tls: TlsSettings) -> None:
        """Raises TlsError if the files of `tls` cannot be used."""
        origin = urlsplit(base_url)
        context = _tls_context(replace(tls, server_name=None))
        options: dict[str, Any] = _peer(origin) | {"addresses": Addresses()}
        speaks_tls = secure = origin.scheme == "https"
        if secure:
            options |= {"ssl_context": context, "server_hostname": tls.server_name}
        self.whole_url = proxy_url is not None and not secure
        self.proxy_headers: dict[str, str] = {}
        self._tunnel: dict[str, Any] | None = None
        if proxy_url is not None:
            proxy = urlsplit(proxy_url)
            manager = urllib3.ProxyManager(_without_user(proxy_url), proxy_ssl_context=context)
            options |= _peer(proxy) | {"proxy": manager.proxy, "proxy_config": manager.proxy_config}
            if secure:
                self._tunnel = _peer(origin) | {"scheme": proxy.scheme, "headers": _proxy_headers(proxy_url)}
            else:
                self.proxy_headers = _proxy_headers(proxy_url)
                speaks_tls = proxy.scheme == "https"
        self._options = options
        self._connection_class = TlsConnection if speaks_tls else Connection

    def connection(self) -> Connection:
        """Return a connection that opens with its first request."""
        connection = self._connection_class(**self._options)
        if self._tunnel is not None:
            connection.set_tunnel(**self._tunnel)
        return connection


def _peer(url: SplitResult) -> dict[str, Any]:
    return {"host": url.hostname, "port": url.port or (443 if url.scheme == "https" else 80)}


def proxy_secrets(proxy_url: str) -> list[str]:
    """Return what a reply must not repeat: the password of a proxy, and what it looks like in a header."""
    password = unquote(urlsplit(proxy_url).password or "")
    return [password, *(value.removeprefix("Basic ") for value in _proxy_headers(proxy_url).values())]


def _without_user(proxy_url: str) -> str:
    proxy = urlsplit(proxy_url)
    return proxy._replace(netloc=proxy.netloc.rpartition("@")[2]).geturl()


def _proxy_headers(proxy_url: str) -> dict[str, str]:
    proxy = urlsplit(proxy_url)
    if not proxy.username:
        return {}
    return dict(make_headers(proxy_basic_auth=f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"))


@functools.lru_cache(maxsize=16)
def _tls_context(tls: TlsSettings) -> ssl.SSLContext:
    """Return a context that clusters share: one with all public authorities takes 50 ms and 800 kB."""
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


def _verifying_context(ca_file: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    # From Python 3.13 on set by default, and refuses private authorities that Prometheus, curl and browsers accept.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
