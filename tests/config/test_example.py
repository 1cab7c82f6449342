"""config.example.yaml is what the schema says, as it stands and with every commented key taken in."""

import re
from pathlib import Path
from typing import Any

import yaml

from docs.keys import Key, keys
from exporter.config import rules
from exporter.config.duration import parse_duration
from exporter.config.load import Loader
from exporter.config.schema import Config

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"
KEYS = keys()


def uncommented() -> dict[str, Any]:
    """Take in every commented key: those lines have no space after the mark, as prose has."""
    text = re.sub(r"(?m)^( *)#(?=[^ \n])", r"\1", EXAMPLE.read_text())
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def stated(document: dict[str, Any], key: Key) -> list[Any]:
    """Return all values that the document gives for a key."""
    values: list[Any] = [document]
    for name in key.path.split("."):
        found = [value[name.removesuffix("[]")] for value in values if name.removesuffix("[]") in (value or {})]
        values = [item for value in found for item in value] if name.endswith("[]") else found
    return values


def as_read(key: Key, value: object) -> object:
    """Make `24h` and `1d` the same."""
    return parse_duration(str(value)) if key.type == "duration" else value


def test_the_example_works_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes(EXAMPLE.read_bytes())
    (tmp_path / "zilliz-api-key").write_text("key\n")
    (tmp_path / "zilliz-api-key").chmod(0o600)
    loaded = Loader(tmp_path / "config.yaml", {}).load()
    (cluster,) = loaded.config.clusters
    assert (cluster.api, cluster.jobs, cluster.discovery is not None) == ("zilliz", (), True)
    assert (loaded.warnings, loaded.list_problems) == ((), ())


def test_the_example_is_valid_with_every_key_taken_in() -> None:
    document = uncommented()
    assert list(rules.check(document)) == []
    assert len(Config.model_validate(document).clusters) == 3


def test_every_key_of_the_schema_stands_in_the_example() -> None:
    assert [key.path for key in KEYS if not stated(uncommented(), key)] == []


def test_the_defaults_that_the_example_states_are_those_of_the_schema() -> None:
    document = uncommented()
    # Milvus and on-demand compute show what differs from the defaults, not the defaults.
    document["clusters"] = [document["clusters"][0] | {"tls_config": document["clusters"][1]["tls_config"]}]
    defaults = {key: as_read(key, key.default) for key in KEYS if key.default is not None and key.default != []}
    assert {key: [as_read(key, value) for value in stated(document, key)] for key in defaults} == {
        key: [value] for key, value in defaults.items()
    }
