"""A host name with several addresses, some of them dead."""

from __future__ import annotations

import socket
import time

import pytest

from exporter.api.attempt import Attempt
from exporter.api.errors import ConnectError
from tests.api.conftest import Clients
from tests.support.hostile import always, full_backlog, once, reply

GOOD = reply({"code": 0, "data": {"state": "Importing", "progress": 57}})
# A head start of 0.25 s, on a busy machine.
LITTLE = 2.0


def _resolve_to(monkeypatch: pytest.MonkeyPatch, *ports: int | tuple[str, int]) -> None:
    found: list[object] = []
    for place in ports:
        host, port = place if isinstance(place, tuple) else ("127.0.0.1", place)
        if ":" in host:
            found.append((socket.AF_INET6, socket.SOCK_STREAM, 6, "", (host, port, 0, 0)))
        else:
            found.append((socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: list(found))


def _seconds(clients: Clients, url: str, calls: int = 1) -> float:
    api = clients.client(url)
    began = time.monotonic()
    for _ in range(calls):
        assert api.progress("1", Attempt()).progress == 0.57
    return time.monotonic() - began


def _refusing() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_a_dead_address_costs_little(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    server = clients.server(always(GOOD))
    with full_backlog() as dead:
        _resolve_to(monkeypatch, dead, server.port)
        assert 0.25 <= _seconds(clients, server.url) < LITTLE


def test_a_dead_ipv6_address_beside_a_live_ipv4_one(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    server = clients.server(always(GOOD))
    with full_backlog("::1") as dead:
        _resolve_to(monkeypatch, ("::1", dead), server.port)
        assert 0.25 <= _seconds(clients, server.url) < LITTLE


def test_a_dead_address_costs_nothing_once_another_worked(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    server = clients.server(once(GOOD))
    with full_backlog() as dead:
        _resolve_to(monkeypatch, dead, server.port)
        assert _seconds(clients, server.url, calls=20) < LITTLE + 1
    assert server.connections == 20


def test_several_dead_addresses_are_tried_side_by_side(plain: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    server = plain.server(always(GOOD))
    with full_backlog() as dead:
        _resolve_to(monkeypatch, dead, dead, server.port)
        assert 0.5 <= _seconds(plain, server.url) < LITTLE


def test_a_refusal_is_no_reason_to_wait(plain: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    server = plain.server(always(GOOD))
    _resolve_to(monkeypatch, *[_refusing() for _ in range(20)], server.port)
    assert _seconds(plain, server.url) < LITTLE


def test_an_address_that_worked_is_given_up_when_it_is_dead(plain: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = plain.server(once(GOOD)), plain.server(once(GOOD))
    api = plain.client("http://api.example")
    _resolve_to(monkeypatch, first.port, second.port)
    api.progress("1", Attempt())
    with full_backlog() as dead:
        _resolve_to(monkeypatch, dead, second.port)
        api.progress("1", Attempt())
    _resolve_to(monkeypatch, first.port, second.port)
    api.progress("1", Attempt())
    assert (first.connections, second.connections) == (1, 2)


def test_the_last_refusal_is_the_error(plain: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    _resolve_to(monkeypatch, _refusing(), _refusing())
    with pytest.raises(ConnectError, match=r"^Connection refused, while connecting to api\.example:80$"):
        plain.client("http://api.example").progress("1", Attempt())


def test_a_kind_of_address_that_this_host_has_not(plain: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    server = plain.server(always(GOOD))
    found = [
        (9999, socket.SOCK_STREAM, 6, "", ()),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
    assert _seconds(plain, server.url) < LITTLE


def test_a_name_without_an_address(plain: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    _resolve_to(monkeypatch)
    with pytest.raises(ConnectError, match="while connecting"):
        plain.client("http://api.example").progress("1", Attempt())
