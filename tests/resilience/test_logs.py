"""What a bad night leaves in the log: one line when a trouble begins, changes or ends, and few while it lasts."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from exporter.log import FailureLog, Format
from tests.resilience.faults import FAULTS, code
from tests.resilience.night import VICTIMS, Night
from tests.support.logs import captured_logs
from tests.support.rig import Rig
from tests.support.simulated.faults import Respond

NASTY = code(5, "a\x1b[31m\nts=1 level=error\r\0\x07\x9b\u202e\u2028\ud800 end")
INTERVAL = 600.0
HOURS = 2.0
SCRAPES_PER_INTERVAL = 10
AT_THE_START = ("Configuration loaded", "First usable answer of the import API")


class Time:
    """Seconds, set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def night_of(night: Night, *faults: Respond, log_format: Format = "json", jobs: tuple[str, ...] = VICTIMS) -> list[str]:
    """The lines of a night in which these faults take turns, and of the morning after; not those of the start."""
    clock = Time()
    with (
        captured_logs("info", log_format) as log,
        Rig(night.config(), changes=FailureLog(interval=INTERVAL, clock=clock)) as rig,
    ):
        for number in range(int(HOURS * 3600 / INTERVAL * SCRAPES_PER_INTERVAL)):
            night.api.faults.clear()
            night.api.faults.inject(faults[number % len(faults)], job_ids=jobs or None)
            rig.text()
            clock.now += INTERVAL / SCRAPES_PER_INTERVAL
        night.api.faults.clear()
        clock.now += INTERVAL
        rig.text()
    lines = log.getvalue().split("\n")[:-1]
    return [line for line in lines if not any(message in line for message in AT_THE_START)]


def events(lines: list[str]) -> list[dict[str, Any]]:
    """What the log says of calls; that the job that is broken has failed is said once."""
    found = [json.loads(line) for line in lines]
    (failed,) = [event for event in found if event["msg"] == "Import failed"]
    found.remove(failed)
    return found


def test_a_steady_failure_of_a_job_is_logged_when_it_begins_when_it_ends_and_once_per_interval(plain: Night) -> None:
    found = events(night_of(plain, NASTY))
    logged = Counter((event["level"], event["job_id"]) for event in found)
    intervals = HOURS * 3600 / INTERVAL
    assert logged == {
        (level, job_id): count for job_id in VICTIMS for level, count in (("warn", intervals), ("info", 1))
    }
    assert {event.get("repeats") for event in found if event["level"] == "warn"} == {None, SCRAPES_PER_INTERVAL - 1}


def test_a_failure_that_changes_all_the_time_is_logged_five_times_per_interval_at_most(plain: Night) -> None:
    found = events(night_of(plain, NASTY, code(96026)))
    logged = Counter(event["job_id"] for event in found)
    assert set(logged) == set(VICTIMS)
    assert all(count <= 5 * (HOURS * 3600 / INTERVAL + 1) for count in logged.values())


def test_a_cluster_that_is_down_is_logged_once_and_not_for_each_job(plain: Night) -> None:
    lines = night_of(plain, Respond(502, b"<html>"), jobs=())
    troubles = [event for event in events(lines) if event["level"] == "warn"]
    assert len(troubles) == HOURS * 3600 / INTERVAL
    assert all(event["msg"] == "Import API cannot be read" for event in troubles)
    assert [event["msg"] for event in events(lines) if event["level"] == "info"] == ["Import API can be read again"]


@pytest.mark.parametrize("log_format", ["logfmt", "json"])
def test_control_characters_of_the_api_are_escaped(plain: Night, log_format: Format) -> None:
    faults = [fault.behaviour for fault in FAULTS.values() if isinstance(fault.behaviour, Respond)]
    unlimited = [fault for fault in faults if fault.status != 429 and b"1807" not in fault.body]
    lines = night_of(plain, NASTY, *unlimited, log_format=log_format)
    assert all(line.isprintable() for line in lines)
    start = "{" if log_format == "json" else "ts="
    assert all(line.startswith(start) for line in lines)
    assert any("\\u001b[31m" in line for line in lines)
