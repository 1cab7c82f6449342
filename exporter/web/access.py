"""Which requests are answered: rate limit and passwords of the web configuration."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from aiohttp import BasicAuth, web

from exporter.log import FailureLog
from exporter.web.passwords import Passwords, TooManyChecksError
from exporter.web.webconfig import WebConfig

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_CHALLENGE = {"WWW-Authenticate": 'Basic realm="zilliz-import-exporter", charset="UTF-8"'}


class Access:
    """Lets requests pass as the web configuration in force says. Used on one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds, monotonic."""
        self._clock = clock
        self._passwords = Passwords()
        self._limit: tuple[float, int] | None = None
        self._bucket: _Bucket | None = None
        self._failures = FailureLog()

    def use(self, config: WebConfig) -> None:
        """Puts another configuration in force."""
        if config.rate_limit != self._limit:
            self._limit = config.rate_limit
            self._bucket = _Bucket(*config.rate_limit, self._clock()) if config.rate_limit else None
        self._passwords.set_users(config.users)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Raises HTTPTooManyRequests, HTTPUnauthorized or HTTPServiceUnavailable for a request that may not pass."""
        if self._bucket is not None and not self._bucket.take(self._clock()):
            raise web.HTTPTooManyRequests(text="Too many requests; the limit is rate_limit in the web configuration.\n")
        if self._passwords.required and not await self._password_is_right(request):
            raise web.HTTPUnauthorized(text="Name and password are required.\n", headers=_CHALLENGE)
        return await handler(request)

    async def _password_is_right(self, request: web.Request) -> bool:
        try:
            given = BasicAuth.decode(request.headers.get("Authorization", ""), "utf-8")
        except ValueError:
            return False
        try:
            return await self._passwords.check(given.login, given.password)
        except TooManyChecksError:
            self._failures.failing(None, None, "Too many passwords wait to be checked", peer=request.remote)
            raise web.HTTPServiceUnavailable(
                text="Too many passwords wait to be checked.\n", headers={"Retry-After": "1"}
            ) from None


class _Bucket:
    """Token bucket: `burst` requests at once, and one more every `interval` seconds."""

    def __init__(self, interval: float, burst: int, now: float) -> None:
        self._interval = interval
        self._burst = burst
        self._tokens = float(burst)
        self._at = now

    def take(self, now: float) -> bool:
        self._tokens = min(self._burst, self._tokens + (now - self._at) / self._interval)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
