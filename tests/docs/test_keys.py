"""The keys of the configuration, as the documents show them."""

import json
from dataclasses import asdict

from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from docs.keys import format_duration, keys
from exporter.config.duration import parse_duration
from exporter.config.schema import Cluster

KEYS = keys()


def test_every_key_is_described_in_one_line_as_plain_data() -> None:
    assert json.loads(json.dumps([asdict(key) for key in KEYS]))
    assert [key.path for key in KEYS if not key.description or "\n" in key.description] == []


def test_the_description_covers_every_field_once() -> None:
    def count(model: type[BaseModel]) -> int:
        return len(model.model_fields)

    assert len({key.path for key in KEYS}) == len(KEYS)
    assert sum(key.path.startswith("clusters[].") and key.path.count(".") == 1 for key in KEYS) == count(Cluster)
    assert {key.type for key in KEYS if key.path in {"scrape.timeout", "clusters[].discovery.refresh_interval"}} == {
        "duration"
    }


@given(st.integers(min_value=0, max_value=10**12))
def test_a_formatted_duration_is_read_back_to_the_millisecond(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == milliseconds / 1000
