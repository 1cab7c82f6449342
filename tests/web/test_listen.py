from __future__ import annotations

import resource

import pytest

from exporter.web.address import parse_listen_address
from exporter.web.listen import raise_descriptor_limit


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (":10530", ("", 10530)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("[::1]:65535", ("::1", 65535)),
        ("exporter.example:80", ("exporter.example", 80)),
    ],
)
def test_listen_addresses(value: str, expected: tuple[str, int]) -> None:
    assert parse_listen_address(value) == expected


@pytest.mark.parametrize("value", ["", "10530", "::1:80", "a:", "a:b", "a:65536", "a:-1", "a:\u0661", "[::1]"])
def test_what_is_no_listen_address_is_said(value: str) -> None:
    with pytest.raises(ValueError, match=r"--web\.listen-address"):
        parse_listen_address(value)


def test_the_soft_limit_of_descriptors_becomes_the_hard_one() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard // 2, hard))
    try:
        raise_descriptor_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
