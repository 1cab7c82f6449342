"""Passwords against bcrypt: what is right, what each check costs, and how many may wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web import passwords
from exporter.web.passwords import MOST_WAITING, Passwords, TooManyChecksError

HASH = b"$2b$04$uVRYMCV5JIdrifWjZ8vWzONg9HzF6.3c5F5TAWAF1nT4sJFZOQYce"
"""Of the password `right`, at the least cost; fixed, as it is part of the names of tests."""

Attempt = tuple[str, str]


def of(**users: bytes) -> Passwords:
    """Those of these users."""
    checked = Passwords()
    checked.set_users(users)
    return checked


def check(*attempts: Attempt, users: dict[str, bytes] | None = None) -> list[bool]:
    async def run() -> list[bool]:
        checked = of(**({"alice": HASH} if users is None else users))
        return [await checked.check(user, password) for user, password in attempts]

    return asyncio.run(run())


def test_name_and_password_must_go_together() -> None:
    assert check(("alice", "right"), ("alice", "wrong"), ("bob", "right"), ("", ""), ("alice", "right")) == [
        True, False, False, False, True,
    ]  # fmt: skip


def test_a_password_that_bcrypt_would_cut_off_is_wrong() -> None:
    long = "ä" * 36
    users = {"alice": bcrypt.hashpw(long.encode(), bcrypt.gensalt(4))}
    assert check(("alice", long), ("alice", long + "b"), ("alice", long * 1000), users=users) == [True, False, False]


def test_a_nul_does_not_end_a_password() -> None:
    assert check(("alice", "right\0"), ("alice", "right\0more")) == [False, False]


def test_results_are_not_mixed_up_between_names_hashes_and_passwords() -> None:
    """CVE-2022-46146: a key that merely joins its parts lets one triple pass for another."""
    parts = HASH.decode()
    users = {"alice": HASH, "alice" + parts: HASH, "a": HASH}
    attempts = [("alice", "right"), ("alice" + parts, "right"), ("a", "lice" + parts + "right"), ("a", "right")]
    assert check(*attempts, users=users) == [True, True, False, True]


@given(st.tuples(st.binary(), st.binary(), st.binary()), st.tuples(st.binary(), st.binary(), st.binary()))
def test_different_triples_have_different_keys(
    one: tuple[bytes, bytes, bytes], other: tuple[bytes, bytes, bytes]
) -> None:
    assert len({passwords._key(*one), passwords._key(*other)}) == len({one, other})


def test_every_check_takes_the_work_of_the_most_expensive_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    work: list[int] = []

    def checkpw(password: bytes, hashed: bytes) -> bool:
        work[-1] += 2 ** int(hashed.split(b"$")[2])
        return False

    monkeypatch.setattr(bcrypt, "checkpw", checkpw)

    async def run() -> None:
        checked = of(alice=HASH, bob=HASH.replace(b"$04$", b"$07$"), carol=HASH.replace(b"$04$", b"$09$"))
        for user, password in (("alice", "x"), ("bob", "x"), ("carol", "x"), ("nobody", "x"), ("bob", "x" * 100)):
            work.append(0)
            await checked.check(user, password)

    asyncio.run(run())
    assert work == [2**9] * 5


def test_the_dummy_hash_is_one_that_bcrypt_takes() -> None:
    assert not bcrypt.checkpw(b"", passwords._dummy(4))


def test_a_right_password_is_remembered_until_the_users_change(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bytes] = []
    real: Callable[[bytes, bytes], bool] = bcrypt.checkpw

    def checkpw(password: bytes, hashed: bytes) -> bool:
        calls.append(password)
        return real(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", checkpw)

    async def run() -> None:
        checked = of(alice=HASH)
        for _ in range(3):
            assert await checked.check("alice", "right")
        assert calls == [b"right"]
        assert not await checked.check("alice", "wrong")
        checked.set_users({"alice": bcrypt.hashpw(b"new", bcrypt.gensalt(4))})
        assert not await checked.check("alice", "right")
        checked.set_users({})
        assert not await checked.check("alice", "new")

    asyncio.run(run())


def test_no_more_is_remembered_than_there_are_users_and_no_password_among_it() -> None:
    async def run() -> None:
        checked = of(alice=HASH, bob=HASH)
        for number in range(20):
            for user in ("alice", "bob", "nobody"):
                await checked.check(user, f"wrong{number}")
                await checked.check(user, "right")
        assert len(checked._right) == 2
        assert all(len(key) == 32 for key in checked._right)

    asyncio.run(run())


class Checks:
    """Stands in for bcrypt: counts, and holds all checks up until `go_on` is set."""

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


async def begin(checked: Passwords, *attempts: Attempt) -> list[asyncio.Task[bool]]:
    """Begins the checks, and lets each come as far as it can."""
    tasks = [asyncio.create_task(checked.check(user, password)) for user, password in attempts]
    await asyncio.sleep(0)
    return tasks


def test_one_check_at_a_time_and_only_so_many_wait(checks: Checks) -> None:
    async def run() -> list[bool | BaseException]:
        attempts = [(("alice", "bob", "nobody")[number % 3], str(number)) for number in range(200)]
        tasks = await begin(of(alice=HASH, bob=HASH), *attempts)
        assert [task.done() for task in tasks] == [False] * MOST_WAITING + [True] * (200 - MOST_WAITING)
        checks.go_on.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(run())
    assert checks.most_at_once == 1
    assert results.count(False) == len(checks.made) == MOST_WAITING
    assert all(isinstance(result, TooManyChecksError) for result in results[MOST_WAITING:])


def test_who_was_right_before_is_right_at_once_however_many_wait(checks: Checks) -> None:
    async def run() -> None:
        checked = of(alice=HASH)
        checks.go_on.set()
        assert await checked.check("alice", "right")
        checks.go_on.clear()
        flood = await begin(checked, *(("alice", str(number)) for number in range(MOST_WAITING + 1)))
        assert await checked.check("alice", "right")
        checks.go_on.set()
        await asyncio.gather(*flood, return_exceptions=True)
        assert await checked.check("alice", "0") is False

    asyncio.run(run())


def test_clients_with_one_right_password_share_a_check(checks: Checks) -> None:
    async def run() -> None:
        tasks = await begin(of(alice=HASH), *[("alice", "right")] * MOST_WAITING)
        checks.go_on.set()
        assert await asyncio.gather(*tasks) == [True] * MOST_WAITING

    asyncio.run(run())
    assert checks.made == [b"right"]


def test_a_check_that_cannot_be_made_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def checkpw(password: bytes, hashed: bytes) -> bool:
        if password == b"broken":
            raise RuntimeError("no thread")
        return True

    monkeypatch.setattr(bcrypt, "checkpw", checkpw)

    async def run() -> None:
        broken, right = await begin(of(alice=HASH), ("alice", "broken"), ("alice", "right"))
        with pytest.raises(RuntimeError, match="no thread"):
            await broken
        assert await right is True

    asyncio.run(run())
