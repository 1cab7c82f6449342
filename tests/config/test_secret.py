import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.secret import Secret, unusable_because


def test_a_secret_prints_as_secret_in_every_way() -> None:
    secret = Secret("canary")
    shown = [str(secret), repr(secret), f"{secret}", f"{secret!r:>10}", "%s %r" % (secret, secret), repr([secret])]  # noqa: UP031 - this form too
    assert all("canary" not in text and "<secret>" in text for text in shown)


def test_a_secret_is_revealed_only_on_request() -> None:
    assert Secret("canary").reveal() == "canary"
    assert not hasattr(Secret("canary"), "__dict__")


def test_a_secret_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Secret("canary"))


def test_a_copied_secret_is_the_same_secret() -> None:
    secret = Secret("canary")
    assert copy.copy(secret) is copy.deepcopy(secret) is secret


@given(st.text(), st.text())
def test_secrets_are_equal_as_their_values_are(one: str, other: str) -> None:
    assert (Secret(one) == Secret(other)) == (one == other)
    assert Secret(one) != one
    assert {Secret(one): 1}[Secret(one)] == 1


@pytest.mark.parametrize("value", ["root:Milvus", "a b", "pässwort", "x" * 5000])
def test_what_an_http_header_can_carry_is_usable(value: str) -> None:
    assert unusable_because(value) is None


@given(st.text(max_size=20))
def test_a_usable_key_survives_the_encoding_of_headers(value: str) -> None:
    if unusable_because(value) is None:
        assert value.encode("latin-1").decode("latin-1").strip() == value
        assert not set(value) & {chr(code) for code in (*range(32), 127)}
