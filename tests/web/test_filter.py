from __future__ import annotations

from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.filter import Filter


@pytest.mark.parametrize(
    ("chosen", "query"),
    [
        (Filter(), ""),
        (Filter(text="a b"), "?q=a+b"),
        (Filter(state="failed", reloads=False), "?state=failed&refresh=off"),
        (Filter(text="x", state="failed").everything, ""),
        (Filter(text="x").in_state("failed"), "?q=x&state=failed"),
        (Filter(text="x", reloads=False).toggled, "?q=x"),
    ],
)
def test_the_query_holds_what_differs_from_the_plain_page(chosen: Filter, query: str) -> None:
    assert chosen.query == query


@given(st.text(min_size=1))
def test_any_text_survives_in_the_query(text: str) -> None:
    encoded = text.encode("utf-8", "replace").decode()
    assert parse_qs(Filter(text=text).query.removeprefix("?")).get("q", [encoded]) == [encoded]
    assert Filter(text=text).query.isascii()


@pytest.mark.parametrize(
    ("chosen", "matches"),
    [
        (Filter(), True),
        (Filter(text="  "), True),
        (Filter(text="ART medium"), True),
        (Filter(text="art 7"), False),
        (Filter(state="importing"), True),
        (Filter(text="art", state="failed"), False),
    ],
)
def test_all_words_and_the_state_have_to_match(chosen: Filter, matches: bool) -> None:
    assert chosen.matches("importing", "in01-a", "medium_articles") is matches
    assert chosen.active is (chosen not in (Filter(), Filter(text="  ")))
