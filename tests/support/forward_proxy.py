"""A forward proxy on loopback that tunnels (CONNECT) to one place, whatever host is named."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self


class ForwardProxy:
    """Runs in threads of its own from `with` on. `connects` are the first lines of the requests so far."""

    def __init__(self, upstream: tuple[str, int]) -> None:
        self.connects: list[str] = []
        self._upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        _begin(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                _begin(lambda client=client: self._serve(client))  # type: ignore[misc]  # of this turn of the loop

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        self.connects.append(head.partition(b"\r\n")[0].decode())
        upstream = socket.create_connection(self._upstream)
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        _begin(lambda: _copy(client, upstream))
        _copy(upstream, client)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with source, suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def _begin(call: Callable[[], None]) -> None:
    threading.Thread(target=call, daemon=True).start()
