"""Where a configuration may come from."""

from pathlib import Path

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
        "ZILLIZ_JOB_IDS": "1, 2,,3 ",
    }
    (only,) = Loader(None, environ).load().config.clusters
    assert (only.base_url, only.jobs, only.discovery) == ("http://127.0.0.1:1", ("1", "2", "3"), None)


def test_errors_of_the_environment_name_the_variables() -> None:
    environ = {
        "ZILLIZ_API_KEY": "canary\x07",
        "ZILLIZ_CLUSTER_ID": " ",
        "ZILLIZ_BASE_URL": "canary",
        "ZILLIZ_JOB_IDS": "1,a b,1",
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


def test_a_program_may_give_the_configuration_as_a_mapping() -> None:
    clusters = [{"cluster_id": "demo", "api_key": "canary", "base_url": "http://127.0.0.1:1"}]
    loader = Loader.from_mapping({"clusters": clusters, "scrape": {"fresh_for": "0s"}})
    assert loader.load().keys == {"demo": Secret("canary")}
    assert loader.changed() is False
