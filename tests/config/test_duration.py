from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.duration import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("0s", 0.0),
        ("30s", 30.0),
        ("10m", 600.0),
        ("1h30m", 5400.0),
        ("1d", 86_400.0),
        ("1w2d", 777_600.0),
        ("1y", 31_536_000.0),
        ("500ms", 0.5),
        ("1m5ms", 60.005),
        ("90m", 5400.0),
    ],
)
def test_durations_mean_what_they_mean_to_prometheus(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "5",
        "00",
        "5 s",
        " 5s",
        "5s ",
        "5s\n",
        "-5s",
        "+5s",
        "1.5h",
        "30m1h",
        "1s1s",
        "5S",
        "5sec",
        "٣s",
        "5ms1s",
    ],
)
def test_what_prometheus_refuses_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration such as"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["293y", "99999999999999999999s"])
def test_durations_longer_than_prometheus_can_count_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="below 292 years"):
        parse_duration(text)


@given(st.text(max_size=40))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        assert parse_duration(text) >= 0
