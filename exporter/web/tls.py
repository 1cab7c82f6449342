"""TLS of the listener: Go's names for versions, suites and curves, and contexts that are checked before they serve."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final

from exporter.log import FailureLog

VERSIONS: Final[Mapping[str, ssl.TLSVersion]] = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
CURVES: Final[Mapping[str, str]] = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}
TLS13_SUITES: Final = frozenset({"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"})
SUITES: Final[Mapping[str, str]] = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
}
"""Suites up to TLS 1.2 by their Go name. Those of TLS 1.3 are accepted and mean nothing, as in Go."""


class TlsError(Exception):
    """Why a listener cannot serve with these certificates; `key` is the key of the file that is to blame.

    `passing`: the same files may do later, as it is the system that lacks something, such as file descriptors.
    """

    def __init__(self, key: str, sentence: str, *, passing: bool = False) -> None:
        super().__init__(sentence)
        self.key = key
        self.passing = passing


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """All that a context is made of. `verify` is ssl's CERT_NONE, CERT_OPTIONAL or CERT_REQUIRED.

    `client_sans`: a client certificate must have one of these names, None if any will do.
    """

    certificate: bytes
    key: bytes = field(repr=False)
    client_ca: bytes = b""
    verify: ssl.VerifyMode = ssl.CERT_NONE
    client_sans: frozenset[str] | None = None
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    suites: Sequence[str] = ()
    prefer_server_suites: bool = True
    curve: str = ""


class ServerContext(ssl.SSLContext):
    """A context that also checks names of client certificates, and logs why handshakes fail; see `server_context`."""

    client_sans: frozenset[str] | None = None
    failures: FailureLog


class ReplaceableContext(ssl.SSLContext):
    """Makes each new connection with the context that is `current` then: certificate, versions, authorities and all.

    A context that serves cannot be changed safely, and a callback for SNI can replace the certificate alone.
    """

    current: ServerContext

    def __new__(cls, current: ServerContext) -> ReplaceableContext:
        context = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        context.current = current
        return context

    def wrap_bio(self, *args: Any, **kw: Any) -> ssl.SSLObject:
        return self.current.wrap_bio(*args, **kw)


class _Handshake(ssl.SSLObject):
    """The server's side of a TLS connection. asyncio tells neither the client nor the log why a handshake failed."""

    def do_handshake(self) -> None:
        context = self.context
        if not isinstance(context, ServerContext):
            raise TypeError("made by a ServerContext")
        try:
            super().do_handshake()
            _check_names(self.getpeercert(), context.client_sans)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, ssl.SSLEOFError):
            raise
        except ssl.SSLError as error:
            named = getattr(error, "reason", None)
            reason = named.replace("_", " ").lower() if named else str(error.args[-1])
            if reason != "http request":  # health checks and port scans send that
                context.failures.failing(reason, None, "TLS handshake failed", error=reason)
            raise


def server_context(material: TlsMaterial) -> ServerContext:
    """A context that can serve: its key fits its certificate. Raises TlsError."""
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslobject_class = _Handshake
    context.failures = FailureLog()
    context.client_sans = material.client_sans
    _set_versions(context, material)
    context.set_alpn_protocols(["http/1.1"])
    if not material.prefer_server_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if material.curve:
        context.set_ecdh_curve(CURVES[material.curve])
    _load_pair(context, material)
    if material.verify is not ssl.CERT_NONE:
        _trust_clients(context, material)
    return context


def _check_names(certificate: Mapping[str, Any] | None, sans: Collection[str] | None) -> None:
    """Raises SSLError unless a verified client certificate has one of these subject alternative names."""
    if sans is None:
        return
    names = certificate.get("subjectAltName", ()) if certificate else ()
    wanted = {_canonical(san) for san in sans}
    if not any(_canonical(value.strip()) in wanted for _, value in names):
        raise ssl.SSLError(0, "the client certificate has none of the names in client_allowed_sans")


def _set_versions(context: ssl.SSLContext, material: TlsMaterial) -> None:
    listed = [SUITES[name] for name in material.suites if name in SUITES]
    only_13 = bool(material.suites) and not listed
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if only_13 else VERSIONS[material.min_version]
    context.maximum_version = VERSIONS[material.max_version]
    # OpenSSL's default security level forbids TLS before 1.2 whatever the minimum says.
    level = "@SECLEVEL=0" if material.min_version in ("TLS10", "TLS11") else ""
    if listed or level:
        context.set_ciphers(":".join(listed or ["DEFAULT"]) + (":" + level if level else ""))


def _load_pair(context: ssl.SSLContext, material: TlsMaterial) -> None:
    try:
        with _as_file(material.certificate + b"\n" + material.key) as path:
            # The empty password keeps OpenSSL from asking the terminal for that of an encrypted key.
            context.load_cert_chain(path, password="")
    except (ssl.SSLError, ValueError) as error:
        raise TlsError(
            "cert_file", "does not go with the key; they must be a certificate and its unencrypted key in PEM form"
        ) from error
    except OSError as error:
        raise TlsError("cert_file", f"cannot be loaded: {error.strerror}", passing=True) from error


def _trust_clients(context: ssl.SSLContext, material: TlsMaterial) -> None:
    context.verify_mode = material.verify
    # As in Go, whatever stands in the file is trusted, also an intermediate authority without its root.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        # ssl takes ASCII alone; what else there is, stands in comments.
        context.load_verify_locations(cadata=material.client_ca.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError) as error:
        raise TlsError("client_ca_file", "has no certificate in PEM form") from error


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """A path under which `content` can be read, which is all that ssl takes; in memory where the system can."""
    if not hasattr(os, "memfd_create"):
        with tempfile.NamedTemporaryFile() as temporary:
            temporary.write(content)
            temporary.flush()
            yield temporary.name
        return
    descriptor = os.memfd_create("tls", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _canonical(san: str) -> str:
    try:
        return str(ip_address(san))
    except ValueError:
        return san
