"""What a real Prometheus says about its scrapes of the exporter, and about those of a file with the same text."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from benchmarks.programs import Api, Measured, configuration, exporter, simulated_api
from benchmarks.scrapes import LATENCY
from benchmarks.table import Row
from tests.support.prometheus import BINARIES, Prometheus, scrape_config

PART = "A real Prometheus, scrape_duration_seconds and scrape_samples_scraped"
INTERVAL = "3s"
SCRAPES = 4


def seen_by_prometheus(directory: Path) -> Iterator[Row]:
    """1,000 unfinished jobs, then some 600,000 samples of which 1 % are of unfinished jobs; the jobs stand still."""
    if shutil.which(BINARIES[0]) is None:
        yield Row(PART, "scrapes", 0, "scrapes", f"{BINARIES[0]}: absent, it is not on the PATH", None)
        return
    with (
        simulated_api(1000, latency=LATENCY, speed=0.001) as api,
        _warm(api, configuration(api, concurrency=64), directory / "thousand") as measured,
    ):
        found, duration = _scraped(measured.host, directory / "of-thousand")
        yield Row(PART, "1,000 unfinished jobs: duration", duration, "s", "the least: 16 turns", 16 * LATENCY)
        yield Row(
            PART,
            "1,000 unfinished jobs: samples",
            found,
            "samples",
            "samples there are",
            measured.samples(),
            exact=True,
        )
    with (
        simulated_api(5500, files=10, unfinished=0.01, speed=0.001) as api,
        _warm(api, configuration(api), directory / "large") as measured,
    ):
        found, duration = _scraped(measured.host, directory / "of-large")
        samples, body = measured.samples(), measured.body()
    with _served(body) as host:
        _, of_file = _scraped(host, directory / "of-file")
    yield Row(PART, "5,500 jobs of 10 files: duration", duration, "s", "the same bytes from a file", of_file)
    yield Row(PART, "5,500 jobs of 10 files: samples", found, "samples", "samples there are", samples, exact=True)


@contextmanager
def _warm(api: Api, config: dict[str, Any], directory: Path) -> Iterator[Measured]:
    with exporter(api, directory, config) as measured:
        measured.scrape()
        yield measured


def _scraped(host: str, directory: Path) -> tuple[float, float]:
    """How many samples Prometheus finds, and the median of the seconds that it takes."""
    config = {"scrape_configs": [scrape_config([host], scrape_interval=INTERVAL, scrape_timeout=INTERVAL)]}
    with Prometheus(config, directory) as prometheus:
        prometheus.wait_until(f"count_over_time(up[5m]) >= {SCRAPES}", timeout=60)
        up = prometheus.value("min_over_time(up[5m])")
        found = prometheus.value("last_over_time(scrape_samples_scraped[5m])")
        duration = prometheus.value("quantile_over_time(0.5, scrape_duration_seconds[5m])")
    if up != 1 or found is None or duration is None:
        raise RuntimeError("Prometheus could not scrape the target")
    return found, duration


@contextmanager
def _served(body: bytes) -> Iterator[str]:
    """Serve these bytes, compressed as they are, as metrics."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in http.server
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
