"""Whatever Prometheus says about its timeout, a scrape answers in its budget with what is known."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from exporter.model import ErrorClass
from tests.resilience.night import JOBS, NEIGHBOURS, UNFINISHED, VICTIMS, Night
from tests.support.exporter import Exporter, Samples
from tests.support.program import wait_for
from tests.support.rig import Rig
from tests.support.simulated.faults import Hang

FAR = 60.0
"""Seconds; far above every budget here and below those that a misread header would give."""


@pytest.mark.e2e
def test_every_timeout_header_gets_what_is_known_in_its_budget(plain: Night, tmp_path: Path) -> None:
    config = {**plain.config(fresh_for="1h", timeout="400ms")}
    hang = Hang()
    with Exporter(config, tmp_path, "--config.auto-reload-interval=0s") as exporter:
        plain.api.faults.inject(hang, job_ids=VICTIMS)
        wait_for("all answers", lambda: len(exporter.scrape().all("job_up")) == len(JOBS))
        whole = exporter.scrape()
        for header in ("nan", "inf", "-inf", "-1", "0", "0.1", "1e9", "abc", "", "1e400", "0x1", "5,5"):
            began = time.monotonic()
            reply = requests.get(
                f"{exporter.url}/metrics", headers={"X-Prometheus-Scrape-Timeout-Seconds": header}, timeout=FAR
            )
            assert time.monotonic() - began < FAR
            assert reply.status_code == 200
            samples = Samples(reply.text)
            for job in NEIGHBOURS:
                assert samples.value("job_up", job_id=job.job_id) == 1, header
                name = "job_progress_ratio"
                assert samples.value(name, job_id=job.job_id) == whole.value(name, job_id=job.job_id)
            assert {samples.error(job_id) for job_id in VICTIMS} == {"timeout"}
        plain.api.faults.clear()
        hang.release()
        assert {value for _, value in exporter.scrape(timeout="30").all("job_up")} == {1.0}


@pytest.mark.parametrize("known", [False, True], ids=["nothing known", "answers known"])
def test_a_short_scrape_beside_a_long_one_fails_no_job(plain: Night, *, known: bool) -> None:
    hang = Hang()
    with Rig(plain.config()) as rig, ThreadPoolExecutor(1) as pool:
        first = rig.scrape() if known else None
        plain.api.reset()
        plain.api.clock.advance(7)
        plain.api.faults.inject(hang)
        asked = UNFINISHED if known else JOBS
        long = pool.submit(rig.scrape, "300")
        try:
            plain.api.wait_for_requests(len(asked), FAR)
            short = rig.scrape("1.1")
        finally:
            hang.release()
        assert short.family("job_error") == {}
        assert sum(short.family("cluster_jobs_waiting").values()) == (0 if known else len(asked))
        assert short.family("job_progress_ratio") == (first.family("job_progress_ratio") if first else {})
        plain.assert_exact(long.result(FAR), JOBS)
        assert len(plain.api.requests) == len(asked)


def test_a_job_that_a_short_scrape_gives_up_alone_is_a_timeout(plain: Night) -> None:
    hang = Hang()
    with Rig(plain.config()) as rig:
        plain.api.faults.inject(hang, job_ids=VICTIMS)
        exposed = rig.scrape("1.1")
        assert {exposed.error(job_id) for job_id in VICTIMS} == {str(ErrorClass.TIMEOUT)}
        hang.release()
        plain.assert_exact(rig.scrape(), JOBS)
