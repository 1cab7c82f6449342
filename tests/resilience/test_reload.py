"""A configuration that changes while the real program runs: what is good is used, what is bad is reported."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.resilience.night import CANARY, JOBS, Night
from tests.support.exporter import Exporter, Samples
from tests.support.program import wait_for
from tests.support.simulated import CLUSTER, SimulatedApi

pytestmark = pytest.mark.e2e

FIRST, SECOND, THIRD = (job.job_id for job in JOBS[2:5])
UNKNOWN_KEY = "clusters[0].timeout: does not belong here"


def config(api: SimulatedApi, *jobs: str, **more: Any) -> dict[str, Any]:
    cluster = {"cluster_id": CLUSTER, "base_url": api.url, "api_key": CANARY, "jobs": list(jobs), **more}
    return {"clusters": [cluster], "scrape": {"fresh_for": "1h"}}


def watched(samples: Samples) -> set[str]:
    return {has["job_id"] for has, value in samples.all("job_up") if value == 1}


def reloaded(samples: Samples) -> float | None:
    return samples.value("exporter_config_last_reload_successful")


def wait_until_watched(exporter: Exporter, *jobs: str) -> None:
    wait_for(f"jobs {jobs}", lambda: watched(exporter.scrape()) == set(jobs))


@pytest.fixture
def exporter(plain: Night, tmp_path: Path) -> Iterator[Exporter]:
    """Reloads on request alone; no answer grows too old to be kept."""
    flags = ("--config.auto-reload-interval=0s", "--web.enable-lifecycle")
    with Exporter(config(plain.api, FIRST, SECOND), tmp_path, *flags) as running:
        yield running


def test_sighup_takes_over_the_new_file_and_keeps_the_answers_of_jobs_that_stay(
    plain: Night, exporter: Exporter
) -> None:
    before = exporter.scrape()
    assert watched(before) == {FIRST, SECOND}
    exporter.write(config(plain.api, SECOND, THIRD, db_name="other"))
    plain.api.reset()
    plain.api.clock.advance(60)
    exporter.send(signal.SIGHUP)
    wait_until_watched(exporter, SECOND, THIRD)
    after = exporter.scrape()
    assert [request.job_id for request in plain.api.requests] == [THIRD]
    name = "job_progress_ratio"
    assert after.value(name, job_id=SECOND) == before.value(name, job_id=SECOND)
    assert after.value("job_info", job_id=SECOND, db_name="other") == 1
    assert FIRST not in after.text


def test_a_bad_file_changes_nothing_but_the_reload_metrics_and_the_old_one_heals_them(
    plain: Night, exporter: Exporter
) -> None:
    good = exporter.config_file.read_text()
    first = exporter.scrape()
    assert reloaded(first) == 1
    succeeded = first.value("exporter_config_last_reload_success_timestamp_seconds")
    exporter.write({"clusters": [{**config(plain.api, THIRD)["clusters"][0], "timeout": "5s", "concurrency": 0}]})
    refused = requests.post(f"{exporter.url}/-/reload", timeout=10)
    assert refused.status_code == 500
    assert UNKNOWN_KEY in refused.text
    assert "clusters[0].concurrency" in refused.text
    bad = exporter.scrape()
    assert watched(bad) == {FIRST, SECOND}
    assert reloaded(bad) == 0
    assert bad.value("exporter_config_last_reload_success_timestamp_seconds") == succeeded
    assert UNKNOWN_KEY in exporter.log.read_text()
    exporter.config_file.write_text(good)
    exporter.reload()
    healed = exporter.scrape()
    assert reloaded(healed) == 1
    assert (healed.value("exporter_config_last_reload_success_timestamp_seconds") or 0) > (succeeded or 0)


@pytest.mark.parametrize("content", [None, "", "clusters: [", "\0", "clusters: []", "[]"])
def test_a_file_that_is_gone_or_broken_is_told_and_survived(
    plain: Night, exporter: Exporter, content: str | None
) -> None:
    exporter.config_file.unlink()
    if content is not None:
        exporter.config_file.write_text(content)
    assert requests.post(f"{exporter.url}/-/reload", timeout=10).status_code == 500
    samples = exporter.scrape()
    assert watched(samples) == {FIRST, SECOND}
    assert reloaded(samples) == 0


def test_a_warning_is_told_once_however_often_the_file_is_read(plain: Night, exporter: Exporter) -> None:
    warned = config(plain.api, FIRST, job_lists=["nowhere/*.yaml"])
    for _ in range(3):
        exporter.write(warned)
        exporter.reload()
    assert exporter.log.read_text().count("clusters[0].job_lists[0]: matches nothing: there is no directory") == 1


class Mounted:
    """A directory as Kubernetes mounts a ConfigMap: files are links through `..data`, which is swapped."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._version = 0
        directory.mkdir()

    def swap(self, **files: str) -> None:
        """Put another version of all files in place in one step."""
        self._version += 1
        version = self.directory / f"..version-{self._version}"
        version.mkdir()
        for name, content in files.items():
            (version / name.replace("_", ".")).write_text(content)
        link = self.directory / "..data_tmp"
        link.symlink_to(version.name)
        link.replace(self.directory / "..data")
        for name in files:
            path = self.directory / name.replace("_", ".")
            if not path.is_symlink():
                path.symlink_to(f"..data/{path.name}")


def test_changes_are_noticed_by_content_through_swapped_links(plain: Night, tmp_path: Path) -> None:
    mounted = Mounted(tmp_path / "mounted")
    lists = tmp_path / "jobs.d"
    lists.mkdir()
    api = plain.api

    def text(*jobs: str) -> str:
        document = config(api, *jobs, job_lists=[f"{lists}/*.yaml"], api_key_file="key.txt")
        del document["clusters"][0]["api_key"]
        return yaml.safe_dump(document)

    mounted.swap(config_yaml=text(FIRST), key_txt=CANARY)
    flags = (f"--config.file={mounted.directory / 'config.yaml'}", "--config.auto-reload-interval=1s")
    with Exporter(None, tmp_path / "exporter", *flags) as exporter:
        wait_until_watched(exporter, FIRST)

        mounted.swap(config_yaml=text(FIRST, SECOND), key_txt=CANARY)
        wait_until_watched(exporter, FIRST, SECOND)

        (lists / "a.yaml").write_text(f'- "{THIRD}"\n')
        wait_until_watched(exporter, FIRST, SECOND, THIRD)

        (lists / "a.yaml").write_text(f'- "{THIRD}"\n- "4487613')
        wait_for(
            "a word about the list", lambda: "the jobs that it held before stay watched" in exporter.log.read_text()
        )
        assert watched(exporter.scrape()) == {FIRST, SECOND, THIRD}
        assert reloaded(exporter.scrape()) == 0
        (lists / "a.yaml").write_text(f'- "{THIRD}"\n')
        wait_for("the list is whole again", lambda: reloaded(exporter.scrape()) == 1)

        mounted.swap(config_yaml=text(FIRST)[:-30] + "{", key_txt=CANARY)
        wait_for("a failed reload", lambda: reloaded(exporter.scrape()) == 0)
        assert watched(exporter.scrape()) == {FIRST, SECOND, THIRD}

        # The configuration that stays is given its rotated key and its changed list.
        (lists / "a.yaml").unlink()
        wait_until_watched(exporter, FIRST, SECOND)
        mounted.swap(config_yaml=text(FIRST)[:-30] + "{", key_txt="rotated-key")
        api.cloud.keys = {"rotated-key"}
        (lists / "b.yaml").write_text(f'- "{THIRD}"\n')
        wait_until_watched(exporter, FIRST, SECOND, THIRD)
        assert reloaded(exporter.scrape()) == 0

        mounted.swap(config_yaml=text(FIRST, SECOND), key_txt="rotated-key")
        wait_for("a reload", lambda: reloaded(exporter.scrape()) == 1)
        assert api.requests[-1].headers["authorization"] == "Bearer rotated-key"
        log = exporter.log.read_text()
        assert CANARY not in log
        assert "rotated-key" not in log
