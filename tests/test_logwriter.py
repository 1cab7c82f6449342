"""A log that nobody reads loses lines, which are counted, and holds up nobody."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from exporter import log, logwriter
from exporter.logwriter import CAPACITY, LogWriter
from tests.support.logs import captured_logs
from tests.support.program import wait_for


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe that is full after 4096 bytes: its read end and its write end."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    yield reader, writer
    os.close(reader)
    os.close(writer)


def numbered(count: int) -> list[str]:
    return [f"line {number} {'x' * 80}\n" for number in range(count)]


def test_lines_are_written_in_their_order_before_it_is_closed(pipe: tuple[int, int]) -> None:
    with LogWriter(pipe[1]) as writer:
        for line in numbered(10):
            writer.write(line)
    assert os.read(pipe[0], 4096).decode() == "".join(numbered(10))


def test_what_cannot_be_encoded_is_escaped(pipe: tuple[int, int]) -> None:
    with LogWriter(pipe[1]) as writer:
        writer.write("\ud800 Größe\n")
    assert os.read(pipe[0], 4096).decode() == "\\ud800 Größe\n"


def test_a_pipe_that_is_not_read_loses_lines_and_says_how_many_when_it_is(pipe: tuple[int, int]) -> None:
    lines = numbered(3 * CAPACITY)
    with captured_logs("info"), LogWriter(pipe[1]) as writer:
        log.configure("info", "logfmt", writer.write)
        for line in lines:
            writer.write(line)
        os.set_blocking(pipe[0], False)
        text = ""

        def lost() -> re.Match[str] | None:
            nonlocal text
            try:
                text += os.read(pipe[0], 1 << 16).decode()
            except BlockingIOError:
                return None
            return re.search(r'level=warn msg="Log lines lost" count=(\d+)\n', text)

        counted = wait_for("the count", lost, 60)
        written = text.count("line ")
        assert text.startswith("".join(lines[:CAPACITY]))
        assert int(counted[1]) == len(lines) - written
        writer.write("after\n")
        wait_for("the next line", lambda: lost() and text.endswith("after\n"))


def test_closing_does_not_wait_long_for_a_pipe_that_is_not_read(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logwriter, "FLUSH", 0.1)
    writer = LogWriter(pipe[1])
    for line in numbered(100):
        writer.write(line)
    begun = time.monotonic()
    writer.close()
    assert 0.1 <= time.monotonic() - begun < 10
    # Read to its end, so that its thread ends before the pipe is closed.
    read = ""
    while not read.endswith("".join(numbered(100)[-1:])):
        read += os.read(pipe[0], 4096).decode()


@pytest.mark.parametrize("where", ["broken pipe", "full disk"])
def test_a_descriptor_that_takes_nothing_stops_nothing(where: str) -> None:
    program = (
        "import logging; from exporter import log; from exporter.logwriter import LogWriter\n"
        "with LogWriter(2) as writer:\n"
        "    log.configure('info', 'logfmt', writer.write)\n"
        "    for _ in range(50): log.get_logger().info('x' * 1000); logging.getLogger('library').error('y')\n"
        "print('done')"
    )
    command = [sys.executable, "-c", program]
    if where == "full disk":
        command = ["/bin/sh", "-c", 'exec "$0" "$@" 2>/dev/full', *command]
    read_end, write_end = os.pipe()
    os.close(read_end)
    ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=write_end, check=False)
    os.close(write_end)
    assert (ended.returncode, ended.stdout) == (0, b"done\n")
