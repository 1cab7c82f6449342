"""Which bytes belong to a reply, and that a connection on which there are others serves no further call."""

from __future__ import annotations

import io
import json
import re
import threading
from collections.abc import Callable

import pytest

from exporter.api.attempt import Attempt
from exporter.api.errors import ApiError, ConnectError, HttpError
from tests.api.conftest import Attempts, Clients
from tests.support.hostile import Conversation, Script, reply

EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"


def _body(job_id: str) -> bytes:
    return json.dumps({"code": 0, "data": {"collectionName": f"of-{job_id}", "state": "Importing"}}).encode()


def _about(request: bytes) -> str:
    found = re.search(rb'"jobId":"([^"]+)"', request)
    assert found is not None
    return found[1].decode()


def _each(answer: Callable[[str, int], bytes]) -> Script:
    """Answer each request with what `answer` makes of the job's id and the number of the request on its connection."""

    def script(conversation: Conversation) -> None:
        number = 0
        while (request := conversation.request()) is not None:
            conversation.send(answer(_about(request), number))
            number += 1

    return script


def _read_all(clients: Clients, script: Script, jobs: int = 12) -> int:
    """Read jobs one after the other, check that each gets its own reply, and return how many connections that took."""
    server = clients.server(script)
    attempts = Attempts()
    api = clients.client(server.url, attempts)
    for number in range(jobs):
        assert api.progress(f"job-{number}", Attempt()).collection_name == f"of-job-{number}"
    assert attempts.seen == [("progress", None)] * jobs
    return server.connections


@pytest.mark.parametrize(
    "interim",
    [
        EARLY,
        b"HTTP/1.1 102 Processing\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 199 Whatever\r\nContent-Length: 7\r\n\r\n",
        EARLY * 20,
        b"HTTP/1.1 100 Continue\r\n\r\n" + EARLY,
    ],
)
@pytest.mark.parametrize("every", [1, 4])
def test_interim_replies_are_skipped(clients: Clients, interim: bytes, every: int) -> None:
    connections = _read_all(
        clients, _each(lambda job, number: (interim if number % every == 0 else b"") + reply(_body(job)))
    )
    assert connections == 1


def test_one_interim_reply_among_many_calls_shifts_none(clients: Clients) -> None:
    assert _read_all(clients, _each(lambda job, number: (EARLY if number == 5 else b"") + reply(_body(job)))) == 1


def test_an_interim_reply_that_comes_alone_is_skipped(clients: Clients) -> None:
    def script(conversation: Conversation) -> None:
        while (request := conversation.request()) is not None:
            conversation.send(EARLY)
            conversation.pause(0.02)
            conversation.send(reply(_body(_about(request))))

    assert _read_all(clients, script) == 1


def test_nothing_is_sent_again_after_an_interim_reply(clients: Clients) -> None:
    def script(conversation: Conversation) -> None:
        request = conversation.request()
        if request is not None:
            conversation.send(reply(_body(_about(request))))
            conversation.request()
            conversation.send(EARLY)

    server = clients.server(script)
    api = clients.client(server.url)
    api.progress("1", Attempt())
    with pytest.raises(ConnectError):
        api.progress("1", Attempt())
    assert server.connections == 1


def _chunked(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


def _filling_a_buffer(body: bytes) -> bytes:
    """The body with blanks, so that its reply is all that one read brings."""
    half = io.DEFAULT_BUFFER_SIZE // 2
    missing = io.DEFAULT_BUFFER_SIZE - len(reply(body + b" " * half))
    return body + b" " * (half + missing)


STRANGER = reply(_body("stranger"))

SURPLUS: dict[str, Callable[[bytes], bytes]] = {
    "a second reply": lambda body: reply(body) + STRANGER,
    "a second reply in part": lambda body: reply(body) + STRANGER[:-5],
    "a second reply after chunks": lambda body: _chunked(body) + STRANGER,
    "a second reply after a whole buffer": lambda body: reply(_filling_a_buffer(body)) + STRANGER,
    "one byte": lambda body: reply(body) + b"\n",
    "garbage after chunks": lambda body: _chunked(body) + b"\x00" * 20_000,
    "garbage of more than a buffer": lambda body: reply(body) + b"x" * 100_000,
    "an interim reply": lambda body: reply(body) + EARLY,
    "an announced end": lambda body: reply(body, Connection="close"),
    "an announced end in a list": lambda body: reply(body, Connection="keep-alive, Close"),
    "both kinds of length": lambda body: _chunked(body).replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n", 1),
    "a length given twice in a line": lambda body: reply(body).replace(
        b"Content-Length: ", b"Content-Length: %d, " % len(body)
    ),
    "HTTP/1.0": lambda body: reply(body).replace(b"HTTP/1.1", b"HTTP/1.0"),
}


@pytest.mark.parametrize("surplus", SURPLUS)
def test_a_connection_whose_reply_does_not_end_cleanly_is_not_used_again(clients: Clients, surplus: str) -> None:
    assert _read_all(clients, _each(lambda job, number: SURPLUS[surplus](_body(job))), jobs=5) == 5


def test_a_body_of_a_status_that_has_none_is_not_read_as_the_next_reply(clients: Clients) -> None:
    first = b"HTTP/1.1 204 No Content\r\nContent-Length: %d\r\n\r\n" % len(STRANGER) + STRANGER
    server = clients.server(_each(lambda job, number: first if job == "none" else reply(_body(job))))
    api = clients.client(server.url)
    with pytest.raises(HttpError):
        api.progress("none", Attempt())
    assert api.progress("1", Attempt()).collection_name == "of-1"
    assert server.connections == 2


@pytest.mark.parametrize("unasked", [STRANGER, b"\r\n", EARLY])
def test_bytes_that_arrive_on_an_idle_connection_end_it(clients: Clients, unasked: bytes) -> None:
    go_on, arrived = threading.Event(), threading.Event()

    def script(conversation: Conversation) -> None:
        request = conversation.request()
        assert request is not None
        conversation.send(reply(_body(_about(request))))
        go_on.wait(10)
        conversation.send(unasked)
        arrived.set()
        conversation.request()

    server = clients.server(script)
    api = clients.client(server.url)
    assert api.progress("1", Attempt()).collection_name == "of-1"
    go_on.set()
    arrived.wait(10)
    assert api.progress("2", Attempt()).collection_name == "of-2"
    assert server.connections == 2


def test_a_length_given_in_two_equal_lines_is_that_length(clients: Clients) -> None:
    def answer(job: str, number: int) -> bytes:
        length = b"Content-Length: %d\r\n" % len(_body(job))
        return reply(_body(job)).replace(length, length * 2)

    assert _read_all(clients, _each(answer)) == 1


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 4, 5",
        b"Content-Length: 4\r\nContent-Length: 5",
        b"Content-Length: +4",
        b"Content-Length: 1_0",
        b"Content-Length: -1",
        b"Content-Length: four",
        b"Content-Length: 4,",
        b"Content-Length: " + b"9" * 5000,
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked, gzip\r\nContent-Length: 4",
        b"Transfer-Encoding: unheard-of",
    ],
)
def test_a_reply_whose_end_is_unclear_is_refused_at_once(clients: Clients, framing: bytes) -> None:
    def script(conversation: Conversation) -> None:
        conversation.request()
        conversation.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n1234")
        conversation.pause()

    api = clients.client(clients.server(script).url)
    with pytest.raises(HttpError, match=r"^the reply is not HTTP$"):
        api.progress("1", Attempt())


def test_a_reply_that_breaks_off_leaves_nothing_to_the_next_call(clients: Clients) -> None:
    def answer(job: str, number: int) -> bytes:
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123" if job == "cut" else reply(_body(job))

    def script(conversation: Conversation) -> None:
        request = conversation.request()
        while request is not None:
            conversation.send(answer(_about(request), 0))
            if _about(request) == "cut":
                return
            request = conversation.request()

    server = clients.server(script)
    api = clients.client(server.url)
    for _ in range(3):
        with pytest.raises(ApiError):
            api.progress("cut", Attempt())
        assert api.progress("1", Attempt()).collection_name == "of-1"
