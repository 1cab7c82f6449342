from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.discovery import target_groups
from exporter.web.urls import Urls, is_host, urls_from_flags


def test_without_flags_everything_is_at_the_root() -> None:
    assert urls_from_flags("/metrics", "", None) == Urls()


def test_the_route_prefix_defaults_to_the_path_of_the_external_url() -> None:
    urls = urls_from_flags("/metrics", "https://example.org:8443/a/b/", None)
    assert (urls.prefix, urls.link_prefix) == ("/a/b", "/a/b")
    assert (urls.external_scheme, urls.external_host) == ("https", "example.org:8443")


def test_behind_a_proxy_that_strips_the_path_links_keep_it() -> None:
    urls = urls_from_flags("/metrics", "https://example.org/exporter", "/")
    assert (urls.prefix, urls.link("/sd")) == ("", "/exporter/sd")


def test_a_route_prefix_alone_is_linked_too() -> None:
    urls = urls_from_flags("/metrics", "", "exporter/")
    assert (urls.prefix, urls.link("/")) == ("/exporter", "/exporter/")


@pytest.mark.parametrize(
    ("telemetry", "external", "prefix", "flag"),
    [
        ("metrics", "", None, "--web.telemetry-path"),
        ("/", "", None, "--web.telemetry-path"),
        ("/probe", "", None, "--web.telemetry-path"),
        ("/sd", "", None, "--web.telemetry-path"),
        ("/-/healthy", "", None, "--web.telemetry-path"),
        ("/a/../b", "", None, "--web.telemetry-path"),
        ("/a?b", "", None, "--web.telemetry-path"),
        ("/metrics", "example.org", None, "--web.external-url"),
        ("/metrics", "ftp://example.org", None, "--web.external-url"),
        ("/metrics", "http://user:password@example.org", None, "--web.external-url"),
        ("/metrics", "http://example.org/?a=b", None, "--web.external-url"),
        ("/metrics", "http://[::1", None, "--web.external-url"),
        ("/metrics", "http://example.org:99999", None, "--web.external-url"),
        ("/metrics", "", "/a b", "--web.route-prefix"),
        ("/metrics", "", "/a/../b", "--web.route-prefix"),
    ],
)
def test_what_is_wrong_is_said_with_the_name_of_the_flag(
    telemetry: str, external: str, prefix: str | None, flag: str
) -> None:
    with pytest.raises(ValueError, match=f"^{flag}: "):
        urls_from_flags(telemetry, external, prefix)


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:10530", "127.0.0.1:1", "[::1]", "[::1]:10530", "exporter.monitoring.svc:10530"]
)
def test_hosts(host: str) -> None:
    assert is_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        ":10530",
        "a:",
        "a:0",
        "a:65536",
        "a b",
        "a/b",
        "a,b",
        "user@a",
        "::1",
        "[::1",
        "[x]",
        "a\r\nb",
        "a:1:2",
        "é",
        "-a",
    ],
)
def test_junk_is_no_host(host: str) -> None:
    assert not is_host(host)


@given(st.text(max_size=300))
def test_what_passes_as_a_host_is_safe_in_a_target(host: str) -> None:
    if is_host(host):
        assert host.isascii()
        assert not set(host) & set("/@?#\"'<> \r\n")


def test_every_cluster_and_the_exporter_are_targets() -> None:
    groups = json.loads(target_groups(("a", "b"), urls=Urls(), host="h:1", scheme="http"))
    assert [group["targets"] for group in groups] == [["h:1"]] * 3
    assert groups[1]["labels"] == {
        "__scheme__": "http",
        "__metrics_path__": "/probe",
        "__param_target": "b",
        "instance": "b",
    }
    assert groups[2]["labels"] == {"__scheme__": "http", "__metrics_path__": "/metrics", "__param_scope": "exporter"}


def test_an_external_url_is_what_prometheus_is_sent_to() -> None:
    urls = urls_from_flags("/m", "https://example.org/exporter", "/")
    groups = json.loads(target_groups(("a",), urls=urls, host="h:1", scheme="http"))
    assert groups[0]["targets"] == ["example.org"]
    assert groups[0]["labels"]["__scheme__"] == "https"
    assert groups[0]["labels"]["__metrics_path__"] == "/exporter/probe"
    assert groups[1]["labels"]["__metrics_path__"] == "/exporter/m"
