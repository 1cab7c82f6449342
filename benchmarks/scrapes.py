"""Whole scrapes of a running exporter: wall time, CPU time, requests, connections and memory."""

from __future__ import annotations

import math
import shutil
import socket
import statistics
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import requests

from benchmarks.json_exporter import BINARY, probe_all
from benchmarks.programs import Api, Scrapes, configuration, exporter, simulated_api
from benchmarks.table import Row
from exporter.demo.launch import DEMO_CLUSTER
from tests.support.authority import Authority
from tests.support.simulated.server import KEY

LATENCY = 0.05
CPU_LIMIT = 0.9 / 0.42
"""Milliseconds for an asked job, where a prepared call takes 0.42."""
REPEATS = 7


def plain_calls(api: Api, calls: int) -> tuple[float, float]:
    """Wall and CPU seconds of one prepared `requests` call, one after another, of the best of three loops."""
    runs = []
    with requests.Session() as session:
        for _ in range(3):
            prepared = [_prepared(session, api, job_id) for job_id in api.job_ids(calls)]
            session.send(prepared[0])
            begun, cpu = time.perf_counter(), time.process_time()
            for request in prepared:
                session.send(request)
            runs.append((time.process_time() - cpu, time.perf_counter() - begun))
    cpu, wall = min(runs)
    return wall / calls, cpu / calls


def _prepared(session: requests.Session, api: Api, job_id: str) -> requests.PreparedRequest:
    return session.prepare_request(
        requests.Request(
            "POST",
            f"{api.url}/v2/vectordb/jobs/import/getProgress",
            json={"clusterId": DEMO_CLUSTER, "jobId": job_id},
            headers={"Authorization": f"Bearer {KEY}"},
        )
    )


def bare_sockets(api: Api, connections: int) -> float:
    """Wall seconds that the same requests take where nothing is made of the replies: what this machine can do."""
    with requests.Session() as session:
        waiting = deque(_on_the_wire(_prepared(session, api, job_id)) for job_id in api.job_ids())

    def work() -> None:
        with socket.create_connection(("127.0.0.1", api.port)) as connection, suppress(IndexError):
            while True:
                connection.sendall(waiting.popleft())
                connection.recv(1 << 16)

    begun = time.perf_counter()
    threads = [threading.Thread(target=work) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begun


def _on_the_wire(request: requests.PreparedRequest) -> bytes:
    lines = [
        f"POST {request.path_url} HTTP/1.1",
        "Host: api",
        *(f"{name}: {value}" for name, value in request.headers.items()),
    ]
    body = request.body
    assert isinstance(body, bytes)
    return "\r\n".join([*lines, "", ""]).encode() + body


def wall_time(directory: Path) -> Iterator[Row]:
    """1,000 jobs at once, over HTTP and TLS, and 100 jobs as configured by default."""
    part = f"Scrapes of unfinished jobs of 5 files, API latency {LATENCY * 1e3:.0f} ms, CPU without latency"
    with simulated_api(1000) as fast:
        _, call_cpu = plain_calls(fast, 500)
        with exporter(fast, directory / "fast", configuration(fast)) as measured:
            measured.scrape()
            done = measured.scrapes(REPEATS)
        yield _cpu(part, "1,000 jobs, no latency, 16 at once: CPU per job", done.cpu / 1000, call_cpu)
    with simulated_api(1000, latency=LATENCY) as api:
        sequential, _ = plain_calls(api, 20)
        bare = statistics.median(bare_sockets(api, 64) for _ in range(3))
        with exporter(api, directory / "plain", configuration(api, concurrency=64)) as measured:
            measured.scrape()
            done = measured.scrapes(REPEATS)
        case = "1,000 jobs, HTTP, 64 at once"
        yield from _against_the_limit(part, case, done, 1000, 64, 1.15)
        yield Row(part, f"{case}: wall time", done.wall, "s", "bare sockets, nothing made of the replies", bare)
        yield _cpu(part, f"{case}: CPU per job", done.cpu / 1000, call_cpu)
        loop = "a loop of requests calls, scaled from 20"
        yield Row(part, f"{case}: wall time", done.wall, "s", loop, sequential * 1000)
        yield _against_json_exporter(part, f"{case}: wall time", done, api, directory)
    authority = Authority(directory)
    with simulated_api(1000, latency=LATENCY, tls=authority.issue()) as api:
        config = configuration(api, concurrency=64, ca_file=authority.ca_file)
        with exporter(api, directory / "tls", config) as measured:
            measured.scrape()
            done = measured.scrapes(REPEATS)
        yield from _against_the_limit(part, "1,000 jobs, TLS, 64 at once", done, 1000, 64, 1.25)
    with simulated_api(100, latency=LATENCY) as api:
        with exporter(api, directory / "hundred", configuration(api)) as measured:
            measured.scrape()
            done = measured.scrapes(REPEATS)
        yield from _against_the_limit(part, "100 jobs, 16 at once", done, 100, 16, 1.5)
        with exporter(api, directory / "rate", configuration(api, rate=50)) as measured:
            measured.scrape()
            done = measured.scrapes(3, pause=1.5)
        yield Row(part, "100 jobs, 50 requests per second", done.wall, "s", "100 / rate", 100 / 50, 1.5)


def _against_the_limit(part: str, case: str, done: Scrapes, jobs: int, concurrency: int, limit: float) -> Iterator[Row]:
    turns = math.ceil(jobs / concurrency)
    least = turns * LATENCY
    yield Row(part, f"{case}: wall time", done.wall, "s", f"the least: {turns} turns of the latency", least, limit)
    yield Row(part, f"{case}: API requests", done.requests, "requests", "unfinished jobs", jobs, exact=True)
    yield Row(part, f"{case}: connections opened", done.connections, "opened", "none needed", 0, exact=True)


def _cpu(part: str, case: str, seconds: float, call: float) -> Row:
    return Row(part, case, seconds, "s", "CPU of a prepared requests call alone", call, CPU_LIMIT)


def _against_json_exporter(part: str, case: str, done: Scrapes, api: Api, directory: Path) -> Row:
    if shutil.which(BINARY) is None:
        return Row(part, case, done.wall, "s", f"{BINARY}: absent, it is not on the PATH", None)
    walls = [probe_all(api, directory) for _ in range(3)]
    return Row(part, case, done.wall, "s", f"{BINARY}, 64 probes at once", statistics.median(walls))


def many_finished(directory: Path) -> Iterator[Row]:
    """10,000 jobs of which 100 are unfinished."""
    part = "Scrapes of 10,000 jobs of 5 files, 1 % of them unfinished"
    with simulated_api(10_000, unfinished=0.01) as api:
        _, call_cpu = plain_calls(api, 500)
        with exporter(api, directory / "many", configuration(api)) as measured:
            measured.scrape()
            done = measured.scrapes(20)
    yield Row(part, "API requests per scrape", done.requests, "requests", "unfinished jobs", 100, exact=True)
    yield Row(part, "connections opened per scrape", done.connections, "opened", "none needed", 0, exact=True)
    yield Row(part, "CPU per scrape", done.cpu, "s", "100 prepared requests calls alone", 100 * call_cpu, CPU_LIMIT)


def large(directory: Path, generating_cpu: float) -> Iterator[Row]:
    """About 600,000 samples; `generating_cpu`: seconds per sample of generate_latest with zlib, level 1."""
    jobs, files = 5500, 10
    part = f"Whole scrapes of {jobs:,} jobs of {files} files"
    with (
        simulated_api(jobs, files=files, unfinished=0.01) as api,
        exporter(api, directory / "large", configuration(api)) as measured,
    ):
        measured.scrape()
        samples = measured.samples()
        done = measured.scrapes(20)
    generated = generating_cpu * samples
    against = "generate_latest and zlib 1, as many samples"
    yield Row(part, "1 % unfinished: CPU with API calls and gzip", done.cpu, "s", against, generated, 1 / 40)
    with (
        simulated_api(jobs, files=files, unfinished=0.0) as api,
        exporter(api, directory / "memory", configuration(api)) as measured,
    ):
        before = measured.resident_bytes()
        measured.scrapes(3)
        text = measured.scrape(gzip=False)
        added = measured.resident_bytes() - before
    yield Row(part, "all finished: resident memory added", added, "bytes", "length of the text", text, 0.5)
