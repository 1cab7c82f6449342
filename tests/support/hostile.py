"""A server on loopback whose every byte is scripted: for what no HTTP library would send."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

Script = Callable[["Conversation"], None]


class Conversation:
    """One accepted connection, for a script to talk on."""

    def __init__(self, server: Hostile, connection: socket.socket) -> None:
        self._server = server
        self._received = b""
        self.socket = connection

    def request(self) -> bytes | None:
        """Read one whole request; None once the client has left."""
        while (end := self._end_of_request()) is None:
            piece = self.socket.recv(65536)
            if not piece:
                return None
            self._received += piece
        request, self._received = self._received[:end], self._received[end:]
        self._server.requests.append(request)
        return request

    def send(self, data: bytes) -> None:
        """Send all of it at once."""
        self.socket.sendall(data)

    def drip(self, data: bytes = b"", then_for_ever: bytes = b"x", pause: float = 0.02) -> None:
        """Send `data` byte by byte, then `then_for_ever` again and again, until the client leaves."""
        for byte in data:
            self.pause(pause)
            self.send(bytes([byte]))
        while True:
            self.pause(pause)
            self.send(then_for_ever)

    def pause(self, seconds: float | None = None) -> None:
        """Be silent, for ever unless `seconds` are given; the end of the server ends the conversation."""
        if self._server.stopping.wait(seconds):
            raise ConnectionAbortedError

    def reset(self) -> None:
        """Break the connection with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Go on over TLS, as behind a CONNECT."""
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def _end_of_request(self) -> int | None:
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return None
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return len(head) + 4 + length if len(body) >= length else None


class Hostile:
    """Runs `script` on each connection, over TLS if there is a context; a context manager.

    `requests` are those that scripts have read, `connections` counts the accepted ones.
    """

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._script = script
        self._tls = tls
        self._listener = socket.create_server((host, 0), family=family, backlog=128)
        self._threads: list[threading.Thread] = []
        self._conversations: list[Conversation] = []
        self.host = f"[{host}]" if ":" in host else host
        self.port: int = self._listener.getsockname()[1]
        self.requests: list[bytes] = []
        self.connections = 0
        self.stopping = threading.Event()

    @property
    def url(self) -> str:
        """The base URL."""
        return f"{'https' if self._tls else 'http'}://{self.host}:{self.port}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        for conversation in self._conversations:
            with contextlib.suppress(OSError):
                conversation.socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            conversation = Conversation(self, connection)
            self._conversations.append(conversation)
            self._start(self._converse, conversation)

    def _converse(self, conversation: Conversation) -> None:
        # A client that leaves in the middle is what these scripts are for.
        with contextlib.suppress(OSError):
            if self._tls is not None:
                conversation.start_tls(self._tls)
            self._script(conversation)
        conversation.socket.close()


def reply(body: bytes | dict[str, object], status: str = "200 OK", **headers: str) -> bytes:
    """Write a complete reply with its length; names of headers with _ for -."""
    if isinstance(body, dict):
        body = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def always(answer: bytes) -> Script:
    """Answer every request of a connection alike."""

    def script(conversation: Conversation) -> None:
        while conversation.request() is not None:
            conversation.send(answer)

    return script


def once(answer: bytes) -> Script:
    """Answer the first request of a connection, then close it."""

    def script(conversation: Conversation) -> None:
        conversation.request()
        conversation.send(answer)

    return script


@contextlib.contextmanager
def full_backlog(host: str = "127.0.0.1") -> Iterator[int]:
    """Give a port at which connections are neither accepted nor refused: the client waits in `connect`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with (
        socket.create_server((host, 0), family=family, backlog=0) as listener,
        contextlib.ExitStack() as waiting,
    ):
        port: int = listener.getsockname()[1]
        for _ in range(4):
            client = waiting.enter_context(socket.socket(family))
            client.setblocking(False)
            client.connect_ex((host, port))
        yield port
