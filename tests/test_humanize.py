from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import humanize
from exporter.model import ErrorClass


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (1536, "1.50 KiB"),
        (1024 * 1024 - 1, "1.00 MiB"),
        (5.1e9, "4.75 GiB"),
        (2.0**60, "1024 PiB"),
    ],
)
def test_sizes(value: float, expected: str) -> None:
    assert humanize.size(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0"),
        (950, "950"),
        (12345, "12,345"),
        (999999, "999,999"),
        (1e6, "1.00 M"),
        (8812345, "8.81 M"),
        (2e9, "2.00 G"),
    ],
)
def test_counts(value: float, expected: str) -> None:
    assert humanize.count(value) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-1, "0 s"), (0.25, "0.25 s"), (42, "42 s"), (200, "3 m 20 s"), (3600, "1 h"), (98765, "1 d 3 h"), (86405, "1 d")],
)
def test_durations(seconds: float, expected: str) -> None:
    assert humanize.duration(seconds) == expected


def test_ages() -> None:
    assert humanize.age(0.4) == "just now"
    assert humanize.age(4.9) == "4 s ago"


def test_moments() -> None:
    assert humanize.moment(1_795_536_434.7) == "2026-11-24T16:07:14Z"


@given(st.floats(0, 1e15, allow_nan=False))
def test_nothing_is_ever_empty(value: float) -> None:
    assert all(text.strip() for text in (humanize.size(value), humanize.count(value), humanize.duration(value)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("größe 表 🎉", "größe 表 🎉"),
        ("", ""),
        ("\x1b[31m\x9b\r\n\t", r"\x1b[31m\x9b\r\n\t"),
        ("\u202e\u2066\u200f\ud800", r"\u202e\u2066\u200f\ud800"),
    ],
)
def test_what_cannot_be_seen_is_shown_as_its_escape(text: str, expected: str) -> None:
    assert humanize.printable(text) == expected


@pytest.mark.parametrize("error_class", ErrorClass)
def test_each_class_of_errors_has_words_of_its_own(error_class: ErrorClass) -> None:
    words = [humanize.error(each) for each in ErrorClass]
    assert words.count(humanize.error(error_class)) == 1
    assert len(humanize.error(error_class)) <= 60
