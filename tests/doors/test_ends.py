"""The end of the process, and of what it stands on: signals, its log, its clock, its descriptors."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.doors.conftest import FEW, JOBS
from tests.doors.door import PATIENCE, Door, is_closed, rest, statuses
from tests.doors.site import Site
from tests.support.exporter import Samples
from tests.support.program import wait_for
from tests.support.simulated import SimulatedApi
from tests.support.simulated.faults import Hang

pytestmark = pytest.mark.e2e

SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: exporter\r\n\r\n"
HEALTHY = b"GET /-/healthy HTTP/1.1\r\nHost: exporter\r\n\r\n"


def up(door: Door) -> float:
    """How many jobs are up."""
    status, body = door.ask(headers={"X-Prometheus-Scrape-Timeout-Seconds": "60"})
    assert status == 200
    return sum(value for _, value in Samples(body.decode()).all("job_up"))


def test_sigterm_answers_the_scrape_under_way_drops_100_idle_clients_and_exits_with_0_in_time(
    api: SimulatedApi, config_file: Path, tmp_path: Path
) -> None:
    hang = Hang()
    with Door(config_file, tmp_path) as door, door.held(50) as silent, door.held(50, HEALTHY) as idle:
        for client in idle:
            assert statuses(client.recv(1000)) == [200]
        api.faults.inject(hang, job_ids={JOBS[0]})
        with door.connect() as scraper:
            scraper.sendall(SCRAPE)
            api.wait_for_requests(len(JOBS))
            begun = time.monotonic()
            door.process.send_signal(signal.SIGTERM)
            assert all(is_closed(client) for client in (*silent, *idle))
            hang.release()
            answer = rest(scraper)
            assert statuses(answer) == [200]
            assert Samples(answer.partition(b"\r\n\r\n")[2].decode()).value("job_up", job_id=JOBS[0]) == 1
            assert door.process.wait(PATIENCE) == 0
            assert time.monotonic() - begun < 6
            # It did not wait for its end to be forced upon it, either.
            assert "still under way" not in door.log.read_text()
        door_log = door.log.read_text()
    assert "Traceback" not in door_log
    assert "level=error" not in door_log


def test_a_scrape_that_hangs_holds_up_no_end(api: SimulatedApi, few_jobs: Path, tmp_path: Path) -> None:
    api.faults.inject(Hang())
    with Door(few_jobs, tmp_path) as door, door.connect() as scraper:
        scraper.sendall(SCRAPE.replace(b"\r\n\r\n", b"\r\nX-Prometheus-Scrape-Timeout-Seconds: 60\r\n\r\n"))
        api.wait_for_requests(1)
        begun = time.monotonic()
        door.process.send_signal(signal.SIGINT)
        assert door.process.wait(PATIENCE) == 0
        assert time.monotonic() - begun < 10
        assert "Traceback" not in door.log.read_text()


def test_killed_in_mid_scrape_and_started_again_at_the_same_address_it_knows_all_it_did(
    api: SimulatedApi, few_jobs: Path, tmp_path: Path
) -> None:
    with Door(few_jobs, tmp_path) as door:
        assert up(door) == FEW
        hang = Hang()
        api.faults.inject(hang)
        with door.connect() as scraper:
            scraper.sendall(SCRAPE)
            api.wait_for_requests(FEW + 1)
            door.process.kill()
            assert statuses(rest(scraper)) == []
        api.faults.clear()
        hang.release()
        with Door(few_jobs, tmp_path, address=f"127.0.0.1:{door.where[1]}") as again:
            assert up(again) == FEW
            again.assert_calm()


STEPPED = """
import os, runpy, sys, time
real = time.time
time.time = lambda: real() + float(open(os.environ["STEP_FILE"]).read())
sys.argv[0] = "exporter"
runpy.run_module("exporter", run_name="__main__")
"""


@pytest.mark.parametrize("step", [-3600.0, 3600.0, -86400.0 * 400])
def test_a_clock_that_is_stepped_changes_nothing_but_the_times_that_are_shown(
    few_jobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    (tmp_path / "stepped.py").write_text(STEPPED)
    (tmp_path / "step").write_text("0")
    monkeypatch.setenv("STEP_FILE", str(tmp_path / "step"))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{Path.cwd()}")
    with Door(few_jobs, tmp_path, module="stepped") as door:
        assert up(door) == FEW
        assert door.ask("/")[0] == 200
        (tmp_path / "step").write_text(str(step))
        for _ in range(3):
            assert up(door) == FEW
            assert b"Importing" in door.ask("/")[1]
        samples = Samples(door.ask()[1].decode())
        refreshed = samples.value("job_refreshed_timestamp_seconds", job_id=JOBS[0])
        assert refreshed is not None
        assert abs(refreshed - (time.time() + step)) < 60
        assert sum(value for _, value in samples.all("job_up")) == FEW
        door.process.send_signal(signal.SIGHUP)
        assert up(door) == FEW
        door.assert_calm()


@pytest.mark.parametrize("closed", ["reader gone", "never open"])
def test_without_a_log_it_serves_and_exits_with_0(few_jobs: Path, site: Site, tmp_path: Path, closed: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    flags = [f"--config.file={few_jobs}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=debug"]
    command = [sys.executable, "-m", "exporter", *flags]
    if closed == "never open":
        command = ["sh", "-c", 'exec "$@" 2>&-', "sh", *command]
    process = subprocess.Popen(command, stderr=subprocess.PIPE if closed == "reader gone" else None)
    try:
        if process.stderr is not None:
            process.stderr.close()

        def healthy() -> bool:
            try:
                with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
                    client.sendall(HEALTHY)
                    return statuses(client.recv(1000)) == [200]
            except ConnectionRefusedError:
                return False

        wait_for("health", healthy)
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
                client.sendall(SCRAPE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
                assert statuses(rest(client)[:100]) == [200]
        process.terminate()
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


@contextmanager
def few_descriptors(door: Door, more: int) -> Iterator[None]:
    """No more descriptors than are open now and so many."""
    pid = door.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (door.descriptors + more, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


def test_without_descriptors_scrapes_are_answered_and_it_recovers_by_itself(few_jobs: Path, tmp_path: Path) -> None:
    with Door(few_jobs, tmp_path, "--config.auto-reload-interval=1s") as door, ExitStack() as stack:
        before = door.descriptors
        stack.enter_context(door.held(20))
        wait_for("most of them", lambda: door.descriptors >= before + 15)
        with few_descriptors(door, 0):
            # They wait until the silent clients are dropped.
            for _ in range(3):
                assert door.ask("/-/healthy")[0] == 200
                assert door.ask("/")[0] == 200
            samples = Samples(door.ask()[1].decode())
            assert {samples.error(job_id) for job_id in JOBS[:FEW]} <= {"connect", None}
            assert samples.value("cluster_jobs", source="config") == FEW
            time.sleep(1.5)  # a look at the configuration
        until = time.monotonic() + PATIENCE
        while up(door) < FEW:
            assert time.monotonic() < until
            time.sleep(0.5)
        log = door.log.read_text()
        assert "Traceback" not in log
        assert log.count("Cannot accept connections") == 1


@pytest.mark.parametrize("more", [0, 1])
def test_certificates_are_rotated_although_descriptors_ran_out_meanwhile(
    few_jobs: Path, site: Site, tmp_path: Path, more: int
) -> None:
    def served() -> object:
        with door.connect(site.client()) as client:
            return client.getpeercert()  # type: ignore[attr-defined]  # over TLS it is an SSLSocket

    with Door(few_jobs, tmp_path, site.flag) as door:
        before = served()
        with few_descriptors(door, more):
            site.install(*site.authority.issue())
            time.sleep(2.5)  # more than one look at the files
        wait_for("the new certificate", lambda: served() != before)


def test_under_a_low_limit_it_serves_as_soon_as_silent_clients_are_dropped(few_jobs: Path, tmp_path: Path) -> None:
    with Door(few_jobs, tmp_path, before=("prlimit", "--nofile=48:48")) as door, door.held(100):
        wait_for("all jobs", lambda: up(door) == FEW, PATIENCE)
        assert door.ask("/-/healthy")[0] == 200
        door.assert_calm()


def test_many_threads_at_once_end_with_the_process(few_jobs: Path, tmp_path: Path) -> None:
    with Door(few_jobs, tmp_path, "--web.max-requests=0") as door:
        threads = [threading.Thread(target=door.ask) for _ in range(60)]
        for thread in threads:
            thread.start()
        door.process.send_signal(signal.SIGTERM)
        assert door.process.wait(PATIENCE) == 0
        for thread in threads:
            thread.join(PATIENCE)
