"""The real exporter seen from outside: its port as raw bytes, its memory, its descriptors, its log."""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tests.support.exporter import LISTENING
from tests.support.program import Program

PATIENCE = 60.0
"""How long a test waits for what it holds certain, on a machine that has better things to do."""


class Door(Program):
    """The exporter on a free port of the loopback, whatever its web configuration lets in.

    `before` are words of the command before the program's own, such as `prlimit` and its flags. The API's answers
    must not depend on `requests_per_second`: the configuration is used as it is.
    """

    def __init__(
        self,
        config_file: Path,
        directory: Path,
        *arguments: str,
        address: str = "127.0.0.1:0",
        before: Sequence[str] = (),
        module: str = "exporter",
    ) -> None:
        command = (
            *before, sys.executable, "-m", module,
            f"--config.file={config_file}", f"--web.listen-address={address}", *arguments,
        )  # fmt: skip
        super().__init__(command, directory / "exporter.log")
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        self.where = (host.strip("[]"), int(port))

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process, for its id, signals and end."""
        return self._process

    @property
    def resident(self) -> int:
        """Bytes of memory in use."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @property
    def descriptors(self) -> int:
        """How many file descriptors are open."""
        return sum(1 for _ in Path(f"/proc/{self._process.pid}/fd").iterdir())

    def connect(self, context: ssl.SSLContext | None = None, source: str = "") -> socket.socket:
        """A new connection, over TLS where there is a context, from the address `source` if given."""
        raw = socket.create_connection(self.where, PATIENCE, (source, 0) if source else None)
        return raw if context is None else context.wrap_socket(raw, server_hostname="127.0.0.1")

    def ask(
        self,
        path: str = "/metrics",
        context: ssl.SSLContext | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        source: str = "",
    ) -> tuple[int, bytes]:
        """Status and body of a GET over a connection of its own."""
        head = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        with self.connect(context, source) as client:
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: exporter\r\nConnection: close\r\n{head}\r\n".encode())
            answer = rest(client)
        head_bytes, _, body = answer.partition(b"\r\n\r\n")
        found = statuses(head_bytes)
        return (found[0] if found else 0), body

    @contextmanager
    def held(self, number: int, sent: bytes = b"") -> Iterator[list[socket.socket]]:
        """That many plain connections which sent something and then no more."""
        with ExitStack() as stack:
            opened = []
            for _ in range(number):
                client = stack.enter_context(self.connect())
                with suppress(ConnectionError):  # dropped already
                    client.sendall(sent)
                opened.append(client)
            yield opened

    def assert_calm(self) -> None:
        """It runs, and its log holds neither a traceback nor an error."""
        assert self._process.poll() is None
        log = self.log.read_text()
        assert "Traceback" not in log
        assert "level=error" not in log, log

    def _address(self) -> str | None:
        if self._process.poll() is not None:
            raise RuntimeError(f"{self._process.args!r} ended at once\n{self.log.read_text()}")
        found = LISTENING.search(self.log.read_text())
        return found["address"].strip('"').split(" ")[0] if found else None

    def _ready(self) -> bool:
        with suppress(OSError), socket.create_connection(_where(self.url)):
            return True
        return False


def rest(client: socket.socket) -> bytes:
    """All that still comes until the other side closes the connection, in whatever way."""
    received = bytearray()
    with suppress(ConnectionError, ssl.SSLError):
        while piece := client.recv(1 << 18):
            received += piece
    return bytes(received)


def statuses(answer: bytes) -> list[int]:
    """The statuses of the answers in it."""
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] ([0-9]{3}) ", answer)]


def is_closed(client: socket.socket) -> bool:
    """Waits for the end of the connection; False if there is still something to read, or nothing for long."""
    try:
        return client.recv(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def _where(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return host.strip("[]"), int(port)
