"""The real program in networks of companies: behind a forward proxy, and with certificates of a private authority."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.authority import Authority
from tests.support.exporter import Exporter
from tests.support.forward_proxy import ForwardProxy
from tests.support.simulated import CLUSTER, KEY, JobScript, SimulatedApi

pytestmark = pytest.mark.e2e

JOB = "448761313698322011"
HOST = "api.example"
"""No name server knows it: only the proxy leads there."""
VARIABLES = (
    *("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"),
    *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"),
)


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def api(authority: Authority) -> Iterator[SimulatedApi]:
    with SimulatedApi(ssl_context=authority.server_context(HOST)) as running:
        running.add(JobScript(JOB))
        yield running


@pytest.fixture
def proxy(api: SimulatedApi) -> Iterator[ForwardProxy]:
    with ForwardProxy(("127.0.0.1", int(api.url.rpartition(":")[2]))) as running:
        yield running


def config(**keys: object) -> dict[str, object]:
    cluster = {"cluster_id": CLUSTER, "base_url": f"https://{HOST}", "api_key": KEY, "jobs": [JOB], **keys}
    return {"clusters": [cluster]}


@pytest.mark.parametrize("proxy_variable", ["HTTPS_PROXY", "https_proxy"])
@pytest.mark.parametrize("trust_variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_proxy_and_authority_of_the_environment(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    authority: Authority,
    proxy: ForwardProxy,
    proxy_variable: str,
    trust_variable: str,
) -> None:
    monkeypatch.setenv(proxy_variable, proxy.url)
    monkeypatch.setenv(trust_variable, str(authority.ca_file))
    with Exporter(config(proxy_from_environment=True), tmp_path) as exporter:
        assert exporter.scrape().state(JOB) == "Pending"
    # Python 3.12 speaks HTTP/1.1 to proxies.
    assert {line.rpartition("/")[0] for line in proxy.connects} == {f"CONNECT {HOST}:443 HTTP"}


def test_without_proxy_from_environment_the_proxy_is_not_used_and_the_log_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: ForwardProxy
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    with Exporter(config(), tmp_path) as exporter:
        assert exporter.scrape().error(JOB) == "connect"
        log = exporter.log.read_text()
    assert proxy.connects == []
    assert log.count("clusters[0].proxy_url: is not given, and HTTPS_PROXY is used only where") == 1


def test_a_private_authority_is_not_trusted_unless_something_names_it(tmp_path: Path, proxy: ForwardProxy) -> None:
    with Exporter(config(proxy_url=proxy.url), tmp_path) as exporter:
        assert exporter.scrape().error(JOB) == "tls"


def test_a_host_in_no_proxy_is_reached_directly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: ForwardProxy
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("no_proxy", "other.example,.example")
    with Exporter(config(proxy_from_environment=True), tmp_path) as exporter:
        assert exporter.scrape().error(JOB) == "connect"
    assert proxy.connects == []


def test_the_variables_alone_are_a_configuration_with_key_file_proxy_and_authority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authority: Authority, proxy: ForwardProxy
) -> None:
    key = tmp_path / "key"
    key.write_text(f"{KEY}\n")
    key.chmod(0o600)
    variables = {
        "ZILLIZ_CLUSTER_ID": CLUSTER,
        "ZILLIZ_API_KEY_FILE": str(key),
        "ZILLIZ_BASE_URL": f"https://{HOST}",
        "ZILLIZ_JOB_IDS": JOB,
        "ZILLIZ_PROXY_URL": proxy.url,
        "ZILLIZ_CA_FILE": str(authority.ca_file),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    monkeypatch.chdir(tmp_path)
    with Exporter(None, tmp_path) as exporter:
        assert exporter.scrape().state(JOB) == "Pending"
    assert proxy.connects
    assert "level=warn" not in exporter.log.read_text()


def test_the_variables_alone_name_a_milvus_without_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with SimulatedApi() as milvus:
        milvus.add(JobScript(JOB), cluster="milvus")
        variables = {"ZILLIZ_API": "milvus", "ZILLIZ_CLUSTER_ID": "dev", "ZILLIZ_BASE_URL": milvus.milvus_url}
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
        monkeypatch.chdir(tmp_path)
        with Exporter(None, tmp_path) as exporter:
            assert exporter.scrape().state(JOB) == "Pending"
