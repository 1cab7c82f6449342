"""`--health` asks whatever the exporter may be serving with, and is not held up by what does not answer."""

from __future__ import annotations

import contextlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from exporter import health
from exporter.web.server import ServerSettings
from tests.doors.site import Site, users
from tests.web.backend import FakeBackend, Running, running

CLIENTS = "client_auth_type: RequireAndVerifyClientCert\nclient_ca_file: ca.pem"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def asked(server: Running) -> str:
    return health.complaint(server.server.addresses[0])


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0", "localhost:0", ":0"])
def test_an_exporter_is_healthy_wherever_it_listens(address: str) -> None:
    with running(FakeBackend(), ServerSettings(listen=(address,))) as server:
        port = server.server.addresses[0].rpartition(":")[2]
        assert health.complaint(address.removesuffix("0") + port) == ""


@pytest.mark.parametrize("tls", ["", CLIENTS, CLIENTS + "\nmax_version: TLS12", "min_version: TLS13"])
def test_with_tls_it_is_healthy_too_and_warns_of_no_failed_handshake(site: Site, tls: str) -> None:
    site.configure(tls)
    settings = ServerSettings(web_config_file=site.directory / "web.yml")
    with capture_logs() as logs, running(FakeBackend(), settings) as server:
        for _ in range(3):
            assert asked(server) == ""
    assert "TLS handshake failed" not in {entry["event"] for entry in logs}


def test_a_password_does_not_make_it_unhealthy(site: Site) -> None:
    (site.directory / "web.yml").write_text(users())
    with running(FakeBackend(), ServerSettings(web_config_file=site.directory / "web.yml")) as server:
        assert asked(server) == ""


def test_where_nobody_listens_nobody_is_healthy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert health.complaint(f"127.0.0.1:{port}") == f"no answer at 127.0.0.1:{port}: Connection refused"
    assert health.complaint(f":{port}") == f"no answer at 127.0.0.1:{port}: Connection refused"
    assert health.complaint(f"name.invalid:{port}").startswith(f"no answer at name.invalid:{port}: ")


def test_who_listens_but_says_nothing_is_not_healthy_and_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        begun = time.monotonic()
        port = listener.getsockname()[1]
        assert health.complaint(f"127.0.0.1:{port}") == f"no answer at 127.0.0.1:{port} within 0.2 s"
        assert time.monotonic() - begun < 10


@pytest.mark.parametrize("said", [b"SSH-2.0-OpenSSH_9.2\r\n", b""])
def test_who_speaks_something_else_is_not_healthy(said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        asking = pool.submit(health.complaint, f"127.0.0.1:{listener.getsockname()[1]}")
        for _ in range(2):
            client, _ = listener.accept()
            # The other side may hang up as soon as it has read enough.
            with client, contextlib.suppress(OSError):
                client.sendall(said)
                client.shutdown(socket.SHUT_WR)
                client.recv(10_000)
        assert asking.result(60).endswith("speaks neither HTTP nor TLS")
