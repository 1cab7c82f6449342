"""Clients that say nothing, say half of it, or never listen."""

from __future__ import annotations

import re
import signal
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from tests.doors.door import PATIENCE, Door, is_closed, rest
from tests.doors.site import Site
from tests.support.program import wait_for
from tests.support.simulated import CLUSTER, KEY, FileScript, JobScript, SimulatedApi, Stages

pytestmark = pytest.mark.e2e

SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: exporter\r\n\r\n"
LARGEST = 25_000_000


def test_2000_clients_without_a_request_hold_up_no_scrape_and_are_all_dropped(
    config_file: Path, tmp_path: Path
) -> None:
    with Door(config_file, tmp_path) as door, ExitStack() as stack:
        assert door.ask()[0] == 200
        descriptors = door.descriptors
        silent = stack.enter_context(door.held(1000))
        assert door.ask()[0] == 200
        halves = stack.enter_context(door.held(1000, b"GET /metrics HTTP/1.1\r\nHost: exporter\r\n"))
        begun = time.monotonic()
        while time.monotonic() - begun < 3:
            assert door.ask()[0] == 200
            assert door.ask("/-/healthy")[0] == 200
        assert all(is_closed(client) for client in (*silent, *halves))
        # 5 s each, and not 5 s one after the other.
        assert time.monotonic() - begun < 40
        assert door.ask()[0] == 200
        assert door.descriptors <= descriptors + 5
        door.assert_calm()


def test_200_silent_tls_clients_hold_up_no_scrape_and_are_all_dropped(
    config_file: Path, site: Site, tmp_path: Path
) -> None:
    with Door(config_file, tmp_path, site.flag) as door, door.held(200) as silent:
        begun = time.monotonic()
        while time.monotonic() - begun < 3:
            assert door.ask(context=site.client())[0] == 200
        assert all(is_closed(client) for client in silent)
        assert time.monotonic() - begun < 40
        assert door.ask(context=site.client())[0] == 200
        door.assert_calm()


@pytest.fixture(scope="module")
def long_answer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A configuration whose answer has 50 MB."""
    name = "x" * 480
    files = tuple(FileScript((f"{number:05}{name}.parquet",), 1 << 20, 100) for number in range(9_000))
    with SimulatedApi() as api:
        api.add(JobScript("448761313698322011", files=files, stages=Stages(importing=100_000)))
        api.clock.set(1000)
        job = {"cluster_id": CLUSTER, "base_url": api.url, "api_key": KEY, "jobs": ["448761313698322011"]}
        file = tmp_path_factory.mktemp("long") / "config.yaml"
        # The answer is asked for once: what a reader costs is measured, not what a scrape does.
        scrape = {"fresh_for": "1h", "timeout": "60s"}
        limits = {"max_per_job": 100_000, "max_total": 100_000}
        file.write_text(yaml.safe_dump({"clusters": [job], "scrape": scrape, "files": limits}))
        yield file


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_20_readers_that_never_read_50_mb_cost_less_than_25_mb(
    long_answer: Path, site: Site, tmp_path: Path, *, secure: bool
) -> None:
    context: ssl.SSLContext | None = site.client() if secure else None
    with Door(long_answer, tmp_path, *([site.flag] if secure else [])) as door, ExitStack() as stack:
        for _ in range(2):
            status, body = door.ask(context=context)
            assert status == 200
            assert len(body) > 50_000_000
        before, descriptors = door.resident, door.descriptors
        for _ in range(20):
            stack.enter_context(door.connect(context)).sendall(SCRAPE)
        begun, most = time.monotonic(), 0
        while time.monotonic() - begun < 3:
            most = max(most, door.resident - before)
            assert door.ask("/-/healthy", context)[0] == 200
        assert most < LARGEST
        assert door.descriptors >= descriptors + 20
        door.assert_calm()


def test_an_answer_of_50_mb_arrives_whole_although_sigterm_comes_meanwhile(long_answer: Path, tmp_path: Path) -> None:
    with Door(long_answer, tmp_path) as door, door.connect() as client:
        client.sendall(SCRAPE)
        begun = client.recv(1000)
        door.process.send_signal(signal.SIGTERM)
        wait_for("its end", lambda: "msg=Stopping" in door.log.read_text())
        head, _, body = (begun + rest(client)).partition(b"\r\n\r\n")
        length = re.search(rb"\r\nContent-Length: ([0-9]+)\r\n", head)
        assert length is not None
        assert len(body) == int(length[1])
        assert door.process.wait(PATIENCE) == 0
