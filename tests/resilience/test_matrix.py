"""Every fault at two of twelve jobs: they get its class and one line in the log, the ten others stay exact."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.model import ErrorClass
from tests.resilience.faults import FAULTS, RECORDED_ERRORS, recorded
from tests.resilience.night import CANARY, JOBS, VICTIMS, Night
from tests.support.hostile import Hostile, always, reply
from tests.support.logs import captured_logs
from tests.support.rig import Rig
from tests.support.simulated import CLUSTER
from tests.support.simulated.faults import Respond
from tests.support.simulated.wire import Behaviour
from tests.support.strict import Exposed, labels


def strike(night: Night, behaviour: Behaviour, error: ErrorClass) -> str:
    """One scrape before the fault, one under it, one after it; return the log."""
    with captured_logs() as log, Rig(night.config()) as rig:
        night.assert_exact(rig.scrape(), JOBS)
        night.api.faults.inject(behaviour, job_ids=VICTIMS)
        night.api.clock.advance(7)
        under = rig.scrape()
        night.assert_exact(under)
        assert_down(under, error)
        night.api.faults.clear()
        night.api.clock.advance(7)
        night.assert_exact(rig.scrape(), JOBS)
    return log.getvalue()


def assert_down(exposed: Exposed, error: ErrorClass, cluster_id: str = CLUSTER) -> None:
    """All that is said of the victims: who they are, and that they cannot be read."""
    for job_id in VICTIMS:
        identity = {"cluster_id": cluster_id, "job_id": job_id}
        about = exposed.about(job_id)
        (info,) = about.pop("job_info")
        named = {name: value for name, value in info if name in {"collection_name", "db_name"}}
        assert named == {"collection_name": named["collection_name"], "db_name": ""}
        assert named["collection_name"] in {"victims", ""}
        of_job = {**identity, **named}
        shown = ErrorClass.VANISHED if error is ErrorClass.NOT_FOUND else error
        assert about == {"job_up": {labels(**identity): 0.0}, "job_error": {labels(**of_job, error=shown): 1.0}}


def assert_told(log: str, error: ErrorClass) -> None:
    """One event a line, at most one line about each victim's trouble and its end, and never the key."""
    lines = [line for line in log.splitlines() if "msg=" in line]
    assert len(lines) == log.count("\n")
    assert all(line.startswith("ts=") and line.isprintable() for line in lines)
    troubles = [line for line in lines if "level=warn" in line and f" error={error} " in line]
    assert 1 <= len(troubles) <= len(VICTIMS)
    assert 1 <= sum("again" in line for line in lines) <= len(VICTIMS)
    assert CANARY not in log


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_costs_its_jobs_their_answers_and_nobody_else(night: Night, name: str) -> None:
    fault = FAULTS[name]
    assert_told(strike(night, fault.behaviour, fault.error), fault.error)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_key_follows_no_redirect(night: Night, status: int) -> None:
    with Hostile(always(reply(b"{}"))) as elsewhere:
        target = f"{elsewhere.url}/v2/vectordb/jobs/import/getProgress"
        log = strike(night, Respond(status, headers=(("Location", target),)), ErrorClass.HTTP)
        assert elsewhere.connections == 0
    assert_told(log, ErrorClass.HTTP)


@pytest.mark.parametrize("name", RECORDED_ERRORS)
def test_a_recorded_refusal(night: Night, name: str) -> None:
    behaviour, _ = recorded()[name]
    error = RECORDED_ERRORS[name]
    assert_told(strike(night, behaviour, error), error)


@pytest.mark.parametrize("name", sorted(recorded().keys() - RECORDED_ERRORS.keys()))
def test_a_recorded_answer(night: Night, name: str) -> None:
    behaviour, data = recorded()[name]
    assert data is not None
    with captured_logs("warn") as log, Rig(night.config()) as rig:
        night.api.faults.inject(behaviour, job_ids=VICTIMS)
        exposed = rig.scrape()
    night.assert_exact(exposed)
    for job_id in VICTIMS:
        assert_says(exposed, job_id, data)
    assert all('msg="Import failed"' in line for line in log.getvalue().splitlines())


def assert_says(exposed: Exposed, job_id: str, data: dict[str, Any]) -> None:
    details = data["details"]
    assert exposed.value("job_up", job_id=job_id) == 1
    assert exposed.state(job_id) == data["state"]
    assert exposed.value("job_progress_ratio", job_id=job_id) == min(1.0, data["progress"] / 100)
    assert exposed.value("job_size_bytes", job_id=job_id) == data["fileSize"]
    assert exposed.value("job_rows", job_id=job_id) == data["totalRows"]
    assert exposed.value("job_imported_rows", job_id=job_id) == data["importedRows"]
    states = [{"InProgress": "Importing"}.get(file["state"], file["state"]) for file in details]
    for state in {*states, "Pending", "Unknown"}:
        assert exposed.value("job_files", job_id=job_id, state=state) == states.count(state)
    about = exposed.about(job_id)
    names = {file["fileName"].strip("[]") for file in details}
    assert {dict(each)["file_name"] for each in about.get("file_size_bytes", {})} == names
    assert sum(about.get("file_rows", {}).values()) == sum(file["totalRows"] for file in details)
    assert ("job_completed_timestamp_seconds" in about) == bool(data["completeTime"])
    reasons = [dict(each)["reason"] for each in about.get("job_failure_info", {})]
    assert reasons == ([data["reason"]] if data.get("reason") else [])
