"""The main job, with the real programs: Prometheus scrapes the exporter, which watches a simulated import API."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.exporter import Exporter
from tests.support.prometheus import Prometheus, scrape_config
from tests.support.simulated import CLUSTER, KEY, FileScript, JobScript, SimulatedApi, Stages

pytestmark = pytest.mark.e2e

GOOD, BAD = "448761313698322011", "448761313698322012"
FILES = tuple(FileScript((f"articles/{number}.parquet",), 100_000_000, 50_000) for number in (1, 2))
STAGES = Stages(pending=10, preimporting=20, importing=100, sorting=20, indexing=40)
J = f'{{cluster_id="{CLUSTER}", job_id="%s"}}'


def test_prometheus_sees_the_whole_life_of_a_job_and_its_end(tmp_path: Path) -> None:
    with SimulatedApi() as api:
        api.add(
            JobScript(GOOD, "medium_articles", FILES, stages=STAGES, tasks_at_once=1),
            JobScript(BAD, "reviews", FILES, stages=STAGES, fails_after=60, reason="field 'lang' is missing"),
        )
        api.clock.set(1)
        cluster: dict[str, object] = {"cluster_id": CLUSTER, "base_url": api.url, "api_key": KEY}
        config = {"clusters": [{**cluster, "jobs": [GOOD, BAD]}], "scrape": {"fresh_for": "0s"}}
        with (
            Exporter(config, tmp_path / "exporter", "--config.auto-reload-interval=0s") as exporter,
            Prometheus(
                {
                    "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
                    "scrape_configs": [scrape_config([exporter.host])],
                },
                tmp_path / "prometheus",
            ) as prometheus,
        ):

            def sees(expression: str) -> None:
                prometheus.wait_until(expression)

            def state(job_id: str, name: str) -> str:
                return f'zilliz_import_job_state{{job_id="{job_id}", state="{name}"}} == 1'

            sees(state(GOOD, "Pending"))
            sees(state(BAD, "Pending"))
            seen = []
            for second in (40, 70, 100):
                api.clock.set(second)
                progress = progress_of(api, GOOD)
                sees(f"zilliz_import_job_progress_ratio{J % GOOD} == {progress / 100}")
                seen.append(progress)
            assert 0 < seen[0] < seen[1] < seen[2] < 100
            sees(state(GOOD, "Importing"))
            sees(f"zilliz_import_job_size_bytes{J % GOOD} == 200000000")
            sees(f"zilliz_import_job_rows{J % GOOD} == 100000")
            sees(f'zilliz_import_file_size_bytes{{job_id="{GOOD}", file_name="articles/2.parquet"}} == 100000000')
            sees(state(BAD, "Failed"))
            sees(f'zilliz_import_job_failure_info{{job_id="{BAD}", reason="field \'lang\' is missing"}} == 1')
            sees(f"zilliz_import_job_progress_ratio{J % BAD} == 0")
            api.clock.set(300)
            sees(state(GOOD, "Completed"))
            sees(f"zilliz_import_job_progress_ratio{J % GOOD} == 1")
            sees(f"zilliz_import_job_completed_timestamp_seconds{J % GOOD} > 0")
            sees(f'zilliz_import_file_state{{job_id="{GOOD}", file_name="articles/1.parquet", state="Completed"}} == 1')

            exporter.write({**config, "clusters": [{**cluster, "jobs": [GOOD]}]})
            exporter.send(signal.SIGHUP)
            sees(f"absent(zilliz_import_job_info{J % BAD}) and absent(zilliz_import_job_state{J % BAD})")
            sees(f"zilliz_import_job_info{J % GOOD} == 1")
            assert prometheus.value("min_over_time(min(up)[1h:1s])") == 1
            assert prometheus.value("min_over_time(min(zilliz_import_cluster_up)[1h:1s])") == 1
            exporter.send(signal.SIGTERM)
            assert exporter.wait() == 0


def progress_of(api: SimulatedApi, job_id: str) -> int:
    script = api.jobs(CLUSTER).find(job_id, api.clock.time())
    assert script is not None
    moment = script.at(api.clock.time())
    assert moment is not None
    return moment.progress
