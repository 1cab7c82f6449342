"""Basic authentication: bcrypt beside the event loop, equal work for every name, results remembered safely."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

import bcrypt

from exporter.web.threads import in_thread

_LONGEST_PASSWORD = 72
_REMEMBERED = 1024
_MOST_WAITING = 128
_MOST_WAITING_FROM_ONE = 16
_DUMMY = b"." * 53


class TooManyChecksError(Exception):
    """More passwords are waiting to be checked than is reasonable."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Name and password as a client sent them."""

    user: str
    password: bytes = field(repr=False)


def parse_basic(header: str) -> Credentials | None:
    """Credentials of an Authorization header (RFC 7617), None if it holds none."""
    scheme, _, token = header.strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        encoded = token.strip().encode("ascii")
        decoded = base64.b64decode(encoded, validate=True)
        if base64.b64encode(decoded) != encoded:  # Python lets superfluous padding pass
            return None
        user, colon, password = decoded.partition(b":")
        return Credentials(user.decode("utf-8"), password) if colon and _is_text(password) else None
    except (binascii.Error, ValueError):
        return None


class Authenticator:
    """Checks credentials against users and their bcrypt hashes. Used on one event loop."""

    def __init__(self) -> None:
        self._users: Mapping[str, bytes] = {}
        self._dummy = b""
        self._accepted: OrderedDict[bytes, None] = OrderedDict()
        self._rejected: OrderedDict[bytes, None] = OrderedDict()
        self._locks: dict[str | None, asyncio.Lock] = {}
        self._waiting: Counter[str] = Counter()

    def set_users(self, users: Mapping[str, bytes]) -> None:
        """Replaces the users. Results for hashes that are no longer there are never found again."""
        self._users = dict(users)
        self._locks = {user: self._locks.get(user, asyncio.Lock()) for user in (*users, None)}
        # Names that do not exist cost as much as the dearest one that does.
        cost = max((int(hashed.split(b"$")[2]) for hashed in users.values()), default=10)
        self._dummy = b"$2b$%02d$" % cost + _DUMMY

    @property
    def required(self) -> bool:
        """Whether there are users, without whom nobody is asked for a password."""
        return bool(self._users)

    async def check(self, credentials: Credentials, peer: str) -> bool:
        """Whether name and password go together. Raises TooManyChecksError.

        One check at a time for each user, and one for all names that are none; whoever was right before is right
        at once. `peer` is where the client is: only so many checks wait for each, so that a flood from one address
        keeps nobody else from logging in. A password above 72 bytes, which bcrypt would cut off, is wrong.
        """
        known = self._users.get(credentials.user)
        hashed = known or self._dummy
        key = _key(credentials, hashed)
        if key in self._accepted:
            self._accepted.move_to_end(key)
            return True
        if key in self._rejected:
            return False
        if self._waiting[peer] >= _MOST_WAITING_FROM_ONE or self._waiting.total() >= _MOST_WAITING:
            raise TooManyChecksError
        self._waiting[peer] += 1
        try:
            async with self._locks[credentials.user if known else None]:
                if key in self._accepted or key in self._rejected:
                    return key in self._accepted
                right = await in_thread(lambda: _matches(credentials.password, hashed)) and known is not None
        finally:
            self._waiting -= Counter({peer: 1})  # unlike a plain subtraction this forgets who has none left
        _remember(self._accepted if right else self._rejected, key)
        return right


def _matches(password: bytes, hashed: bytes) -> bool:
    fits = len(password) <= _LONGEST_PASSWORD and b"\0" not in password
    return bcrypt.checkpw(password[:_LONGEST_PASSWORD].replace(b"\0", b" "), hashed) and fits


def _key(credentials: Credentials, hashed: bytes) -> bytes:
    """Length-prefixed, so that no two triples of name, hash and password run together (CVE-2022-46146)."""
    digest = hashlib.sha256()
    for part in (credentials.user.encode(), hashed, credentials.password):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def _remember(results: OrderedDict[bytes, None], key: bytes) -> None:
    results[key] = None
    if len(results) > _REMEMBERED:
        results.popitem(last=False)


def _is_text(password: bytes) -> bool:
    try:
        password.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
