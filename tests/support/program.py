"""A real program run by a test: listens on a port that the kernel picks, is ended by its own process id only."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import requests

Found = TypeVar("Found")

LISTENING = re.compile(r'msg="Listening on".* address=(?P<address>\S+)')
STARTUP = 30.0
SHUTDOWN = 10.0
POLL = 0.05


def wait_for(what: str, look: Callable[[], Found | None], timeout: float = STARTUP) -> Found:
    """Return the first answer of `look` that is truthy; TimeoutError, naming `what`, after `timeout` seconds."""
    until = time.monotonic() + timeout
    while not (found := look()):
        if time.monotonic() > until:
            raise TimeoutError(f"waited {timeout:g} s for {what}")
        time.sleep(POLL)
    return found


class Program:
    """One of the Prometheus family's programs, from its start until `stop`; `url` has no slash at its end.

    The command must bind 127.0.0.1:0. What the program logs is in `log`, and in the error if it does not become ready.
    """

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            self.url = f"http://{wait_for('its address in the log', self._address)}"
            wait_for("readiness", self._ready)
        except TimeoutError as error:
            self.stop()
            raise RuntimeError(f"{command[0]}: {error}\n{self.log.read_text()}") from error

    def _address(self) -> str | None:
        if self._process.poll() is not None:
            raise RuntimeError(f"{self._process.args!r} ended at once\n{self.log.read_text()}")
        found = LISTENING.search(self.log.read_text())
        return found["address"] if found else None

    def _ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/-/ready", timeout=5).ok
        except requests.ConnectionError:
            return False

    def reload(self) -> None:
        """Make the program read its files again; requests.HTTPError if it refuses them."""
        reply = requests.post(f"{self.url}/-/reload", timeout=10)
        if not reply.ok:
            raise requests.HTTPError(f"{reply.status_code} {reply.text}", response=reply)

    def stop(self) -> None:
        """End the program; it is killed if it has not ended 10 s after being asked to."""
        self._process.terminate()
        try:
            self._process.wait(SHUTDOWN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
