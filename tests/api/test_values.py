import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.api.values import amount, number, ratio, reason, shortened, text, timestamp, whole_reason

NOON = 1741520527.0  # 2025-03-09T11:42:07Z


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (57, 57.0),
        (0, 0.0),
        (2**31, 2.0**31),
        ("57", 57.0),
        (" 5.5 ", 5.5),
        (True, None),
        (False, None),
        (None, None),
        ("", None),
        ("1_000", None),
        ("nan", None),
        ("Infinity", None),
        ("many", None),
        ("\ud800", None),
        ("9" * 5000, None),
        (math.nan, None),
        (math.inf, None),
        (10**400, None),
        ([], None),
        ({}, None),
    ],
)
def test_number_is_finite_or_none(value: object, expected: float | None) -> None:
    assert number(value) == expected


@pytest.mark.parametrize(("value", "expected"), [(-1, None), ("-1", None), (0, 0.0), ("12", 12.0)])
def test_amount_is_never_negative(value: object, expected: float | None) -> None:
    assert amount(value) == expected


def test_negative_zero_is_zero() -> None:
    assert math.copysign(1, amount(-0.0) or 0.0) == 1


@pytest.mark.parametrize(
    ("percent", "expected"),
    [
        (66.3, 0.663),
        (57, 0.57),
        (0, 0.0),
        (100, 1.0),
        (155, 1.0),
        (385, 1.0),
        (-20, 0.0),
        ("61", 0.61),
        (math.nan, None),
        (None, None),
    ],
)
def test_ratio_is_percent_clamped(percent: object, expected: float | None) -> None:
    assert ratio(percent) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2025-03-09T11:42:07Z", NOON),
        ("2025-03-09T11:42:07z", NOON),
        ("2025-03-09t19:42:07+08:00", NOON),
        ("2025-03-09T11:42:07.250Z", NOON + 0.25),
        ("2025-03-09T11:42:07.250000000Z", NOON + 0.25),
        ("2025-03-09 11:42:07", NOON),
        (1741520527, NOON),
        ("1741520527", NOON),
        (1741520527000, NOON),
        ("1741520527000", NOON),
        ("0001-01-01T00:00:00Z", None),
        ("9999-12-31T23:59:59+00:00", None),
        ("0001-01-01T00:00:00+14:00", None),
        (0, None),
        (-5, None),
        (10**400, None),
        (True, None),
        ("", None),
        (None, None),
        ("soon", None),
        ("\ud800", None),
        ([], None),
    ],
)
def test_timestamp_reads_what_servers_write(value: object, expected: float | None) -> None:
    assert timestamp(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("articles", "articles"),
        (448761313698322011, "448761313698322011"),
        (None, ""),
        (True, ""),
        (1.5, ""),
        ({}, ""),
        ("a\ud800b", "a\ufffdb"),
        ("a\0b", "a\ufffdb"),
        ("emoji 😀 ü \x1b", "emoji 😀 ü \x1b"),
    ],
)
def test_text_is_encodable(value: object, expected: str) -> None:
    assert text(value, 255) == expected


def test_an_integer_that_python_does_not_write_is_no_text() -> None:
    assert text(10**5000, 255) == ""
    assert reason(10**5000) == ""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ""),
        ("", ""),
        ("import timeout", "import timeout"),
        ("one\n two\tthree", "one two three"),
        ({"detail": "no such key"}, '{"detail": "no such key"}'),
        (7, "7"),
        ("x" * 100_000, "x" * 255 + "…" + "x" * 254),
        ("a" + "😀" * 1000 + "z", "a" + "😀" * 63 + "…" + "😀" * 63 + "z"),
        ("\ud800" * 1000, "\ufffd" * 85 + "…" + "\ufffd" * 84),
        (
            "get https://user:pw@bucket.example/a.parquet?X-Amz-Signature=abc#f failed: denied",
            "get https://bucket.example/a.parquet failed: denied",
        ),
        ("cannot read bucket/a.json?sig=abc", "cannot read bucket/a.json"),
        ("what is this?", "what is this?"),
    ],
)
def test_reason_is_one_short_line_without_credentials(value: object, expected: str) -> None:
    assert reason(value) == expected


def test_a_long_reason_keeps_its_beginning_and_its_end() -> None:
    sent = "read parquet failed: open object bucket/" + "long/" * 200 + "x.parquet: column 'v' has 512 entries"
    shown = reason(sent)
    assert shown.startswith("read parquet failed: open object bucket/long/")
    assert shown.endswith("x.parquet: column 'v' has 512 entries")
    assert whole_reason(sent) == sent
    assert len(whole_reason(sent * 1000).encode()) == 16 * 1024


@pytest.mark.parametrize("whole", ["a" * 512, "ü" * 256, "名" * 170 + "ab", "😀" * 128])
def test_a_reason_is_cut_from_513_bytes_on_whatever_its_characters(whole: str) -> None:
    assert reason(whole) == whole
    shown = reason(whole + "a")
    assert shown != whole + "a"
    assert 505 < len(shown.encode()) <= 512


def test_reason_that_is_no_text_and_long_is_cut() -> None:
    assert len(reason(["a"] * 1_000_000).encode()) == 512


@given(st.text(st.characters(), max_size=60), st.integers(8, 40))
def test_any_text_is_cut_to_whole_characters_of_both_ends(value: str, longest: int) -> None:
    value = value.encode(errors="replace").decode()
    shown = shortened(value, longest)
    assert len(shown.encode()) <= longest
    if shown != value:
        head, _, tail = shown.rpartition("…") if "…" not in value else (value[:1], "", value[-1:])
        assert value.startswith(head)
        assert value.endswith(tail)
        assert len(shown.encode()) > longest - 7


def test_reason_that_is_nested_too_deep_to_write_is_empty() -> None:
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    assert reason(nested) == ""


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_no_value_raises(value: object) -> None:
    read = ratio(value)
    assert read is None or 0 <= read <= 1
    assert amount(value) is None or math.isfinite(amount(value) or 0)
    assert timestamp(value) is None or math.isfinite(timestamp(value) or 0)
    assert len(text(value, 255).encode()) <= 255
    assert len(reason(value).encode()) <= 512
    assert len(whole_reason(value).encode()) <= 16 * 1024
