"""The real program's start, end and surroundings: signals, environment, and outputs that nobody reads."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import requests
import yaml

from tests.support.exporter import Exporter
from tests.support.program import wait_for
from tests.support.simulated import CLUSTER, KEY, JobScript, SimulatedApi

pytestmark = pytest.mark.e2e

JOB = "448761313698322011"
CONFIG: dict[str, object] = {
    "clusters": [{"cluster_id": CLUSTER, "base_url": "http://127.0.0.1:1", "api_key": KEY, "jobs": [JOB]}]
}
EXPORTER = (sys.executable, "-m", "exporter")
FIPS = """
import hashlib

def refused(*_data, **_options):
    raise ValueError("[digital envelope routines] unsupported")

hashlib.md5 = hashlib.blake2b = hashlib.blake2s = refused
"""
STOPS = [signal.SIGTERM, signal.SIGINT]
DELAYS = [0.0, 0.12, 0.2, 0.35]
"""Seconds after the entry point's first line: while libraries are imported, and while it starts to serve."""


@pytest.fixture
def flags(tmp_path: Path) -> tuple[str, ...]:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(CONFIG))
    path.chmod(0o600)  # it holds a key: no warning
    return (f"--config.file={path}", "--web.listen-address=127.0.0.1:0")


def holds_signals(pid: int) -> bool:
    """Whether the entry point's first line ran: SIGHUP is blocked, which `unshare` never does."""
    status = Path(f"/proc/{pid}/status").read_text()
    blocked = int(next(line for line in status.splitlines() if line.startswith("SigBlk:")).split()[1], 16)
    return bool(blocked & 1 << (signal.SIGHUP - 1))


@contextmanager
def started(*command: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The process, killed afterwards if it still runs."""
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def throttled(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """The process gets about a tenth of a core, as under a CPU quota: it is stopped nine tenths of the time."""
    ended = threading.Event()

    def throttle() -> None:
        while not ended.wait(0.01):
            process.send_signal(signal.SIGSTOP)
            ended.wait(0.09)
            process.send_signal(signal.SIGCONT)

    thread = threading.Thread(target=throttle)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def is_healthy(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/-/healthy", timeout=10).ok
    except requests.ConnectionError:
        return False


@pytest.mark.parametrize("delay", DELAYS)
@pytest.mark.parametrize("number", STOPS)
def test_a_signal_to_stop_during_the_start_is_exit_code_0(
    flags: tuple[str, ...], tmp_path: Path, number: signal.Signals, delay: float
) -> None:
    log = tmp_path / "log"
    with started(*EXPORTER, *flags, log=log) as process:
        wait_for("the entry point", partial(holds_signals, process.pid))
        time.sleep(delay)
        process.send_signal(number)
        assert process.wait(60) == 0
    assert "Traceback" not in log.read_text()
    assert log.read_text().splitlines()[-1].endswith("msg=Stopping")


@pytest.mark.parametrize("delay", DELAYS)
def test_sighup_during_the_start_ends_nothing(flags: tuple[str, ...], tmp_path: Path, delay: float) -> None:
    log = tmp_path / "log"
    with started(*EXPORTER, *flags, log=log) as process:
        wait_for("the entry point", partial(holds_signals, process.pid))
        time.sleep(delay)
        process.send_signal(signal.SIGHUP)
        wait_for("the end of the start", lambda: "msg=Listening" in log.read_text())
        process.terminate()
        assert process.wait(60) == 0
    assert "Traceback" not in log.read_text()


def test_at_a_tenth_of_a_core_the_start_outlives_sighup_and_obeys_sigterm(
    flags: tuple[str, ...], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with started(*EXPORTER, *flags, log=log) as process:
        wait_for("the entry point", partial(holds_signals, process.pid))
        with throttled(process):
            process.send_signal(signal.SIGHUP)
            wait_for("the end of the start", lambda: "msg=Listening" in log.read_text(), timeout=60)
            process.terminate()
            assert process.wait(60) == 0
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("number", STOPS)
def test_as_process_1_it_obeys_signals_during_the_start(
    flags: tuple[str, ...], tmp_path: Path, number: signal.Signals
) -> None:
    unshare = ["unshare", "--pid", "--fork", "--kill-child"]
    if os.geteuid() != 0:
        unshare += ["--user", "--map-root-user"]
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine allows no namespaces")
    with started(*unshare, *EXPORTER, *flags, log=tmp_path / "log") as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        child = int(wait_for("process 1", lambda: children.read_text().split())[0])
        wait_for("the entry point", partial(holds_signals, child))
        os.kill(child, signal.SIGHUP)
        os.kill(child, number)
        assert process.wait(60) == 0


def test_a_command_that_ends_by_itself_can_be_interrupted_without_a_traceback(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        flags = ("--health", f"--web.listen-address=127.0.0.1:{silent.getsockname()[1]}")
        with started(*EXPORTER, *flags, log=log) as process:
            client, _ = silent.accept()
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == -signal.SIGINT
            client.close()
    assert log.read_text() == ""


def test_a_host_that_refuses_hashes_that_fips_does_not_allow_can_be_scraped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(FIPS)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path.cwd()}")
    with SimulatedApi() as api:
        api.add(JobScript(JOB))
        cluster = {"cluster_id": CLUSTER, "base_url": api.url, "api_key": KEY, "jobs": [JOB]}
        with Exporter({"clusters": [cluster]}, tmp_path) as exporter:
            assert exporter.scrape().value("job_up", job_id=JOB) == 1
            assert requests.get(exporter.url, timeout=10).status_code == 200


@pytest.mark.parametrize("name", ["PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"])
@pytest.mark.parametrize("exists", [True, False])
def test_the_directory_of_multiprocess_programs_concerns_it_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, exists: bool
) -> None:
    directory = tmp_path / "multiproc"
    if exists:
        directory.mkdir()
    monkeypatch.setenv(name, str(directory))
    with Exporter(CONFIG, tmp_path) as exporter:
        samples = exporter.scrape()
        assert samples.value("job_up", job_id=JOB) == 0
        assert "process_start_time_seconds" in samples.text
    assert not directory.exists() or list(directory.iterdir()) == []


def test_an_sslkeylogfile_that_cannot_be_written_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "missing" / "keys"))
    sentence = f"SSLKEYLOGFILE: cannot write to {tmp_path}/missing/keys: No such file or directory"
    with Exporter(CONFIG, tmp_path) as exporter:
        assert exporter.scrape().value("job_up", job_id=JOB) == 0
        log = exporter.log.read_text()
    assert f'level=warn msg="{sentence}; TLS keys are not logged"' in log
    exporter.config_file.chmod(0o600)  # it holds a key: no other warning
    checked = subprocess.run(
        [*EXPORTER, "--config.check", f"--config.file={exporter.config_file}"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert (checked.stdout, checked.stderr) == ("OK\n", f"warning: {sentence}; TLS keys are not logged\n")


@pytest.mark.parametrize("level", ["debug", "info"])
def test_a_log_that_nobody_reads_holds_up_neither_scrapes_nor_health_nor_signals(tmp_path: Path, level: str) -> None:
    port = free_port()
    reader, writer = os.pipe()
    # As small as a pipe can be, and full from the start.
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    with SimulatedApi() as api:
        api.add(JobScript(JOB))
        config = tmp_path / "config.yaml"
        cluster = {"cluster_id": CLUSTER, "base_url": api.url, "api_key": KEY, "jobs": [JOB]}
        config.write_text(yaml.safe_dump({"clusters": [cluster], "scrape": {"fresh_for": "0s"}}))
        where = (f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}", f"--log.level={level}")
        process = subprocess.Popen([*EXPORTER, *where], stdout=subprocess.DEVNULL, stderr=writer)
        try:
            wait_for("health", partial(is_healthy, port))
            for _ in range(20):
                scraped = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10)
                assert f'job_id="{JOB}"}} 1' in scraped.text
                assert is_healthy(port)
            process.send_signal(signal.SIGHUP)
            assert is_healthy(port)
            process.terminate()
            assert process.wait(10) == 0
        finally:
            process.kill()
            process.wait()
            os.close(reader)
            os.close(writer)


def test_a_demo_whose_output_nobody_reads_serves_all_the_same(tmp_path: Path) -> None:
    port = free_port()
    reader, writer = os.pipe()
    os.close(reader)
    command = [*EXPORTER, "--demo", f"--web.listen-address=127.0.0.1:{port}"]
    with (tmp_path / "log").open("wb") as stderr:
        process = subprocess.Popen(command, stdout=writer, stderr=stderr)
    os.close(writer)
    try:
        wait_for("health", partial(is_healthy, port))
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize("flag", ["--version", "--help", "--config.check"])
@pytest.mark.parametrize(
    ("stdout", "code", "says"),
    [
        ("no reader", 1, ""),
        ("/dev/full", 1, "zilliz-import-exporter: cannot write to standard output: No space left on device\n"),
        ("&-", 0, ""),
    ],
)
def test_an_output_that_cannot_be_written_is_no_traceback(
    flags: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, flag: str, stdout: str, code: int, says: str
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # with it, argparse keeps the failure to itself
    reader, writer = os.pipe()
    os.close(reader)
    command = [*EXPORTER, flag, flags[0]]
    if stdout != "no reader":
        command = ["sh", "-c", f'exec "$@" >{stdout}', "sh", *command]
    ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (code, says)
