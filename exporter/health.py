"""`--health`: asks a running exporter whether it answers, for a container's health check without curl."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence

from exporter.output import refuse
from exporter.web.address import parse_listen_address

TIMEOUT = 3.0
_EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to ask, not where to listen
_REQUEST = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_ALERT, _HANDSHAKE = b"\x15", b"\x16"


def check_health(listen: Sequence[str]) -> int:
    """Return the exit code: 0 if the exporter answers at one of its addresses, else 1, after a sentence about each."""
    complaints = []
    for where in listen:
        complaints.append(complaint(where))
        if not complaints[-1]:
            return 0
    return refuse(complaints)


def complaint(listen_address: str) -> str:
    """What keeps a `--web.listen-address` from being healthy, in one sentence; empty where HTTP or TLS is answered.

    Waits `TIMEOUT` seconds after each word. A refusal is an answer too: the health check holds no password and no
    client certificate. It therefore leaves a TLS handshake at the server's first words, which the server does not
    take for a failure.
    """
    host, port = parse_listen_address(listen_address)
    host = _EVERYWHERE.get(host, host)
    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        if _first_bytes((host, port), _REQUEST) == b"HTTP/":
            return ""
        if _first_bytes((host, port), _hello())[:1] in (_ALERT, _HANDSHAKE):
            return ""
    except TimeoutError:
        return f"no answer at {name} within {TIMEOUT:g} s"
    except OSError as error:
        return f"no answer at {name}: {error.strerror or error}"
    return f"what answers at {name} speaks neither HTTP nor TLS"


def _first_bytes(where: tuple[str, int], said: bytes) -> bytes:
    """The first five bytes of the reply; empty if the other side hangs up. Raises OSError where nobody answers."""
    with socket.create_connection(where, TIMEOUT) as connection:
        try:
            connection.sendall(said)
            return connection.recv(5)
        except ConnectionError:
            return b""


def _hello() -> bytes:
    """A TLS client's first message."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context.wrap_bio(incoming, outgoing).do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise RuntimeError("a TLS handshake takes two sides")
