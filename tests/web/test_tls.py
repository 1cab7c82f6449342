"""TLS as clients see it: versions, client certificates, rotation."""

from __future__ import annotations

import http.client
import itertools
import socket
import ssl
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from exporter.web.server import ServerSettings
from exporter.web.webconfig import WebConfigError
from tests.support.authority import Authority
from tests.web.backend import PATIENT, FakeBackend, Running, clients, is_closed, running

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
SETTINGS = replace(PATIENT, refresh_interval=0.02)


class Site:
    """The files of a server with TLS, and clients for it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority(directory)
        self.install(*self.authority.issue("127.0.0.1"))
        self.configure("")

    def install(self, certificate: Path, key: Path) -> None:
        (self.directory / "server.crt").write_bytes(certificate.read_bytes())
        (self.directory / "server.key").write_bytes(key.read_bytes())

    def configure(self, more: str, rest: str = "") -> None:
        indented = "".join(f"  {line}\n" for line in more.splitlines())
        text = f"tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n{indented}{rest}"
        (self.directory / "web.yml").write_text(text)

    @property
    def settings(self) -> ServerSettings:
        return replace(SETTINGS, web_config_file=self.directory / "web.yml")

    def client(self, certificate: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.authority.ca_file)
        if certificate is not None:
            context.load_cert_chain(*certificate)
        return context


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def get(server: Running, context: ssl.SSLContext, path: str = "/metrics") -> int:
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=context, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def serial(server: Running, context: ssl.SSLContext) -> str:
    raw = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    with raw, context.wrap_socket(raw, server_hostname="127.0.0.1") as wrapped:
        certificate = wrapped.getpeercert()
        assert certificate is not None
        return str(certificate["serialNumber"])


def eventually(condition: object, seconds: float = 10) -> None:
    """Waits until the callable says yes: for what the server does by itself, by polling."""
    assert callable(condition)
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_scrapes_work_over_tls_and_discovery_says_https(site: Site) -> None:
    with running(FakeBackend(text=b"x" * 1_000_000), site.settings) as server:
        assert get(server, site.client()) == 200
        connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=site.client(), timeout=10)
        for _ in range(3):
            connection.request("GET", "/sd")
            assert b'"__scheme__": "https"' in connection.getresponse().read()
        connection.close()


def test_http_1_1_is_negotiated_where_http_2_is_offered(site: Site) -> None:
    context = site.client()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with running(FakeBackend(), site.settings) as server:
        raw = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        with raw, context.wrap_socket(raw, server_hostname="127.0.0.1") as wrapped:
            assert wrapped.selected_alpn_protocol() == "http/1.1"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize(
    ("config", "accepted"),
    [
        ("", {"TLSv1_2", "TLSv1_3"}),
        ("min_version: TLS13", {"TLSv1_3"}),
        ("max_version: TLS12", {"TLSv1_2"}),
        ("min_version: TLS10", {"TLSv1", "TLSv1_1", "TLSv1_2", "TLSv1_3"}),
        ("min_version: TLS11\nmax_version: TLS12", {"TLSv1_1", "TLSv1_2"}),
        ("cipher_suites: [TLS_AES_128_GCM_SHA256]", {"TLSv1_3"}),
    ],
)
def test_versions_are_accepted_as_configured(site: Site, config: str, accepted: set[str]) -> None:
    site.configure(config)
    found = set()
    with running(FakeBackend(), site.settings) as server:
        for name in ("TLSv1", "TLSv1_1", "TLSv1_2", "TLSv1_3"):
            context = site.client()
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
            context.minimum_version = context.maximum_version = ssl.TLSVersion[name]
            try:
                get(server, context)
                found.add(name)
            except OSError:
                continue
    assert found == accepted


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_client_certificates_are_required_and_verified(site: Site, tmp_path: Path, version: ssl.TLSVersion) -> None:
    commented = "# für Kunden\n".encode() + site.authority.ca_file.read_bytes() + b"# \xff\n"
    (site.directory / "clients.pem").write_bytes(commented)
    site.configure("client_auth_type: RequireAndVerifyClientCert\nclient_ca_file: clients.pem")
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other", "Stranger").issue("prometheus.example")
    with running(FakeBackend(), site.settings) as server:
        for certificate in (None, stranger):
            context = site.client(certificate)
            context.maximum_version = version
            with pytest.raises(OSError, match=r"alert|reset|closed|EOF|aborted"):
                get(server, context)
        assert get(server, site.client(site.authority.issue("prometheus.example"))) == 200


def test_a_client_certificate_may_be_left_out_but_not_be_wrong(site: Site, tmp_path: Path) -> None:
    site.configure("client_auth_type: VerifyClientCertIfGiven\nclient_ca_file: ca.pem")
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other", "Stranger").issue("prometheus.example")
    with running(FakeBackend(), site.settings) as server:
        assert get(server, site.client()) == 200
        with pytest.raises(OSError, match=r"alert|reset|closed|EOF|aborted"):
            get(server, site.client(stranger))


def test_only_clients_with_an_allowed_name_get_in(site: Site) -> None:
    site.configure(
        "client_auth_type: RequireAndVerifyClientCert\nclient_ca_file: ca.pem\n"
        'client_allowed_sans: [prometheus.example, "::1"]'
    )
    with running(FakeBackend(), site.settings) as server:
        assert get(server, site.client(site.authority.issue("prometheus.example"))) == 200
        assert get(server, site.client(site.authority.issue("::1"))) == 200
        with capture_logs() as logs, pytest.raises((OSError, http.client.RemoteDisconnected)):
            get(server, site.client(site.authority.issue("grafana.example")))
    assert [entry["error"] for entry in logs if entry["event"] == "TLS handshake failed"] == [
        "the client certificate has none of the names in client_allowed_sans"
    ]


def test_a_new_pair_is_used_and_half_of_one_is_not(site: Site) -> None:
    with running(FakeBackend(), site.settings) as server:
        first = serial(server, site.client())
        certificate, key = site.authority.issue("127.0.0.1")
        (site.directory / "server.crt").write_bytes(certificate.read_bytes())
        # Long enough for several looks at the files; the half pair must not be served at any time in it.
        for _ in range(20):
            assert serial(server, site.client()) == first
        (site.directory / "server.key").write_bytes(key.read_bytes())
        eventually(lambda: serial(server, site.client()) != first)


def test_another_client_authority_is_used_at_once_for_new_connections(site: Site, tmp_path: Path) -> None:
    site.configure("client_auth_type: RequireAndVerifyClientCert\nclient_ca_file: clients.pem")
    (tmp_path / "clients.pem").write_bytes(site.authority.ca_file.read_bytes())
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "Next authority")
    before, after = site.client(site.authority.issue("a.example")), site.client(other.issue("a.example"))

    def accepted(context: ssl.SSLContext) -> bool:
        try:
            return get(server, context) == 200
        except OSError:
            return False

    with running(FakeBackend(), site.settings) as server:
        assert (accepted(before), accepted(after)) == (True, False)
        (tmp_path / "clients.pem").write_bytes(other.ca_file.read_bytes())
        eventually(lambda: accepted(after))
        assert not accepted(before)


def test_versions_follow_the_file_too(site: Site) -> None:
    old = site.client()
    old.maximum_version = ssl.TLSVersion.TLSv1_2

    def refused() -> bool:
        try:
            return get(server, old) != 200
        except OSError:
            return True

    with running(FakeBackend(), site.settings) as server:
        assert not refused()
        site.configure("min_version: TLS13")
        eventually(refused)
        assert get(server, site.client()) == 200


def test_tls_is_neither_switched_off_nor_broken_while_running(site: Site) -> None:
    with running(FakeBackend(), site.settings) as server:
        first = serial(server, site.client())
        for content in ("", "tls_server_config: [", "basic_auth_users: {a: b}"):
            (site.directory / "web.yml").write_text(content)
            for _ in range(10):
                assert serial(server, site.client()) == first


def test_rotated_a_hundred_times_under_load_no_handshake_fails(site: Site) -> None:
    pairs = [site.authority.issue("127.0.0.1") for _ in range(4)]
    failures: list[BaseException] = []
    served: set[str] = set()
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            try:
                served.add(serial(server, site.client()))
            except OSError as error:
                failures.append(error)

    with running(FakeBackend(), replace(site.settings, refresh_interval=0.005)) as server:
        threads = [threading.Thread(target=load) for _ in range(2)]
        for thread in threads:
            thread.start()
        for number, (certificate, key) in zip(range(100), itertools.cycle(pairs), strict=False):
            if number % 10 == 0:
                (site.directory / "server.crt").write_bytes(b"-----BEGIN CERTIFICATE-----\nbroken\n")
                stop.wait(0.02)
            (site.directory / "server.crt").write_bytes(certificate.read_bytes())
            (site.directory / "server.key").write_bytes(key.read_bytes())
            stop.wait(0.02)
        stop.set()
        for thread in threads:
            thread.join(10)
    assert failures == []
    assert len(served) > 1


def test_silent_tls_clients_are_dropped_and_hold_up_nobody(site: Site) -> None:
    settings = replace(site.settings, client_timeout=1.0)
    with running(FakeBackend(), settings) as server, clients(server, 100) as silent:
        assert get(server, site.client()) == 200
        assert all(is_closed(client) for client in silent)
        assert get(server, site.client()) == 200


def test_what_cannot_be_used_is_logged_once_and_so_is_what_can(site: Site) -> None:
    with capture_logs() as logs, running(FakeBackend(), site.settings) as server:
        certificate, key = site.authority.issue("127.0.0.1")
        (site.directory / "server.crt").write_bytes(certificate.read_bytes())
        eventually(lambda: any(entry["log_level"] == "error" for entry in logs))
        for _ in range(10):
            get(server, site.client())
        (site.directory / "server.key").write_bytes(key.read_bytes())
        eventually(lambda: any(entry["event"] == "The web configuration was reloaded" for entry in logs))
    logged = [entry for entry in logs if entry["log_level"] in ("error", "info") and entry["event"] != "First scrape"]
    assert [entry["log_level"] for entry in logged] == ["error", "info"]
    assert "tls_server_config.cert_file: does not go with the key" in logged[0]["error"]


def test_a_handshake_that_fails_is_told_of_once_for_each_kind(site: Site, tmp_path: Path) -> None:
    commented = "# für Kunden\n".encode() + site.authority.ca_file.read_bytes() + b"# \xff\n"
    (site.directory / "clients.pem").write_bytes(commented)
    site.configure("client_auth_type: RequireAndVerifyClientCert\nclient_ca_file: clients.pem")
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other", "Stranger").issue("prometheus.example")
    with capture_logs() as logs, running(FakeBackend(), site.settings) as server:
        for certificate in (None, stranger, None, stranger):
            with pytest.raises(OSError, match=r"alert|reset|closed|EOF|aborted"):
                get(server, site.client(certificate))
        with clients(server, 3, GET) as plain, clients(server, 3):
            assert all(is_closed(client) for client in plain)
        assert get(server, site.client(site.authority.issue("prometheus.example"))) == 200
    logged = [entry["error"] for entry in logs if entry["event"] == "TLS handshake failed"]
    assert logged == ["peer did not return a certificate", "certificate verify failed"]


@pytest.mark.parametrize(
    "junk", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"a" * 1000, b"\0" * 5000]
)
def test_what_is_not_tls_is_closed(site: Site, junk: bytes) -> None:
    with running(FakeBackend(), site.settings) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
            client.sendall(junk)
            while client.recv(1000):
                pass
        assert get(server, site.client()) == 200


def test_a_broken_pair_keeps_the_server_from_starting(site: Site) -> None:
    (site.directory / "server.key").write_bytes(site.authority.issue("127.0.0.1")[1].read_bytes())
    with pytest.raises(WebConfigError, match="cert_file"), running(FakeBackend(), site.settings):
        pass
