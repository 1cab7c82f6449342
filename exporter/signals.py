"""SIGHUP, SIGTERM and SIGINT wait from the first line of the entry point on until something can obey them."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

_SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)


def hold() -> None:
    """Leave the signals pending, also as process 1, which would lose them otherwise, and in all threads that follow."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def restore() -> None:
    """Let the signals end the process at once and without a traceback: for commands that end by themselves."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


@contextmanager
def handled(loop: AbstractEventLoop, reload: Callable[[], object], stop: Callable[[], object]) -> Iterator[None]:
    """Call `reload` on the loop at SIGHUP and `stop` at SIGTERM or SIGINT, also for those that wait already."""
    loop.add_signal_handler(signal.SIGHUP, reload)
    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_signal_handler(signal.SIGINT, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    try:
        yield
    finally:
        hold()  # the loop's handlers end with the loop: a second signal must not end the process in another way
