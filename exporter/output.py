"""Standard output and error of the command, which may be closed, full, or a pipe that nobody reads."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress

NAME = "zilliz-import-exporter"


def reopen() -> None:
    """Point what was closed before the start to nowhere, so that no socket gets its descriptor."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - open to the end


def say(text: str = "") -> int:
    """Write to standard output as UTF-8, with all that was written there before; return the exit code, 1 on failure."""
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8", "replace"))
        sys.stdout.buffer.flush()
    except OSError as error:
        # What is left in the buffer would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # a reader that has read enough, such as `head`
            return 1
        return refuse([f"cannot write to standard output: {error.strerror}"])
    return 0


def warn(warnings: Iterable[str]) -> None:
    """Write each warning to standard error, one a line."""
    for warning in warnings:
        complain(f"warning: {warning}\n")


def refuse(errors: Iterable[str]) -> int:
    """Write each error to standard error, one a line; return the exit code 1."""
    for error in errors:
        complain(f"{NAME}: {error}\n")
    return 1


def complain(text: str) -> None:
    """Write to standard error as it is now; never raises."""
    with suppress(OSError, ValueError):  # a full disk; a closed stream
        sys.stderr.write(text)
