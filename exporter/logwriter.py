"""Writes log lines on a thread of its own, so that a log that nobody reads holds up nobody who logs."""

from __future__ import annotations

import os
import threading
from queue import SimpleQueue
from types import TracebackType
from typing import Final, Self

from exporter.log import get_logger

CAPACITY: Final = 2000
"""Lines that wait at most; what comes then is lost, and counted."""

FLUSH: Final = 1.0
"""Seconds that `close` waits for the lines before it."""

_CLOSED: Final = ""


class LogWriter:
    """Writes to a file descriptor until it is closed; `write` never blocks and never raises."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        # Unlike a Queue it may be entered again from a finalizer that logs in the middle of `put`.
        self._lines: SimpleQueue[str] = SimpleQueue()
        self._lost = 0
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Have the line written as soon as the lines before it are."""
        if self._lines.qsize() < CAPACITY:
            self._lines.put(line)
        else:
            self._lost += 1

    def close(self) -> None:
        """Wait until all lines are written, at most `FLUSH` seconds."""
        self._lines.put(_CLOSED)
        self._thread.join(FLUSH)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        closed = False
        while not closed or not self._lines.empty():
            lines = [self._lines.get()]
            # All at once: beside a busy thread this one gets the interpreter only once per system call.
            lines += [self._lines.get() for _ in range(self._lines.qsize())]
            closed = closed or _CLOSED in lines
            try:
                self._write("".join(lines).encode("utf-8", "backslashreplace"))
            except OSError:  # a broken pipe, a full disk
                self._lost += len(lines)
            else:
                self._report_lost()

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._descriptor, data) :]

    def _report_lost(self) -> None:
        lost, self._lost = self._lost, 0
        if lost:
            get_logger().warning("Log lines lost", count=lost)
