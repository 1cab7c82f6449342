"""The listener against clients that are silent, slow, greedy or malicious."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from exporter.web import listen as listening
from exporter.web.listen import ListenError, address, listen
from exporter.web.server import Server
from tests.web.backend import PATIENT, QUICK, FakeBackend, Running, clients, is_closed, running
from tests.web.malformed import MALFORMED

GET = b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n"


def rest(client: socket.socket) -> bytes:
    """All that still comes until the server closes the connection, in whatever way."""
    received = b""
    try:
        while piece := client.recv(65536):
            received += piece
    except ConnectionError:
        pass
    return received


def send(server: Running, data: bytes, *, timeout: float = 20) -> bytes:
    """All that comes back until the server closes the connection."""
    with socket.create_connection((server.host.strip("[]"), server.port), timeout=timeout) as client:
        with suppress(ConnectionError):  # closed before all was sent
            client.sendall(data)
        return rest(client)


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/[0-9.]+ ([0-9]{3}) ", answer)]


@pytest.mark.parametrize("sent", [b"", b"GET", b"GET /metrics HTTP/1.1\r\nHost: a\r\n", b"\r\n" * 10, b"\x16\x03\x01"])
def test_whoever_sends_no_complete_head_is_dropped_and_holds_up_nobody(sent: bytes) -> None:
    with running(FakeBackend(), QUICK) as server, clients(server, 20, sent) as silent:
        assert server.get("/-/healthy")[0].status == 200
        for client in silent:
            assert set(statuses(rest(client))) <= {400}


def test_a_trickling_client_gains_no_time() -> None:
    with running(FakeBackend(), QUICK) as server, clients(server, 1) as (client,):
        begun = time.monotonic()
        client.settimeout(0.01)
        closed = False
        while not closed:
            assert time.monotonic() - begun < 10
            try:
                client.sendall(b"X")
                closed = is_closed(client)
            except TimeoutError:
                continue
            except ConnectionError:
                closed = True


def test_an_idle_connection_is_dropped_in_the_end() -> None:
    with running(FakeBackend(), QUICK) as server, clients(server, 1, GET) as (client,):
        assert b"healthy" in client.recv(1000)
        assert is_closed(client)


def test_a_thousand_silent_clients_and_as_many_half_heads_hold_up_nobody() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 6000)), hard))
    try:
        with running(FakeBackend(), replace(PATIENT, client_timeout=1.0)) as server, clients(server, 1000) as silent:
            assert server.get("/metrics")[0].status == 200
            with clients(server, 1000, b"GET /metrics HTTP/1.1\r\n") as halves:
                assert server.get("/metrics")[0].status == 200
                assert all(is_closed(client) for client in (*silent, *halves))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def resident() -> int:
    """Bytes of memory in use by this process."""
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def test_readers_that_never_read_are_dropped_and_hold_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = FakeBackend(text=b"x" * 50_000_000)
    monkeypatch.setattr(listening, "_TAKES_NOTHING_FOR", 1500)
    with (
        capture_logs() as logs,
        running(backend, PATIENT) as server,
        clients(server, 20, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n") as readers,
    ):
        until = time.monotonic() + 30
        while [entry["event"] for entry in logs].count("Client hung up before the answer ended") < 20:
            assert time.monotonic() < until
            assert server.get("/-/healthy")[0].status == 200
        assert all(len(rest(reader)) < 50_000_000 for reader in readers)


def test_a_client_that_hangs_up_in_mid_answer_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    backend = FakeBackend(text=b"x" * 5_000_000)
    with running(backend, PATIENT) as server:
        for _ in range(5):
            with clients(server, 1, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n") as (client,):
                client.recv(1000)
        assert server.get("/-/healthy")[0].status == 200
    output = capsys.readouterr()
    assert "Traceback" not in output.out + output.err
    assert "[error" not in output.out


@pytest.mark.parametrize("request_head", MALFORMED)
def test_malformed_requests_are_refused_and_nothing_is_scraped(
    request_head: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    backend = FakeBackend()
    with running(backend, QUICK) as server:
        answer = send(server, request_head)
        assert set(statuses(answer)) <= {400, 404}
        assert len(statuses(answer)) <= 1
        assert b"aiohttp" not in answer
        assert b"Python" not in answer
        assert server.get("/-/healthy")[0].status == 200
    assert backend.asked == []
    output = capsys.readouterr()
    assert "Traceback" not in output.out + output.err


def test_a_body_behind_a_chunked_request_is_not_taken_for_a_request() -> None:
    smuggled = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
    size = f"{len(smuggled):x}".encode()
    request = (
        b"POST /-/healthy HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        + size + b"\r\n" + smuggled + b"\r\n0\r\n\r\n" + GET
    )  # fmt: skip
    backend = FakeBackend()
    with running(backend, QUICK) as server:
        assert statuses(send(server, request)) == [405, 200]
    assert backend.asked == []


def test_pipelined_requests_are_answered_in_order() -> None:
    with running(FakeBackend(), QUICK) as server:
        last = b"GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        assert statuses(send(server, GET * 10 + last)) == [200] * 10 + [404]


def test_whoever_pipelines_without_reading_costs_little() -> None:
    with running(FakeBackend(), QUICK) as server:
        before = resident()
        with clients(server, 10, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 1000) as greedy:
            assert server.get("/-/healthy")[0].status == 200
            assert resident() - before < 20_000_000
            for client in greedy:
                assert set(statuses(rest(client))) <= {200}
        assert server.get("/-/healthy")[0].status == 200


def test_bodies_are_neither_kept_nor_read_for_long() -> None:
    head = b"POST /-/reload HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000000\r\n\r\n"
    with running(FakeBackend(), replace(PATIENT, enable_lifecycle=True)) as server:
        sent = head + b"x" * 30_000_000
        before = resident()
        assert set(statuses(send(server, sent))) <= {200}
        assert resident() - before < 20_000_000


def test_an_upgrade_is_not_made() -> None:
    request = (
        b"GET /-/healthy HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with running(FakeBackend(), QUICK) as server:
        assert statuses(send(server, request)) == [200]


def test_http_1_0_is_answered_and_closed() -> None:
    with running(FakeBackend(), QUICK) as server:
        answer = send(server, b"GET /metrics HTTP/1.0\r\n\r\n")
        assert answer.startswith(b"HTTP/1.0 200")
        assert b"Content-Length" in answer


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(
    data=st.binary(max_size=300)
    | st.lists(
        st.sampled_from(
            [b"GET ", b"/metrics", b" HTTP/1.1", b"\r\n", b"\n", b"Host: a", b"Content-Length: 3",
             b"Transfer-Encoding: chunked", b"0\r\n\r\n", b"\x00", b"Expect: 100-continue", b"Connection: close",
             b"POST ", b"?target=%ff&", b" ", b":"]
        ),
        max_size=20,
    ).map(b"".join)
)  # fmt: skip
def test_no_bytes_make_an_internal_error(shared: Running, data: bytes) -> None:
    answer = send(shared, data + b"\r\n\r\n")
    assert 500 not in statuses(answer)
    assert b"Traceback" not in answer


@pytest.fixture(scope="module")
def shared() -> object:
    with running(FakeBackend(), replace(QUICK, client_timeout=0.02)) as server:
        yield server


def test_stopping_finishes_the_scrape_and_drops_the_idle() -> None:
    release, entered = threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        assert release.wait(20)

    backend = FakeBackend(before=hang)
    with running(backend, PATIENT) as server, clients(server, 100) as idle, ThreadPoolExecutor(2) as pool:
        scrape = pool.submit(server.get, "/metrics")
        assert entered.wait(20)
        stopping = pool.submit(server.stop, 20)
        assert all(is_closed(client) for client in idle)
        assert not stopping.done()
        with pytest.raises(OSError, match="refused"):
            server.get("/-/healthy")
        release.set()
        response, body = scrape.result()
        assert (response.status, body) == (200, backend.text)
        stopping.result()


def test_stopping_waits_no_longer_than_its_grace() -> None:
    release, entered = threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        release.wait(20)

    with running(FakeBackend(before=hang), PATIENT) as server, ThreadPoolExecutor(1) as pool:
        scrape = pool.submit(server.get, "/metrics")
        assert entered.wait(20)
        begun = time.monotonic()
        server.stop(grace=0.1)
        assert time.monotonic() - begun < 5
        with pytest.raises(OSError, match=r"closed|reset"):
            scrape.result()
        release.set()


def test_without_a_host_both_protocols_are_served() -> None:
    with running(FakeBackend(), replace(PATIENT, listen=(":0",))) as server:
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, server.port), timeout=20) as client:
                client.sendall(GET)
                assert b"200 OK" in client.recv(1000)


def test_several_addresses_are_served_at_once() -> None:
    with running(FakeBackend(), replace(PATIENT, listen=("127.0.0.1:0", "[::1]:0", "localhost:0"))) as server:
        addresses = server.server.addresses
        assert addresses[1].startswith("[::1]:")
        assert addresses[2].startswith("127.0.0.1:")
        for one in addresses:
            host, _, port = one.rpartition(":")
            with socket.create_connection((host.strip("[]"), int(port)), timeout=20) as client:
                client.sendall(GET)
                assert b"200 OK" in client.recv(1000)


def test_a_port_in_use_is_one_sentence_and_frees_the_other_addresses() -> None:
    taken = listen("127.0.0.1:0")
    free = listen("127.0.0.1:0")
    where = address(free)
    free.close()
    try:
        settings = replace(PATIENT, listen=(where, address(taken)))
        with pytest.raises(ListenError, match=r"^--web\.listen-address: cannot listen on .*: Address already in use$"):
            asyncio.run(Server(FakeBackend(), settings).start())
        listen(where).close()
    finally:
        taken.close()
