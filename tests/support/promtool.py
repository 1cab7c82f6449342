"""Runs promtool."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def binaries() -> list[str]:
    """promtool of the system and, where $PROMETHEUS3 is the path of a Prometheus 3, the one beside it."""
    newer = os.environ.get("PROMETHEUS3")
    return ["promtool", *([str(Path(newer).with_name("promtool"))] if newer else [])]


def run(*arguments: str | Path, binary: str = "promtool", text: str | None = None) -> tuple[bool, str]:
    """Whether promtool succeeded, and all that it printed."""
    done = subprocess.run(
        [binary, *map(str, arguments)], check=False, capture_output=True, text=True, input=text, timeout=120
    )
    return done.returncode == 0, done.stdout + done.stderr
