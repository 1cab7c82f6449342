"""A reload that fails for a reason which passes: nothing is lost, and it is told once."""

from __future__ import annotations

from pathlib import Path

import yaml
from structlog.testing import capture_logs

from exporter.api.client import ApiSettings
from exporter.api.errors import TlsError
from exporter.config.load import Loader
from exporter.demo import CLUSTER, JobScript, SimulatedApi
from exporter.scrape import ExplainingApi
from exporter.selfmetrics import SelfMetrics
from tests.support.rig import Rig, real_api


def test_a_configuration_that_could_not_be_prepared_for_a_while_is_taken_over_when_it_can(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    broken: list[str] = []

    def make_api(settings: ApiSettings, own: SelfMetrics) -> ExplainingApi:
        if broken:
            raise TlsError("ca.pem: Too many open files")
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
            assert [entry["error"] for entry in logs if entry["log_level"] == "error"] == [
                "ca.pem: Too many open files"
            ]
            broken.clear()
            rig.backend.reload_if_changed()
            assert rig.scrape().value("exporter_config_last_reload_successful") == 1
            assert {dict(has)["job_id"] for has in rig.scrape().family("job_up")} == {"1", "2"}
