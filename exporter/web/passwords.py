"""Basic authentication: bcrypt beside the event loop, one check at a time, right passwords remembered."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from functools import partial

import bcrypt

from exporter.threads import in_thread

MOST_WAITING = 32
"""Passwords that may wait to be checked: some seconds of work, less than a usual scrape timeout."""

_LONGEST_PASSWORD = 72
_LEAST_COST = 4
_DUMMY = b"." * 53


class TooManyChecksError(Exception):
    """So many passwords wait to be checked that this one was not."""


class Passwords:
    """Checks passwords of users against their bcrypt hashes. Used on one event loop."""

    def __init__(self) -> None:
        self._users: Mapping[str, bytes] = {}
        self._highest_cost = _LEAST_COST
        self._right: set[bytes] = set()
        self._waiting = 0
        self._one_at_a_time = asyncio.Lock()

    def set_users(self, users: Mapping[str, bytes]) -> None:
        """Replaces the users, names and hashes; what was remembered is forgotten."""
        self._users = dict(users)
        self._highest_cost = max(map(_cost, users.values()), default=_LEAST_COST)
        self._right = set()

    @property
    def required(self) -> bool:
        """Whether there are users; without any no password is needed."""
        return bool(self._users)

    async def check(self, user: str, password: str) -> bool:
        """Whether the password is that of the user. Raises TooManyChecksError.

        A password that was right before is right at once. Every other check takes as much work as the most expensive
        hash, whether or not the user exists. A password above 72 bytes, which bcrypt would cut off, is wrong.
        """
        known = self._users.get(user)
        hashed = known or _dummy(self._highest_cost)
        key = _key(user.encode(), hashed, password.encode())
        if key in self._right:
            return True
        if self._waiting >= MOST_WAITING:
            raise TooManyChecksError
        self._waiting += 1
        try:
            async with self._one_at_a_time:
                # It may have been found right while it waited.
                return key in self._right or await self._checked(key, known, hashed, password.encode())
        finally:
            self._waiting -= 1

    async def _checked(self, key: bytes, known: bytes | None, hashed: bytes, password: bytes) -> bool:
        matches = await in_thread(partial(_matches, password, hashed, self._highest_cost))
        if not matches or known is None:
            return False
        self._right.add(key)
        return True


def _matches(password: bytes, hashed: bytes, highest_cost: int) -> bool:
    """The password against its hash, and then against dummies until all took the time of one hash of that cost."""
    fits = len(password) <= _LONGEST_PASSWORD and b"\0" not in password
    shown = password[:_LONGEST_PASSWORD].replace(b"\0", b" ")
    matches = bcrypt.checkpw(shown, hashed)
    # Each cost doubles the work: 2^c + (2^c + 2^(c+1) + ... + 2^(n-1)) = 2^n.
    for cost in range(_cost(hashed), highest_cost):
        bcrypt.checkpw(shown, _dummy(cost))
    return matches and fits


def _cost(hashed: bytes) -> int:
    return int(hashed.split(b"$")[2])


def _dummy(cost: int) -> bytes:
    return b"$2b$%02d$" % cost + _DUMMY


def _key(*parts: bytes) -> bytes:
    """A hash of the parts, each after its length, so that no two lists of parts run together (CVE-2022-46146)."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()
