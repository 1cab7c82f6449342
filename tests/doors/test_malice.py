"""Requests that are no requests, or more than one, against the real program."""

from __future__ import annotations

import http.client
import random
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.doors.door import Door, rest, statuses
from tests.web.malformed import MALFORMED

pytestmark = pytest.mark.e2e

GET = b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /-/healthy HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A program that has an API to ask, but must not be made to; with its log at debug."""
    directory = tmp_path_factory.mktemp("malice")
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        (directory / "config.yaml").write_text(
            f"clusters: [{{cluster_id: in01-a, base_url: '{url}', api_key: canary, jobs: ['1']}}]\n"
        )
        with Door(directory / "config.yaml", directory, "--log.level=debug") as door:
            yield door
            nobody.setblocking(False)
            with pytest.raises(BlockingIOError):
                nobody.accept()


def send(door: Door, data: bytes) -> bytes:
    with door.connect() as client:
        with suppress(ConnectionError):  # closed before all was sent
            client.sendall(data)
        return rest(client)


@pytest.mark.parametrize("sent", MALFORMED)
def test_what_is_malformed_is_refused_and_leaves_no_trace_but_a_debug_line(door: Door, sent: bytes) -> None:
    answer = send(door, sent)
    assert len(statuses(answer)) <= 1
    assert set(statuses(answer)) <= {400, 404}
    assert door.ask("/-/healthy")[0] == 200
    door.assert_calm()


@pytest.mark.parametrize(
    "path",
    [
        "/-/healthy/../../metrics", "/..", "//metrics", "/metrics/", "/metrics%00", "/metrics;a",
        "/-/healthy%0d%0aX:%20y", "/\u00e9".encode().decode("latin-1"), "/-/", "/probe?target=http://127.0.0.1/",
        "/probe?target=in01-a&job_id=../../etc/passwd", "/probe?target=in01-a&target=in01-a", "/probe?job_id=1",
        "/probe?target=%ff%00", "/probe?" + "&".join(f"a{n}=1" for n in range(1000)), "/metrics?scope=all",
    ],
)  # fmt: skip
def test_no_path_or_parameter_reaches_what_it_does_not_name(door: Door, path: str) -> None:
    status, body = door.ask(path)
    assert status in (400, 404)
    assert b"canary" not in body
    door.assert_calm()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "BREW", "PRI"])
def test_other_methods_are_refused(door: Door, method: str) -> None:
    assert statuses(send(door, LAST.replace(b"GET", method.encode()))) in ([405], [400])
    door.assert_calm()


def test_pipelined_requests_are_answered_one_by_one_and_in_order(door: Door) -> None:
    missing = GET.replace(b"healthy", b"missing")
    assert statuses(send(door, (GET + missing) * 50 + LAST)) == [200, 404] * 50 + [200]


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: %d\r\n\r\n",
        b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"Transfer-Encoding : chunked\r\n\r\n",
        b"Content-Length: 0x1\r\n\r\n",
        b"Content-Length: %d\r\n\r\n",
        b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n",
    ],
)
def test_what_follows_a_body_is_no_request(door: Door, body: bytes) -> None:
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    head = b"POST /-/healthy HTTP/1.1\r\nHost: a\r\n" + (body % len(smuggled) if b"%d" in body else body)
    answered = [status for status in statuses(send(door, head + smuggled)) if status != 100]
    assert len(answered) <= 1
    assert set(answered) <= {400, 405}
    door.assert_calm()


def test_junk_of_any_kind_is_never_a_500_nor_a_traceback(door: Door) -> None:
    words = [
        b"GET ", b"HEAD ", b"/-/healthy", b"/sd", b" HTTP/1.1", b" HTTP/1.0", b"\r\n", b"\n", b"\r", b"Host: a\r\n",
        b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", b"\x00", b"\xff",
        b"Upgrade: h2c\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b":", b" ", b"a" * 9000, b"\x16\x03\x01\x02\x00",
    ]  # fmt: skip
    chance = random.Random(8)
    for _ in range(300):
        junk = b"".join(chance.choices(words, k=chance.randrange(1, 12))) + chance.randbytes(chance.randrange(3))
        answer = send(door, junk + b"\r\n\r\n" + LAST)
        assert set(statuses(answer)) <= {200, 400, 404, 405}, junk
    door.assert_calm()
    log = door.log.read_text()
    assert 'level=debug msg="Malformed request"' in log
    assert "a" * 100 not in log


def test_a_client_that_hangs_up_is_no_error(door: Door) -> None:
    for _ in range(20):
        with door.connect() as client:
            client.sendall(GET)
    connection = http.client.HTTPConnection(*door.where, timeout=60)
    connection.request("GET", "/")
    assert connection.getresponse().status == 200
    connection.close()
    door.assert_calm()
