"""The entry point imports what the flags ask for and no more, and leaves the process in a defined way."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"aiohttp", "asyncio", "bcrypt", "jinja2", "prometheus_client", "pydantic", "requests", "structlog", "yaml"}

IMPORTED = """
import sys
from exporter.__main__ import run
try:
    run()
except SystemExit:
    pass
print("imported:", *sys.modules)
"""

WAITING_THREAD = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
import exporter.cli
from exporter.__main__ import main

def serve(flags, warnings):
    ThreadPoolExecutor().submit(threading.Event().wait)
    print("served")
    return 3

exporter.cli.serve = serve
main()
"""

FAILING = """
import exporter.cli
from exporter.__main__ import main

def serve(flags, warnings):
    raise RuntimeError("went wrong")

exporter.cli.serve = serve
main()
"""


def python(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "flags", [["--health", "--web.listen-address=127.0.0.1:1"], ["--version"], ["--help"], ["--print=rules"], ["--x"]]
)
def test_what_needs_no_library_imports_none(flags: list[str]) -> None:
    imported = python(IMPORTED, *flags).stdout.rpartition("imported: ")[2].split()
    assert "exporter.flags" in imported
    assert {name.partition(".")[0] for name in imported} & HEAVY == set()


def test_a_thread_that_waits_does_not_hold_up_the_exit() -> None:
    ended = python(WAITING_THREAD)
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "served\n", "")


def test_an_unexpected_exception_is_shown_and_is_exit_code_1() -> None:
    ended = python(FAILING)
    assert ended.returncode == 1
    assert ended.stderr.endswith("RuntimeError: went wrong\n")
