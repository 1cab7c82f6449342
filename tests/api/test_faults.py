"""The faults that a network and a server can produce, and the class of error that each is."""

import json
import re
import socket
import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from exporter.api import transport
from exporter.api.attempt import Attempt
from exporter.api.errors import ApiError, ConnectError, HttpError, PayloadError, RateLimitedError, TlsError
from exporter.model import ErrorClass, Job, State
from tests.api.conftest import Attempts, Clients
from tests.support.authority import Authority
from tests.support.hostile import Conversation, Hostile, Script, always, once, reply

JOB: dict[str, object] = {"code": 0, "data": {"collectionName": "articles", "state": "Importing", "progress": 57}}
GOOD = reply(JOB)
REPLIES = Path(__file__).parent / "replies"


def _error(clients: Clients, script: Script, **settings: Any) -> ApiError:
    attempts = Attempts()
    api = clients.client(clients.server(script).url, attempts, **settings)
    with pytest.raises(ApiError) as raised:
        api.progress("1", Attempt())
    assert attempts.seen == [("progress", raised.value.error)]
    return raised.value


def _job(clients: Clients, script: Script) -> Job:
    return clients.client(clients.server(script).url).progress("1", Attempt())


def _broken(part: bytes, *, reset: bool = False) -> Script:
    def script(conversation: Conversation) -> None:
        conversation.request()
        conversation.send(part)
        if reset:
            # The client has to have the part before the reset drops what is on its way.
            conversation.pause(0.05)
            conversation.reset()

    return script


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        ("401 Unauthorized", b'{"code":1800,"message":"user hasn\'t authenticated"}', ErrorClass.AUTH),
        ("403 Forbidden", b"", ErrorClass.AUTH),
        ("403 Forbidden", b'{"code":65535}', ErrorClass.AUTH),
        ("404 Not Found", b"404 page not found", ErrorClass.HTTP),
        ("408 Request Timeout", b'{"code":10001}', ErrorClass.TIMEOUT),
        ("429 Too Many Requests", b"", ErrorClass.RATE_LIMITED),
        ("500 Internal Server Error", b'{"code":500}', ErrorClass.API),
        ("502 Bad Gateway", b"<html>", ErrorClass.HTTP),
        ("204 No Content", b"", ErrorClass.HTTP),
        ("200 OK", b'{"code":21119}', ErrorClass.AUTH),
        ("200 OK", b'{"code":0}', ErrorClass.PAYLOAD),
        ("200 OK", b'{"code":0,"data":{"state":"Imp', ErrorClass.PAYLOAD),
        ("200 OK", b"", ErrorClass.PAYLOAD),
        ("200 OK", b"[" * 20_000 + b"]" * 20_000, ErrorClass.PAYLOAD),
    ],
)
def test_status_and_code(clients: Clients, status: str, body: bytes, error: ErrorClass) -> None:
    assert _error(clients, always(reply(body, status))).error is error


@pytest.mark.parametrize("path", sorted(REPLIES.glob("*.json")), ids=lambda path: path.stem)
def test_every_recorded_reply_as_a_reply_to_progress(plain: Clients, path: Path) -> None:
    recorded = json.loads(path.read_text())["response"]
    script = always(reply(recorded["body"].encode(), f"{recorded['status']} Recorded", **recorded["headers"]))
    if recorded["status"] == 200 and '"code":0' in recorded["body"] and '"records"' not in recorded["body"]:
        assert _job(plain, script).state in State
    else:
        _error(plain, script)


@pytest.mark.parametrize(
    ("header", "seconds"), [({}, None), ({"Retry_After": "7"}, 7.0), ({"Retry_After": "soon"}, None)]
)
def test_retry_after_is_passed_on(plain: Clients, header: dict[str, str], seconds: float | None) -> None:
    error = _error(plain, always(reply(b"", "429 Too Many Requests", **header)))
    assert isinstance(error, RateLimitedError)
    assert error.retry_after == seconds


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
def test_redirects_are_not_followed(clients: Clients, status: str) -> None:
    elsewhere = clients.server(always(GOOD))
    error = _error(clients, always(reply(b"", status, Location=f"{elsewhere.url}/v2/vectordb/jobs/import/getProgress")))
    assert isinstance(error, HttpError)
    assert elsewhere.connections == 0


def test_cookies_are_not_kept(plain: Clients) -> None:
    server = plain.server(always(reply(JOB, Set_Cookie="session=1; Path=/")))
    api = plain.client(server.url)
    for _ in range(2):
        api.progress("1", Attempt())
    assert not any(b"cookie" in request.lower() for request in server.requests)


@pytest.mark.parametrize(
    "body",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x00\xff\x00\xff\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 99999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4, 5\r\n\r\n1234",
        b"x" * 70_000,
    ],
)
def test_what_is_not_http(clients: Clients, body: bytes) -> None:
    assert isinstance(_error(clients, _broken(body)), HttpError)


@pytest.mark.parametrize(
    "part",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b'{"code": 0, ',
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{" + b'"cod',
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
@pytest.mark.parametrize("reset", [False, True])
def test_connections_that_break_before_or_in_the_reply(clients: Clients, part: bytes, *, reset: bool) -> None:
    assert isinstance(_error(clients, _broken(part, reset=reset)), ConnectError)


def test_a_reply_without_a_length_ends_with_the_connection(clients: Clients) -> None:
    body = json.dumps(JOB).encode()
    assert _job(clients, _broken(b"HTTP/1.0 200 OK\r\n\r\n" + body)).progress == 0.57
    assert isinstance(_error(clients, _broken(b"HTTP/1.0 200 OK\r\n\r\n" + body[:-3])), PayloadError)


def test_chunks_extensions_trailers_and_interim_replies_are_http(clients: Clients) -> None:
    body = json.dumps(JOB).encode()
    chunks = b"".join(b"%x;name=value\r\n%c\r\n" % (1, byte) for byte in body)
    head = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert _job(clients, always(head + chunks + b"0\r\nTrailer: x\r\n\r\n")).progress == 0.57


def test_a_connection_that_is_refused(clients: Clients) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    api = clients.client(f"{'https' if clients.tls else 'http'}://127.0.0.1:{port}")
    with pytest.raises(ConnectError, match=rf"^Connection refused, while connecting to 127\.0\.0\.1:{port}$"):
        api.progress("1", Attempt())


@pytest.mark.parametrize("fault", [socket.gaierror(socket.EAI_NONAME, "Name or service not known"), UnicodeError("x")])
def test_a_name_that_is_not_resolved(clients: Clients, monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    def resolve(*args: object, **kwargs: object) -> None:
        raise fault

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    api = clients.client("https://api.example")
    with pytest.raises(ConnectError, match=r"resolving the host name api\.example$"):
        api.progress("1", Attempt())


def test_the_next_address_is_tried(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    server = clients.server(always(GOOD))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()[1]
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in (closed, server.port)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
    assert clients.client(server.url).progress("1", Attempt()).progress == 0.57


def test_ipv6(clients: Clients) -> None:
    server = clients.server(always(GOOD), host="::1")
    assert clients.client(server.url).progress("1", Attempt()).progress == 0.57
    assert f"Host: [::1]:{server.port}".encode() in server.requests[0]


def test_an_unknown_authority(secure: Clients, tmp_path: Path) -> None:
    error = _error(secure, always(GOOD), ca_file=str(Authority(tmp_path, "Another authority").ca_file))
    assert isinstance(error, TlsError)
    address = r"127\.0\.0\.1:\d+"
    sentence = f"unable to get local issuer certificate, while in the TLS handshake with {address}"
    assert re.fullmatch(sentence, str(error))


def test_plain_http_to_a_port_that_speaks_tls(plain: Clients, authority: Authority) -> None:
    with (
        Hostile(always(GOOD), tls=authority.server_context()) as server,
        pytest.raises(ApiError, match=r"; is its URL https\?$"),
    ):
        plain.client(server.url.replace("https://", "http://")).progress("1", Attempt())


def test_plain_http_to_a_server_that_closes_the_connection(plain: Clients) -> None:
    with pytest.raises(ConnectError) as raised:
        plain.client((server := plain.server(once(b""))).url).progress("1", Attempt())
    closed = f"the server closed the connection to 127.0.0.1:{server.port}, while waiting for the reply"
    assert str(raised.value) == f"{closed}; is its URL https?"


def test_a_reply_that_is_cut_off_is_no_reason_to_doubt_the_url(clients: Clients) -> None:
    error = _error(clients, once(GOOD[:20]))
    assert "https" not in str(error)


def test_the_public_authorities_are_trusted_by_default_alone(secure: Clients) -> None:
    assert isinstance(_error(secure, always(GOOD), ca_file=None), TlsError)


def test_an_expired_certificate(secure: Clients, authority: Authority) -> None:
    context = authority.server_context(valid_for=timedelta(days=-1))
    with Hostile(always(GOOD), tls=context) as server, pytest.raises(TlsError, match="certificate has expired"):
        secure.client(server.url).progress("1", Attempt())


def test_a_wrong_host_name(secure: Clients, authority: Authority) -> None:
    with Hostile(always(GOOD), tls=authority.server_context("other.example")) as server:
        with pytest.raises(TlsError, match=r"127\.0\.0\.1"):
            secure.client(server.url).progress("1", Attempt())
        right = secure.client(server.url, server_name="other.example")
        assert right.progress("1", Attempt()).progress == 0.57
        assert secure.client(server.url, insecure_skip_verify=True).progress("1", Attempt()).progress == 0.57
        assert server.connections == 3


def test_a_server_that_speaks_no_tls(secure: Clients) -> None:
    def answer(conversation: Conversation) -> None:
        conversation.socket.recv(1000)
        conversation.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with (
        Hostile(answer) as server,
        pytest.raises(TlsError, match=r"^127\.0\.0\.1:\d+ does not speak TLS \([A-Z_]+\); is"),
    ):
        secure.client(server.url.replace("http", "https")).progress("1", Attempt())


def test_a_server_that_leaves_in_the_handshake(secure: Clients) -> None:
    def leave(conversation: Conversation) -> None:
        conversation.socket.recv(1000)

    with Hostile(leave) as server, pytest.raises(ApiError) as raised:
        secure.client(server.url.replace("http", "https")).progress("1", Attempt())
    assert raised.value.error in (ErrorClass.TLS, ErrorClass.CONNECT)


def test_a_client_certificate_is_shown(secure: Clients, authority: Authority) -> None:
    context = authority.server_context()
    context.load_verify_locations(authority.ca_file)
    context.verify_mode = ssl.CERT_REQUIRED
    cert_file, key_file = authority.issue("client.example")
    with Hostile(always(GOOD), tls=context) as server:
        known = secure.client(server.url, cert_file=str(cert_file), key_file=str(key_file))
        assert known.progress("1", Attempt()).progress == 0.57
        with pytest.raises(ApiError) as raised:
            secure.client(server.url).progress("1", Attempt())
        # TLS 1.3 refuses it after the handshake, and the reset may overtake the alert that says so.
        assert raised.value.error in (ErrorClass.TLS, ErrorClass.CONNECT)


@pytest.mark.parametrize("missing", ["ca_file", "cert_file"])
def test_tls_files_that_cannot_be_used_are_named_at_once(secure: Clients, tmp_path: Path, missing: str) -> None:
    settings: dict[str, Any] = {missing: str(tmp_path / "missing.pem")}
    with pytest.raises(TlsError, match=r"missing\.pem"):
        secure.client("https://api.example", None, **settings)


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [("gzip", "gzip"), ("deflate", "zlib")],
)
def test_an_encoding_that_was_not_asked_for_is_decoded(plain: Clients, encoding: str, encode: str) -> None:
    compress: Callable[[bytes], bytes] = __import__(encode).compress
    body = compress(json.dumps(JOB).encode())
    assert _job(plain, always(reply(body, Content_Encoding=encoding))).progress == 0.57


def test_a_broken_encoding(plain: Clients) -> None:
    assert isinstance(_error(plain, always(reply(b"not gzip", Content_Encoding="gzip"))), PayloadError)


def _endless(head: bytes, piece: bytes) -> Script:
    def script(conversation: Conversation) -> None:
        conversation.request()
        conversation.send(head)
        while True:
            conversation.send(piece)

    return script


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", b" " * 65536),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n", b" " * 65536),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 65536 + b"\r\n"),
    ],
)
def test_a_reply_larger_than_the_cap(
    clients: Clients, monkeypatch: pytest.MonkeyPatch, head: bytes, piece: bytes
) -> None:
    monkeypatch.setattr(transport, "LARGEST_REPLY", 3 * 1024 * 1024)
    error = _error(clients, _endless(head, piece))
    assert isinstance(error, PayloadError)
    assert str(error) == "the reply is larger than 3 MiB"


def test_a_decompression_bomb_hits_the_cap(plain: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    import gzip

    monkeypatch.setattr(transport, "LARGEST_REPLY", 3 * 1024 * 1024)
    bomb = gzip.compress(b" " * 50_000_000)
    assert isinstance(_error(plain, always(reply(bomb, Content_Encoding="gzip"))), PayloadError)


def test_a_fault_ends_with_the_reply(clients: Clients) -> None:
    server = clients.server(once(reply(b"<html>", "502 Bad Gateway", Connection="close")))
    api = clients.client(server.url)
    for _ in range(2):
        with pytest.raises(HttpError):
            api.progress("1", Attempt())
    assert server.connections == 2
