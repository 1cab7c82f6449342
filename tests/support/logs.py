"""The program's own log, captured, and everything that configuring it changes put back afterwards."""

import io
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from exporter import log


@contextmanager
def captured_logs(level: log.Level = "debug", format_: log.Format = "logfmt") -> Iterator[io.StringIO]:
    """Configure the log as the program does, onto a stream that can be read."""
    root = logging.getLogger()
    handlers, root_level, hook, config = root.handlers[:], root.level, threading.excepthook, structlog.get_config()
    stream = io.StringIO()
    root.handlers[:] = []
    log.configure(level, format_, stream.write)
    try:
        yield stream
    finally:
        root.handlers[:] = handlers
        root.setLevel(root_level)
        threading.excepthook = hook
        logging.captureWarnings(False)
        structlog.configure(**config)
