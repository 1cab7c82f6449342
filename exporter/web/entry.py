"""What stands between a client and the pages: client certificate, rate limit and password, as configured now."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from exporter.log import FailureLog, get_logger
from exporter.web.auth import Authenticator, TooManyChecksError, parse_basic
from exporter.web.routes import Answer, Request, text
from exporter.web.threads import in_thread, repeat
from exporter.web.tls import allowed
from exporter.web.webconfig import WebConfig, WebConfigError, WebConfigFile

log = get_logger()

_CHALLENGE = {"WWW-Authenticate": 'Basic realm="zilliz-import-exporter", charset="UTF-8"'}


class Entry:
    """The web configuration in force, and who may pass under it. Used on one event loop."""

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        """`path` is the web configuration file, None for an open door; `clock` in seconds, monotonic."""
        self._file = WebConfigFile(path) if path is not None else None
        self._clock = clock
        self._authenticator = Authenticator()
        self._bucket: _Bucket | None = None
        self._flood = FailureLog()
        self._told: tuple[str, ...] = ()
        self.config = WebConfig()

    async def load(self) -> None:
        """Reads the file for the first time. Raises WebConfigError."""
        if self._file is not None:
            self._apply(await in_thread(self._file.load))
            self._warn()

    def _warn(self) -> None:
        for warning in self.config.warnings:
            log.warning("Web configuration", warning=warning)

    async def keep_current(self, interval: float) -> None:
        """Looks every `interval` seconds for changed content, until cancelled."""
        if self._file is not None:
            await repeat(interval, partial(self.refresh, self._file), "Looking for changes of the web configuration")

    async def refresh(self, file: WebConfigFile) -> None:
        """Takes over what changed. What cannot serve changes nothing, and is logged until it is the same again."""
        if not await in_thread(file.changed):
            return
        try:
            fresh = await in_thread(file.load)
        except WebConfigError as error:
            if error.errors == self._told:
                return
            self._told = error.errors
            log.error("The web configuration changed but cannot be used; the one before stays", error=str(error))  # noqa: TRY400 - the reader needs the sentence, not the stack
            return
        if (fresh.tls is None) != (self.config.tls is None):
            log.error("Switching TLS on or off takes a restart; the web configuration before stays")
            return
        self._told = ()
        self._apply(fresh)
        log.info("The web configuration was reloaded")
        self._warn()

    def objection(self, certificate: Mapping[str, Any] | None) -> str | None:
        """Why a client with that verified certificate (None: it showed none) may not connect; None if it may."""
        sans = self.config.client_sans
        if sans is None or allowed(certificate, sans):
            return None
        return "the client certificate has none of the names in client_allowed_sans"

    async def refusal(self, request: Request, peer: str) -> Answer | None:
        """The answer to a request from the address `peer` that may not pass, None if it may."""
        if self._bucket is not None and not self._bucket.take(self._clock()):
            return text(429, "Too many requests; the limit is rate_limit in the web configuration.")
        if not self._authenticator.required:
            return None
        credentials = parse_basic(request.headers.get("Authorization", ""))
        try:
            if credentials is not None and await self._authenticator.check(credentials, peer):
                return None
        except TooManyChecksError:
            self._flood.failing(None, None, "Too many passwords at once; what cannot be checked is refused", peer=peer)
        return text(401, "Name and password are required.", **_CHALLENGE)

    def unread(self) -> Answer:
        """The answer to a request with a head too large to be read, and so without a password."""
        if self._authenticator.required:
            return text(401, "Name and password are required, in a request head of 16 KiB at most.", **_CHALLENGE)
        return text(400, "The request head is too large.")

    def _apply(self, config: WebConfig) -> None:
        if config.rate_limit != self.config.rate_limit:
            self._bucket = _Bucket(*config.rate_limit, self._clock()) if config.rate_limit else None
        self._authenticator.set_users(config.users)
        self.config = config


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
