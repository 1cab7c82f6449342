"""A call is over at its deadline, in whatever phase it is."""

import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from exporter.api.deadline import Call, Deadline, Line, Watchdog, watchdog
from exporter.api.errors import CallTimeoutError
from tests.api.conftest import Attempts, Clients, soon
from tests.support.hostile import Conversation, Hostile, Script, always, full_backlog, reply

JOB: dict[str, object] = {"code": 0, "data": {"collectionName": "articles", "state": "Importing", "progress": 57}}
GOOD = reply(JOB)
SHORT = 0.25


def _dripping(head: bytes, *, then_for_ever: bytes = b"x") -> Script:
    def script(conversation: Conversation) -> None:
        conversation.request()
        conversation.drip(head, then_for_ever)

    return script


def _after(head: bytes, for_ever: bytes) -> Script:
    def script(conversation: Conversation) -> None:
        conversation.request()
        conversation.send(head)
        conversation.drip(b"", for_ever)

    return script


def _silent(conversation: Conversation) -> None:
    conversation.request()
    conversation.pause()


PHASES = {
    "no reply": _silent,
    "status line": _dripping(b"HTTP/1.1 200 O", then_for_ever=b"K"),
    "headers": _after(b"HTTP/1.1 200 OK\r\nX: ", b"y"),
    "100-Continue": _after(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "chunk extension": _after(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;", b"e"),
    "chunks": _after(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "trailers": _after(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"T: r\r\n"),
    "body": _after(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" "),
    "body without length": _after(b"HTTP/1.1 200 OK\r\n\r\n", b" "),
}


def _times_out(clients: Clients, url: str, **settings: object) -> CallTimeoutError:
    attempts = Attempts()
    api = clients.client(url, attempts, **settings)
    begun = time.monotonic()
    with pytest.raises(CallTimeoutError) as raised:
        api.progress("1", soon(SHORT))
    assert SHORT <= time.monotonic() - begun < SHORT + 2
    assert attempts.seen == [("progress", raised.value.error)]
    return raised.value


@pytest.mark.parametrize("phase", PHASES)
def test_a_server_that_drips(clients: Clients, phase: str) -> None:
    _times_out(clients, clients.server(PHASES[phase]).url)


@pytest.mark.parametrize("for_ever", [None, b"\x16\x03\x03\x40\x00x"])
def test_the_tls_handshake(secure: Clients, for_ever: bytes | None) -> None:
    def script(conversation: Conversation) -> None:
        conversation.socket.recv(1000)
        if for_ever is not None:
            conversation.drip(for_ever)
        conversation.pause()

    with Hostile(script) as server:
        error = _times_out(secure, server.url.replace("http", "https"))
    assert "TLS handshake" in str(error)


def test_connecting(clients: Clients) -> None:
    with full_backlog() as port:
        error = _times_out(clients, f"{'https' if clients.tls else 'http'}://127.0.0.1:{port}")
    assert "connecting" in str(error)


def test_connecting_to_several_addresses(plain: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    with full_backlog() as port:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))] * 5
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
        _times_out(plain, "http://api.example")


def test_an_address_that_swallows_packets_leaves_time_for_the_next(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = clients.server(always(GOOD))
    with full_backlog() as port:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", to)) for to in (port, server.port)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
        assert clients.client(server.url).progress("1", soon(1)).progress == 0.57


@pytest.mark.parametrize("for_ever", [b"HTTP/1.1 200 Connection established\r\n", b"X"])
def test_the_connect_to_a_proxy(secure: Clients, for_ever: bytes) -> None:
    with Hostile(_after(b"", for_ever)) as proxy:
        _times_out(secure, "https://127.0.0.1:1", proxy_url=proxy.url)


def test_a_name_that_is_resolved_too_late(plain: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    server = plain.server(always(GOOD))
    deadline = soon()

    def resolve(*args: object, **kwargs: object) -> list[object]:
        deadline._at = 0.0
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(CallTimeoutError):
        plain.client("http://api.example").progress("1", deadline)


def test_a_stuck_resolver_holds_up_no_other_call(plain: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    server = plain.server(always(GOOD))
    asked, go_on = threading.Event(), threading.Event()
    resolve = socket.getaddrinfo

    late = soon()

    def stuck(host: str, *args: object, **kwargs: object) -> object:
        if host == "stuck.example":
            asked.set()
            go_on.wait(10)
            late._at = 0.0
        return resolve("127.0.0.1", *args, **kwargs)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(socket, "getaddrinfo", stuck)
    failures: list[Exception] = []

    def call() -> None:
        try:
            plain.client("http://stuck.example:1").progress("1", late)
        except CallTimeoutError as error:
            failures.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    asked.wait(10)
    assert plain.client(server.url).progress("1", soon()).progress == 0.57
    go_on.set()
    thread.join(10)
    assert len(failures) == 1


def test_a_reply_past_the_deadline_is_a_timeout_even_if_it_is_complete(clients: Clients) -> None:
    deadline = soon()

    def script(conversation: Conversation) -> None:
        conversation.request()
        deadline._at = 0.0
        conversation.send(GOOD)

    attempts = Attempts()
    api = clients.client(clients.server(script).url, attempts)
    with pytest.raises(CallTimeoutError):
        api.progress("1", deadline)
    assert [error for _, error in attempts.seen] == ["timeout"]


def test_a_deadline_put_off_while_the_call_runs(clients: Clients) -> None:
    first = time.monotonic() + SHORT
    deadline = Deadline(first)

    def script(conversation: Conversation) -> None:
        conversation.request()
        deadline.extend(first + 10)
        conversation.pause(first + 0.1 - time.monotonic())
        conversation.send(GOOD)

    assert clients.client(clients.server(script).url).progress("1", deadline).progress == 0.57


def test_a_deadline_is_never_brought_forward() -> None:
    deadline = Deadline(100.0)
    deadline.extend(50.0)
    assert deadline.at == 100.0
    assert deadline.remaining(90.0) == 10.0
    assert deadline.remaining(110.0) == -10.0


def test_a_call_that_is_late_ends_no_other(clients: Clients) -> None:
    late = threading.Event()

    def script(conversation: Conversation) -> None:
        request = conversation.request()
        if request is not None and b'"slow"' in request:
            conversation.drip()
        late.wait(10)
        conversation.send(GOOD)

    api = clients.client(clients.server(script).url)
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(api.progress("good", soon())))
    thread.start()
    with pytest.raises(CallTimeoutError):
        api.progress("slow", soon(SHORT))
    late.set()
    thread.join(10)
    assert len(results) == 1


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def _ended(connection: socket.socket) -> bool:
    connection.settimeout(10)
    return connection.recv(1) == b""


def test_a_connection_that_comes_after_the_deadline_is_shut_down_at_once(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    dog, call, line = Watchdog(), Call(Deadline(0.0), fresh=False, sent=None), Line(pair[0])
    dog.begin(call)
    while not call.expired:
        time.sleep(0.001)
    dog.serve(call, line)
    assert _ended(pair[1])
    dog.end(call)
    dog.hang_up(line)


def test_a_connection_that_serves_another_call_by_now_is_left_alone(pair: tuple[socket.socket, socket.socket]) -> None:
    dog, line = Watchdog(), Line(pair[0])
    late, next_call = Call(soon(0.05), fresh=False, sent=None), Call(soon(), fresh=False, sent=None)
    for call in (late, next_call):
        dog.begin(call)
        dog.serve(call, line)
    while not late.expired:
        time.sleep(0.001)
    pair[0].send(b"!")
    assert pair[1].recv(1) == b"!"
    dog.end(late)
    dog.end(next_call)
    dog.hang_up(line)


def test_the_watchdog_sleeps_away_when_there_is_nothing_to_watch(plain: Clients) -> None:
    api = plain.client(plain.server(always(json.dumps(JOB).encode() and GOOD)).url)
    api.progress("1", soon(0.05))
    while watchdog._thread is not None:
        time.sleep(0.01)
    assert not any(thread.name == "api-watchdog" for thread in threading.enumerate())
