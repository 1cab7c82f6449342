"""Sockets that listen at the addresses of `--web.listen-address`."""

from __future__ import annotations

import errno
import os
import resource
import socket

from exporter.web.address import parse_listen_address

BACKLOG = 1024
"""Connections that may wait to be accepted, per address."""

_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
_TAKES_NOTHING_FOR = 30_000


class ListenError(Exception):
    """An address that cannot be listened on; the text is one line for the user."""


def listen(value: str) -> socket.socket:
    """A non-blocking socket that listens on that address; port 0 takes any. Raises ListenError.

    A client that takes nothing of an answer for 30 s is disconnected by the kernel, where that is Linux.
    """
    host, port = parse_listen_address(value)
    try:
        listener = _listen_everywhere(port) if host == "" else _listen_on(host, port)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise ListenError(f"--web.listen-address: cannot listen on {value}: {reason}") from error
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _TAKES_NOTHING_FOR)
    listener.setblocking(False)
    return listener


def address(listener: socket.socket) -> str:
    """`HOST:PORT` of a listening socket, IPv6 in brackets."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def raise_descriptor_limit() -> None:
    """Allows this process as many file descriptors as the system permits, as programs in Go do at their start.

    The soft limit, usually 1024, is there for programs that use select().
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _listen_everywhere(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("::", port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True)
        except OSError as error:
            if error.errno not in _NO_IPV6:
                raise
    return socket.create_server(("0.0.0.0", port), backlog=BACKLOG)  # noqa: S104 - ":PORT" asks for all interfaces


def _listen_on(host: str, port: int) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # A name with addresses of both kinds means the IPv4 one, as in Go's net.Listen.
    family, *_, where = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return socket.create_server((str(where[0]), port), family=family, backlog=BACKLOG)
