"""Sockets that listen at the addresses of `--web.listen-address`."""

from __future__ import annotations

import asyncio
import errno
import os
import socket

from exporter.web.address import parse_listen_address

_BACKLOG = 1024
_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


class ListenError(Exception):
    """An address that cannot be listened on; the text is one line for the user."""


def listen(value: str) -> socket.socket:
    """A non-blocking socket that listens on that address; port 0 takes any. Raises ListenError."""
    host, port = parse_listen_address(value)
    try:
        listener = _listen_everywhere(port) if host == "" else _listen_on(host, port)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise ListenError(f"--web.listen-address: cannot listen on {value}: {reason}") from error
    listener.setblocking(False)
    return listener


def address(listener: socket.socket) -> str:
    """`HOST:PORT` of a listening socket, IPv6 in brackets."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def readable(listener: socket.socket) -> None:
    """Waits until a client is in the queue.

    Without descriptors left, Linux says so to whoever accepts, whether or not a client waits: only after this it means
    that somebody has to make room. It also gives the loop its turn, which a flood would not.
    """
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(listener, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(listener)


def _listen_everywhere(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("::", port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True)
        except OSError as error:
            if error.errno not in _NO_IPV6:
                raise
    return socket.create_server(("0.0.0.0", port), backlog=_BACKLOG)  # noqa: S104 - ":PORT" asks for all interfaces


def _listen_on(host: str, port: int) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # A name with addresses of both kinds means the IPv4 one, as in Go's net.Listen.
    family, *_, where = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return socket.create_server((str(where[0]), port), family=family, backlog=_BACKLOG)
