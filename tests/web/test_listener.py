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

from exporter.web.address import parse_listen_address
from exporter.web.connections import connection_limit
from exporter.web.listen import ListenError, address, listen
from exporter.web.server import Server, ServerSettings
from tests.web.backend import PATIENT, QUICK, FakeBackend, Running, clients, is_closed, running
from tests.web.malformed import MALFORMED

SMALL = ServerSettings(limits=QUICK)
LARGE = ServerSettings(limits=PATIENT)
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
    with running(FakeBackend(), SMALL) as server, clients(server, 20, sent) as silent:
        assert server.get("/-/healthy")[0].status == 200
        for client in silent:
            assert set(statuses(rest(client))) <= {400}


def test_a_trickling_client_gains_no_time() -> None:
    limits = replace(QUICK, head=0.3)
    with running(FakeBackend(), replace(SMALL, limits=limits)) as server, clients(server, 1) as (client,):
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


def test_a_connection_that_did_its_work_may_be_idle_longer_than_a_head_may_take() -> None:
    limits = replace(QUICK, head=0.05, idle=20)
    with running(FakeBackend(), replace(SMALL, limits=limits)) as server, clients(server, 1, GET) as (client,):
        assert b"healthy" in client.recv(1000)
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(20)
        client.sendall(GET)
        assert b"healthy" in client.recv(1000)
        client.sendall(b"GET ")
        assert is_closed(client)


def test_an_idle_connection_is_dropped_in_the_end() -> None:
    with running(FakeBackend(), SMALL) as server, clients(server, 1, GET) as (client,):
        assert b"healthy" in client.recv(1000)
        assert is_closed(client)


def test_at_the_cap_the_oldest_without_a_request_goes_and_the_newest_is_served() -> None:
    settings = replace(LARGE, limits=replace(PATIENT, connections=10))
    with running(FakeBackend(), settings) as server, clients(server, 10) as silent:
        for _ in range(5):
            assert server.get("/-/healthy")[0].status == 200
        assert is_closed(silent[0])
        silent[9].settimeout(0.2)
        with pytest.raises(TimeoutError):
            silent[9].recv(1)


def test_a_running_scrape_is_never_dropped_for_a_newcomer() -> None:
    release, entered = threading.Event(), threading.Semaphore(0)

    def hang() -> None:
        entered.release()
        assert release.wait(20)

    settings = replace(LARGE, limits=replace(PATIENT, connections=5))
    with running(FakeBackend(before=hang), settings) as server, ThreadPoolExecutor(5) as pool:
        scrapes = [pool.submit(server.get, "/metrics") for _ in range(4)]
        for _ in scrapes:
            assert entered.acquire(timeout=20)
        with clients(server, 50):
            assert server.get("/-/healthy")[0].status == 200
        release.set()
        assert [scrape.result()[0].status for scrape in scrapes] == [200] * 4


def test_when_everybody_is_being_served_a_newcomer_waits() -> None:
    release, entered = threading.Event(), threading.Semaphore(0)

    def hang() -> None:
        entered.release()
        assert release.wait(20)

    settings = replace(LARGE, limits=replace(PATIENT, connections=2))
    with running(FakeBackend(before=hang), settings) as server, ThreadPoolExecutor(3) as pool:
        scrapes = [pool.submit(server.get, "/metrics") for _ in range(2)]
        for _ in scrapes:
            assert entered.acquire(timeout=20)
        late = pool.submit(server.get, "/-/healthy")
        release.set()
        assert [scrape.result()[0].status for scrape in (*scrapes, late)] == [200] * 3


def test_a_thousand_silent_clients_and_as_many_half_heads_hold_up_nobody() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 6000)), hard))
    settings = replace(LARGE, limits=replace(PATIENT, head=1.0, connections=512))
    try:
        with running(FakeBackend(), settings) as server, clients(server, 1000) as silent:
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


def test_readers_that_never_read_cost_little_and_are_dropped() -> None:
    backend = FakeBackend(text=b"x" * 50_000_000)
    request = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
    limits = replace(PATIENT, answer=1.5)
    with running(backend, replace(LARGE, limits=limits)) as server:
        server.get("/metrics")
        before = resident()
        with clients(server, 20, request) as readers:
            until = time.monotonic() + 20
            while len(backend.asked) < 21:
                assert time.monotonic() < until
                time.sleep(0.01)
            most = 0
            until = time.monotonic() + 1
            while most == 0 or time.monotonic() < until:
                most = max(most, resident() - before, 1)
                assert server.get("/-/healthy")[0].status == 200
            assert most < 20_000_000
            assert all(len(rest(reader)) < 50_000_000 for reader in readers)


def test_a_client_that_hangs_up_in_mid_answer_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    backend = FakeBackend(text=b"x" * 5_000_000)
    with running(backend, LARGE) as server:
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
    with running(backend, SMALL) as server:
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
    with running(backend, SMALL) as server:
        assert statuses(send(server, request)) == [405]
    assert backend.asked == []


def test_pipelined_requests_are_answered_in_order() -> None:
    with running(FakeBackend(), SMALL) as server:
        last = b"GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        assert statuses(send(server, GET * 10 + last)) == [200] * 10 + [404]


def test_whoever_pipelines_without_reading_costs_little() -> None:
    with running(FakeBackend(), SMALL) as server:
        before = resident()
        with clients(server, 10, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 1000) as greedy:
            assert server.get("/-/healthy")[0].status == 200
            assert resident() - before < 20_000_000
            for client in greedy:
                assert set(statuses(rest(client))) <= {200}
        assert server.get("/-/healthy")[0].status == 200


def test_bodies_are_neither_kept_nor_read_for_long() -> None:
    head = b"POST /-/reload HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000000\r\n\r\n"
    with running(FakeBackend(), replace(LARGE, enable_lifecycle=True)) as server:
        before = resident()
        answer = send(server, head + b"x" * 30_000_000)
        assert set(statuses(answer)) <= {200}
        assert resident() - before < 20_000_000


def test_whoever_takes_it_for_a_proxy_is_told_so_and_hung_up_on() -> None:
    with running(FakeBackend(), LARGE) as server:
        for asked in (b"GET http://elsewhere/", b"OPTIONS *"):
            answer = send(server, asked + b" HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
            assert statuses(answer) == [400]
            assert b"Connection: close" in answer


def test_an_upgrade_is_not_made() -> None:
    request = (
        b"GET /-/healthy HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with running(FakeBackend(), SMALL) as server:
        assert statuses(send(server, request)) == [200]


def test_http_1_0_is_answered_and_closed() -> None:
    with running(FakeBackend(), SMALL) as server:
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
    with running(FakeBackend(), replace(SMALL, limits=replace(QUICK, head=0.02, idle=0.02))) as server:
        yield server


def test_stopping_finishes_the_scrape_and_drops_the_idle() -> None:
    release, entered = threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        assert release.wait(20)

    backend = FakeBackend(before=hang)
    with running(backend, LARGE) as server, clients(server, 100) as idle, ThreadPoolExecutor(2) as pool:
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
        assert response.headers["Connection"] == "close"
        stopping.result()


def test_stopping_waits_no_longer_than_its_grace() -> None:
    release, entered = threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        release.wait(20)

    with running(FakeBackend(before=hang), LARGE) as server, ThreadPoolExecutor(1) as pool:
        scrape = pool.submit(server.get, "/metrics")
        assert entered.wait(20)
        begun = time.monotonic()
        server.stop(grace=0.1)
        assert time.monotonic() - begun < 5
        with pytest.raises(OSError, match=r"closed|reset"):
            scrape.result()
        release.set()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (":10530", ("", 10530)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("[::1]:65535", ("::1", 65535)),
        ("exporter.example:80", ("exporter.example", 80)),
    ],
)
def test_listen_addresses(value: str, expected: tuple[str, int]) -> None:
    assert parse_listen_address(value) == expected


@pytest.mark.parametrize("value", ["", "10530", "::1:80", "a:", "a:b", "a:65536", "a:-1", "a:\u0661", "[::1]"])
def test_what_is_no_listen_address_is_said(value: str) -> None:
    with pytest.raises(ValueError, match=r"--web\.listen-address"):
        parse_listen_address(value)


def test_without_a_host_both_protocols_are_served() -> None:
    with running(FakeBackend(), replace(LARGE, listen=(":0",))) as server:
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, server.port), timeout=20) as client:
                client.sendall(GET)
                assert b"200 OK" in client.recv(1000)


def test_several_addresses_are_served_at_once() -> None:
    with running(FakeBackend(), replace(LARGE, listen=("127.0.0.1:0", "[::1]:0", "localhost:0"))) as server:
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
        settings = replace(LARGE, listen=(where, address(taken)))
        with pytest.raises(ListenError, match=r"^--web\.listen-address: cannot listen on .*: Address already in use$"):
            asyncio.run(Server(FakeBackend(), settings).start())
        listen(where).close()
    finally:
        taken.close()


@pytest.mark.parametrize(
    ("descriptors", "connections"), [(24, 8), (64, 8), (100, 36), (256, 128), (1024, 512), (10**6, 1024), (-1, 1024)]
)
def test_some_descriptors_are_left_for_the_api(
    monkeypatch: pytest.MonkeyPatch, descriptors: int, connections: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (descriptors, descriptors))
    assert connection_limit() == connections


def test_without_file_descriptors_the_newcomer_is_not_dropped_for_nobody() -> None:
    """Linux says so to whoever accepts, even where no client is waiting."""
    with running(FakeBackend(), LARGE) as server, clients(server, 5) as idle:
        assert server.get("/-/healthy")[0].status == 200
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with socket.create_connection((server.host, server.port), timeout=20) as newcomer:
            server.run(lambda: None)
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
            try:
                newcomer.sendall(GET)
                assert b"healthy" in newcomer.recv(1000)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for client in (*idle, newcomer):
                client.settimeout(0.1)
                with pytest.raises(TimeoutError):
                    client.recv(1)


def test_without_file_descriptors_the_oldest_idle_connection_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    with running(FakeBackend(), LARGE) as server, clients(server, 5) as idle:
        assert server.get("/-/healthy")[0].status == 200
        exhausted = iter([OSError(24, "Too many open files")])
        real = server.loop.sock_accept

        async def sock_accept(listener: socket.socket) -> object:
            for error in exhausted:
                raise error
            return await real(listener)

        monkeypatch.setattr(server.loop, "sock_accept", sock_accept)
        assert server.get("/-/healthy")[0].status == 200
        assert server.get("/-/healthy")[0].status == 200
        assert is_closed(idle[0])
