"""What this process holds: threads and descriptors."""

from __future__ import annotations

import threading
from pathlib import Path


def descriptors() -> int:
    """Open descriptors of this process."""
    # One of them is that of the directory while it is read.
    return sum(1 for _ in Path("/proc/self/fd").iterdir()) - 1


# A test's simulated API.
_LEFT_OUT = {"simulated-api", "api-watchdog"}


def threads() -> list[str]:
    """Names of the threads that run, apart from those that are there once for all calls."""
    return sorted(thread.name for thread in threading.enumerate() if thread.name not in _LEFT_OUT)
