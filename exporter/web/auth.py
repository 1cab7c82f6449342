"""Basic authentication: bcrypt beside the event loop, every name treated alike, results remembered safely."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import ipaddress
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


@dataclass(frozen=True, slots=True, eq=False)
class _Check:
    """A password that waits to be checked. `outcome` is None for one that had to make room for another."""

    key: bytes
    password: bytes = field(repr=False)
    hashed: bytes = field(repr=False)
    exists: bool
    outcome: asyncio.Future[bool | None]


class Authenticator:
    """Checks credentials against users and their bcrypt hashes. Used on one event loop."""

    def __init__(self) -> None:
        self._users: Mapping[str, bytes] = {}
        self._dummy = b""
        self._accepted: OrderedDict[bytes, None] = OrderedDict()
        self._rejected: OrderedDict[bytes, None] = OrderedDict()
        self._checks: dict[bytes, _Check] = {}
        # By network, in the order of their turns.
        self._queues: OrderedDict[str, deque[_Check]] = OrderedDict()
        self._checker: asyncio.Task[None] | None = None
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

        Whoever was right before is right at once. One check is made at a time, in turn for each network that asks (an
        IPv4 address, or the /64 of an IPv6 `peer`), and only so many wait: a flood from one network keeps no other
        from logging in and takes no more than one core, and names that exist wait as long as others. What is one too
        many is refused when another check is done, so that it looks like a wrong guess. A password above 72 bytes,
        which bcrypt would cut off, is wrong.
        """
        known = self._users.get(credentials.user)
        hashed = known or self._dummy
        key = _key(credentials, hashed)
        if key in self._accepted:
            self._accepted.move_to_end(key)
            return True
        if key in self._rejected:
            return False
        check = self._checks.get(key)
        if check is None:
            network = _network(peer)
            if not self._has_room(network):
                await self._pretend()
                raise TooManyChecksError
            outcome = asyncio.get_running_loop().create_future()
            check = _Check(key, credentials.password, hashed, known is not None, outcome)
            self._checks[key] = check
            self._queues.setdefault(network, deque()).append(check)
            if self._checker is None:
                self._checker = asyncio.create_task(self._make_checks())
        right = await asyncio.shield(check.outcome)
        if right is None:
            raise TooManyChecksError
        return right

    def _has_room(self, network: str) -> bool:
        """Whether one more check of a network may wait, if need be in place of the last one of whoever has most."""
        mine = len(self._queues.get(network, ()))
        if mine >= _MOST_WAITING_FROM_ONE:
            return False
        if len(self._checks) < _MOST_WAITING:
            return True
        longest = max(self._queues.values(), key=len, default=deque[_Check]())
        if len(longest) <= mine + 1:
            return False
        self._end(longest.pop(), None)
        return True

    async def _make_checks(self) -> None:
        while self._queues:
            network, queue = self._queues.popitem(last=False)
            check = queue.popleft()
            if queue:
                self._queues[network] = queue
            try:
                right = await in_thread(partial(_matches, check.password, check.hashed)) and check.exists
            except Exception as error:  # noqa: BLE001 - handed to whoever waits for this check; the others go on
                del self._checks[check.key]
                check.outcome.set_exception(error)
                continue
            _remember(self._accepted if right else self._rejected, check.key)
            self._end(check, right)
        self._checker = None

    def _end(self, check: _Check, right: bool | None) -> None:
        del self._checks[check.key]
        check.outcome.set_result(right)

    async def _pretend(self) -> None:
        """Waits until a check is done, but never in such numbers that the waiting itself is a burden."""
        if self._pretending < _MOST_WAITING:
            self._pretending += 1
            try:
                outcomes = [check.outcome for check in self._checks.values()]
                await asyncio.wait(outcomes, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._pretending -= 1


def _network(peer: str) -> str:
    """Who counts as one: hosts have all addresses of an IPv6 /64 to themselves."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(address.ipv4_mapped or ipaddress.ip_network((address, 64), strict=False))


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
