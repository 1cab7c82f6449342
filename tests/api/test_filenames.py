import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.api.filenames import file_name


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("catalog/part-0000.parquet", "catalog/part-0000.parquet"),
        ("[run7/1.parquet]", "run7/1.parquet"),
        ("[set/id.npy set/vec.npy]", "set/id.npy set/vec.npy"),
        ('id:457000000000000002 paths:"run7/1.parquet" ', "run7/1.parquet"),
        ('id:4 paths: "a/id.npy"  paths:"a/vec.npy"', "a/id.npy a/vec.npy"),
        (r'paths:"x/\303\274\"\\.json"', 'x/ü"\\.json'),
        (r'paths:"a\nb\tc"', "a\nb\tc"),
        ('[x/ü"\\.json]', 'x/ü"\\.json'),
        ("[]", ""),
        ("", ""),
        (None, ""),
        (12, "12"),
        (["a"], ""),
        ("[draft].parquet", "[draft].parquet"),
        ("https://user:pw@host/a.parquet?X-Amz-Signature=abc", "https://host/a.parquet"),
        ("[s3://k:s@bucket/a b.parquet?sig=1]", "s3://bucket/a b.parquet"),
        ("a\nb\x1b\0😀\ud800", "a\nb\x1b\ufffd😀\ufffd"),
        ("why?.parquet", "why?.parquet"),
    ],
)
def test_names_are_normalised(sent: object, shown: str) -> None:
    assert file_name(sent) == shown


def test_long_names_are_cut_in_the_middle_and_stay_unique() -> None:
    one, other = file_name("a" * 4999 + "1"), file_name("a" * 4999 + "2")
    middle = file_name("a" * 2500 + "x" + "a" * 2500)
    assert len(one) == len(other) == len(middle) == 512
    assert len({one, other, middle}) == 3
    assert one.startswith("aaa")
    assert one.endswith("aaa1")


def test_names_that_differ_only_in_their_signature_are_one() -> None:
    assert file_name("https://h/a?sig=1") == file_name("https://h/a?sig=2")


@given(st.text(st.characters()) | st.text('[]paths:" \\01/?@=').map(lambda name: f'paths:"{name}"'))
def test_any_name_is_a_label(name: str) -> None:
    shown = file_name(name)
    shown.encode()
    assert len(shown) <= 512
    assert "\0" not in shown
