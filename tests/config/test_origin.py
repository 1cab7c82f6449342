"""Where a configuration may come from."""

from pathlib import Path

import pytest

from exporter.config.load import Loader
from exporter.config.secret import Secret
from tests.config.place import Place, cluster, errors


def test_environment_variables_alone_are_a_configuration() -> None:
    environ = {"ZILLIZ_API_KEY": "canary\n", "ZILLIZ_CLUSTER_ID": "in01-a"}
    loaded = Loader(None, environ).load()
    assert loaded.keys == {"in01-a": Secret("canary")}
    assert loaded.config.clusters[0].discovery is not None


def test_environment_variables_may_name_the_url_and_the_jobs() -> None:
    environ = {
        "ZILLIZ_API_KEY": "canary",
        "ZILLIZ_CLUSTER_ID": "in01-a",
        "ZILLIZ_BASE_URL": "http://127.0.0.1:1/",
        "ZILLIZ_JOB_IDS": "1, 2,,3 4\n5 ",
    }
    (only,) = Loader(None, environ).load().config.clusters
    assert (only.base_url, only.jobs, only.discovery) == ("http://127.0.0.1:1", tuple("12345"), None)


def test_errors_of_the_environment_name_the_variables() -> None:
    environ = {
        "ZILLIZ_API_KEY": "canary\x07",
        "ZILLIZ_CLUSTER_ID": " ",
        "ZILLIZ_BASE_URL": "canary",
        "ZILLIZ_JOB_IDS": "1,a/b,1",
    }
    found = errors(Loader(None, environ))
    assert [text.partition(":")[0] for text in found] == [
        "ZILLIZ_API_KEY",
        "ZILLIZ_BASE_URL",
        "ZILLIZ_CLUSTER_ID",
        "ZILLIZ_JOB_IDS[1]",
        "ZILLIZ_JOB_IDS[2]",
    ]
    assert "canary" not in str(found)


def test_one_variable_without_the_other_is_an_error() -> None:
    (error,) = errors(Loader(None, {"ZILLIZ_API_KEY": "canary", "ZILLIZ_CLUSTER_ID": ""}))
    assert error.startswith("ZILLIZ_CLUSTER_ID: is not set;")


def test_without_file_and_variables_one_error_says_what_to_do(tmp_path: Path) -> None:
    (error,) = errors(Loader.at_default(tmp_path / "config.yaml", {}))
    example = "https://github.com/zilliztech/zilliz-import-exporter/blob/main/config.example.yaml"
    for remedy in (example, "--config.file", "ZILLIZ_API_KEY and ZILLIZ_CLUSTER_ID", "--demo"):
        assert remedy in error


def test_the_default_file_comes_before_the_environment(place: Place) -> None:
    environ = {"ZILLIZ_API_KEY": "other", "ZILLIZ_CLUSTER_ID": "in01-other"}
    assert set(Loader.at_default(place.path, environ).load().keys) == {"in01-other"}
    place.configure(cluster())
    assert set(Loader.at_default(place.path, environ).load().keys) == {"in01-a"}


def test_variables_that_are_ignored_are_warned_of(place: Place) -> None:
    place.configure(cluster())
    environ = {"ZILLIZ_API_KEY": "canary", "ZILLIZ_CLUSTER_ID": "in01-other", "ZILLIZ_JOB_IDS": "", "OTHER": "x"}
    sentence = f"ZILLIZ_API_KEY, ZILLIZ_CLUSTER_ID: not used, since {place.path} is the configuration"
    assert Loader.at_default(place.path, environ).load().warnings == (sentence,)
    assert Loader(place.path, environ).load().warnings == (sentence,)


def test_a_variable_that_the_file_names_is_not_ignored(place: Place) -> None:
    place.write("config.yaml", "clusters: [{cluster_id: a, api_key_env: ZILLIZ_API_KEY}]")
    assert Loader(place.path, {"ZILLIZ_API_KEY": "canary"}).load().warnings == ()


def test_a_log_can_say_where_the_configuration_comes_from(place: Place) -> None:
    assert Loader(place.path, {}).origin == {"file": str(place.path)}
    assert Loader(None, {}).origin == {"source": "environment variables"}


def test_a_program_may_give_the_configuration_as_a_mapping() -> None:
    clusters = [{"cluster_id": "demo", "api_key": "canary", "base_url": "http://127.0.0.1:1"}]
    loader = Loader.from_mapping({"clusters": clusters, "scrape": {"fresh_for": "0s"}})
    assert loader.load().keys == {"demo": Secret("canary")}
    assert loader.changed() is False


def test_environment_variables_may_name_a_milvus_without_a_key() -> None:
    environ = {"ZILLIZ_API": "milvus", "ZILLIZ_CLUSTER_ID": "dev", "ZILLIZ_BASE_URL": "http://milvus:19530"}
    loaded = Loader(None, environ).load()
    (only,) = loaded.config.clusters
    assert (only.api, only.base_url, loaded.keys) == ("milvus", "http://milvus:19530", {"dev": None})


def test_environment_variables_may_name_a_key_file_a_proxy_and_authorities(
    place: Place, pair: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = place.write("authority.pem", pair[0].decode())
    monkeypatch.chdir(place.directory)
    environ = {
        "ZILLIZ_API": "zilliz",
        "ZILLIZ_API_KEY_FILE": "key",
        "ZILLIZ_CLUSTER_ID": "in01-a",
        "ZILLIZ_PROXY_URL": "http://proxy:3128",
        "ZILLIZ_CA_FILE": "authority.pem",
    }
    loader = Loader(None, environ)
    loaded = loader.load()
    (only,) = loaded.config.clusters
    assert loaded.keys == {"in01-a": Secret("canary")}
    assert (only.proxy_url, only.tls_config.ca_file) == ("http://proxy:3128", str(authority))
    assert loaded.warnings == ()
    place.write("key", "other\n")
    assert loader.changed()


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"ZILLIZ_API_KEY_FILE": "/missing"}, ["ZILLIZ_API_KEY_FILE: names a file that cannot be read: "]),
        (
            {"ZILLIZ_API_KEY": "canary", "ZILLIZ_API_KEY_FILE": "/missing"},
            ["ZILLIZ_API_KEY_FILE: is set in addition to ZILLIZ_API_KEY; keep one of them"],
        ),
        ({"ZILLIZ_API": "milvus"}, ["ZILLIZ_BASE_URL: is required for api: milvus, such as http://milvus:19530"]),
        ({"ZILLIZ_API": "canary", "ZILLIZ_API_KEY": "x"}, ["ZILLIZ_API: must be 'zilliz' or 'milvus'"]),
        ({"ZILLIZ_API": "canary"}, ["ZILLIZ_API_KEY: is not set; without a configuration file, ZILLIZ_API_KEY (or "]),
        (
            {"ZILLIZ_API_KEY": "x", "ZILLIZ_PROXY_URL": "canary", "ZILLIZ_CA_FILE": "/missing"},
            ["ZILLIZ_CA_FILE: names a file that cannot be read: ", "ZILLIZ_PROXY_URL: must be an http or https URL "],
        ),
        ({"ZILLIZ_API_KEY": "x", "SSL_CERT_FILE": "/missing"}, ["SSL_CERT_FILE: names a file that cannot be read: "]),
    ],
)
def test_what_is_wrong_with_the_variables_is_an_error_that_names_the_variable(
    variables: dict[str, str], expected: list[str]
) -> None:
    found = errors(Loader(None, {"ZILLIZ_CLUSTER_ID": "in01-a", **variables}))
    assert len(found) == len(expected)
    assert all(map(str.startswith, sorted(found), expected))
    assert "canary" not in str(found)


def test_a_proxy_that_the_variables_do_not_make_use_of_is_warned_of() -> None:
    environ = {"ZILLIZ_CLUSTER_ID": "in01-a", "ZILLIZ_API_KEY": "x", "HTTPS_PROXY": "http://canary:3128"}
    (warning,) = Loader(None, environ).load().warnings
    assert warning.startswith("ZILLIZ_PROXY_URL: is not given, and HTTPS_PROXY is used only where a configuration file")
    assert Loader(None, {**environ, "ZILLIZ_PROXY_URL": "http://proxy:3128"}).load().warnings == ()


@pytest.mark.parametrize("name", ["ZILLIZ_API_KEY", "ZILLIZ_API_KEY_FILE", "ZILLIZ_CLUSTER_ID"])
def test_any_of_the_required_variables_makes_the_environment_the_configuration(tmp_path: Path, name: str) -> None:
    (error,) = errors(Loader.at_default(tmp_path / "config.yaml", {name: "x"}))
    assert " is not set; without a configuration file, ZILLIZ_API_KEY (or ZILLIZ_API_KEY_FILE) and ZILLIZ_CL" in error
