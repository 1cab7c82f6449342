"""What this process holds: threads and descriptors."""

from __future__ import annotations

import threading
from pathlib import Path


def descriptors() -> int:
    """Open descriptors of this process."""
    # One of them is that of the directory while it is read.
    return sum(1 for _ in Path("/proc/self/fd").iterdir()) - 1


def threads() -> list[str]:
    """Names of the threads that run, apart from that of a test's simulated API."""
    return sorted(thread.name for thread in threading.enumerate() if thread.name != "simulated-api")
