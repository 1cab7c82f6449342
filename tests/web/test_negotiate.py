from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.negotiate import Format, accepts_gzip, choose_format

PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3_PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;"
    "escaping=allow-utf-8;q=0.7," + PROMETHEUS_3
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize("accept", [PROMETHEUS_2_42, PROMETHEUS_3, PROMETHEUS_3_PROTOBUF])
def test_prometheus_gets_openmetrics(accept: str) -> None:
    assert choose_format(accept) is Format.OPENMETRICS


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        BROWSER,
        "text/plain;version=0.0.4",
        "application/json",
        "application/openmetrics-text;version=2.0.0",
        "application/openmetrics-text;version=0.0.1",
        "application/openmetrics-text;version=abc",
        "application/openmetrics-text;version=",
        "application/openmetrics-text;q=0",
        "application/openmetrics-text;q=junk",
        "application/openmetrics-text;q=1.5",
        "application/openmetrics-text;q=-1",
        "application/openmetrics-text;q=nan",
        "application/openmetrics-text;q=0.3,text/plain;q=0.4",
        "application/openmetrics-text;q=0.3,*/*;q=0.4",
        'text/plain;note="a,application/openmetrics-text"',
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
        ",;,;;=",
    ],
)
def test_text_is_the_answer_to_everything_else(accept: str) -> None:
    assert choose_format(accept) is Format.TEXT


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text",
        "APPLICATION/OpenMetrics-Text; Version=1.0.0",
        'application/openmetrics-text; version="1.0.0"; charset=utf-8',
        "text/plain;q=0.5, application/openmetrics-text;q=0.5",
        "text/plain;q=junk, application/openmetrics-text;q=0.1",
        # A specific entry beats the wildcard, whatever the order.
        "*/*;q=0.9, text/plain;q=0.1, application/openmetrics-text;q=0.5",
        # Only text 1.0.0 is liked, which is not on offer.
        "text/plain;version=1.0.0, application/openmetrics-text;q=0.2",
    ],
)
def test_openmetrics_where_it_is_asked_for_by_name_and_liked_no_less(accept: str) -> None:
    assert choose_format(accept) is Format.OPENMETRICS


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("zstd, gzip", True),
        ("gzip, deflate, br", True),
        ("*", True),
        ("*;q=0", False),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("gzip;q=0.5, identity", False),
        ("gzip, identity;q=0.5", True),
        ("identity", False),
        ("deflate", False),
        ("gzip;q=junk", False),
        ("gzip;q=0.001", True),
        ("gzipped", False),
    ],
)
def test_gzip_is_used_where_it_is_accepted_and_not_less_than_plain(header: str, expected: bool) -> None:
    assert accepts_gzip(header) is expected


_PIECE = st.sampled_from(
    [
        "application/openmetrics-text",
        "text/plain",
        "*/*",
        ";",
        ",",
        "q=",
        "0.5",
        "version=",
        "1.0.0",
        '"',
        "\\",
        " ",
        "=",
    ]
)


@given(st.one_of(st.text(), st.lists(_PIECE, max_size=40).map("".join)))
def test_whatever_is_sent_there_is_an_answer(header: str) -> None:
    assert choose_format(header) in Format
    assert accepts_gzip(header) in (True, False)


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_the_better_liked_format_wins(openmetrics: int, text: int) -> None:
    accept = f"text/plain;q={text / 1000:.3f},application/openmetrics-text;version=1.0.0;q={openmetrics / 1000:.3f}"
    wanted = Format.OPENMETRICS if openmetrics and openmetrics >= text else Format.TEXT
    assert choose_format(accept) is wanted


@given(st.text(alphabet='",\\;=qa', max_size=8000))
def test_a_long_header_is_read_in_linear_time(header: str) -> None:
    choose_format(header * (8000 // max(1, len(header))))
