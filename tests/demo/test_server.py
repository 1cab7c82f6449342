"""The running server: requests on record, connections, TLS, many clients at once, and a clean end."""

from __future__ import annotations

import gc
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.demo.conftest import ROOT, Client
from tests.support.authority import Authority
from tests.support.simulated import CLUSTER, MILVUS, JobScript, SimulatedApi


def descriptors() -> int:
    gc.collect()
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def exchange(url: str, data: bytes) -> bytes:
    """All that the server sends, until it closes, on a connection on which the client says this."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=5) as connection:
        connection.sendall(data)
        with connection.makefile("rb") as received:
            return received.read()


def test_every_request_is_on_record(api: SimulatedApi, client: Client) -> None:
    before = time.monotonic()
    client.cloud("getProgress", {"jobId": "job-1"})
    client.milvus("list", {"dbName": "other"}, headers={"DB-Name": "other"})
    first, second = api.requests
    assert before <= first.at <= second.at <= time.monotonic()
    assert (first.method, first.path, first.operation) == ("POST", ROOT + "getProgress", "progress")
    assert first.fields == {"clusterId": CLUSTER, "jobId": "job-1"}
    assert (first.job_id, first.authorized) == ("job-1", True)
    assert (second.operation, second.job_id, second.authorized) == ("list", "", False)
    assert second.headers["db-name"] == "other"
    assert first.connection != second.connection


def test_the_key_is_not_in_what_a_failing_test_prints(api: SimulatedApi, client: Client) -> None:
    client.cloud("list", {}, key="canary")
    assert "canary" not in repr(api.requests)


def test_connections_are_kept_and_counted(api: SimulatedApi, client: Client) -> None:
    for _ in range(5):
        client.cloud("list", {})
    assert (api.connections_opened, api.connections_open) == (1, 1)
    assert {request.connection for request in api.requests} == {1}


def test_kept_connections_can_be_dropped(api: SimulatedApi, client: Client) -> None:
    client.cloud("list", {})
    api.drop_connections()
    client.cloud("list", {})
    assert api.connections_opened == 2


def test_a_reset_forgets_requests_and_faults_and_keeps_jobs(api: SimulatedApi, client: Client) -> None:
    api.add(JobScript("job-1"))
    client.cloud("list", {})
    api.reset()
    assert api.requests == ()
    assert client.cloud("getProgress", {"jobId": "job-1"}).json()["code"] == 0


def test_waiting_for_requests_that_do_not_come_ends(api: SimulatedApi) -> None:
    with pytest.raises(TimeoutError, match="0 of 1 requests"):
        api.wait_for_requests(1, timeout=0.01)


def test_replies_take_the_latency_side_by_side(api: SimulatedApi) -> None:
    api.latency = 0.1
    with ThreadPoolExecutor(10) as pool:
        replies = list(pool.map(lambda _: Client(api).cloud("list", {}), range(10)))
    assert min(reply.elapsed.total_seconds() for reply in replies) >= 0.1
    arrivals = [request.at for request in api.requests]
    # One after the other they would arrive over at least nine latencies.
    assert max(arrivals) - min(arrivals) < 0.9


def test_many_clients_at_once_get_what_they_asked_for(api: SimulatedApi) -> None:
    api.add(*(JobScript(f"job-{number}", f"collection_{number}") for number in range(50)))

    def ask(number: int) -> bool:
        client = Client(api)
        with client.session:
            replies = [client.cloud("getProgress", {"jobId": f"job-{(number + step) % 50}"}) for step in range(20)]
        names = [reply.json()["data"]["collectionName"] for reply in replies]
        return names == [f"collection_{(number + step) % 50}" for step in range(20)]

    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(ask, range(50)))
    assert len(api.requests) == 1000
    assert api.connections_opened == 50


def test_jobs_come_and_go_while_it_is_asked(api: SimulatedApi) -> None:
    stop = threading.Event()

    def change() -> None:
        while not stop.is_set():
            api.add(*(JobScript(f"job-{number}") for number in range(20)))
            api.clock.advance(1)
            api.jobs().remove(*(f"job-{number}" for number in range(20)))
            api.jobs().clear()

    changing = threading.Thread(target=change)
    changing.start()
    client = Client(api)
    with client.session:
        codes = {client.cloud("getProgress", {"jobId": "job-7"}).json()["code"] for _ in range(200)}
        listed = [client.cloud("list", {}).json()["code"] for _ in range(50)]
    stop.set()
    changing.join()
    assert codes <= {0, 96026}
    assert set(listed) == {0}


def test_requests_sent_in_one_go_are_answered_in_order(api: SimulatedApi) -> None:
    api.latency = 0.001
    api.add(JobScript("1", "first"), JobScript("2", "second"), cluster=MILVUS)
    requests_ = b"".join(
        b'POST %b HTTP/1.1\r\nContent-Length: 14\r\nConnection: %b\r\n\r\n{"jobId": "%d"}'
        % (f"{ROOT}describe".encode(), connection, number)
        for number, connection in ((1, b"keep-alive"), (2, b"close"))
    )
    received = exchange(api.milvus_url, requests_)
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert received.index(b"first") < received.index(b"second")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\n" + b"a" * 66_000, 431),
    ],
)
def test_what_is_not_understood_is_refused_and_the_connection_closed(
    api: SimulatedApi, request_: bytes, status: int
) -> None:
    assert exchange(api.url, request_).startswith(b"HTTP/1.1 %d " % status)
    assert api.requests == ()


def test_an_old_client_gets_one_reply_on_its_connection(api: SimulatedApi) -> None:
    request = b"POST %blist HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}" % ROOT.encode()
    received = exchange(api.milvus_url, request + request)
    assert received.count(b'"records":[]') == 1


def test_it_serves_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with SimulatedApi(ssl_context=authority.server_context()) as api:
        assert api.url.startswith("https://")
        client = Client(api)
        with client.session:
            client.session.verify = str(authority.ca_file)
            assert client.cloud("list", {}).json()["code"] == 0


def test_it_serves_ipv6() -> None:
    with SimulatedApi(host="::1") as api:
        assert api.url.startswith("http://[::1]:")
        client = Client(api)
        with client.session:
            assert client.cloud("list", {}).json()["code"] == 0


def test_a_port_in_use_is_an_error(api: SimulatedApi) -> None:
    port = urlsplit(api.url).port or 0
    with pytest.raises(OSError, match="in use"):
        SimulatedApi(port=port).start()


def test_it_starts_once(api: SimulatedApi) -> None:
    with pytest.raises(RuntimeError, match="running already"):
        api.start()


def test_it_comes_back_at_its_address_with_its_jobs(api: SimulatedApi, client: Client) -> None:
    api.add(JobScript("job-1"))
    client.cloud("list", {})
    url = api.url
    api.stop()
    with pytest.raises(requests.ConnectionError):
        client.cloud("list", {})
    api.start()
    assert api.url == url
    assert client.cloud("getProgress", {"jobId": "job-1"}).json()["code"] == 0


@pytest.mark.parametrize("tls", [False, True])
def test_a_stop_leaves_no_thread_and_no_descriptor(tmp_path: Path, tls: bool) -> None:
    context = Authority(tmp_path).server_context() if tls else None
    threads, open_before = threading.active_count(), descriptors()
    with SimulatedApi(ssl_context=context, latency=60) as api:
        address = urlsplit(api.url)
        silent = socket.create_connection((address.hostname or "", address.port or 0), timeout=5)
        trickling = socket.create_connection((address.hostname or "", address.port or 0), timeout=5)
        trickling.sendall(b"POST / HT")
        waiting = socket.create_connection((address.hostname or "", address.port or 0), timeout=5)
        if not tls:
            waiting.sendall(b"GET / HTTP/1.1\r\n\r\n")
            api.wait_for_requests(1)
    for connection in (silent, trickling, waiting):
        connection.close()
    assert threading.active_count() == threads
    assert descriptors() == open_before
    api.stop()
