"""Faults hit the replies they are meant for, and the neighbours stay exact."""

from __future__ import annotations

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
import requests

from tests.demo.conftest import ROOT, Client
from tests.support.simulated import CLUSTER, KEY, JobScript, SimulatedApi
from tests.support.simulated.faults import Cut, Delay, Flood, Hang, Place, Raw, Respond, Rewrite, Trickle
from tests.support.simulated.wire import Behaviour


@pytest.fixture(autouse=True)
def jobs(api: SimulatedApi) -> None:
    api.add(JobScript("job-1"), JobScript("job-2"))


def progress(client: Client, job_id: str = "job-1") -> requests.Response:
    return client.cloud("getProgress", {"jobId": job_id})


def connect(api: SimulatedApi, job_id: str = "job-1") -> socket.socket:
    """A connection on which a job was asked about and nothing was read yet."""
    address = urlsplit(api.url)
    body = json.dumps({"clusterId": CLUSTER, "jobId": job_id})
    request = (
        f"POST {ROOT}getProgress HTTP/1.1\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )
    connection = socket.create_connection((address.hostname or "", address.port or 0), timeout=5)
    connection.sendall(request.encode())
    return connection


def test_a_reply_is_replaced_for_the_jobs_that_are_named(api: SimulatedApi, client: Client) -> None:
    api.faults.inject(Respond(502, b"<html>", (("Retry-After", "7"),), "text/html"), job_ids={"job-1"})
    reply = progress(client)
    assert (reply.status_code, reply.text, reply.headers["Retry-After"]) == (502, "<html>", "7")
    assert reply.headers["Content-Type"] == "text/html"
    assert progress(client, "job-2").json()["code"] == 0
    assert client.cloud("list", {}).json()["code"] == 0


def test_an_operation_may_be_named(api: SimulatedApi, client: Client) -> None:
    api.faults.inject(Respond(500), operation="list")
    assert client.cloud("list", {}).status_code == 500
    assert progress(client).status_code == 200


def test_any_condition_may_be_given(api: SimulatedApi, client: Client) -> None:
    api.faults.inject(Respond(500), when=lambda request: request.fields.get("currentPage") == 2)
    assert [client.cloud("list", {"currentPage": page}).status_code for page in (1, 2, 3)] == [200, 500, 200]


def test_a_fault_strikes_as_often_as_it_is_told_and_counts(api: SimulatedApi, client: Client) -> None:
    injection = api.faults.inject(Respond(500), times=2)
    assert [progress(client).status_code for _ in range(4)] == [500, 500, 200, 200]
    assert injection.hits == 2


def test_the_fault_injected_last_goes_first(api: SimulatedApi, client: Client) -> None:
    api.faults.inject(Respond(500))
    later = api.faults.inject(Respond(503))
    assert progress(client).status_code == 503
    later.remove()
    assert progress(client).status_code == 500
    api.faults.clear()
    assert progress(client).status_code == 200


def test_a_body_can_be_rewritten(api: SimulatedApi, client: Client) -> None:
    api.faults.inject(Rewrite(lambda body: body.replace(b'"code":0', b'"code":"0"'), (("Set-Cookie", "a=b"),)))
    reply = progress(client)
    assert reply.json()["code"] == "0"
    assert reply.cookies["a"] == "b"


def test_bytes_can_be_sent_as_they_are(api: SimulatedApi) -> None:
    api.faults.inject(Raw(b"SSH-2.0-x\r\n"))
    with connect(api) as connection, connection.makefile("rb") as received:
        assert received.read() == b"SSH-2.0-x\r\n"


@pytest.mark.parametrize("reset", [False, True])
def test_a_connection_can_end_before_the_reply(api: SimulatedApi, reset: bool) -> None:
    api.faults.inject(Cut(reset=reset))
    with connect(api) as connection:
        if reset:
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
        else:
            assert connection.recv(1) == b""


def test_a_connection_can_end_in_mid_body(api: SimulatedApi, client: Client) -> None:
    api.faults.inject(Cut(after=10))
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="10 bytes read"):
        progress(client)


def test_a_reply_hangs_until_it_is_released(api: SimulatedApi, client: Client) -> None:
    hang = Hang()
    api.faults.inject(hang, job_ids={"job-1"})
    with ThreadPoolExecutor() as pool:
        hanging = pool.submit(progress, client)
        api.wait_for_requests(1)
        assert progress(Client(api), "job-2").json()["code"] == 0
        assert not hanging.done()
        hang.release()
        assert hanging.result(5).json()["code"] == 0
    assert progress(client).json()["code"] == 0


def test_a_client_that_gives_up_leaves_the_others_hanging(api: SimulatedApi) -> None:
    hang = Hang()
    api.faults.inject(hang)
    with connect(api) as patient:
        connect(api).close()
        api.wait_for_requests(2)
        hang.release()
        assert patient.recv(12) == b"HTTP/1.1 200"


def test_a_reply_can_be_late(api: SimulatedApi, client: Client) -> None:
    api.faults.inject(Delay(0.05))
    assert progress(client).elapsed.total_seconds() >= 0.05


@pytest.mark.parametrize(
    ("place", "start"),
    [
        ("continue", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"),
        ("status", b"HTTP/1.1 200 OKKKK"),
        ("headers", b"HTTP/1.1 200 OK\r\nX-Trickle: aaaa"),
        ("chunk_extension", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;aaaa"),
        (
            "body",
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            + 2 * b"1\r\n \r\n",
        ),
    ],
)
def test_a_reply_can_trickle_for_ever_in_any_place(api: SimulatedApi, place: Place, start: bytes) -> None:
    api.faults.inject(Trickle(place, 0.001))
    with connect(api) as connection, connection.makefile("rb") as received:
        assert received.read(len(start)) == start


def test_a_body_can_be_endless_and_waits_for_its_reader(api: SimulatedApi, client: Client) -> None:
    api.faults.inject(Flood(), job_ids={"job-1"})
    with connect(api) as connection, connection.makefile("rb") as received:
        assert len(received.read(1 << 20)) == 1 << 20
        assert progress(client, "job-2").json()["code"] == 0


@pytest.mark.parametrize(
    "behaviour", [Trickle("body", 0.001), Flood(), Hang(), Delay(60)], ids=lambda each: type(each).__name__
)
def test_neither_a_client_that_gives_up_nor_a_stop_leaves_anything_behind(behaviour: Behaviour) -> None:
    threads = threading.active_count()
    with SimulatedApi() as api:
        api.faults.inject(behaviour)
        connect(api).close()
        staying = connect(api)
        api.wait_for_requests(2)
    with staying:
        while staying.recv(1 << 20):
            pass
    assert threading.active_count() == threads
