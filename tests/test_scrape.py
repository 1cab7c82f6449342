"""How long a scrape may take."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.schema import Scrape
from exporter.scrape import budget

PLAIN = Scrape()
CAPPED = Scrape.model_validate({"timeout": "5s"})


@pytest.mark.parametrize(
    ("header", "offset", "scrape", "seconds"),
    [
        ("10", 0.5, PLAIN, 9.5),
        ("10.000000", 0.5, PLAIN, 9.5),
        ("0.6", 0.5, PLAIN, 0.1),
        ("0.5", 0.5, PLAIN, 0.25),
        ("0.1", 0.5, PLAIN, 0.05),
        ("300", 0.5, PLAIN, 299.5),
        ("10", 0.0, PLAIN, 10),
        (None, 0.5, PLAIN, 10),
        ("", 0.5, PLAIN, 10),
        ("abc", 0.5, PLAIN, 10),
        ("nan", 0.5, PLAIN, 10),
        ("inf", 0.5, PLAIN, 10),
        ("-1", 0.5, PLAIN, 10),
        ("0", 0.5, PLAIN, 10),
        ("5e-324", 0.5, PLAIN, 10),
        ("300.1", 0.5, PLAIN, 10),
        ("1e9", 0.5, PLAIN, 10),
        ("10", 0.5, CAPPED, 5),
        ("4", 0.5, CAPPED, 3.5),
        (None, 0.5, CAPPED, 5),
        ("junk", 0.5, CAPPED, 5),
    ],
)
def test_the_budget_follows_the_scrape_timeout_header(
    header: str | None, offset: float, scrape: Scrape, seconds: float
) -> None:
    assert budget(header, offset, scrape) == pytest.approx(seconds)


@given(st.text() | st.floats().map(str), st.floats(0, 1000))
def test_any_header_gives_a_positive_finite_budget(header: str, offset: float) -> None:
    assert 0 < budget(header, offset, PLAIN) <= 300
    assert math.isfinite(budget(header, offset, PLAIN))
