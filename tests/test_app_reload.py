"""What reloads leave behind that fail for a while, and what the status page shows of scrapes and reloads."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from structlog.testing import capture_logs

from exporter.api.client import ApiSettings, ImportApi
from exporter.api.errors import TlsError
from exporter.collector.clock import Clock
from exporter.config.load import Loader
from exporter.metrics.own import OwnMetrics
from tests.discovery.bench import zilliz
from tests.support.rig import Rig, real_api, real_clock
from tests.support.simulated import CLUSTER, JobScript, SimulatedApi


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (TlsError("ca.pem: Too many open files"), "ca.pem: Too many open files"),
        (RuntimeError("canary"), "unexpected RuntimeError (test_app_reload.py, line "),
        (OSError(24, "canary"), "unexpected OSError (test_app_reload.py, line "),
    ],
)
def test_a_configuration_that_could_not_be_prepared_for_a_while_is_taken_over_when_it_can(
    tmp_path: Path, failure: Exception, sentence: str
) -> None:
    config = tmp_path / "config.yaml"
    broken: list[str] = []

    def make_api(settings: ApiSettings, own: OwnMetrics) -> ImportApi:
        if broken:
            raise failure
        return real_api(settings, own)

    with SimulatedApi() as api:
        api.add(JobScript("1"), JobScript("2"))

        def configure(*jobs: str, concurrency: int) -> None:
            cluster = {
                "cluster_id": CLUSTER,
                "base_url": api.url,
                "api_key": "k",
                "jobs": jobs,
                "concurrency": concurrency,
            }
            config.write_text(yaml.safe_dump({"clusters": [cluster]}))

        configure("1", concurrency=1)
        with Rig(Loader(config, {}), make_api=make_api) as rig, capture_logs() as logs:
            configure("1", "2", concurrency=2)
            broken.append("yes")
            for _ in range(3):
                rig.backend.reload_if_changed()
                assert rig.scrape().value("exporter_config_last_reload_successful") == 0
            (entry,) = [entry for entry in logs if entry["log_level"] == "error"]
            assert not [entry for entry in logs if entry["event"].startswith("Keys and job lists stay")]
            assert entry["error"].startswith(sentence)
            assert "canary" not in str(logs)
            broken.clear()
            rig.backend.reload_if_changed()
            assert rig.scrape().value("exporter_config_last_reload_successful") == 1
            assert {dict(has)["job_id"] for has in rig.scrape().family("job_up")} == {"1", "2"}


@pytest.mark.parametrize("part", ["load", "load_last_good"])
def test_an_unexpected_exception_in_a_reload_fails_this_one_and_not_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    config = tmp_path / "config.yaml"
    good = yaml.safe_dump({"clusters": [{"cluster_id": "c", "base_url": "http://127.0.0.1:1", "api_key": "k"}]})

    def fail(_self: Loader) -> None:
        raise RuntimeError("canary")

    config.write_text(good)
    with Rig(Loader(config, {})) as rig, capture_logs() as logs:
        if part == "load_last_good":
            config.write_text("clusters: [")
        with monkeypatch.context() as patch:
            patch.setattr(Loader, part, fail)
            assert not rig.backend.reload().replaced
        assert rig.backend.status().reload_failed
        assert [
            entry for entry in logs if "unexpected RuntimeError (test_app_reload.py, line" in entry.get("error", "")
        ]
        assert "canary" not in str(logs)
        config.write_text(good)
        assert rig.backend.reload().replaced
        assert not rig.backend.status().reload_failed


def test_the_page_knows_when_a_cluster_was_scraped_and_whether_the_configuration_is_the_last_one_given(
    tmp_path: Path,
) -> None:
    file = tmp_path / "config.yaml"
    now = [100.0]
    real = real_clock()
    clock = Clock(real.monotonic, lambda: now[0], real.chance)
    with SimulatedApi() as api:
        file.write_text(yaml.safe_dump({"clusters": [zilliz(api)]}))
        with Rig(Loader(file, {}), clock=clock) as rig:
            status = rig.backend.status()
            assert (status.clusters[0].scraped, status.reload_failed, status.loaded) == (None, False, 100)
            now[0] = 200
            rig.backend.metrics("10", "all")
            file.write_text("clusters: [")
            assert not rig.backend.reload().replaced
            status = rig.backend.status()
            assert (status.clusters[0].scraped, status.reload_failed, status.loaded) == (200, True, 100)


def test_a_warning_is_told_once_although_its_line_moves(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    text = "clusters: [{cluster_id: in01, api_key: key, base_url: 'http://127.0.0.1:1/v2', jobs: ['1']}]\n"
    config.write_text(text)
    with capture_logs() as logs, Rig(Loader(config, {})) as rig:
        config.write_text("# moved\n" + text)
        assert rig.backend.reload().problems == ()
    warned = [entry["warning"] for entry in logs if "base_url" in str(entry.get("warning"))]
    assert len(warned) == 1
    assert warned[0].endswith("line 1)")


def test_the_log_says_once_that_an_api_answers_and_at_each_load_what_is_watched(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    with SimulatedApi() as api, capture_logs() as logs:
        api.add(JobScript("1"))
        config.write_text(yaml.safe_dump({"clusters": [zilliz(api, jobs=["1"])]}))
        with Rig(Loader(config, {})) as rig:
            assert "First usable answer of the import API" not in {entry["event"] for entry in logs}
            rig.scrape()
            rig.scrape()
            assert rig.backend.reload().replaced
    loaded = {"event": "Configuration loaded", "log_level": "info", "file": str(config), "clusters": 1}
    assert [entry for entry in logs if entry["event"] == "Configuration loaded"] == [loaded, loaded]
    assert [entry["jobs"] for entry in logs if entry["event"].startswith("First usable answer")] == [1]
