"""What a configuration becomes."""

import time
import traceback
from typing import Any

import pytest

from exporter.config.document import LARGEST
from exporter.config.load import ConfigError, Loader
from exporter.config.schema import Discovery
from exporter.config.secret import Secret
from exporter.model import ListTarget
from tests.config.place import Place, cluster, errors, load_cluster


def test_one_cluster_and_one_key_are_enough(place: Place) -> None:
    loaded = place.configure(cluster()).load()
    (only,) = loaded.config.clusters
    assert (only.api, only.base_url, only.progress_path) == ("zilliz", "https://api.cloud.zilliz.com", "getProgress")
    assert loaded.keys == {"in01-a": Secret("canary")}
    assert loaded.listed == {"in01-a": ()}
    assert only.discovery == Discovery()
    assert loaded.warnings == ()


@pytest.mark.parametrize(
    ("keys", "on"),
    [
        ({}, True),
        ({"jobs": []}, True),
        ({"jobs": None, "job_lists": []}, True),
        ({"jobs": ["1"]}, False),
        ({"job_lists": ["*.list"]}, False),
        ({"jobs": ["1"], "discovery": None}, True),
        ({"jobs": ["1"], "discovery": {}}, True),
    ],
)
def test_discovery_is_on_where_present_or_where_no_jobs_are_named(place: Place, keys: dict[str, Any], on: bool) -> None:
    assert (load_cluster(place, **keys).discovery is not None) is on


def test_finished_jobs_stay_for_a_day_unless_discovery_says_otherwise(place: Place) -> None:
    assert load_cluster(place, jobs=["1"]).finished_for == 86_400.0
    assert load_cluster(place, discovery={"finished_for": "2h"}).finished_for == 7200.0


@pytest.mark.parametrize(
    ("keys", "lists"),
    [
        ({"jobs": ["1"]}, ()),
        ({}, (ListTarget(),)),
        ({"discovery": {"collections": ["a", "b"]}}, (ListTarget("", "a"), ListTarget("", "b"))),
        ({"discovery": {"databases": ["x", "y"]}}, (ListTarget("x"), ListTarget("y"))),
        ({"discovery": {"databases": ["x"], "collections": ["a"]}}, (ListTarget("x", "a"),)),
    ],
)
def test_discovery_reads_a_list_per_database_and_collection(
    place: Place, keys: dict[str, Any], lists: tuple[ListTarget, ...]
) -> None:
    assert load_cluster(place, **keys).lists == lists


def test_milvus_needs_no_key_and_has_its_own_progress_path(place: Place) -> None:
    loaded = place.configure({"cluster_id": "m", "api": "milvus", "base_url": "http://milvus:19530/"}).load()
    (only,) = loaded.config.clusters
    assert (only.base_url, only.progress_path) == ("http://milvus:19530", "describe")
    assert loaded.keys == {"m": None}


def test_milvus_lists_databases_only_with_collections(place: Place) -> None:
    discovery = {"databases": ["default"], "collections": ["docs"]}
    loaded = place.configure(
        {"cluster_id": "m", "api": "milvus", "base_url": "http://m", "discovery": discovery}
    ).load()
    found = loaded.config.clusters[0].discovery
    assert found is not None
    assert (found.databases, found.collections) == (("default",), ("docs",))


def test_a_progress_path_that_is_given_stays(place: Place) -> None:
    assert load_cluster(place, progress_path="get_progress").progress_path == "get_progress"


@pytest.mark.parametrize(
    ("written", "becomes"),
    [
        ("https://api.cloud.zilliz.com/", "https://api.cloud.zilliz.com"),
        ("HTTPS://Api.Cloud.Zilliz.Com", "https://api.cloud.zilliz.com"),
        ("http://[::1]:19530//", "http://[::1]:19530"),
        ("http://host:80/prefix/", "http://host:80/prefix"),
    ],
)
def test_a_base_url_loses_the_slash_at_its_end(place: Place, written: str, becomes: str) -> None:
    assert load_cluster(place, base_url=written).base_url == becomes


def test_a_timeout_counts_as_set_only_where_the_file_sets_it(place: Place) -> None:
    unset = place.configure(cluster(), scrape={"timeout": None}).load().config.scrape
    given = place.configure(cluster(), scrape={"timeout": "10s"}).load().config.scrape
    assert (unset.timeout, unset.timeout_set) == (10.0, False)
    assert (given.timeout, given.timeout_set) == (10.0, True)


def test_durations_become_seconds(place: Place) -> None:
    scrape = {"timeout": "1m", "fresh_for": 0, "recheck_finished": "0s", "max_age": "1h30m"}
    loaded = place.configure(cluster(), scrape=scrape).load().config.scrape
    assert (loaded.timeout, loaded.fresh_for, loaded.recheck_finished, loaded.max_age) == (60.0, 0.0, 0.0, 5400.0)


def test_sections_and_keys_without_a_value_have_their_defaults(place: Place) -> None:
    tls = dict.fromkeys(("ca_file", "cert_file", "key_file", "server_name", "insecure_skip_verify"))
    loaded = place.configure(cluster(tls_config=tls, proxy_url=None), scrape=None, files={}).load().config
    assert loaded.clusters[0].tls_config.insecure_skip_verify is False
    assert (loaded.files.series, loaded.scrape.fresh_for) == ("all", 2.0)


def test_merged_keys_are_overridden_by_those_of_the_mapping(place: Place) -> None:
    place.write(
        "config.yaml",
        "clusters:\n- &first\n  cluster_id: a\n  api_key_file: key\n  concurrency: 3\n- {<<: *first, cluster_id: b}\n",
    )
    first, second = Loader(place.path, {}).load().config.clusters
    assert (first.cluster_id, second.cluster_id, second.concurrency) == ("a", "b", 3)


def test_an_error_in_a_merged_key_names_the_line_where_it_stands(place: Place) -> None:
    place.write(
        "config.yaml",
        "clusters:\n- &first\n  cluster_id: a\n  api_key_file: key\n  concurrency: no\n- {<<: *first, cluster_id: b}\n",
    )
    assert errors(Loader(place.path, {})) == (
        f"clusters[0].concurrency: must be a whole number ({place.path}, line 5)",
        f"clusters[1].concurrency: must be a whole number ({place.path}, line 5)",
    )


def test_very_many_errors_are_counted_after_the_first_hundred(place: Place) -> None:
    found = errors(place.configure(cluster(jobs=list(range(1000)))))
    assert len(found) == 101
    assert found[-1] == "and 900 more errors"


def test_a_configuration_of_more_than_a_mebibyte_is_refused(place: Place) -> None:
    place.write("config.yaml", "#" * (LARGEST + 1))
    assert errors(Loader(place.path, {})) == (f"{place.path}: is larger than 1024 KiB",)


@pytest.mark.parametrize(
    "text",
    ["[" * 1_000_000, "- " * 500_000, "? " * 500_000, "{" * 1_000_000, "a: " + "[" * 10_000 + "]" * 10_000],
    ids=["list", "items", "keys", "mapping", "closed"],
)
def test_nesting_without_end_is_refused(place: Place, text: str) -> None:
    place.write("config.yaml", text)
    assert errors(Loader(place.path, {})) == (f"{place.path}: is nested too deeply for a configuration",)


COSTLY = {
    "merged keys": "clusters:\n- &a\n" + "".join(f"  k{number}: 1\n" for number in range(20_000)) + "- {<<: *a}\n",
    "merges": "a: &a {k: 1}\nclusters:\n-\n" + "  <<: *a\n" * 20_000,
    "chain of merges": "a0: &a0 {}\n" + "".join(f"a{n}: &a{n} {{<<: *a{n - 1}}}\n" for n in range(1, 20_000)),
    "aliases": "a: &a 1\nclusters: [" + "*a," * 349_000 + "]\n",
    "aliases of aliases": "a0: &a0 1\n"
    + "".join(f"a{n}: &a{n} [" + f"*a{n - 1}," * 10 + "]\n" for n in range(1, 1000)),
    "keys given twice": "a: 1\n" * 50_000,
    "unknown keys": "".join(f"{'a' * 25}{number}: 1\n" for number in range(30_000)),
    "digits": f"clusters: [{{concurrency: {'9' * 1_000_000}}}]",
    "sexagesimal digits": f"clusters: [{{concurrency: 1{':59' * 300_000}}}]",
}


@pytest.mark.parametrize("text", COSTLY.values(), ids=COSTLY)
def test_no_file_costs_more_than_some_tenths_of_a_second(place: Place, text: str) -> None:
    place.write("config.yaml", text)
    began = time.process_time()
    assert errors(Loader(place.path, {}))
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("no", "no"),
        ("1:30:00", "1:30:00"),
        ("2024-99-99", "2024-99-99"),
        ("1_000", "1_000"),
        ("=", "="),
        ("0x1F", "0x1F"),
    ],
)
def test_what_only_old_yaml_takes_for_something_else_is_text(place: Place, written: str, read: str) -> None:
    place.write("config.yaml", f"clusters: [{{cluster_id: {written}, api_key_file: key}}]")
    assert Loader(place.path, {}).load().config.clusters[0].cluster_id == read


@pytest.mark.parametrize("part", ["read_document", "CredentialReader", "from_pydantic", "report"])
@pytest.mark.parametrize("kind", [OverflowError, RecursionError, MemoryError])
def test_an_unexpected_exception_is_an_error_of_the_file_that_shows_no_secret(
    place: Place, monkeypatch: pytest.MonkeyPatch, part: str, kind: type[Exception]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise kind("canary")

    loader = place.configure(cluster(concurrency="many"))
    with monkeypatch.context() as patch:
        patch.setattr(f"exporter.config.load.{part}", fail)
        with pytest.raises(ConfigError) as caught:
            loader.load()
    (error,) = caught.value.errors
    assert error.startswith(f"{place.path}: cannot be read: unexpected {kind.__name__} (test_load.py, line ")
    assert "canary" not in "".join(traceback.format_exception(caught.value))
    place.configure(cluster())
    assert loader.changed() is True
    loader.load()


def test_a_number_is_decimal(place: Place) -> None:
    place.write("config.yaml", "clusters: [{cluster_id: a, api_key_file: key, concurrency: 010}]")
    assert Loader(place.path, {}).load().config.clusters[0].concurrency == 10


def test_a_configuration_that_is_not_utf_8_is_refused_with_the_line(place: Place) -> None:
    place.path.write_bytes(b"clusters:\n- cluster_id: \xff\n")
    assert errors(Loader(place.path, {})) == (f"{place.path}: is not UTF-8 text (line 2)",)


def test_databases_become_labels_and_are_at_most_255_bytes(place: Place) -> None:
    longest = "d" * 255
    loaded = load_cluster(place, db_name=longest, discovery={"databases": [longest]})
    assert (loaded.db_name, loaded.lists) == (longest, (ListTarget(longest, ""),))
    for name in ("d" * 256, "é" * 128):
        found = errors(place.configure(cluster(db_name=name, discovery={"databases": [name]})))
        assert [text.partition(": ")[0] for text in found] == [
            "clusters[0].db_name",
            "clusters[0].discovery.databases[0]",
        ]
