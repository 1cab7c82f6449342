"""`--health`: asks a running exporter whether it answers, for a container's health check without curl."""

from __future__ import annotations

import contextlib
import socket
import ssl

from exporter.web.listen import parse_listen_address

TIMEOUT = 3.0
_EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to ask, not where to listen


def answers(listen_address: str) -> bool:
    """Whether anything that speaks HTTP or TLS answers at a `--web.listen-address` within a few seconds.

    A refusal is an answer too: the health check holds no password and no client certificate.
    """
    host, port = parse_listen_address(listen_address)
    where = (_EVERYWHERE.get(host, host), port)
    return _answers_http(where) or _answers_tls(where)


def _answers_http(where: tuple[str, int]) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(where, TIMEOUT) as connection:
        connection.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return connection.recv(5) == b"HTTP/"
    return False


def _answers_tls(where: tuple[str, int]) -> bool:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection(where, TIMEOUT) as connection, context.wrap_socket(connection):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except OSError:
        return False
