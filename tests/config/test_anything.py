"""Whatever a configuration file holds, it is loaded or refused; and no secret in it is ever shown."""

import json
import traceback
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from docs.keys import keys
from exporter import log
from exporter.config.document import read_document
from exporter.config.files import FileError
from exporter.config.joblists import parse_job_list
from exporter.config.load import ConfigError, Loaded, Loader
from tests.support.logs import captured_logs

CANARY = "Kanarienvogel"
NAMES = sorted({part.removesuffix("[]") for key in keys() for part in key.path.split(".")})

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["1m", "zilliz", "milvus", "http://h", "448761313698322011", "all"])
)
names = st.sampled_from(NAMES) | st.text(max_size=10)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=6), max_leaves=30
)
clusters = st.lists(st.dictionaries(st.sampled_from(NAMES), values, max_size=8), max_size=3)
yaml_marks = st.text(alphabet="clustersapi_key:- \n\t[]{}&*!%@'\"|>?,#~<\\0159\u2028\ufeffé")


def outcome(loader: Loader) -> Loaded | ConfigError:
    try:
        return loader.load()
    except ConfigError as error:
        refused = error
    assert refused.errors
    assert all(text and "\n" not in text for text in refused.errors)
    assert "a fault of the exporter" not in str(refused)
    return refused


@given(st.binary(max_size=300) | yaml_marks.map(lambda text: text.encode()))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_a_configuration_or_an_error(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(raw)
    outcome(Loader(path, {}))


@given(values | st.fixed_dictionaries({"clusters": clusters}, optional={"scrape": values, "files": values}))
def test_any_document_in_json_is_read_exactly_and_is_a_configuration_or_an_error(document: Any) -> None:
    raw = json.dumps(document, ensure_ascii=False)
    read = read_document(raw.encode("utf-8", "surrogatepass"))
    # Line breaks of Unicode that JSON leaves in texts are folded into spaces by YAML.
    assert read.problems or read.data == document or len(raw.splitlines()) > 1
    if isinstance(document, dict):
        outcome(Loader.from_mapping(document))


@given(st.binary(max_size=300) | yaml_marks.map(lambda text: text.encode()))
def test_any_bytes_are_a_list_of_jobs_or_a_problem(raw: bytes) -> None:
    try:
        ids = parse_job_list(raw)
    except FileError:
        return
    assert len(set(ids)) == len(ids)
    assert all(job_id.isascii() and 1 <= len(job_id) <= 128 for job_id in ids)


@given(st.lists(st.from_regex(r"\A[A-Za-z0-9_-]{1,128}\Z")))
def test_any_list_of_job_ids_in_quotes_is_read_exactly(wanted: list[str]) -> None:
    raw = "[" + ", ".join(f'"{job_id}"' for job_id in wanted) + "]"
    assert parse_job_list(raw.encode()) == tuple(dict.fromkeys(wanted))


# Where a secret may end up by a slip of the hand: misspelt keys, wrong places, forgotten quotes and spaces.
SLIPS = (
    "api_key: {0}",
    "apikey: {0}",
    "api_key: [{0}]",
    "api_key: {{{0}}}",
    "api_key: {{{0}: }}",
    "{{api_key, {0}}}",
    "{0}:",
    "{0}: 1",
    "api_key: *{0}",
    "api_key: &{0}",
    "api_key: !{0}",
    "api_key: !{0} x",
    "api_key: %{0}",
    "api_key: @{0}",
    "api_key: '{0}",
    'api_key: "{0}\\q"',
    "api_key: {0}: {0}",
    "api_key:{0}",
    "api_key: Bearer {0}",
    "api_key: {0} {0}",
    "api_key: ${0}",
    "api_key: ${{{0}}}",
    "api_key {0}",
    "{{api_key:{0}}}",
    "? {0} 1",
    "api_key_env: {0}",
    "api_key_file: {0}",
    "api_key_file: /{0}/{0}",
    "base_url: https://x:{0}@host",
    "base_url: https://host:{0}",
    "base_url: {0}",
    "proxy_url: socks5://x:{0}@host",
    "proxy_url: http://x:{0}@host/path",
    "tls_config: {{key_file: {0}}}",
    "tls_config: {{password: {0}}}",
    "jobs: [{0}.]",
    "discovery: {0}",
    "requests_per_second: {0}",
    "concurrency: !!int {0}",
    "api: {0}",
    "progress_path: /{0}",
    "project_id: {0}",
    "<<: {0}",
    "\x01{0}: x",
)


@pytest.mark.parametrize("slip", SLIPS)
@pytest.mark.parametrize("format_", ["logfmt", "json"])
def test_a_secret_in_the_wrong_place_is_not_shown(tmp_path: Path, slip: str, format_: log.Format) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("clusters:\n  - cluster_id: in01-a\n    " + slip.format(CANARY) + "\n")
    with captured_logs("debug", format_) as logs:
        try:
            shown = repr(Loader(path, {}).load())
        except ConfigError as error:
            shown = f"{error} {error!r} {error.errors}" + "".join(traceback.format_exception(error))
            log.get_logger().exception("Configuration refused")
        log.get_logger().info("Outcome", shown=shown)
    assert "Outcome" in logs.getvalue()
    assert CANARY not in shown + logs.getvalue()


@given(st.sampled_from(NAMES), st.integers(0, 20), st.sampled_from("abcxyz_-"))
def test_the_value_of_a_misspelt_key_is_not_shown(name: str, at: int, letter: str) -> None:
    misspelt = name[:at] + letter + name[at + 1 :]
    assume(misspelt not in NAMES)
    result = outcome(Loader.from_mapping({"clusters": [{"cluster_id": "a", misspelt: CANARY}], misspelt: CANARY}))
    assert isinstance(result, ConfigError)
    assert CANARY not in f"{result} {result!r}"


@given(st.sampled_from(["apikey", "api_key_", "API_KEY", "api-key"]))
def test_a_misspelt_key_is_answered_with_the_right_one(misspelt: str) -> None:
    result = outcome(Loader.from_mapping({"clusters": [{"cluster_id": "a", misspelt: CANARY}]}))
    assert isinstance(result, ConfigError)
    assert any(text == f'clusters[0].{misspelt}: is not a known key; did you mean "api_key"?' for text in result.errors)


@pytest.mark.parametrize("key", ["max\t_jobs", "max\x1b_jobs", "max\u202e_jobs"])
def test_a_key_that_a_terminal_would_obey_is_not_shown(key: str) -> None:
    result = outcome(Loader.from_mapping({"clusters": [{"cluster_id": "a", "api_key": "k", key: 1}]}))
    assert isinstance(result, ConfigError)
    (error,) = result.errors
    assert error.startswith("clusters[0].<unknown key>: is not a known key")


@given(st.text(min_size=1).filter(lambda text: text not in NAMES))
def test_a_key_that_does_not_look_like_one_is_not_shown(key: str) -> None:
    result = outcome(
        Loader.from_mapping({"clusters": [{"cluster_id": "a", "api_key": "k", key + CANARY + " 1": None}]})
    )
    assert isinstance(result, ConfigError)
    assert CANARY not in f"{result} {result!r}"
