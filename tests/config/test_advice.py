"""Warnings about what is valid but hardly meant."""

import pytest

from exporter.config.load import Loader
from tests.config.place import Place, cluster, errors, ids, listing

MILVUS = {"cluster_id": "m", "api": "milvus", "base_url": "http://milvus:19530"}


def warnings(loader: Loader) -> list[str]:
    """The warnings, without the file and line at their ends."""
    return [text.rpartition(" (")[0] for text in loader.load().warnings]


@pytest.mark.parametrize("key", ["Bearer canary", "bearer  canary"])
def test_a_key_with_the_word_that_is_added_to_it(place: Place, key: str) -> None:
    place.write("key", key + "\n")
    sentence = 'gives a key that begins with "Bearer", which is added automatically; leave it out'
    assert warnings(place.configure(cluster())) == [f"clusters[0].api_key_file: {sentence}"]
    assert warnings(place.configure({**MILVUS, "api_key": key})) == [f"clusters[0].api_key: {sentence}"]
    place.write("config.yaml", "clusters: [{cluster_id: a, api_key_env: KEY}]")
    assert warnings(Loader(place.path, {"KEY": key})) == [f"clusters[0].api_key_env: {sentence}"]
    (warning,) = Loader(None, {"ZILLIZ_API_KEY": key, "ZILLIZ_CLUSTER_ID": "a"}).load().warnings
    assert warning == f"ZILLIZ_API_KEY: {sentence}"


def test_a_space_in_a_key_of_zilliz_cloud_but_not_in_a_password_of_milvus(place: Place) -> None:
    (warning,) = warnings(place.configure({"cluster_id": "a", "api_key": "canary canary"}))
    assert warning == "clusters[0].api_key: gives a key with a space in it, which no key of Zilliz Cloud has"
    assert warnings(place.configure({**MILVUS, "api_key": "root:can ary"})) == []


@pytest.mark.parametrize("key", ["${CANARY}", "$CANARY", "${CANARY:-x}"])
def test_a_variable_in_the_place_of_the_key(place: Place, key: str) -> None:
    (warning,) = warnings(place.configure({"cluster_id": "a", "api_key": key}))
    assert warning.startswith("clusters[0].api_key: is used as it is, not as the name of a variable; api_key_env")
    assert "CANARY" not in warning


API = "the import API of Zilliz Cloud is at https://api.cloud.zilliz.com, in China at https://api.cloud.zilliz.com.cn"
IN_QUOTES = "which are sent as part of it; leave them out (docker --env-file keeps quotes)"
ONLY_A_CLUSTER = "gives user:password, which only a cluster accepts; the import API of Zilliz Cloud needs an API key"


@pytest.mark.parametrize(
    "url",
    [
        "https://in01-0123456789abcde.aws-us-west-2.vectordb.zillizcloud.com:19530",
        "https://in03-0123456789abcde.serverless.gcp-us-west1.cloud.zilliz.com",
        "https://in01-0123456789abcde.ali-cn-hangzhou.vectordb.zilliz.com.cn:19530",
    ],
)
def test_the_endpoint_of_a_cluster_as_base_url(place: Place, url: str) -> None:
    sentence = f"clusters[0].base_url: is the endpoint of a cluster; {API}"
    assert warnings(place.configure(cluster(base_url=url))) == [sentence]


@pytest.mark.parametrize("url", ["https://cloud.zilliz.com", "https://cloud.zilliz.com.cn/", "https://zilliz.com/x"])
def test_the_console_as_base_url(place: Place, url: str) -> None:
    sentence = f"clusters[0].base_url: is the web console; {API}"
    assert warnings(place.configure(cluster(base_url=url))) == [sentence]


@pytest.mark.parametrize("api", [{}, {"api": "milvus"}])
@pytest.mark.parametrize("host", ["api.cloud.zilliz.com", "API.cloud.zilliz.com.cn:80", "x.zillizcloud.com"])
def test_plain_http_to_zilliz_cloud(place: Place, api: dict[str, str], host: str) -> None:
    sentence = "clusters[0].base_url: sends the key to Zilliz Cloud in clear text; write https://"
    assert warnings(place.configure(cluster(base_url=f"http://{host}", **api))) == [sentence]


@pytest.mark.parametrize(
    "url", ["https://api.cloud.zilliz.com", "https://api.cloud.zilliz.com.cn", "http://milvus", "http://notzilliz.com"]
)
def test_a_base_url_that_may_be_right(place: Place, url: str) -> None:
    assert warnings(place.configure(cluster(base_url=url))) == []


@pytest.mark.parametrize("url", ["https://in01-a.x.zillizcloud.com:19530", "in01-a.x.cloud.zilliz.com", "http://x"])
def test_a_url_as_the_id_of_a_cluster(place: Place, url: str) -> None:
    sentence = "is a URL; the id of a cluster is the first part of its endpoint, such as in01-0123456789abcde"
    assert warnings(place.configure({**cluster(), "cluster_id": url})) == [f"clusters[0].cluster_id: {sentence}"]


def test_user_and_password_for_zilliz_cloud(place: Place) -> None:
    (warning,) = warnings(place.configure({"cluster_id": "a", "api_key": "db_admin:canary"}))
    assert warning == f"clusters[0].api_key: {ONLY_A_CLUSTER}"
    assert warnings(place.configure({**MILVUS, "api_key": "root:canary"})) == []


@pytest.mark.parametrize("quote", ['"', "'"])
def test_quotes_that_docker_leaves_around_key_and_id(quote: str) -> None:
    environ = {"ZILLIZ_API_KEY": f"{quote}canary{quote}", "ZILLIZ_CLUSTER_ID": f"{quote}in01-a{quote}"}
    assert set(Loader(None, environ).load().warnings) == {
        f"ZILLIZ_API_KEY: gives a key with quotes around it, {IN_QUOTES}",
        f"ZILLIZ_CLUSTER_ID: has quotes around it, {IN_QUOTES}",
    }


def test_quotes_around_urls_and_job_ids_are_errors() -> None:
    environ = {
        "ZILLIZ_API_KEY": "canary",
        "ZILLIZ_CLUSTER_ID": "in01-a",
        "ZILLIZ_BASE_URL": '"https://api.cloud.zilliz.com"',
        "ZILLIZ_JOB_IDS": '"1,2"',
    }
    assert set(errors(Loader(None, environ))) == {
        "ZILLIZ_BASE_URL: has quotes around it; leave them out, such as https://api.cloud.zilliz.com",
        "ZILLIZ_JOB_IDS[0]: has quotes in it; leave them out",
        "ZILLIZ_JOB_IDS[1]: has quotes in it; leave them out",
    }


@pytest.mark.parametrize("text", ["ZILLIZ_API_KEY=canary", "export KEY=canary\n", "token=canary="])
def test_a_key_file_that_holds_an_assignment(place: Place, text: str) -> None:
    place.write("key", text)
    (warning,) = warnings(place.configure(cluster()))
    assert warning == "clusters[0].api_key_file: gives NAME=value; only the value is the key"


@pytest.mark.parametrize("key", ["canary=", "canary==", "0123456789abcdef", "'canary", '"'])
def test_a_key_that_may_be_right(place: Place, key: str) -> None:
    assert warnings(place.configure({"cluster_id": "a", "api_key": key})) == []


@pytest.mark.parametrize("key", ["$2b", "can$ary", "$", "{canary}"])
def test_a_dollar_sign_alone_makes_no_variable(place: Place, key: str) -> None:
    assert warnings(place.configure({"cluster_id": "a", "api_key": key})) == []


@pytest.mark.parametrize("path", ["/v1", "/v2/", "/v2/vectordb", "/v2/vectordb/jobs/import", "/prefix/v2"])
def test_a_base_url_with_the_paths_of_the_api(place: Place, path: str) -> None:
    (warning,) = warnings(place.configure(cluster(base_url=f"https://host{path}")))
    assert warning.startswith(
        "clusters[0].base_url: ends in a path of the API, which is added automatically; leave out /v1 or"
    )


@pytest.mark.parametrize("url", ["https://v2", "https://host/v2beta", "https://host/vectordb", "https://host/v2/x"])
def test_a_base_url_with_another_path(place: Place, url: str) -> None:
    assert warnings(place.configure(cluster(base_url=url))) == []


def test_job_lists_in_a_directory_that_there_is_not(place: Place) -> None:
    loader = listing(place, "list", "jobs.d/*.yaml")
    missing = f"clusters[0].job_lists[1]: matches nothing: there is no directory {place.directory / 'jobs.d'}"
    assert warnings(loader) == [missing]
    (place.directory / "jobs.d").mkdir()
    assert warnings(loader) == []
    (place.directory / "jobs.d").rmdir()
    assert warnings(loader) == [missing]


def test_what_is_looked_at_for_advice_alone_is_no_change(place: Place) -> None:
    (place.directory / "lists").mkdir()
    loader = listing(place, "*/list")
    assert warnings(loader) == []
    (place.directory / "other").mkdir()
    assert not loader.changed()


@pytest.mark.parametrize("pattern", ["*/list", "[[]a/list", "a?/list"])
def test_job_lists_in_directories_that_match(place: Place, pattern: str) -> None:
    assert len(warnings(listing(place, pattern))) == 1
    for name in ("[a", "ab"):
        place.write(f"{name}/list", '["1"]')
    loader = listing(place, pattern)
    assert ids(loader.load()) == ("1",)
    assert warnings(loader) == []
