"""Basic authentication: bcrypt beside the event loop, every name treated alike, results remembered safely."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import bcrypt

from exporter.web.threads import in_thread

_LONGEST_PASSWORD = 72
_REMEMBERED = 1024
_MOST_WAITING = 128
_MOST_WAITING_FROM_ONE = 16
_DUMMY = b"." * 53


class TooManyChecksError(Exception):
    """More passwords are waiting to be checked than is reasonable; this one was not."""


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
        self._checks: dict[bytes, asyncio.Task[bool]] = {}
        self._queues: dict[str, deque[asyncio.Task[bool]]] = {}
        self._turn = asyncio.Lock()
        self._pretending = 0

    def set_users(self, users: Mapping[str, bytes]) -> None:
        """Replaces the users. Results for hashes that are no longer there are never found again."""
        self._users = dict(users)
        # Names that do not exist cost as much as the dearest one that does.
        cost = max((int(hashed.split(b"$")[2]) for hashed in users.values()), default=10)
        self._dummy = b"$2b$%02d$" % cost + _DUMMY

    @property
    def required(self) -> bool:
        """Whether there are users, without whom nobody is asked for a password."""
        return bool(self._users)

    async def check(self, credentials: Credentials, peer: str) -> bool:
        """Whether name and password go together. Raises TooManyChecksError.

        Whoever was right before is right at once. One check is made at a time, in turn for each address (`peer`) that
        asks, and only so many wait for each: a flood from one address keeps no other from logging in and takes no more
        than one core, and names that exist wait as long as others. What is one too many is refused when another check
        is done, so that it looks like a wrong guess. A password above 72 bytes, which bcrypt would cut off, is wrong.
        """
        known = self._users.get(credentials.user)
        hashed = known or self._dummy
        key = _key(credentials, hashed)
        if key in self._accepted:
            self._accepted.move_to_end(key)
            return True
        if key in self._rejected:
            return False
        if (check := self._checks.get(key)) is None:
            queue = self._queues.get(peer, deque())
            if len(queue) >= _MOST_WAITING_FROM_ONE or len(self._checks) >= _MOST_WAITING:
                await self._pretend()
                raise TooManyChecksError
            before = queue[-1] if queue else None
            check = asyncio.create_task(
                self._decide(key, credentials.password, hashed, before, exists=known is not None)
            )
            self._checks[key] = check
            self._queues[peer] = queue
            queue.append(check)
            check.add_done_callback(partial(self._decided, key, peer))
        return await asyncio.shield(check)

    async def _pretend(self) -> None:
        """Waits until a check is done, but never in such numbers that the waiting itself is a burden."""
        if self._pretending < _MOST_WAITING:
            self._pretending += 1
            try:
                await asyncio.wait(self._checks.values(), return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._pretending -= 1

    async def _decide(
        self, key: bytes, password: bytes, hashed: bytes, before: asyncio.Task[bool] | None, *, exists: bool
    ) -> bool:
        if before is not None:
            await asyncio.wait((before,))
        async with self._turn:
            right = await in_thread(lambda: _matches(password, hashed)) and exists
        _remember(self._accepted if right else self._rejected, key)
        return right

    def _decided(self, key: bytes, peer: str, check: asyncio.Task[bool]) -> None:
        del self._checks[key]
        queue = self._queues[peer]
        queue.remove(check)
        if not queue:
            del self._queues[peer]


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
