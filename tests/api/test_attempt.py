"""A call that is aborted is over at once, in every phase but name resolution."""

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from exporter.api import client
from exporter.api.attempt import AbortHandle, Attempt
from exporter.api.errors import CallTimeoutError
from exporter.model import ErrorClass, Job, State
from tests.api.conftest import Attempts, Clients, aborted_after
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
        api.progress("1", aborted_after(SHORT))
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
        assert clients.client(server.url).progress("1", Attempt()).progress == 0.57


@pytest.mark.parametrize("for_ever", [b"HTTP/1.1 200 Connection established\r\n", b"X"])
def test_the_connect_to_a_proxy(secure: Clients, for_ever: bytes) -> None:
    with Hostile(_after(b"", for_ever)) as proxy:
        _times_out(secure, "https://127.0.0.1:1", proxy_url=proxy.url)


def test_a_name_that_is_resolved_too_late(plain: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    server = plain.server(always(GOOD))
    attempt = Attempt()

    def resolve(*args: object, **kwargs: object) -> list[object]:
        attempt.abort()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(CallTimeoutError, match=r"while resolving the host name api\.example$"):
        plain.client("http://api.example").progress("1", attempt)
    assert server.connections == 0


def test_a_stuck_resolver_holds_up_no_other_call(plain: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    server = plain.server(always(GOOD))
    asked, go_on = threading.Event(), threading.Event()
    resolve = socket.getaddrinfo

    late = Attempt()

    def stuck(host: str, *args: object, **kwargs: object) -> object:
        if host == "stuck.example":
            asked.set()
            go_on.wait(10)
            late.abort()
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
    assert plain.client(server.url).progress("1", Attempt()).progress == 0.57
    go_on.set()
    thread.join(10)
    assert len(failures) == 1


def test_an_aborted_call_is_a_timeout_even_if_its_reply_is_complete(clients: Clients) -> None:
    attempt = Attempt()

    def script(conversation: Conversation) -> None:
        conversation.request()
        attempt.abort()
        conversation.send(GOOD)

    attempts = Attempts()
    api = clients.client(clients.server(script).url, attempts)
    with pytest.raises(CallTimeoutError, match=r"while (sending|waiting for the reply)$"):
        api.progress("1", attempt)
    assert [error for _, error in attempts.seen] == [ErrorClass.TIMEOUT]


def test_an_aborted_call_is_a_timeout_even_if_its_reply_is_parsed(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = Attempt()

    def parse(data: object, job_id: str) -> Job:
        attempt.abort()
        return Job(job_id, "articles", State.IMPORTING)

    monkeypatch.setattr(client, "job_from", parse)
    attempts = Attempts()
    api = clients.client(clients.server(always(GOOD)).url, attempts)
    with pytest.raises(CallTimeoutError, match=r"while reading the reply$"):
        api.progress("1", attempt)
    assert [error for _, error in attempts.seen] == [ErrorClass.TIMEOUT]


def test_an_attempt_that_was_aborted_before_the_call_opens_no_connection(clients: Clients) -> None:
    server = clients.server(always(GOOD))
    api = clients.client(server.url)
    attempt = Attempt()
    attempt.abort()
    attempt.abort()
    with pytest.raises(CallTimeoutError):
        api.progress("1", attempt)
    assert server.connections == 0
    api.progress("1", Attempt())
    with pytest.raises(CallTimeoutError):
        api.progress("1", attempt)
    assert (server.connections, len(server.requests)) == (1, 1)


def test_an_abort_after_the_call_leaves_the_connection_alone(clients: Clients) -> None:
    server = clients.server(always(GOOD))
    api = clients.client(server.url)
    for _ in range(3):
        attempt = Attempt()
        assert api.progress("1", attempt).progress == 0.57
        attempt.abort()
    assert server.connections == 1


def test_an_abort_between_the_retry_and_the_first_request_holds(clients: Clients) -> None:
    attempt = Attempt()

    def script(conversation: Conversation) -> None:
        conversation.request()
        conversation.send(GOOD)
        if conversation.request() is not None:
            attempt.abort()

    server = clients.server(script)
    api = clients.client(server.url)
    api.progress("1", Attempt())
    with pytest.raises(CallTimeoutError):
        api.progress("1", attempt)
    assert server.connections == 1


def test_the_phase_can_be_read_while_the_call_runs(clients: Clients) -> None:
    phases: list[str] = []
    attempt = Attempt(lambda: phases.append(attempt.phase))

    def script(conversation: Conversation) -> None:
        conversation.request()
        while attempt.phase != "waiting for the reply":
            conversation.pause(0.005)
        conversation.send(GOOD)

    clients.client(clients.server(script).url).progress("1", attempt)
    assert phases == ["sending"]


def test_a_call_that_is_aborted_ends_no_other(clients: Clients) -> None:
    late = threading.Event()

    def script(conversation: Conversation) -> None:
        request = conversation.request()
        if request is not None and b'"slow"' in request:
            conversation.drip()
        late.wait(10)
        conversation.send(GOOD)

    api = clients.client(clients.server(script).url)
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(api.progress("good", Attempt())))
    thread.start()
    with pytest.raises(CallTimeoutError):
        api.progress("slow", aborted_after(SHORT))
    late.set()
    thread.join(10)
    assert len(results) == 1


def test_aborts_at_any_moment_end_their_own_calls_alone(clients: Clients) -> None:
    server = clients.server(always(GOOD))
    api = clients.client(server.url, concurrency=4)
    stop = threading.Event()
    attempts: queue.SimpleQueue[Attempt] = queue.SimpleQueue()

    def abort() -> None:
        while not stop.is_set():
            attempts.get().abort()

    def undisturbed() -> list[float | None]:
        return [api.progress("1", Attempt()).progress for _ in range(150)]

    with ThreadPoolExecutor(3) as pool:
        aborting = pool.submit(abort)
        others = [pool.submit(undisturbed) for _ in range(2)]
        for number in range(150):
            attempt = Attempt()
            if number % 2:
                attempts.put(attempt)
            with contextlib.suppress(CallTimeoutError):
                assert api.progress("1", attempt).progress == 0.57
            if not number % 2:
                attempts.put(attempt)
        stop.set()
        attempts.put(Attempt())
        aborting.result(10)
        assert [other.result(30) for other in others] == [[0.57] * 150] * 2


def test_a_call_starts_no_thread(clients: Clients) -> None:
    server = clients.server(always(GOOD))
    api = clients.client(server.url)
    api.progress("1", Attempt())
    before = threading.enumerate()
    api.progress("1", Attempt())
    assert threading.enumerate() == before


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def test_a_connection_that_is_attached_after_the_abort_is_noticed(pair: tuple[socket.socket, socket.socket]) -> None:
    attempt = Attempt()
    attempt.abort()
    attempt.attach(AbortHandle(pair[0]))
    with pytest.raises(CallTimeoutError):
        attempt.enter("sending")


def test_an_attached_connection_is_shut_down(pair: tuple[socket.socket, socket.socket]) -> None:
    attempt = Attempt()
    attempt.attach(AbortHandle(pair[0]))
    attempt.enter("sending")
    attempt.abort()
    assert pair[1].recv(1) == b""
    assert pair[0].recv(1) == b""


def test_a_connection_that_is_detached_is_left_alone(pair: tuple[socket.socket, socket.socket]) -> None:
    attempt = Attempt()
    attempt.attach(AbortHandle(pair[0]))
    attempt.detach()
    attempt.abort()
    pair[0].send(b"!")
    assert pair[1].recv(1) == b"!"


def test_a_handle_shuts_down_its_own_connection_also_when_that_is_closed_meanwhile() -> None:
    one, other = socket.socketpair()
    handle = AbortHandle(one)
    number = one.fileno()
    one.close()
    third, fourth = socket.socketpair()
    with other, third, fourth:
        assert number in (third.fileno(), fourth.fileno())
        handle.shut_down()
        assert other.recv(1) == b""
        third.send(b"!")
        assert fourth.recv(1) == b"!"
