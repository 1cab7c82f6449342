"""A cluster whose API cannot be reached, or never ends what it says, beside one that must stay exact."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

import pytest

from exporter.api import transport
from exporter.model import ErrorClass
from tests.resilience.night import CANARY, JOBS, NEIGHBOURS, VICTIMS, Night
from tests.resilience.test_matrix import assert_down, assert_told
from tests.support.authority import Authority
from tests.support.hostile import Conversation, Hostile, always, full_backlog, reply
from tests.support.logs import captured_logs
from tests.support.rig import Rig
from tests.support.simulated import CLUSTER, JobScript
from tests.support.simulated.faults import Flood, Place, Trickle
from tests.support.strict import Exposed

OTHER = "in01-unreachable"
SHORT = "2.5"
"""A scrape timeout, of which 2 s are left: a hundred times what the healthy cluster takes."""


def two_clusters(night: Night, base_url: str, **more: Any) -> dict[str, Any]:
    """The healthy cluster with ten jobs, and another one with two."""
    victims = tuple(job for job in JOBS if job.job_id in VICTIMS)
    other = night.cluster(victims, cluster_id=OTHER, base_url=base_url, **more)
    return night.config(night.cluster(NEIGHBOURS), other)


def assert_one_down(night: Night, exposed: Exposed, error: ErrorClass) -> None:
    night.assert_exact(exposed)
    assert_down(exposed, error, OTHER)
    assert exposed.family("cluster_up") == {
        frozenset({("cluster_id", CLUSTER)}): 1.0,
        frozenset({("cluster_id", OTHER)}): 0.0,
    }


def is_down(night: Night, base_url: str, error: ErrorClass, *, timeout: str = "30", **more: Any) -> str:
    """Two scrapes with an API at `base_url` that is down in this way; return the log."""
    with captured_logs() as log, Rig(two_clusters(night, base_url, **more)) as rig:
        for _ in range(2):
            assert_one_down(night, rig.scrape(timeout), error)
            night.api.clock.advance(7)
    text = log.getvalue()
    assert text.count(f" error={error} ") == 1
    assert CANARY not in text
    return text


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def test_connection_refused(night: Night) -> None:
    is_down(night, f"{night.scheme}://127.0.0.1:{closed_port()}", ErrorClass.CONNECT)


def test_an_unknown_authority(night: Night, authority: Authority) -> None:
    with Hostile(always(reply(b"{}")), tls=authority.server_context()) as server:
        log = is_down(night, server.url, ErrorClass.TLS, tls_config={})
        assert server.requests == []
    assert "unable to get local issuer certificate" in log


def test_an_expired_certificate(night: Night, authority: Authority) -> None:
    with Hostile(always(reply(b"{}")), tls=authority.server_context(valid_for=timedelta(days=-1))) as server:
        assert "certificate has expired" in is_down(night, server.url, ErrorClass.TLS)
        assert server.requests == []


def test_a_wrong_host_name(night: Night, authority: Authority) -> None:
    with Hostile(always(reply(b"{}")), tls=authority.server_context("other.example")) as server:
        assert "127.0.0.1" in is_down(night, server.url, ErrorClass.TLS)
        assert server.requests == []


def test_a_server_that_speaks_no_tls(night: Night) -> None:
    def refuse(conversation: Conversation) -> None:
        conversation.socket.recv(65536)
        conversation.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with Hostile(refuse) as server:
        is_down(night, server.url.replace("http:", "https:"), ErrorClass.TLS)
        assert server.requests == []


@contextmanager
def resolving(monkeypatch: pytest.MonkeyPatch, name: str, resolve: Callable[[], object]) -> Iterator[None]:
    """Resolve this name so, and every other one as ever."""
    real = socket.getaddrinfo

    def getaddrinfo(host: str, *args: Any, **kwargs: Any) -> object:
        return resolve() if host == name else real(host, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield


def test_a_name_that_does_not_exist(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with resolving(monkeypatch, "api.example", fail):
        log = is_down(night, f"{night.scheme}://api.example", ErrorClass.CONNECT)
    assert "resolving the host name" in log


def calling_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(f"api-{OTHER}")]


def test_threads_stuck_in_name_resolution_are_bounded_and_scrapes_go_on(
    plain: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()

    def hang() -> object:
        released.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    with resolving(monkeypatch, "api.example", hang), ExitStack() as stack:
        stack.callback(released.set)
        config = two_clusters(plain, "http://api.example", concurrency=2)
        rig = stack.enter_context(Rig(config))
        for _ in range(4):
            exposed = rig.scrape("1")
            assert_down(exposed, ErrorClass.TIMEOUT, OTHER)
            assert 1 <= len(calling_threads()) <= 2
            plain.api.clock.advance(7)
        released.set()
        plain.assert_exact(rig.scrape())
        threads = calling_threads()
    for thread in threads:
        thread.join(10)
    assert calling_threads() == []


def script(first: bytes, then: bytes | None, *, after_request: bool = True) -> Callable[[Conversation], None]:
    """Say `first`, then `then` twice a second for ever, or nothing more."""

    def run(conversation: Conversation) -> None:
        if after_request:
            conversation.request()
        conversation.send(first)
        if then is not None:
            conversation.drip(b"", then, 0.5)
        conversation.pause()

    return run


def test_one_byte_per_half_second_in_each_phase_of_a_reply(night: Night) -> None:
    """All phases at once, each at two jobs, so that the test takes one budget and not five."""
    places: tuple[Place, ...] = ("continue", "status", "headers", "body", "chunk_extension")
    victims = tuple(JobScript(f"{place}-{number}", "victims") for place in places for number in (1, 2))
    night.api.add(*victims)
    with captured_logs() as log, Rig(night.config(night.cluster(NEIGHBOURS + victims, concurrency=32))) as rig:
        night.assert_exact(rig.scrape(), NEIGHBOURS + victims)
        for place in places:
            night.api.faults.inject(Trickle(place), job_ids=[f"{place}-{number}" for number in (1, 2)])
        night.api.clock.advance(7)
        under = rig.scrape(SHORT)
        night.assert_exact(under)
        assert {job.job_id: under.error(job.job_id) for job in victims} == {job.job_id: "timeout" for job in victims}
        night.api.faults.clear()
        night.api.clock.advance(7)
        night.assert_exact(rig.scrape(), NEIGHBOURS + victims)
    assert_told(log.getvalue(), ErrorClass.TIMEOUT)
    night.api.jobs(CLUSTER).remove(*(job.job_id for job in victims))


def test_a_body_that_never_ends(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "LARGEST_REPLY", 1024 * 1024)
    with captured_logs() as log, Rig(night.config()) as rig:
        night.api.faults.inject(Flood(), job_ids=VICTIMS)
        exposed = rig.scrape()
    night.assert_exact(exposed)
    assert_down(exposed, ErrorClass.PAYLOAD)
    assert log.getvalue().count("the reply is larger than 1 MiB") == len(VICTIMS)


def test_a_call_ends_in_whatever_phase_the_connection_is(plain: Night) -> None:
    """Connecting, the proxy's CONNECT, the TLS handshake and silence: four clusters, one budget."""
    victims = tuple(job for job in JOBS if job.job_id in VICTIMS)
    with ExitStack() as stack:
        silent = stack.enter_context(Hostile(script(b"", None, after_request=False)))
        handshake = stack.enter_context(Hostile(script(b"\x16\x03\x03\x40\x00", b"x", after_request=False)))
        proxy = stack.enter_context(Hostile(script(b"HTTP/1.1 200 Connection established\r\n", b"X")))
        port = stack.enter_context(full_backlog())
        others = {
            "connecting": {"base_url": f"http://127.0.0.1:{port}"},
            "handshake": {"base_url": handshake.url.replace("http:", "https:")},
            "proxy": {"base_url": "https://127.0.0.1:1", "proxy_url": proxy.url},
            "silence": {"base_url": silent.url},
        }
        clusters = [plain.cluster(victims, cluster_id=name, **other) for name, other in others.items()]
        rig = stack.enter_context(Rig(plain.config(plain.cluster(NEIGHBOURS), *clusters)))
        exposed = rig.scrape(SHORT)
        plain.assert_exact(exposed)
        errors = {(dict(has)["cluster_id"], dict(has)["error"]) for has in exposed.family("job_error")}
        assert errors == {(name, "timeout") for name in others}
