"""Every rule of the configuration has a file that breaks it, and the sentences that a reader then gets."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from exporter.config.load import ConfigError, Loader

INVALID = Path(__file__).parent / "invalid"
CANARY = "CANARY"
ENVIRONMENT = {"EMPTY_VARIABLE": "", "HOME": CANARY}
_NO_FILE = "names a file that cannot be read: No such file or directory"
_RELATIVE = "; relative paths start at DIRECTORY"

EXPECTED: dict[str, tuple[str, ...]] = {
    "alias_bomb": ("FILE: holds too many values, aliases (*) included",),
    "alias_of_itself": ("FILE: holds too many values, aliases (*) included",),
    "api": ("clusters[0].api: must be 'zilliz' or 'milvus' (FILE, line 2)",),
    "base_url": (
        (
            "clusters[0].base_url: must be an http or https URL with a host, "
            "such as https://api.cloud.zilliz.com (FILE, line 2)"
        ),
        (
            "clusters[1].base_url: must be an http or https URL with a host, "
            "such as https://api.cloud.zilliz.com (FILE, line 3)"
        ),
        (
            "clusters[2].base_url: must have no user name or password in it; "
            "the key belongs in api_key_file (FILE, line 4)"
        ),
        "clusters[3].base_url: must have no query and no fragment, such as https://api.cloud.zilliz.com (FILE, line 5)",
        "clusters[4].base_url: must have no query and no fragment, such as https://api.cloud.zilliz.com (FILE, line 6)",
        "clusters[5].base_url: must be a URL, such as https://api.cloud.zilliz.com (FILE, line 7)",
        "clusters[6].base_url: must be a URL, such as https://api.cloud.zilliz.com (FILE, line 8)",
        (
            "clusters[7].base_url: must be a URL of printable ASCII without spaces, such as "
            "https://api.cloud.zilliz.com (FILE, line 9)"
        ),
        (
            "clusters[8].base_url: must be a URL of printable ASCII without spaces, such as "
            "https://api.cloud.zilliz.com (FILE, line 10)"
        ),
        (
            "clusters[9].base_url: must be an http or https URL with a host, such as "
            "https://api.cloud.zilliz.com (FILE, line 11)"
        ),
        "clusters[10].base_url: must be text; put it in quotes (FILE, line 12)",
        "clusters[11].base_url: is required for api: milvus, such as http://milvus:19530 (FILE, line 13)",
    ),
    "cluster_id": (
        (
            "clusters[0].cluster_id: is required; Zilliz Cloud shows it in its console, such as "
            "in01-0123456789abcde (FILE, line 2)"
        ),
        (
            "clusters[1].cluster_id: is required; Zilliz Cloud shows it in its console, such as "
            "in01-0123456789abcde (FILE, line 3)"
        ),
        "clusters[2].cluster_id: is empty; write a value (FILE, line 4)",
        "clusters[3].cluster_id: must be text; put it in quotes (FILE, line 5)",
        "clusters[4].cluster_id: must be printable, without leading or trailing spaces (FILE, line 6)",
        "clusters[5].cluster_id: must be printable, without leading or trailing spaces (FILE, line 7)",
        "clusters[6].cluster_id: is longer than 128 characters (FILE, line 8)",
    ),
    "cluster_is_text": ("clusters[0]: must be a mapping of keys to values (FILE, line 1)",),
    "clusters_is_mapping": ("clusters: must be a list (FILE, line 1)",),
    "comments_only": ("FILE: is empty; begin with clusters:",),
    "discovery": (
        "clusters[0].discovery: must be a mapping of keys to values (FILE, line 2)",
        "clusters[1].discovery.collections: must be a list (FILE, line 5)",
        "clusters[1].discovery.databases[0]: is empty; write a value (FILE, line 5)",
        "clusters[1].discovery.finished_for: must be a duration such as 30s, 10m or 1h30m (FILE, line 5)",
        "clusters[1].discovery.max_jobs: must be 1 or more (FILE, line 5)",
        (
            "clusters[1].discovery.refresh_interval: must be a duration with its unit, "
            "such as 30s, 10m or 1h30m (FILE, line 5)"
        ),
        (
            "clusters[2].discovery.databases: needs collections on Milvus, whose list without a collection "
            "covers all databases (FILE, line 6)"
        ),
        "clusters[3].discovery.databases[0]: must be ASCII, since it is sent in an HTTP header (FILE, line 7)",
        "clusters[3].discovery.max_jobs: must be a whole number (FILE, line 7)",
    ),
    "duplicate_key": (
        "clusters[0].api_key: is given twice, on lines 3 and 4; keep one (FILE, line 3)",
        "scrape.fresh_for: is given twice, on lines 5 and 5; keep one (FILE, line 5)",
    ),
    "empty": ("FILE: is empty; begin with clusters:",),
    "empty_clusters": ("clusters: is required; list at least one cluster (FILE, line 1)",),
    "job_lists": (
        "clusters[0].job_lists: must be a list (FILE, line 2)",
        "clusters[1].job_lists[0]: must be text; put it in quotes (FILE, line 3)",
        "clusters[1].job_lists[1]: must be the path of a file (FILE, line 3)",
        "clusters[1].job_lists[2]: must be the path of a file (FILE, line 3)",
    ),
    "jobs": (
        'clusters[0].jobs[0]: is a YAML number; put it in quotes, such as "448761313698322011" (FILE, line 4)',
        'clusters[0].jobs[1]: is a YAML number; put it in quotes, such as "448761313698322011" (FILE, line 4)',
        'clusters[0].jobs[2]: must be a job id in quotes, such as "448761313698322011" (FILE, line 4)',
        'clusters[0].jobs[3]: must be a job id in quotes, such as "448761313698322011" (FILE, line 4)',
        "clusters[0].jobs[4]: is not a job id; job ids are 1 to 128 of A-Z, a-z, 0-9, _ and - (FILE, line 4)",
        "clusters[0].jobs[5]: is not a job id; job ids are 1 to 128 of A-Z, a-z, 0-9, _ and - (FILE, line 4)",
        "clusters[0].jobs[6]: is not a job id; job ids are 1 to 128 of A-Z, a-z, 0-9, _ and - (FILE, line 4)",
        'clusters[0].jobs[7]: must be a job id in quotes, such as "448761313698322011" (FILE, line 4)',
        "clusters[0].jobs[8]: is not a job id; job ids are 1 to 128 of A-Z, a-z, 0-9, _ and - (FILE, line 4)",
        "clusters[1].jobs: must be a list (FILE, line 5)",
    ),
    "jobs_alike": ("clusters[0].jobs[2]: is the same job as jobs[0]; name it once (FILE, line 4)",),
    "key_environment": (
        "clusters[0].api_key_env: names an environment variable that is not set (FILE, line 2)",
        "clusters[1].api_key_env: names an environment variable whose value is empty (FILE, line 3)",
        "clusters[2].api_key_env: must be the name of an environment variable, such as ZILLIZ_API_KEY (FILE, line 4)",
        "clusters[3].api_key_env: must be text; put it in quotes (FILE, line 5)",
    ),
    "key_files": (
        f"clusters[0].api_key_file: {_NO_FILE}{_RELATIVE} (FILE, line 2)",
        f"clusters[1].api_key_file: {_NO_FILE} (FILE, line 3)",
        f"clusters[2].api_key_file: names a file that cannot be read: Is a directory{_RELATIVE} (FILE, line 4)",
        "clusters[3].api_key_file: names a file that is not a regular file (FILE, line 5)",
        "clusters[4].api_key_file: must be the path of a file (FILE, line 6)",
        "clusters[5].api_key_file: must be text; put it in quotes (FILE, line 7)",
    ),
    "key_not_text": (
        "clusters[0]: has a key on line 4 that is not text (FILE, line 2)",
        "clusters[0]: has a key on line 5 that is not text (FILE, line 2)",
        "clusters[0]: has a key on line 7 that is not text (FILE, line 2)",
    ),
    "key_sources": (
        "clusters[0]: has no key; give exactly one of api_key_file, api_key_env, api_key (FILE, line 2)",
        (
            "clusters[1].api_key: is given in addition to api_key_env; keep exactly one of api_key_file, api_key_env, "
            "api_key (FILE, line 3)"
        ),
        (
            "clusters[2].api_key_env: is given in addition to api_key_file; keep exactly one of api_key_file, "
            "api_key_env, api_key (FILE, line 4)"
        ),
        f"clusters[2].api_key_file: {_NO_FILE}{_RELATIVE} (FILE, line 4)",
        "clusters[3]: has no key; give exactly one of api_key_file, api_key_env, api_key (FILE, line 5)",
        (
            "clusters[4].api_key: is given in addition to api_key_env; keep exactly one of api_key_file, api_key_env, "
            "api_key (FILE, line 6)"
        ),
    ),
    "key_values": (
        "clusters[0].api_key: is empty (FILE, line 2)",
        "clusters[1].api_key: must be text; put it in quotes (FILE, line 3)",
        (
            "clusters[2].api_key: holds characters that cannot be sent in an HTTP header; only printable Latin-1 "
            "can (FILE, line 4)"
        ),
        "clusters[3].api_key: has more than one line; it must hold the key alone (FILE, line 5)",
        "clusters[4].api_key: begins or ends with a space; remove it (FILE, line 6)",
        (
            "clusters[5].api_key: holds characters that cannot be sent in an HTTP header; only printable Latin-1 "
            "can (FILE, line 7)"
        ),
        "clusters[6].api_key: must be text; put it in quotes (FILE, line 8)",
    ),
    "merge_of_text": ("clusters[0]: has a merge (<<) of something that is not a mapping (FILE, line 2)",),
    "misspelt_keys": (
        "clusters[0]: has no key; give exactly one of api_key_file, api_key_env, api_key (FILE, line 2)",
        'clusters[0].apikey: is not a known key; did you mean "api_key"? (FILE, line 3)',
        'clusters[0].api_key_fil: is not a known key; did you mean "api_key_file"? (FILE, line 4)',
        'clusters[0].Proxy-URL: is not a known key; did you mean "proxy_url"? (FILE, line 5)',
        (
            "clusters[0].<unknown key>: is not a known key; known here are cluster_id, api, base_url, "
            "api_key_file, api_key_env, api_key, jobs, job_lists, discovery, db_name, project_id, region_id, "
            "progress_path, requests_per_second, concurrency, proxy_url, proxy_from_environment, tls_config "
            "(FILE, line 6)"
        ),
        'clusters[0].max_jobs: does not belong here; it belongs in "discovery" (FILE, line 7)',
        (
            "clusters[0].colour: is not a known key; known here are cluster_id, api, base_url, api_key_file, "
            "api_key_env, api_key, jobs, job_lists, discovery, db_name, project_id, region_id, progress_path, "
            "requests_per_second, concurrency, proxy_url, proxy_from_environment, tls_config (FILE, line 8)"
        ),
        'cluster: is not a known key; did you mean "clusters"? (FILE, line 9)',
        'timeout: does not belong here; it belongs in "scrape" (FILE, line 10)',
    ),
    "no_clusters": ("clusters: is required; list at least one cluster (FILE, line 1)",),
    "not_readable_values": (
        "clusters[0].cluster_id: has an unsupported YAML tag (!); remove it, or use quotes (FILE, line 2)",
        "clusters[0].concurrency: is not a value of the type that YAML takes it for; put it in quotes (FILE, line 4)",
    ),
    "not_yaml": ("FILE: is not valid YAML: did not find expected ',' or ']' (line 4)",),
    "project": (
        "clusters[0].project_id: needs region_id as well (FILE, line 2)",
        "clusters[1].region_id: needs project_id as well (FILE, line 3)",
        "clusters[2].project_id: is not supported for api: milvus; only Zilliz Cloud has it (FILE, line 4)",
        "clusters[2].region_id: is not supported for api: milvus; only Zilliz Cloud has it (FILE, line 4)",
    ),
    "proxy_url": (
        "clusters[0].proxy_url: must be an http or https URL with a host, such as http://proxy:3128 (FILE, line 2)",
        "clusters[1].proxy_url: must have no path, such as http://proxy:3128 (FILE, line 3)",
        "clusters[2].proxy_url: must have no query and no fragment, such as http://proxy:3128 (FILE, line 4)",
    ),
    "requests": (
        "clusters[0].concurrency: must be 1 or more (FILE, line 2)",
        "clusters[0].db_name: must be text; put it in quotes (FILE, line 2)",
        (
            "clusters[0].progress_path: must be only the last part of the path, such as getProgress, describe "
            "or get_progress (FILE, line 2)"
        ),
        "clusters[0].requests_per_second: must be 0 or more (FILE, line 2)",
        "clusters[1].concurrency: must be 1000 or less (FILE, line 3)",
        "clusters[1].db_name: must be ASCII, since it is sent in an HTTP header (FILE, line 3)",
        (
            "clusters[1].progress_path: must be only the last part of the path, such as getProgress, describe "
            "or get_progress (FILE, line 3)"
        ),
        "clusters[1].requests_per_second: must be a finite number (FILE, line 3)",
        "clusters[2].concurrency: must be a whole number (FILE, line 4)",
        "clusters[2].db_name: is empty; write a value (FILE, line 4)",
        "clusters[2].requests_per_second: must be a number (FILE, line 4)",
        "clusters[3].concurrency: must be a whole number (FILE, line 5)",
        "clusters[3].requests_per_second: must be a number (FILE, line 5)",
    ),
    "same_cluster": (
        "clusters[2].cluster_id: is the same as that of clusters[0]; configure every cluster once (FILE, line 4)",
    ),
    "scrape_and_files": (
        "scrape.fresh_for: must be a duration such as 30s, 10m or 1h30m (FILE, line 2)",
        "scrape.max_age: must be a duration such as 30s, 10m or 1h30m (FILE, line 2)",
        "scrape.recheck_finished: must be a duration such as 30s, 10m or 1h30m (FILE, line 2)",
        "scrape.timeout: must be more than 0 (FILE, line 2)",
        "files.max_per_job: must be 1 or more (FILE, line 3)",
        "files.max_total: must be a whole number (FILE, line 3)",
        "files.series: must be 'all', 'unfinished' or 'none' (FILE, line 3)",
    ),
    "sections_of_wrong_type": (
        "scrape: must be a mapping of keys to values (FILE, line 2)",
        "files: must be a mapping of keys to values (FILE, line 3)",
    ),
    "surrogate": ("FILE: is not valid YAML: found invalid Unicode character escape code (line 2)",),
    "tab_indented": ("FILE: is not valid YAML: a tab is used where only spaces are allowed (line 2)",),
    "scalars": (
        "clusters[0].concurrency: must be a whole number (FILE, line 3)",
        "clusters[0].requests_per_second: must be a number (FILE, line 4)",
        "clusters[0].discovery.max_jobs: must be a whole number (FILE, line 5)",
        "clusters[0].tls_config.insecure_skip_verify: must be true or false (FILE, line 6)",
    ),
    "tls_config": (
        f"clusters[0].tls_config.cert_file: {_NO_FILE}{_RELATIVE} (FILE, line 2)",
        "clusters[0].tls_config.cert_file: needs key_file as well (FILE, line 2)",
        f"clusters[1].tls_config.key_file: {_NO_FILE}{_RELATIVE} (FILE, line 3)",
        "clusters[1].tls_config.key_file: needs cert_file as well (FILE, line 3)",
        "clusters[2].tls_config.ca_file: names a file without a certificate in PEM form (FILE, line 4)",
        (
            "clusters[3].tls_config.cert_file: does not match key_file; they must be a certificate and its "
            "unencrypted key in PEM form (FILE, line 5)"
        ),
        "clusters[4].tls_config.insecure_skip_verify: must be true or false (FILE, line 6)",
        (
            "clusters[4].tls_config.min_version: is not a known key; known here are ca_file, cert_file, "
            "key_file, server_name, insecure_skip_verify (FILE, line 6)"
        ),
        "clusters[4].tls_config.server_name: is empty; write a value (FILE, line 6)",
        "clusters[5].tls_config: must be a mapping of keys to values (FILE, line 7)",
    ),
    "top_level_list": ("FILE: must be a mapping of keys to values, such as clusters: and below it a list (line 1)",),
    "top_level_text": ("FILE: must be a mapping of keys to values, such as clusters: and below it a list (line 1)",),
    "two_documents": ("FILE: is not valid YAML: it holds more than one document (line 2)",),
    "unquoted_bang": (
        "clusters[0]: has no key; give exactly one of api_key_file, api_key_env, api_key (FILE, line 2)",
        "clusters[0].api_key: has an unsupported YAML tag (!); remove it, or use quotes (FILE, line 3)",
    ),
    "unquoted_star": (
        (
            "FILE: is not valid YAML: an alias (*) or anchor (&) is not valid; put a value that begins with "
            "* or & in quotes (line 3)"
        ),
    ),
}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_all_that_is_wrong_is_said_in_one_run_with_its_place(name: str) -> None:
    path = INVALID / f"{name}.yaml"
    with pytest.raises(ConfigError) as caught:
        Loader(path, ENVIRONMENT).load()
    expected = (text.replace("FILE", str(path)).replace("DIRECTORY", str(INVALID)) for text in EXPECTED[name])
    assert caught.value.errors == tuple(expected)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_no_value_of_the_file_is_repeated(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Loader(INVALID / f"{name}.yaml", ENVIRONMENT).load()
    assert CANARY not in f"{caught.value} {caught.value!r} {caught.value.errors}"


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_python_alone_finds_the_same_and_repeats_no_value(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.config.document.FAST_LOADER", yaml.SafeLoader)
    with pytest.raises(ConfigError) as caught:
        Loader(INVALID / f"{name}.yaml", ENVIRONMENT).load()
    assert CANARY not in f"{caught.value} {caught.value!r}"
    if name not in {"not_yaml", "surrogate"}:  # the parsers have words of their own, or another idea of what is YAML
        assert [text.partition(":")[0] for text in caught.value.errors] == [
            text.replace("FILE", str(INVALID / f"{name}.yaml")).partition(":")[0] for text in EXPECTED[name]
        ]


def test_every_invalid_file_is_expected_to_be_one() -> None:
    assert sorted(path.stem for path in INVALID.glob("*.yaml")) == sorted(EXPECTED)
