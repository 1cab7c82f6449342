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
    assert [len(name.encode()) for name in (one, other, middle)] == [512] * 3
    assert len({one, other, middle}) == 3
    assert one.startswith("aaa")
    assert one.endswith("aaa1")


def test_long_names_are_cut_between_characters() -> None:
    shown = file_name("é" * 300)
    assert 509 < len(shown.encode()) <= 512
    assert shown.startswith("ééé")
    assert shown.endswith("ééé")
    for whole in ("é" * 256, "名" * 170 + "ab", "😀" * 128):
        assert file_name(whole) == whole
        assert 505 < len(file_name(whole + "a").encode()) <= 512


def test_names_beyond_any_path_stay_unique_and_hide_what_is_secret() -> None:
    url = "https://h/" + "a" * 20_000 + "?X-Amz-Signature=Kanarienvogel"
    assert "Kanarienvogel" not in file_name(url)
    assert "Kanarienvogel" not in file_name("https://user:Kanarienvogel@h/" + "a" * 20_000)
    assert "Kanarienvogel" not in file_name("s3://h/a?x=" + "b" * 9_000 + "&sig=Kanarienvogel" + "&c=" + "d" * 20_000)
    assert file_name("a" * 50_000 + "b" + "a" * 50_000) != file_name("a" * 50_000 + "c" + "a" * 50_000)


def test_names_that_differ_only_in_their_signature_are_one() -> None:
    assert file_name("https://h/a?sig=1") == file_name("https://h/a?sig=2")


@given(st.text(st.characters()) | st.text('[]paths:" \\01/?@=').map(lambda name: f'paths:"{name}"'))
def test_any_name_is_a_label(name: str) -> None:
    shown = file_name(name)
    assert len(shown.encode()) <= 512
    assert "\0" not in shown
