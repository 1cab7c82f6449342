"""What the server answers to requests without the right password, or above the rate limit."""

from __future__ import annotations

import base64
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import bcrypt
import pytest
from structlog.testing import capture_logs

from exporter.web.passwords import MOST_WAITING
from exporter.web.server import ServerSettings
from tests.support.program import wait_for
from tests.web.backend import PATIENT, FakeBackend, running
from tests.web.test_passwords import HASH


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


RIGHT = {"Authorization": basic("alice", "right")}


@pytest.fixture
def guarded(tmp_path: Path) -> ServerSettings:
    (tmp_path / "web.yml").write_text(f"basic_auth_users:\n  alice: {HASH.decode()}\n")
    return replace(PATIENT, web_config_file=tmp_path / "web.yml", refresh_interval=0.02)


@pytest.mark.parametrize("path", ["/metrics", "/probe?target=in01-a", "/sd", "/", "/-/healthy", "/-/ready", "/nothing"])
def test_every_path_needs_the_password(guarded: ServerSettings, path: str) -> None:
    with running(FakeBackend(), guarded) as server:
        response, _ = server.get(path)
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith("Basic ")
        assert server.get(path, headers=RIGHT)[0].status == (404 if path == "/nothing" else 200)


@pytest.mark.parametrize("method", ["POST", "DELETE", "HEAD", "OPTIONS"])
def test_every_method_needs_the_password(guarded: ServerSettings, method: str) -> None:
    with running(FakeBackend(), replace(guarded, enable_lifecycle=True)) as server:
        for path in ("/metrics", "/-/reload"):
            assert server.get(path, method=method)[0].status == 401


@pytest.mark.parametrize(
    "header",
    [
        "", basic("alice", "wrong"), basic("bob", "right"), basic("", ""), basic("alice", ""), "Basic", "Basic ====",
        "Basic !!!!", "Basic YWxpY2U=", basic("alice", "x" * 3000), "Digest a", basic("alice", "right") + "x",
        "Basic é",
        "Bearer " + basic("alice", "right").removeprefix("Basic "),
        "Basic " + base64.b64encode(b"\xff:right").decode(), "Basic " + base64.b64encode(b"alice:\xff").decode(),
    ],
)  # fmt: skip
def test_anything_else_is_401(guarded: ServerSettings, header: str) -> None:
    backend = FakeBackend()
    with running(backend, guarded) as server:
        response, body = server.get("/metrics", headers={"Authorization": header})
        assert response.status == 401
        assert b"alice" not in body
    assert backend.asked == []


def test_names_and_passwords_may_hold_any_text(guarded: ServerSettings) -> None:
    assert guarded.web_config_file is not None
    hashed = bcrypt.hashpw("ü:b".encode(), bcrypt.gensalt(4)).decode()
    guarded.web_config_file.write_text(f"basic_auth_users:\n  ä: {hashed}\n", encoding="utf-8")
    with running(FakeBackend(), guarded) as server:
        assert server.get("/sd", headers={"Authorization": basic("ä", "ü:b")})[0].status == 200


def test_a_hundred_wrong_passwords_hold_up_neither_scrapes_nor_the_loop(guarded: ServerSettings) -> None:
    assert guarded.web_config_file is not None
    expensive = bcrypt.hashpw(b"right", bcrypt.gensalt(8)).decode()
    guarded.web_config_file.write_text(f"basic_auth_users:\n  alice: {expensive}\n")
    with running(FakeBackend(), guarded) as server, ThreadPoolExecutor(100) as pool:
        assert server.get("/metrics", headers=RIGHT)[0].status == 200
        flood = [pool.submit(server.get, "/", headers={"Authorization": basic("alice", str(n))}) for n in range(100)]
        statuses = [server.get("/metrics", headers=RIGHT)[0].status for _ in range(10)]
        assert statuses == [200] * 10
        assert {attempt.result()[0].status for attempt in flood} <= {401, 503}


def test_above_so_many_waiting_passwords_it_is_503_and_the_log_says_so_once(
    guarded: ServerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(bcrypt, "checkpw", lambda password, hashed: go_on.wait(20) and False)
    with (
        capture_logs() as logs,
        running(FakeBackend(), guarded) as server,
        ThreadPoolExecutor(MOST_WAITING + 8) as pool,
    ):
        guesses = [{"Authorization": basic("alice", str(number))} for number in range(MOST_WAITING + 8)]
        flood = [pool.submit(server.get, "/", headers=guess) for guess in guesses]
        until = time.monotonic() + 20
        while sum(attempt.done() for attempt in flood) < 8:
            assert time.monotonic() < until
            time.sleep(0.01)
        go_on.set()
        answers = [attempt.result()[0] for attempt in flood]
    assert sorted(answer.status for answer in answers) == [401] * MOST_WAITING + [503] * 8
    assert {answer.headers["Retry-After"] for answer in answers if answer.status == 503} == {"1"}
    assert [entry["event"] for entry in logs].count("Too many passwords wait to be checked") == 1


def test_users_are_re_read_when_they_change(guarded: ServerSettings) -> None:
    assert guarded.web_config_file is not None
    with running(FakeBackend(), guarded) as server:
        assert server.get("/sd", headers=RIGHT)[0].status == 200
        guarded.web_config_file.write_text(f"basic_auth_users:\n  bob: {HASH.decode()}\n")
        until = time.monotonic() + 10
        while server.get("/sd", headers={"Authorization": basic("bob", "right")})[0].status != 200:
            assert time.monotonic() < until
        assert server.get("/sd", headers=RIGHT)[0].status == 401


def test_an_unexpected_exception_in_a_reload_fails_this_one_and_not_the_next(
    guarded: ServerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert guarded.web_config_file is not None

    def fail(_content: bytes) -> None:
        raise RecursionError("canary")

    def failures() -> list[str]:
        return [entry["error"] for entry in logs if entry["log_level"] == "error"]

    with running(FakeBackend(), guarded) as server, capture_logs() as logs:
        with monkeypatch.context() as patch:
            patch.setattr("exporter.web.webconfig.read_document", fail)
            guarded.web_config_file.write_text(f"basic_auth_users:\n  bob: {HASH.decode()}\n")
            wait_for("the failure", failures)
            assert server.get("/sd", headers=RIGHT)[0].status == 200
        bob = {"Authorization": basic("bob", "right")}
        wait_for("the next reload", lambda: server.get("/sd", headers=bob)[0].status == 200)
        (error,) = failures()
    assert error.startswith(f"{guarded.web_config_file}: cannot be read: unexpected RecursionError (test_access.py")
    assert "canary" not in str(logs)


def test_headers_and_rate_limit_of_the_file_apply_to_every_path(tmp_path: Path) -> None:
    (tmp_path / "web.yml").write_text(
        "http_server_config: {headers: {X-Frame-Options: deny}}\nrate_limit: {interval: 1h, burst: 2}\n"
    )
    with running(FakeBackend(), replace(PATIENT, web_config_file=tmp_path / "web.yml")) as server:
        answers = [server.get("/nothing")[0] for _ in range(3)]
        assert [answer.status for answer in answers] == [404, 404, 429]
        assert {answer.headers["X-Frame-Options"] for answer in answers} == {"deny"}
