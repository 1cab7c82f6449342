from __future__ import annotations

import asyncio
import base64
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web import auth
from exporter.web.auth import Authenticator, Credentials, TooManyChecksError, parse_basic
from exporter.web.server import ServerSettings
from tests.web.backend import PATIENT, FakeBackend, running

HASH = b"$2b$04$uVRYMCV5JIdrifWjZ8vWzONg9HzF6.3c5F5TAWAF1nT4sJFZOQYce"
"""Of the password `right`, at the least cost; fixed, as it is part of the names of tests."""


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (basic("alice", "right"), Credentials("alice", b"right")),
        (basic("alice", "a:b"), Credentials("alice", b"a:b")),
        ("basic  " + basic("a", "b")[6:], Credentials("a", b"b")),
        (basic("", ""), Credentials("", b"")),
        (basic("ä", "ü"), Credentials("ä", "ü".encode())),
        ("", None),
        ("Basic", None),
        ("Basic !!!!", None),
        ("Basic YWxpY2U=", None),
        ("Basic " + base64.b64encode(b"\xff:a").decode(), None),
        ("Basic " + base64.b64encode(b"a:\xff").decode(), None),
        ("Bearer " + basic("a", "b")[6:], None),
        ("Basic é", None),
        ("Basic YTpi=", None),
    ],
)
def test_credentials_of_a_header(header: str, expected: Credentials | None) -> None:
    assert parse_basic(header) == expected


@given(
    st.text() | st.text().map("Basic ".__add__) | st.binary().map(lambda raw: "Basic " + base64.b64encode(raw).decode())
)
def test_no_header_is_a_crash(header: str) -> None:
    found = parse_basic(header)
    assert found is None or ":" not in found.user


def check(*attempts: tuple[str, bytes], users: dict[str, bytes] | None = None) -> list[bool]:
    async def run() -> list[bool]:
        authenticator = Authenticator()
        authenticator.set_users({"alice": HASH} if users is None else users)
        return [await authenticator.check(Credentials(user, password), "a") for user, password in attempts]

    return asyncio.run(run())


def test_name_and_password_must_go_together() -> None:
    assert check(("alice", b"right"), ("alice", b"wrong"), ("bob", b"right"), ("", b""), ("alice", b"right")) == [
        True, False, False, False, True,
    ]  # fmt: skip


def test_a_password_that_bcrypt_would_cut_off_is_wrong() -> None:
    long = b"a" * 72
    users = {"alice": bcrypt.hashpw(long, bcrypt.gensalt(4))}
    assert check(("alice", long), ("alice", long + b"b"), ("alice", long * 1000), users=users) == [True, False, False]


def test_a_nul_does_not_end_a_password() -> None:
    assert check(("alice", b"right\0"), ("alice", b"right\0more")) == [False, False]


def test_results_are_not_mixed_up_between_names_hashes_and_passwords() -> None:
    """CVE-2022-46146: a key that merely joins its parts lets one triple pass for another."""
    parts = HASH.decode()
    users = {"alice": HASH, "alice" + parts: HASH, "a": HASH}
    attempts = [("alice", b"right"), ("alice" + parts, b"right"), ("a", b"lice" + HASH + b"right"), ("a", b"right")]
    assert check(*attempts, users=users) == [True, True, False, True]


@given(st.tuples(st.text(), st.binary(), st.binary()), st.tuples(st.text(), st.binary(), st.binary()))
def test_different_triples_have_different_keys(one: tuple[str, bytes, bytes], other: tuple[str, bytes, bytes]) -> None:
    keys = {auth._key(Credentials(user, password), hashed) for user, password, hashed in (one, other)}
    assert len(keys) == len({one, other})


def test_an_unknown_name_costs_as_much_as_the_dearest_known_one(monkeypatch: pytest.MonkeyPatch) -> None:
    costs: list[bytes] = []

    def checkpw(password: bytes, hashed: bytes) -> bool:
        costs.append(hashed.split(b"$")[2])
        return False

    monkeypatch.setattr(bcrypt, "checkpw", checkpw)
    users = {"alice": HASH, "bob": HASH.replace(b"$04$", b"$06$")}
    check(("bob", b"x"), ("nobody", b"x"), ("bob", b"x" * 100), users=users)
    assert costs == [b"06", b"06", b"06"]


def test_the_dummy_hash_is_one_that_bcrypt_takes() -> None:
    assert not bcrypt.checkpw(b"", b"$2b$04$" + auth._DUMMY)


def test_a_result_is_remembered_until_the_hash_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bytes] = []
    real: Callable[[bytes, bytes], bool] = bcrypt.checkpw

    def checkpw(password: bytes, hashed: bytes) -> bool:
        calls.append(password)
        return real(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", checkpw)

    async def run() -> None:
        authenticator = Authenticator()
        authenticator.set_users({"alice": HASH})
        for _ in range(3):
            assert await authenticator.check(Credentials("alice", b"right"), "a")
            assert not await authenticator.check(Credentials("alice", b"wrong"), "a")
        assert calls == [b"right", b"wrong"]
        authenticator.set_users({"alice": bcrypt.hashpw(b"new", bcrypt.gensalt(4))})
        assert not await authenticator.check(Credentials("alice", b"right"), "a")
        authenticator.set_users({})
        assert not await authenticator.check(Credentials("alice", b"new"), "a")

    asyncio.run(run())


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bcrypt, "checkpw", lambda password, hashed: False)
    monkeypatch.setattr(auth, "_REMEMBERED", 10)

    async def run() -> None:
        authenticator = Authenticator()
        authenticator.set_users({"alice": HASH})
        for number in range(50):
            await authenticator.check(Credentials("alice", b"%d" % number), "a")
        assert len(authenticator._rejected) == 10

    asyncio.run(run())


class Checks:
    """Stands in for bcrypt: counts, and holds the checks of all passwords up until it is told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[bytes] = []
        self.most_at_once = 0
        self.go_on = threading.Event()
        self._running = 0
        self._lock = threading.Lock()
        monkeypatch.setattr(bcrypt, "checkpw", self._checkpw)

    def _checkpw(self, password: bytes, hashed: bytes) -> bool:
        with self._lock:
            self._running += 1
            self.most_at_once = max(self.most_at_once, self._running)
            self.made.append(password)
        self.go_on.wait(10)
        with self._lock:
            self._running -= 1
        return password == b"right"


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Checks:
    return Checks(monkeypatch)


async def ask(authenticator: Authenticator, *attempts: tuple[str, bytes, str]) -> list[asyncio.Task[bool]]:
    """Begins the checks of names and passwords from addresses, and lets each come as far as it can."""
    tasks = [
        asyncio.create_task(authenticator.check(Credentials(user, password), peer)) for user, password, peer in attempts
    ]
    await asyncio.sleep(0)
    return tasks


def authenticator_of(*users: str) -> Authenticator:
    authenticator = Authenticator()
    authenticator.set_users(dict.fromkeys(users, HASH))
    return authenticator


@pytest.mark.parametrize(("peers", "checked"), [(1, 16), (2, 32), (200, 128)])
def test_one_check_at_a_time_and_only_so_many_wait(checks: Checks, peers: int, checked: int) -> None:
    async def run() -> list[bool | BaseException]:
        authenticator = authenticator_of("alice", "bob")
        tasks = await ask(
            authenticator,
            *((("alice", "bob", "nobody")[number % 3], b"%d" % number, str(number % peers)) for number in range(200)),
        )
        checks.go_on.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert (authenticator._checks, authenticator._queues) == ({}, {})
        return results

    results = asyncio.run(run())
    assert checks.most_at_once == 1
    assert results.count(False) == len(checks.made) == checked
    assert sum(isinstance(result, TooManyChecksError) for result in results) == 200 - checked


def test_what_is_one_too_many_is_refused_when_a_check_is_done(checks: Checks) -> None:
    async def run() -> None:
        authenticator = authenticator_of("alice")
        attempts = [("alice", b"%d" % number, "a") for number in range(16)]
        *_, surplus = await ask(authenticator, *attempts, ("alice", b"right", "a"))
        await asyncio.sleep(0)
        assert not surplus.done()
        checks.go_on.set()
        with pytest.raises(TooManyChecksError):
            await surplus
        assert b"right" not in checks.made

    asyncio.run(run())


def test_not_even_those_who_are_refused_wait_without_end(checks: Checks) -> None:
    async def run() -> None:
        attempts = [("alice", b"%d" % number, "a") for number in range(16 + 128 + 1)]
        tasks = await ask(authenticator_of("alice"), *attempts)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        assert [task.done() for task in tasks] == [False] * (16 + 128) + [True]
        checks.go_on.set()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(run())


def test_equal_credentials_share_a_check_and_count_once(checks: Checks) -> None:
    async def run() -> None:
        tasks = await ask(authenticator_of("alice"), *[("alice", b"right", "a")] * 40)
        tasks[0].cancel()
        checks.go_on.set()
        assert await asyncio.gather(*tasks[1:]) == [True] * 39

    asyncio.run(run())
    assert checks.made == [b"right"]


def test_addresses_take_turns_and_names_do_not_matter(checks: Checks) -> None:
    async def run() -> None:
        flood = [(name, b"%d" % number, "a") for number, name in enumerate(("alice", "nobody", "someone", "alice"))]
        tasks = await ask(authenticator_of("alice", "bob"), *flood, ("bob", b"right", "b"), ("who", b"?", "c"))
        checks.go_on.set()
        assert await asyncio.gather(*tasks) == [False] * 4 + [True, False]

    asyncio.run(run())
    assert checks.made == [b"0", b"right", b"?", b"1", b"2", b"3"]


def test_a_flood_from_many_networks_makes_room_for_one_that_asks_less(checks: Checks) -> None:
    async def run() -> None:
        flood = [("alice", b"%d" % number, f"192.0.2.{number % 9}") for number in range(9 * 15)]
        *tasks, right, other = await ask(
            authenticator_of("alice"), *flood, ("alice", b"right", "198.51.100.1"), ("alice", b"?", "192.0.2.200")
        )
        checks.go_on.set()
        assert await right is True
        assert await other is False
        refused = await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(isinstance(result, TooManyChecksError) for result in refused) == 9 * 15 - 126

    asyncio.run(run())
    assert checks.made.index(b"right") <= 10


def test_the_addresses_of_one_ipv6_host_count_as_one(checks: Checks) -> None:
    async def run() -> None:
        flood = [("alice", b"%d" % number, f"2001:db8::{number:x}") for number in range(140)]
        *_, right = await ask(authenticator_of("alice"), *flood, ("alice", b"right", "2001:db8:0:1::1"))
        checks.go_on.set()
        assert await right is True

    asyncio.run(run())


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8::1:2:3:4", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
    ],
)
def test_networks_of_addresses(peer: str, network: str) -> None:
    assert auth._network(peer) == network


def test_a_check_that_cannot_be_made_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def checkpw(password: bytes, hashed: bytes) -> bool:
        if password == b"broken":
            raise RuntimeError("no thread")
        return True

    monkeypatch.setattr(bcrypt, "checkpw", checkpw)

    async def run() -> None:
        broken, right = await ask(authenticator_of("alice"), ("alice", b"broken", "a"), ("alice", b"right", "a"))
        with pytest.raises(RuntimeError, match="no thread"):
            await broken
        assert await right is True

    asyncio.run(run())


@pytest.fixture
def guarded(tmp_path: Path) -> ServerSettings:
    (tmp_path / "web.yml").write_text(f"basic_auth_users:\n  alice: {HASH.decode()}\n")
    return ServerSettings(limits=PATIENT, web_config_file=tmp_path / "web.yml", refresh_interval=0.02)


@pytest.mark.parametrize("path", ["/metrics", "/probe?target=in01-a", "/sd", "/", "/-/healthy", "/-/ready", "/nothing"])
def test_every_path_asks_for_the_password(guarded: ServerSettings, path: str) -> None:
    with running(FakeBackend(), guarded) as server:
        response, _ = server.get(path)
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith("Basic ")
        right = server.get(path, headers={"Authorization": basic("alice", "right")})[0]
        assert right.status == (404 if path == "/nothing" else 200)


@pytest.mark.parametrize(
    "header",
    [
        basic("alice", "wrong"), basic("bob", "right"), basic("", ""), basic("alice", ""), "Basic", "Basic ====",
        "Basic YWxpY2U=", basic("alice", "x" * 3000), "Digest a", basic("alice", "right") + "x",
    ],
)  # fmt: skip
def test_anything_else_is_401(guarded: ServerSettings, header: str) -> None:
    backend = FakeBackend()
    with running(backend, guarded) as server:
        response, body = server.get("/metrics", headers={"Authorization": header})
        assert response.status == 401
        assert b"alice" not in body
    assert backend.asked == []


@pytest.mark.parametrize("length", [9_000, 100_000])
def test_a_header_too_long_to_be_read_is_no_password(guarded: ServerSettings, length: int) -> None:
    with running(FakeBackend(), guarded) as server:
        response, body = server.get("/metrics", headers={"Authorization": "Basic " + "A" * length})
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith("Basic ")
        assert b"16 KiB" in body


def test_a_hundred_wrong_passwords_hold_up_neither_scrapes_nor_the_loop(guarded: ServerSettings) -> None:
    assert guarded.web_config_file is not None
    dear = bcrypt.hashpw(b"right", bcrypt.gensalt(8)).decode()
    guarded.web_config_file.write_text(f"basic_auth_users:\n  alice: {dear}\n")
    right = {"Authorization": basic("alice", "right")}
    with running(FakeBackend(), guarded) as server, ThreadPoolExecutor(100) as pool:
        assert server.get("/metrics", headers=right)[0].status == 200
        flood = [pool.submit(server.get, "/", headers={"Authorization": basic("alice", str(n))}) for n in range(100)]
        statuses = [server.get("/metrics", headers=right)[0].status for _ in range(10)]
        assert statuses == [200] * 10
        assert {attempt.result()[0].status for attempt in flood} == {401}


def test_users_are_re_read_when_they_change(guarded: ServerSettings) -> None:
    assert guarded.web_config_file is not None
    with running(FakeBackend(), guarded) as server:
        assert server.get("/sd", headers={"Authorization": basic("alice", "right")})[0].status == 200
        guarded.web_config_file.write_text(f"basic_auth_users:\n  bob: {HASH.decode()}\n")
        until = time.monotonic() + 10
        while server.get("/sd", headers={"Authorization": basic("bob", "right")})[0].status != 200:
            assert time.monotonic() < until
        assert server.get("/sd", headers={"Authorization": basic("alice", "right")})[0].status == 401


def test_headers_and_rate_limit_of_the_file_apply_to_every_path(tmp_path: Path) -> None:
    (tmp_path / "web.yml").write_text(
        "http_server_config: {headers: {X-Frame-Options: deny}}\nrate_limit: {interval: 1h, burst: 2}\n"
    )
    settings = replace(ServerSettings(limits=PATIENT), web_config_file=tmp_path / "web.yml")
    with running(FakeBackend(), settings) as server:
        answers = [server.get("/nothing")[0] for _ in range(3)]
        assert [answer.status for answer in answers] == [404, 404, 429]
        assert {answer.headers["X-Frame-Options"] for answer in answers} == {"deny"}
