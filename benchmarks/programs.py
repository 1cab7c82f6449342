"""The programs of a benchmark, each a process of its own, and what the kernel says of them (Linux)."""

from __future__ import annotations

import http.client
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from exporter.demo.launch import DEMO_CLUSTER
from tests.support.exporter import Exporter
from tests.support.simulated.server import KEY

FIRST_ID = 457_000_000_000_000_001
SPEED = 500
"""Scenario seconds per second: each unfinished job has other values at each scrape, and none is done before the end."""


@dataclass(frozen=True)
class Api:
    """A simulated import API with so many jobs of so many files, that answers after `latency` seconds."""

    url: str
    jobs: int
    latency: float

    @property
    def port(self) -> int:
        """Where it listens."""
        return cast(int, urlsplit(self.url).port)

    def job_ids(self, count: int | None = None) -> list[str]:
        """The ids of its jobs, or of the first `count` of them."""
        return [str(FIRST_ID + index) for index in range(self.jobs if count is None else count)]


@contextmanager
def simulated_api(
    jobs: int,
    *,
    files: int = 5,
    unfinished: float = 1.0,
    latency: float = 0.0,
    speed: float = SPEED,
    tls: tuple[Path, Path] | None = None,
) -> Iterator[Api]:
    """Run one; `speed` is that of its jobs, `tls` are the files of its certificate and key."""
    command = [sys.executable, "-m", "tests.support.simulated"]
    command += [f"--jobs={jobs}", f"--files={files}", f"--speed={speed}"]
    command += [f"--unfinished={unfinished}", f"--latency={latency}"]
    if tls is not None:
        command += [f"--tls-cert={tls[0]}", f"--tls-key={tls[1]}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Api(process.stdout.readline().strip(), jobs, latency)
        finally:
            process.terminate()


def configuration(
    api: Api, *, jobs: int | None = None, concurrency: int = 16, rate: float = 0, ca_file: Path | None = None
) -> dict[str, Any]:
    """Watch the jobs of that API, each asked at every scrape until it is finished, then not again."""
    cluster: dict[str, Any] = {
        "cluster_id": DEMO_CLUSTER,
        "base_url": api.url,
        "api_key": KEY,
        "jobs": api.job_ids(jobs),
        "concurrency": concurrency,
        "requests_per_second": rate,
    }
    if ca_file is not None:
        cluster["tls_config"] = {"ca_file": str(ca_file)}
    return {
        "scrape": {"fresh_for": "0s", "recheck_finished": "1d"},
        "files": {"max_total": 1_000_000},
        "clusters": [cluster],
    }


@dataclass(frozen=True)
class Scrapes:
    """Several scrapes in a row: the median of their wall seconds, the rest per scrape."""

    wall: float
    cpu: float
    requests: float
    connections: float


class Measured:
    """A running exporter, seen from outside."""

    def __init__(self, exporter: Exporter, api: Api) -> None:
        self._exporter = exporter
        self._api = api

    @property
    def host(self) -> str:
        """HOST:PORT."""
        return self._exporter.host

    def body(self) -> bytes:
        """Scrape and return the answer, compressed."""
        connection = http.client.HTTPConnection(self._exporter.host, timeout=300)
        connection.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
        try:
            return connection.getresponse().read()
        finally:
            connection.close()

    def scrape(self, *, gzip: bool = True) -> int:
        """Scrape as Prometheus does and return the length of the answer."""
        connection = http.client.HTTPConnection(self._exporter.host, timeout=300)
        try:
            headers = {"Accept-Encoding": "gzip" if gzip else "identity", "X-Prometheus-Scrape-Timeout-Seconds": "120"}
            connection.request("GET", "/metrics", headers=headers)
            reply = connection.getresponse()
            length = 0
            while piece := reply.read(1 << 20):
                length += len(piece)
            if reply.status != 200:
                raise RuntimeError(f"the exporter answered {reply.status}")
            return length
        finally:
            connection.close()

    def samples(self) -> int:
        """How many samples a scrape has."""
        connection = http.client.HTTPConnection(self._exporter.host, timeout=300)
        connection.request("GET", "/metrics")
        try:
            return sum(not line.startswith(b"#") for line in connection.getresponse())
        finally:
            connection.close()

    def scrapes(self, count: int, pause: float = 0.0) -> Scrapes:
        """Scrape so many times, with `pause` seconds before each."""
        walls = []
        requests, ports, cpu = self._requests(), set(self._ports()), self.cpu_seconds()
        opened = 0
        for _ in range(count):
            time.sleep(pause)
            begun = time.perf_counter()
            self.scrape()
            walls.append(time.perf_counter() - begun)
            opened += len(self._ports() - ports)
            ports |= self._ports()
        cpu = self.cpu_seconds() - cpu
        requests = self._requests() - requests
        return Scrapes(statistics.median(walls), cpu / count, requests / count, opened / count)

    def cpu_seconds(self) -> float:
        """Of the process so far."""
        after_name = Path(f"/proc/{self._exporter.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self) -> int:
        """Of the process now."""
        return resident_bytes(self._exporter.pid)

    def _requests(self) -> int:
        """How many requests it has sent to the API."""
        text = self._exporter.scrape("/metrics?scope=exporter").text
        pattern = re.compile(r"^zilliz_import_api_requests_total\{.*\} (\S+)$", re.MULTILINE)
        return int(sum(map(float, pattern.findall(text))))

    def _ports(self) -> set[str]:
        """The local ports of connections to the API."""
        rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="utf-8").splitlines()[1:]]
        return {row[1] for row in rows if row[2].endswith(f":{self._api.port:04X}")}


@contextmanager
def exporter(api: Api, directory: Path, config: dict[str, Any]) -> Iterator[Measured]:
    """Run the exporter."""
    with Exporter(config, directory) as running:
        yield Measured(running, api)


def resident_bytes(pid: int) -> int:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")
