"""What a client sends, over which connections, and what it never tells."""

import itertools
import json
import logging
import netrc
import os
import threading
import time
import traceback
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import responses

from exporter.api.attempt import Attempt
from exporter.api.client import ApiSettings, Exchange, ImportApi
from exporter.api.errors import ApiError, AuthError, ConnectError, HttpError
from exporter.config.secret import Secret
from exporter.model import ErrorClass, Job, ListedJob, ListPage, State
from tests.api.conftest import KEY, Attempts, Clients
from tests.support.authority import Authority
from tests.support.hostile import Conversation, Hostile, always, once, reply

JOB: dict[str, object] = {"code": 0, "data": {"collectionName": "articles", "state": "Importing", "progress": 57}}
GOOD = reply(JOB)
EXPECTED = Job("1", "articles", State.IMPORTING, progress=0.57)


def _parts(request: bytes) -> tuple[str, dict[str, str], Any]:
    head, _, body = request.partition(b"\r\n\r\n")
    line, *headers = head.decode("latin-1").split("\r\n")
    return line, dict(header.split(": ", 1) for header in headers), json.loads(body)


def _sent(clients: Clients, call: Callable[[ImportApi], object], **settings: Any) -> tuple[str, dict[str, str], Any]:
    server = clients.server(always(reply({"code": 0, "data": {"state": "Pending"}})))
    call(clients.client(server.url, **settings))
    return _parts(server.requests[0])


def test_progress_as_zilliz_cloud_wants_it(plain: Clients) -> None:
    line, headers, body = _sent(plain, lambda api: api.progress("448761313698322011", Attempt()))
    assert line == "POST /v2/vectordb/jobs/import/getProgress HTTP/1.1"
    assert body == {"clusterId": "in01-test", "jobId": "448761313698322011"}
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert headers["Content-Type"] == headers["Accept"] == "application/json"
    assert headers["Accept-Encoding"] == "identity"
    assert headers["User-Agent"].startswith("zilliz-import-exporter/")
    assert "DB-Name" not in headers


def test_project_and_region_stand_for_the_cluster(plain: Clients) -> None:
    _, _, body = _sent(
        plain, lambda api: api.progress("job-x", Attempt()), project_id="proj-x", region_id="aws-us-west-2"
    )
    assert body == {"projectId": "proj-x", "regionId": "aws-us-west-2", "jobId": "job-x"}


def test_progress_as_milvus_wants_it(plain: Clients) -> None:
    line, headers, body = _sent(
        plain,
        lambda api: api.progress("457000000000000001", Attempt()),
        dialect="milvus",
        progress_path="describe",
        key=Secret("root:Milvüs"),
        db_name="bücher",
    )
    assert line == "POST /v2/vectordb/jobs/import/describe HTTP/1.1"
    assert body == {"jobId": "457000000000000001"}
    assert headers["Authorization"].encode("latin-1").decode() == "Bearer root:Milvüs"
    assert headers["DB-Name"].encode("latin-1").decode() == "bücher"


def test_a_job_is_asked_for_in_the_database_of_its_list(plain: Clients) -> None:
    _, headers, _ = _sent(plain, lambda api: api.progress("1", Attempt(), database="other"), db_name="default")
    assert headers["DB-Name"] == "other"


def test_no_key_no_authorization(plain: Clients) -> None:
    _, headers, _ = _sent(plain, lambda api: api.progress("1", Attempt()), dialect="milvus", key=None)
    assert "Authorization" not in headers


@pytest.mark.parametrize(
    ("settings", "asked", "body", "database"),
    [
        ({}, {}, {"clusterId": "in01-test", "pageSize": 100, "currentPage": 3}, None),
        (
            {"db_name": "default"},
            {"collection": "articles", "database": "other"},
            {
                "clusterId": "in01-test",
                "pageSize": 100,
                "currentPage": 3,
                "collectionName": "articles",
                "dbName": "other",
            },
            "other",
        ),
        ({"dialect": "milvus"}, {}, {}, None),
        (
            {"dialect": "milvus", "db_name": "default"},
            {"collection": "articles"},
            {"collectionName": "articles", "dbName": "default"},
            "default",
        ),
    ],
)
def test_list(
    plain: Clients, settings: dict[str, Any], asked: dict[str, Any], body: dict[str, Any], database: str | None
) -> None:
    line, headers, sent = _sent(plain, lambda api: api.list_page(3, Attempt(), **asked), **settings)
    assert line == "POST /v2/vectordb/jobs/import/list HTTP/1.1"
    assert sent == body
    assert headers.get("DB-Name") == database


def test_a_page_is_read_as_sent(plain: Clients) -> None:
    data = {"count": 9, "records": [{"jobId": "1", "collectionName": "a", "state": "InProgress"}] * 2}
    attempts = Attempts()
    api = plain.client(plain.server(always(reply({"code": 0, "data": data}))).url, attempts)
    assert api.list_page(1, Attempt()) == ListPage((ListedJob("1", "a", State.IMPORTING),) * 2)
    assert attempts.seen == [("list", None)]


def test_a_prefix_of_the_base_url_stays(plain: Clients) -> None:
    server = plain.server(always(GOOD))
    plain.client(f"{server.url}/gateway").progress("1", Attempt())
    assert server.requests[0].startswith(b"POST /gateway/v2/vectordb/jobs/import/getProgress HTTP/1.1\r\n")


def test_a_connection_serves_one_call_after_the_other(clients: Clients) -> None:
    attempts = Attempts()
    server = clients.server(always(GOOD))
    api = clients.client(server.url, attempts)
    for _ in range(5):
        assert api.progress("1", Attempt()) == EXPECTED
    assert server.connections == 1
    assert attempts.seen == [("progress", None)] * 5


def test_simultaneous_calls_use_no_more_connections_than_there_are_of_them(clients: Clients) -> None:
    server = clients.server(always(GOOD))
    api = clients.client(server.url, concurrency=8)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: api.progress("1", Attempt()), range(400))) == [EXPECTED] * 400
    assert len(server.requests) == 400
    assert server.connections <= 8


def test_an_error_keeps_the_connection(clients: Clients) -> None:
    server = clients.server(always(reply(b"<html>", "502 Bad Gateway")))
    api = clients.client(server.url)
    for _ in range(3):
        with pytest.raises(HttpError):
            api.progress("1", Attempt())
    assert server.connections == 1


class _ClosesSecond:
    """Answers the first request of a connection; closes it, or says something and closes, at the second."""

    def __init__(self, said: bytes = b"", *, reset: bool = False, only_first: bool = True) -> None:
        self._said = said
        self._reset = reset
        self._only_first = only_first
        self._connections = 0

    def __call__(self, conversation: Conversation) -> None:
        self._connections += 1
        if self._connections > 1 and not self._only_first:
            conversation.request()
            return
        conversation.request()
        conversation.send(GOOD)
        conversation.request()
        if self._connections > 1:
            conversation.send(GOOD)
            return
        conversation.send(self._said)
        if self._reset:
            conversation.reset()


@pytest.mark.parametrize("reset", [False, True])
def test_a_kept_connection_that_was_closed_is_replaced_once(clients: Clients, *, reset: bool) -> None:
    attempts, sent = Attempts(), []
    server = clients.server(_ClosesSecond(reset=reset))
    api = clients.client(server.url, attempts)
    for _ in range(2):
        assert api.progress("1", Attempt(lambda: sent.append(1))) == EXPECTED
    assert attempts.seen == [("progress", None), ("progress", ErrorClass.CONNECT), ("progress", None)]
    assert server.connections == 2
    assert len(sent) == 3


def test_a_kept_connection_that_was_closed_takes_the_idle_ones_along(clients: Clients) -> None:
    together = {"all": threading.Barrier(3), "both": threading.Barrier(2)}
    first_generation = itertools.count()

    def script(conversation: Conversation) -> None:
        old = next(first_generation) < 3
        while (request := conversation.request()) is not None:
            job_id = _parts(request)[2]["jobId"]
            if job_id in together:
                together[job_id].wait(10)
            conversation.send(GOOD)
            if old:
                conversation.request()
                return

    attempts = Attempts()
    api = clients.client(clients.server(script).url, attempts)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: api.progress("all", Attempt()), range(3)))
        api.progress("alone", Attempt())
        list(pool.map(lambda _: api.progress("both", Attempt()), range(2)))
    assert [error for _, error in attempts.seen] == [None] * 3 + [ErrorClass.CONNECT] + [None] * 3


def test_a_fresh_connection_that_is_closed_too_is_an_error(clients: Clients) -> None:
    attempts = Attempts()
    server = clients.server(_ClosesSecond(only_first=False))
    api = clients.client(server.url, attempts)
    api.progress("1", Attempt())
    with pytest.raises(ConnectError):
        api.progress("1", Attempt())
    assert len(attempts.seen) == 3
    assert server.connections == 2


@pytest.mark.parametrize("said", [b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"])
def test_nothing_is_asked_again_once_a_byte_of_the_reply_came(clients: Clients, said: bytes) -> None:
    attempts = Attempts()
    server = clients.server(_ClosesSecond(said))
    api = clients.client(server.url, attempts)
    api.progress("1", Attempt())
    with pytest.raises(ApiError):
        api.progress("1", Attempt())
    assert len(attempts.seen) == 2
    assert server.connections == 1


def test_a_fresh_connection_that_is_closed_is_not_replaced(clients: Clients) -> None:
    attempts = Attempts()
    server = clients.server(once(b""))
    with pytest.raises(ConnectError, match="the server closed the connection"):
        clients.client(server.url, attempts).progress("1", Attempt())
    assert attempts.seen == [("progress", ErrorClass.CONNECT)]
    assert server.connections == 1


def test_a_call_that_finds_its_client_closed_ends_as_it_would_and_keeps_no_connection(clients: Clients) -> None:
    attempts = Attempts()
    server = clients.server(always(GOOD))
    api = clients.client(server.url, attempts)
    api.progress("1", Attempt())
    api.close()
    for _ in range(2):
        assert api.progress("1", Attempt()).progress == 0.57
    assert attempts.seen == [("progress", None)] * 3
    assert server.connections == 3


def test_the_limiter_learns_when_the_request_is_on_its_way(clients: Clients) -> None:
    sent = threading.Event()

    def script(conversation: Conversation) -> None:
        conversation.request()
        if sent.wait(10):
            conversation.send(GOOD)

    assert clients.client(clients.server(script).url).progress("1", Attempt(sent.set)) == EXPECTED


def test_the_environment_is_not_read(plain: Clients, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server, proxy = plain.server(always(GOOD)), plain.server(always(GOOD))
    (tmp_path / ".netrc").write_text("default login someone password else\n")
    netrc.netrc(str(tmp_path / ".netrc"))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.url)
    plain.client(server.url, key=None, dialect="milvus").progress("1", Attempt())
    assert proxy.connections == 0
    assert b"Authorization" not in server.requests[0]


def test_a_proxy_for_plain_http_is_asked_for_the_whole_url(plain: Clients) -> None:
    proxy = plain.server(always(GOOD))
    url = proxy.url.replace("//", "//user:p%40ss@")
    assert plain.client("http://api.example/x", proxy_url=url).progress("1", Attempt()) == EXPECTED
    line, headers, _ = _parts(proxy.requests[0])
    assert line == "POST http://api.example/x/v2/vectordb/jobs/import/getProgress HTTP/1.1"
    assert headers["Host"] == "api.example"
    assert headers["proxy-authorization"] == "Basic " + b64encode(b"user:p@ss").decode()


def test_a_proxy_that_speaks_tls_is_verified(secure: Clients) -> None:
    proxy = secure.server(always(GOOD))
    assert secure.client("http://api.example", proxy_url=proxy.url).progress("1", Attempt()) == EXPECTED
    with pytest.raises(ApiError) as raised:
        secure.client("http://api.example", proxy_url=proxy.url, ca_file=None).progress("1", Attempt())
    assert raised.value.error is ErrorClass.TLS


def test_a_proxy_for_https_tunnels_and_never_sees_the_key(secure: Clients, authority: Authority) -> None:
    def script(conversation: Conversation) -> None:
        conversation.request()
        conversation.send(b"HTTP/1.1 200 Connection established\r\nVia: proxy\r\n\r\n")
        conversation.start_tls(authority.server_context("api.example"))
        while conversation.request() is not None:
            conversation.send(GOOD)

    with Hostile(script) as proxy:
        api = secure.client("https://api.example", proxy_url=proxy.url.replace("//", "//user:pass@"))
        for _ in range(2):
            assert api.progress("1", Attempt()) == EXPECTED
    assert proxy.connections == 1
    connect, *inside = proxy.requests
    assert connect.startswith(b"CONNECT api.example:443 HTTP/1.")
    assert b"proxy-authorization: Basic " + b64encode(b"user:pass") in connect
    assert KEY.encode() not in connect
    assert all(KEY.encode() in request and b"proxy-authorization" not in request.lower() for request in inside)


def test_a_proxy_that_refuses(secure: Clients) -> None:
    with Hostile(always(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")) as proxy:
        api = secure.client("https://api.example", proxy_url=proxy.url.replace("//", "//user:proxy-secret@"))
        with pytest.raises(
            ConnectError, match=r"^the proxy answered 407, while in CONNECT to the proxy 127\.0\.0\.1:\d+$"
        ):
            api.progress("1", Attempt())


def test_logic_can_be_tested_without_a_server() -> None:
    api = ImportApi(ApiSettings("in01-test", "zilliz", "https://api.example", Secret(KEY)), observe=Attempts().observe)
    with responses.RequestsMock() as mocked:
        mocked.post(
            "https://api.example/v2/vectordb/jobs/import/getProgress",
            json=JOB,
            match=[responses.matchers.json_params_matcher({"clusterId": "in01-test", "jobId": "1"})],
        )
        assert api.progress("1", Attempt()) == EXPECTED
        assert mocked.calls[0].request.headers["authorization"] == f"Bearer {KEY}"


def _repeats_the_request(status: bytes) -> Callable[[Conversation], None]:
    def script(conversation: Conversation) -> None:
        request = conversation.request() or b""
        headers = request.partition(b"\r\n\r\n")[0].decode("latin-1")
        conversation.send(
            reply({"code": 7, "message": headers}, status.decode(), X_Echo=KEY, Set_Cookie="session=cookie-secret")
        )

    return script


FAULTS: dict[str, Callable[[Conversation], None]] = {
    "refused": _repeats_the_request(b"401 Unauthorized"),
    "repeated": _repeats_the_request(b"200 OK"),
    "status line": lambda conversation: conversation.send(conversation.request() or b""),
    "closed": once(b""),
    "redirect": always(reply(b"", "302 Found", Location=f"http://other.example/?key={KEY}")),
    "cut": once(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + KEY.encode()),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_key_is_told_nowhere(clients: Clients, caplog: pytest.LogCaptureFixture, fault: str) -> None:
    caplog.set_level(logging.DEBUG)

    def script(conversation: Conversation) -> None:
        FAULTS[fault](conversation)
        conversation.socket.close()

    api = clients.client(clients.server(script).url, key=Secret(KEY))
    with pytest.raises(ApiError) as raised:
        api.progress("1", Attempt())
    error = raised.value
    texts = [str(error), repr(error), repr(api), caplog.text, "".join(traceback.format_exception(error))]
    assert error.__cause__ is None
    assert error.__context__ is None
    exchange = api.explain("1", Attempt())
    texts += [repr(exchange), str(exchange.outcome), exchange.reply_text]
    assert not [text for text in texts if KEY in text or "cookie-secret" in text]


def test_the_key_in_a_good_reply_gets_into_no_label(clients: Clients) -> None:
    data = {"state": "Failed", "collectionName": f"c-{KEY}", "reason": f"bad {KEY}", "details": [{"fileName": KEY}]}
    job = clients.client(clients.server(always(reply({"code": 0, "data": data}))).url).progress("1", Attempt())
    assert job.collection_name == "c-<secret>"
    assert job.reason == "bad <secret>"
    assert job.files is not None
    assert job.files[0].name == "<secret>"


def test_a_key_is_found_as_urls_and_headers_write_it(plain: Clients) -> None:
    key = "canary/k\u00e9y 5f3a"
    as_sent = key.encode().decode("latin-1")
    answer = reply(b"", "302 Found", Location=f"http://other.example/{quote(key)}", X_Key=quote(key, safe=""))
    answer = answer.replace(b"Location", f"X-Echo: {as_sent}\r\nLocation".encode("latin-1"))
    exchange = plain.client(plain.server(always(answer)).url, key=Secret(key)).explain("1", Attempt())
    assert repr(exchange).count("<secret>") == 4
    assert "5f3a" not in repr(exchange)


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "Proxy-Authorization",
        "Proxy-Authenticate",
        "WWW-Authenticate",
        "Proxy-Authentication-Info",
        "Cookie",
        "Set-Cookie2",
        "X-Auth-Token",
        "X-Api-Key",
        "X-Amz-Security-Token",
    ],
)
def test_a_header_with_credentials_is_not_explained(plain: Clients, name: str) -> None:
    answer = reply(JOB, **{name.replace("-", "_").lower(): "opaque-canary"})
    exchange = plain.client(plain.server(always(answer)).url).explain("1", Attempt())
    assert (name.lower(), "<secret>") in exchange.reply_headers
    assert "canary" not in repr(exchange)


def test_the_password_of_a_proxy_that_repeats_the_request_is_shown_nowhere(plain: Clients) -> None:
    def script(conversation: Conversation) -> None:
        headers = (conversation.request() or b"").partition(b"\r\n\r\n")[0]
        echo = next(line for line in headers.split(b"\r\n") if line.lower().startswith(b"proxy-authorization"))
        message = f"{headers.decode()} from someone:p@ss-canary"
        conversation.send(
            reply({"code": 7, "message": message}, "403 Forbidden", X_Echo=echo.decode()).replace(
                b"X-Echo", echo + b"\r\nX-Echo"
            )
        )

    proxy = plain.server(script)
    api = plain.client("http://api.example", proxy_url=proxy.url.replace("//", "//someone:p%40ss-canary@"))
    exchange = api.explain("1", Attempt())
    assert isinstance(exchange.outcome, AuthError)
    token = b64encode(b"someone:p@ss-canary").decode()
    assert token in proxy.requests[0].decode()
    for text in (repr(exchange), str(exchange.outcome)):
        assert "canary" not in text
        assert token not in text
    assert exchange.reply_text.count("<secret>") == 3


def test_the_password_of_a_proxy_is_not_represented() -> None:
    settings = ApiSettings("in01", "zilliz", "https://api.example", proxy_url="http://user:canary@proxy")
    assert "canary" not in repr(settings)


def test_a_key_with_quotes_is_found_as_json_writes_it(plain: Clients) -> None:
    key = 'quo"ted\\kéy'
    body = reply({"code": 7, "message": f"no {key}"})
    with pytest.raises(ApiError, match=r"no <secret>$"):
        plain.client(plain.server(always(body)).url, key=Secret(key)).progress("1", Attempt())


def test_an_exchange_explained(plain: Clients) -> None:
    attempts = Attempts()
    server = plain.server(always(reply(JOB, Server="x")))
    exchange = plain.client(server.url, attempts).explain("1", Attempt())
    assert exchange == Exchange(
        request_line=f"POST {server.url}/v2/vectordb/jobs/import/getProgress",
        request_headers=exchange.request_headers,
        request_body='{"clusterId":"in01-test","jobId":"1"}',
        sent=True,
        status=200,
        reply_headers=(("Content-Length", str(len(json.dumps(JOB)))), ("Server", "x")),
        reply_text=json.dumps(JOB),
        reply_left_out=0,
        outcome=EXPECTED,
    )
    assert ("Authorization", "Bearer <secret>") in exchange.request_headers
    assert attempts.seen == [("progress", None)]


def test_what_is_explained_has_no_pre_signed_urls(plain: Clients) -> None:
    data = {"state": "Importing", "details": [{"fileName": "https://u:p@h/a?sig=b", "fileSize": 1}]}
    answer = reply({"code": 0, "data": data}, Location="http://h/?sig=b")
    exchange = plain.client(plain.server(always(answer)).url).explain("1", Attempt())
    assert '{"fileName": "https://h/a", "fileSize": 1}' in exchange.reply_text
    assert ("Location", "http://h/") in exchange.reply_headers
    escaped = json.dumps({"code": 0, "data": data}).replace("/", "\\/").encode()
    exchange = plain.client(plain.server(always(reply(escaped))).url).explain("1", Attempt())
    assert '"https://h/a"' in exchange.reply_text


def test_an_error_explained(plain: Clients) -> None:
    server = plain.server(always(reply(b"x" * 100_000, "401 Unauthorized")))
    exchange = plain.client(server.url).explain("1", Attempt())
    assert isinstance(exchange.outcome, AuthError)
    assert exchange.status == 401
    assert (exchange.reply_text, exchange.reply_left_out) == ("x" * 65_536, 34_464)


def test_no_reply_explained(plain: Clients) -> None:
    with Hostile(lambda conversation: None) as server:
        pass
    exchange = plain.client(server.url).explain("1", Attempt())
    assert isinstance(exchange.outcome, ConnectError)
    assert (exchange.status, exchange.reply_headers, exchange.reply_text) == (None, (), "")
    assert not exchange.sent


def test_a_request_without_a_reply_is_explained_as_sent(plain: Clients) -> None:
    def hang_up(conversation: Conversation) -> None:
        conversation.request()

    with Hostile(hang_up) as server:
        exchange = plain.client(server.url).explain("1", Attempt())
    assert isinstance(exchange.outcome, ConnectError)
    assert (exchange.sent, exchange.status) == (True, None)


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # the descriptors of this process


def test_nothing_is_left_behind(clients: Clients) -> None:
    server = clients.server(always(GOOD))

    def use(number: int) -> None:
        api = clients.client(server.url if number % 3 else server.url.replace(str(server.port), "1"))
        try:
            api.progress("1", Attempt())
        except ConnectError:
            pass
        finally:
            api.close()

    use(1)
    use(0)
    before = _descriptors()
    for number in range(30):
        use(number)
    # The other ends are closed by the server's threads.
    until = time.monotonic() + 10
    while _descriptors() > before and time.monotonic() < until:
        time.sleep(0.01)
    assert _descriptors() <= before
