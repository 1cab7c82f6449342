"""A client of a scripted server, over plain HTTP and over TLS."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from exporter.api.attempt import Attempt
from exporter.api.client import ApiSettings, ImportApi
from exporter.config.secret import Secret
from exporter.model import ErrorClass
from tests.support.authority import Authority
from tests.support.hostile import Hostile, Script

KEY = "canary-key-5f3a"


def aborted_after(seconds: float) -> Attempt:
    """An attempt that another thread aborts so much later."""
    attempt = Attempt()
    timer = threading.Timer(seconds, attempt.abort)
    timer.daemon = True
    timer.start()
    return attempt


@dataclass
class Attempts:
    """What a client says about its attempts."""

    seen: list[tuple[str, ErrorClass | None]] = field(default_factory=list)

    def observe(self, operation: str, seconds: float, error: ErrorClass | None) -> None:
        assert 0 <= seconds < 60
        self.seen.append((operation, error))


@dataclass
class Clients:
    """Starts servers, and clients of them that trust the test's authority."""

    authority: Authority
    stack: ExitStack
    tls: bool

    def server(self, script: Script, *, host: str = "127.0.0.1") -> Hostile:
        context = self.authority.server_context(host) if self.tls else None
        return self.stack.enter_context(Hostile(script, tls=context, host=host))

    def client(self, url: str, attempts: Attempts | None = None, **settings: Any) -> ImportApi:
        defaults: dict[str, Any] = {
            "cluster_id": "in01-test",
            "dialect": "zilliz",
            "base_url": url,
            "key": Secret(KEY),
            "ca_file": str(self.authority.ca_file),
        }
        api = ImportApi(ApiSettings(**(defaults | settings)), observe=(attempts or Attempts()).observe)
        self.stack.callback(api.close)
        return api


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(params=["http", "https"])
def clients(request: pytest.FixtureRequest, authority: Authority) -> Iterator[Clients]:
    """Every test that uses it runs over plain HTTP and over TLS."""
    with ExitStack() as stack:
        yield Clients(authority, stack, tls=request.param == "https")


@pytest.fixture
def plain(authority: Authority) -> Iterator[Clients]:
    """For what TLS has nothing to do with."""
    with ExitStack() as stack:
        yield Clients(authority, stack, tls=False)


@pytest.fixture
def secure(authority: Authority) -> Iterator[Clients]:
    """For what only TLS has."""
    with ExitStack() as stack:
        yield Clients(authority, stack, tls=True)


@pytest.fixture
def context_of(authority: Authority) -> Callable[[], ssl.SSLContext]:
    """A server's context, to be changed."""
    return authority.server_context
