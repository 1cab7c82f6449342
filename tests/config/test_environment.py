"""What a configuration leaves to the environment: proxies and certificate authorities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from exporter.config.load import Loader
from exporter.config.schema import Cluster
from tests.config.place import Place, cluster, errors

PROXY = "http://proxy:3128"


def loader(place: Place, environ: dict[str, str], *clusters: dict[str, Any]) -> Loader:
    place.configure(*clusters)
    place.path.chmod(0o600)
    return Loader(place.path, environ)


def proxied(place: Place, environ: dict[str, str], **keys: Any) -> str | None:
    (only,) = loader(place, environ, cluster(proxy_from_environment=True, **keys)).load().config.clusters
    return only.proxy_url


def trusting(place: Place, environ: dict[str, str], **keys: Any) -> Cluster:
    (only,) = loader(place, environ, cluster(**keys)).load().config.clusters
    return only


@pytest.fixture
def authority(place: Place, pair: tuple[bytes, bytes]) -> Path:
    return place.write("authority.pem", pair[0].decode())


@pytest.mark.parametrize(
    ("environ", "url", "proxy"),
    [
        ({"HTTPS_PROXY": PROXY}, "https://api.example", PROXY),
        ({"https_proxy": PROXY}, "https://api.example", PROXY),
        ({"HTTPS_PROXY": PROXY, "https_proxy": "http://other"}, "https://api.example", PROXY),
        ({"HTTPS_PROXY": "", "https_proxy": PROXY}, "https://api.example", PROXY),
        ({"HTTP_PROXY": PROXY}, "http://api.example", PROXY),
        ({"http_proxy": PROXY}, "http://api.example", PROXY),
        ({"HTTPS_PROXY": "http://user:pass@proxy:3128/"}, "https://api.example", "http://user:pass@proxy:3128"),
        ({"HTTPS_PROXY": "https://proxy"}, "https://api.example", "https://proxy"),
        ({"HTTPS_PROXY": "proxy:3128"}, "https://api.example", PROXY),
        ({"HTTP_PROXY": PROXY}, "https://api.example", None),
        ({"HTTPS_PROXY": PROXY}, "http://api.example", None),
        ({"ALL_PROXY": PROXY}, "https://api.example", None),
        ({}, "https://api.example", None),
        ({"HTTPS_PROXY": PROXY}, "https://localhost:19530", None),
        ({"HTTPS_PROXY": PROXY}, "https://127.0.0.2", None),
        ({"HTTPS_PROXY": PROXY}, "https://[::1]:19530", None),
    ],
)
def test_the_variables_name_a_proxy_by_the_scheme_of_the_api(
    place: Place, environ: dict[str, str], url: str, proxy: str | None
) -> None:
    assert proxied(place, environ, base_url=url) == proxy


@pytest.mark.parametrize(
    ("exceptions", "url", "direct"),
    [
        ("*", "https://api.example", True),
        ("api.example", "https://api.example", True),
        ("API.example", "https://api.Example", True),
        ("other, example", "https://api.example", True),
        (".example", "https://api.example", True),
        ("*.example", "https://api.example", True),
        ("i.example", "https://api.example", False),
        ("api.example:443", "https://api.example", True),
        ("api.example:8443", "https://api.example", False),
        ("10.1.2.3", "https://10.1.2.3:19530", True),
        ("10.0.0.0/8", "https://10.1.2.3:19530", True),
        ("10.1.0.1/8", "https://10.1.2.3:19530", True),
        ("10.1.2.3:19530", "https://10.1.2.3:19530", True),
        ("10.1.2.3:1", "https://10.1.2.3:19530", False),
        ("11.0.0.0/8", "https://10.1.2.3:19530", False),
        ("fd00::/8", "https://[fd00::1]:19530", True),
        ("[fd00::1]", "https://[fd00::1]", True),
        ("fd00::2", "https://[fd00::1]", False),
        (" ,,", "https://api.example", False),
    ],
)
@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_no_proxy_excepts_names_addresses_and_networks(
    place: Place, name: str, exceptions: str, url: str, direct: bool
) -> None:
    found = proxied(place, {"HTTPS_PROXY": PROXY, name: exceptions}, base_url=url)
    assert found == (None if direct else PROXY)


@pytest.mark.parametrize(
    "value", ["socks5://canary:1080", "http://", "http://canary:99999", "http://canary/path", "http://can ary"]
)
def test_a_proxy_that_cannot_be_used_is_one_error_that_names_the_variable_and_not_its_value(
    place: Place, value: str
) -> None:
    clusters = [cluster(cluster_id=name, proxy_from_environment=True) for name in ("a", "b")]
    (error,) = errors(loader(place, {"https_proxy": value}, *clusters))
    assert error.startswith("https_proxy: must ")
    assert error.endswith(", such as http://proxy:3128")
    assert "canary" not in error


def test_a_proxy_is_named_in_the_file_or_left_to_the_environment_but_not_both(place: Place) -> None:
    both = cluster(proxy_url=PROXY, proxy_from_environment=True)
    for environ in ({}, {"HTTPS_PROXY": "http://other"}):
        (error,) = errors(loader(place, environ, both))
        assert error.startswith(
            "clusters[0].proxy_from_environment: is given in addition to proxy_url; keep one of them ("
        )


@pytest.mark.parametrize(
    ("environ", "keys", "warned_of"),
    [
        ({"HTTPS_PROXY": PROXY}, {}, "HTTPS_PROXY"),
        ({"https_proxy": PROXY}, {"proxy_from_environment": False}, "https_proxy"),
        ({"HTTP_PROXY": PROXY}, {"base_url": "http://milvus:19530"}, "HTTP_PROXY"),
        ({"all_proxy": PROXY}, {"proxy_from_environment": True}, "all_proxy"),
        ({"HTTP_PROXY": PROXY}, {}, None),
        ({"HTTPS_PROXY": PROXY}, {"proxy_from_environment": True}, None),
        ({"HTTPS_PROXY": PROXY, "ALL_PROXY": PROXY}, {"proxy_from_environment": True}, None),
        ({"HTTPS_PROXY": PROXY}, {"proxy_url": "http://other"}, None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": ".zilliz.com"}, {}, None),
        ({"HTTPS_PROXY": PROXY}, {"base_url": "https://127.0.0.1:19530"}, None),
    ],
)
def test_a_proxy_that_is_named_and_not_used_is_warned_of(
    place: Place, environ: dict[str, str], keys: dict[str, Any], warned_of: str | None
) -> None:
    warnings = loader(place, environ, cluster(**keys)).load().warnings
    assert len(warnings) == (warned_of is not None)
    for warning in warnings:
        assert warning.startswith(f"clusters[0].proxy_url: is not given, and {warned_of} is ")
        assert "proxy_from_environment: true" in warning
        assert PROXY not in warning


@pytest.mark.parametrize(
    ("environ", "keys", "trusted"),
    [
        ({"SSL_CERT_FILE": "authority.pem"}, {}, True),
        ({"REQUESTS_CA_BUNDLE": "authority.pem"}, {"tls_config": None}, True),
        ({"SSL_CERT_FILE": "authority.pem", "REQUESTS_CA_BUNDLE": "missing"}, {}, True),
        ({"SSL_CERT_FILE": "", "REQUESTS_CA_BUNDLE": "authority.pem"}, {"tls_config": {"server_name": "x"}}, True),
        ({"SSL_CERT_FILE": "authority.pem"}, {"base_url": "http://a", "proxy_url": "https://proxy"}, True),
        ({"SSL_CERT_FILE": "missing"}, {"base_url": "http://a"}, False),
        ({}, {}, False),
    ],
)
def test_the_variables_name_whom_to_trust_where_tls_is_spoken(
    place: Place,
    authority: Path,
    monkeypatch: pytest.MonkeyPatch,
    environ: dict[str, str],
    keys: dict[str, Any],
    trusted: bool,
) -> None:
    monkeypatch.chdir(place.directory)
    assert trusting(place, environ, **keys).tls_config.ca_file == (str(authority) if trusted else None)


def test_a_ca_file_in_the_configuration_comes_before_the_environment(place: Place, authority: Path) -> None:
    environ = {"SSL_CERT_FILE": "/missing", "REQUESTS_CA_BUNDLE": "/missing"}
    assert trusting(place, environ, tls_config={"ca_file": authority.name}).tls_config.ca_file == str(authority)


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_authorities_that_cannot_be_read_are_one_error_that_names_the_variable(place: Place, name: str) -> None:
    clusters = [cluster(cluster_id=each) for each in ("a", "b")]
    missing = loader(place, {name: str(place.directory / "missing")}, *clusters)
    assert errors(missing) == (f"{name}: names a file that cannot be read: No such file or directory",)
    place.write("missing", "no certificate")
    assert missing.changed()
    assert errors(missing) == (f"{name}: names a file without a certificate in PEM form",)


def test_an_error_of_the_environment_comes_in_one_run_with_those_of_the_file(place: Place) -> None:
    environ = {"HTTPS_PROXY": "ftp://proxy", "SSL_CERT_FILE": "/missing"}
    found = errors(loader(place, environ, cluster(proxy_from_environment=True, concurrency=0)))
    assert [text.partition(":")[0] for text in found] == ["HTTPS_PROXY", "SSL_CERT_FILE", "clusters[0].concurrency"]


def test_other_authorities_in_the_same_file_are_a_change(
    place: Place, authority: Path, pair: tuple[bytes, bytes]
) -> None:
    file = loader(place, {"SSL_CERT_FILE": str(authority)}, cluster())
    file.load()
    assert not file.changed()
    place.write(authority.name, pair[0].decode() * 2)
    assert file.changed()
    file.load()
    file.accept()
    place.write("config.yaml", "clusters: [")
    errors(file)
    kept = file.load_last_good()
    assert kept is not None
    assert kept.config.clusters[0].tls_config.ca_file == str(authority)
