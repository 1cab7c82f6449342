"""curl, openssl and a real Prometheus at the door: in or out as configured, over TLS of every version."""

from __future__ import annotations

import itertools
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.doors.door import Door
from tests.doors.site import PASSWORD, USER, Site, users
from tests.support.authority import Authority
from tests.support.prometheus import Prometheus, scrape_config

pytestmark = pytest.mark.e2e

CLIENTS = "client_auth_type: RequireAndVerifyClientCert\nclient_ca_file: ca.pem\n"


def curl(door: Door, site: Site, *arguments: object, path: str = "/metrics") -> str:
    """What curl makes of it: the status, 000 where there was no answer."""
    url = f"https://127.0.0.1:{door.where[1]}{path}"
    command = ["curl", "--silent", "--max-time", "60", "--output", "/dev/null", "--write-out", "%{http_code}"]
    trust = ["--cacert", site.authority.ca_file]
    return subprocess.run(
        [str(word) for word in (*command, *trust, *arguments, url)], capture_output=True, text=True, check=False
    ).stdout


@pytest.mark.needs("curl")
def test_curl_gets_in_with_certificate_and_password_alone(config_file: Path, site: Site, tmp_path: Path) -> None:
    site.configure(CLIENTS + "client_allowed_sans: [prometheus.example]", users())
    cert, key = site.authority.issue("prometheus.example")
    other, other_key = site.authority.issue("grafana.example")
    (tmp_path / "stranger").mkdir()
    stranger, stranger_key = Authority(tmp_path / "stranger", "Stranger").issue("prometheus.example")
    right, wrong = f"{USER}:{PASSWORD}", f"{USER}:wrong"
    with Door(config_file, tmp_path, site.flag) as door:
        assert curl(door, site, "--cert", cert, "--key", key, "--user", right) == "200"
        assert curl(door, site, "--cert", cert, "--key", key, "--user", right, "--compressed", "--http2") == "200"
        assert curl(door, site, "--cert", cert, "--key", key, "--user", wrong) == "401"
        assert curl(door, site, "--cert", cert, "--key", key) == "401"
        assert curl(door, site, "--cert", other, "--key", other_key, "--user", right) == "000"
        assert curl(door, site, "--cert", stranger, "--key", stranger_key, "--user", right) == "000"
        assert curl(door, site, "--user", right) == "000"
        door.assert_calm()


@pytest.mark.needs("openssl")
@pytest.mark.parametrize(
    ("tls", "accepted"),
    [
        ("", {"TLSv1.2", "TLSv1.3"}),
        ("min_version: TLS13", {"TLSv1.3"}),
        ("max_version: TLS12", {"TLSv1.2"}),
        ("min_version: TLS10", {"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"}),
    ],
)
def test_openssl_agrees_on_the_versions_that_are_configured(
    config_file: Path, site: Site, tmp_path: Path, tls: str, accepted: set[str]
) -> None:
    site.configure(tls)
    found = set()
    with Door(config_file, tmp_path, site.flag) as door:
        for version in ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"):
            command = [
                "openssl", "s_client", "-brief", "-verify_return_error", "-connect", f"127.0.0.1:{door.where[1]}",
                f"-{version.lower().replace('v', '').replace('.', '_')}",
                "-CAfile", str(site.authority.ca_file), "-cipher", "DEFAULT:@SECLEVEL=0",
            ]  # fmt: skip
            ended = subprocess.run(command, input=b"", capture_output=True, timeout=60, check=False)
            if ended.returncode == 0 and f"Protocol version: {version}\n".encode() in ended.stdout + ended.stderr:
                found.add(version)
        door.assert_calm()
    assert found == accepted


@pytest.mark.needs("prometheus")
def test_prometheus_scrapes_with_tls_config_client_certificate_and_basic_auth(
    config_file: Path, site: Site, tmp_path: Path
) -> None:
    site.configure(CLIENTS, users())
    cert, key = site.authority.issue("prometheus.example")
    trust = {"ca_file": str(site.authority.ca_file)}
    with Door(config_file, tmp_path, site.flag) as door:
        target = [f"127.0.0.1:{door.where[1]}"]
        certificate = {**trust, "cert_file": str(cert), "key_file": str(key)}
        password = {"username": USER, "password": PASSWORD}
        jobs = [
            scrape_config(target, job="right", scheme="https", tls_config=certificate, basic_auth=password),
            scrape_config(target, job="no password", scheme="https", tls_config=certificate),
            scrape_config(target, job="no certificate", scheme="https", tls_config=trust, basic_auth=password),
            scrape_config(target, job="no tls", basic_auth=password),
        ]
        config = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": jobs}
        with Prometheus(config, tmp_path / "prometheus") as prometheus:
            prometheus.wait_until('up{job="right"} == 1', 60)
            prometheus.wait_until('count(zilliz_import_job_up{job="right"} == 1) == 500', 60)
            prometheus.wait_until('count(up{job!="right"} == 0) == 3', 60)
            errors = {each["labels"]["job"]: each["lastError"] for each in prometheus.targets()}
        assert "401" in errors["no password"]
        assert errors["no certificate"]
        # asyncio closes the connection without an alert, so that it is the log which has to say why.
        failures = [line for line in door.log.read_text().splitlines() if "TLS handshake failed" in line]
        assert ["peer did not return a certificate" in line for line in failures] == [True]
        door.assert_calm()


def test_certificates_rotated_100_times_under_load_cost_no_handshake(
    config_file: Path, site: Site, tmp_path: Path
) -> None:
    pairs = [site.authority.issue() for _ in range(5)]
    failures: list[BaseException] = []
    served: set[str] = set()
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            try:
                with door.connect(site.client()) as client:
                    certificate = client.getpeercert()  # type: ignore[attr-defined]  # over TLS it is an SSLSocket
                    served.add(str(certificate["serialNumber"]))
            except OSError as error:
                failures.append(error)

    with Door(config_file, tmp_path, site.flag) as door:
        clients = [threading.Thread(target=load) for _ in range(4)]
        for client in clients:
            client.start()
        for number, pair in zip(range(100), itertools.cycle(pairs), strict=False):
            if number % 10 == 0:
                (site.directory / "server.crt").write_bytes(b"-----BEGIN CERTIFICATE-----\nbroken\n")
                time.sleep(0.2)
            site.install(*pair)
            time.sleep(0.05)
        seen = len(served)
        site.install(*site.authority.issue())
        until = time.monotonic() + 30
        while len(served) == seen:
            assert time.monotonic() < until
            time.sleep(0.05)
        stop.set()
        for client in clients:
            client.join()
        log = door.log.read_text()
        assert "Traceback" not in log
        assert "The web configuration was reloaded" in log
        assert "PRIVATE" not in log
    assert failures == []
    assert seen > 1
