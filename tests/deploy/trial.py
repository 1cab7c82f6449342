"""Runs an installed exporter in demo mode up to a scrape that returns a job's progress, and ends it."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PATIENCE = 60.0
_LISTENING = re.compile(r"msg=Listening .*addresses=(\S+)")
_PROGRESS = re.compile(r"^zilliz_import_job_progress_ratio\{", re.MULTILINE)
_OURS = ("PYTHON", "VIRTUAL_ENV")


class TrialError(Exception):
    """The exporter did not do what it should; the text says what, and holds its log."""


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without what belongs to the Python that asks, so that nothing of it is seen."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return {**kept, **more}


def for_everyone() -> Path | None:
    """A Python of this version that every user may run; None where there is none."""
    for python in (Path(sys.executable).resolve(), Path(f"/usr/bin/python3.{sys.version_info.minor}")):
        if python.exists() and all(folder.stat().st_mode & stat.S_IXOTH for folder in python.parents):
            return python
    return None


def try_out(
    command: Sequence[str | Path],
    *,
    arguments: Sequence[str] = ("--demo",),
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: int | None = None,
    meanwhile: Callable[[str], None] = lambda _address: None,
) -> int:
    """Return how many jobs a scrape of the demo shows; `meanwhile` gets the address of the running exporter.

    Raises TrialError.
    """
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [*command, *arguments, "--web.listen-address=127.0.0.1:0"],
            cwd=cwd,
            env=clean_environment() if environment is None else environment,
            group=None if user == os.geteuid() else user,
            stderr=log,
            stdout=log,
            user=None if user == os.geteuid() else user,
        )

        def said() -> str:
            log.seek(0)
            return log.read()

        try:
            until = time.monotonic() + PATIENCE
            while (found := _LISTENING.search(said())) is None:
                if process.poll() is not None or time.monotonic() > until:
                    raise TrialError(f"it does not listen\n{said()}")
                time.sleep(0.1)
            try:
                jobs = _jobs(found[1], until)
            except urllib.error.URLError as error:
                raise TrialError(f"{error}\n{said()}") from error
            meanwhile(found[1])
            process.send_signal(signal.SIGTERM)
            if (code := process.wait(30)) != 0:
                raise TrialError(f"it ended with {code}\n{said()}")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    return jobs


def _jobs(address: str, until: float) -> int:
    while True:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=PATIENCE) as reply:
            text = reply.read().decode()
        if jobs := len(_PROGRESS.findall(text)):
            return jobs
        if time.monotonic() > until:
            raise TrialError(f"no scrape has a job's progress\n{text}")
        time.sleep(0.5)
