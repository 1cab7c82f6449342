"""The documented replies in another order, in part, cut off or spelt otherwise: no job gets lost in silence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.api.client import ImportApi
from exporter.api.errors import ApiError
from exporter.api.parse import job_from, list_page_from
from exporter.api.verdict import reply_data
from exporter.model import JOB_ID, Job, ListPage, State
from tests.support.logs import captured_logs
from tests.support.rig import Rig
from tests.support.strict import Exposed

IDS = ("job-a", "job-b", "job-c")
WORDS = ("Pending", "InProgress", "Importing", "Completed", "Failed", "Uncommitted", "Canceled")
FILE = {
    "fileName": "day/part-1.parquet",
    "fileSize": 1000,
    "state": "Failed",
    "progress": 30,
    "completeTime": "",
    "reason": "no such object",
    "totalRows": 10,
}
CONFIG = {
    "clusters": [
        {
            "cluster_id": "c",
            "api_key": "key-of-a-test",
            "requests_per_second": 0,
            "discovery": {"refresh_interval": "0s", "max_jobs": 2},
        }
    ],
    "scrape": {"fresh_for": "0s"},
}


@st.composite
def respelt(draw: st.DrawFn, word: str) -> str:
    """The word in another case, with blanks, `_` or `-` in it."""
    spelt = draw(st.sampled_from([word, word.upper(), word.lower(), word.swapcase()]))
    place = draw(st.integers(0, len(spelt)))
    return spelt[:place] + draw(st.sampled_from(["", " ", "_", "-"])) + spelt[place:]


@st.composite
def varied(draw: st.DrawFn, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The same fields in any order, some left out, null, or written as text."""
    names = draw(st.permutations(sorted(fields)))
    left_out = draw(st.sets(st.sampled_from(names), max_size=2))
    changed: dict[str, Any] = {}
    for name in names:
        if name in left_out:
            if draw(st.booleans()):
                changed[name] = None
            continue
        value = fields[name]
        changed[name] = str(value) if isinstance(value, int) and draw(st.booleans()) else value
    return changed


@st.composite
def jobs(draw: st.DrawFn, job_id: str) -> dict[str, Any]:
    """A documented job."""
    state = draw(st.sampled_from(WORDS).flatmap(respelt))
    details = draw(st.lists(varied(FILE), max_size=2))
    whole = {
        "jobId": job_id,
        "collectionName": "articles",
        "fileName": "day/part-1.parquet",
        "fileSize": 1000,
        "state": state,
        "progress": 40,
        "completeTime": "",
        "reason": "no such object",
        "totalRows": 10,
        "details": details,
    }
    return draw(varied(whole))


@st.composite
def records(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A documented list of the jobs."""
    return [
        draw(
            varied(
                {"jobId": job_id, "collectionName": "articles", "state": draw(st.sampled_from(WORDS).flatmap(respelt))}
            )
        )
        for job_id in draw(st.permutations(IDS))
    ]


@st.composite
def bodies(draw: st.DrawFn, data: Mapping[str, Any]) -> bytes:
    """The reply, sometimes cut off."""
    body = json.dumps({"code": 0, "data": data}).encode()
    return body[: draw(st.integers(0, len(body)))] if draw(st.integers(0, 4)) == 0 else body


class Api:
    """Answers with given bodies."""

    def __init__(self, bodies: Mapping[str, bytes]) -> None:
        self._bodies = bodies
        self.named: set[str] = set()
        self.unusable = 0

    def progress(self, job_id: str, *_: object, **__: object) -> Job:
        return job_from(reply_data(200, self._bodies[job_id]), job_id)

    def list_page(self, number: int, *_: object, **__: object) -> ListPage:
        if number > 1:
            return ListPage(())
        data = reply_data(200, self._bodies["list"])
        names = [record.get("jobId") for record in data["records"]]
        self.named = {name for name in names if isinstance(name, str) and JOB_ID.fullmatch(name)}
        self.unusable = len(names) - len(self.named)
        return list_page_from(data)

    def close(self) -> None:
        pass


@settings(max_examples=60)
@given(st.data())
def test_no_job_of_the_documented_replies_is_lost_in_silence(data: st.DataObject) -> None:
    replies = {job_id: data.draw(jobs(job_id).flatmap(bodies)) for job_id in IDS}
    replies["list"] = data.draw(records().map(lambda each: {"records": each}).flatmap(bodies))
    api = Api(replies)
    with captured_logs() as log, Rig(CONFIG, make_api=lambda *_: cast("ImportApi", api)) as rig:
        rig.scrape()
        exposed = rig.scrape()
    if not api.named and not api.unusable:
        assert exposed.value("cluster_up") == 0
        assert "request=list" in log.getvalue() or "cannot be read" in log.getvalue()
        return
    shown = {dict(has)["job_id"] for has in exposed.family("job_up")}
    assert shown <= api.named
    # Every job that the list names is counted by state, and those that cannot be named are logged.
    assert sum(exposed.family("cluster_listed_jobs").values()) == len(api.named)
    assert (api.unusable > 0) == ("without a usable job id" in log.getvalue())
    omitted, waiting = exposed.value("cluster_jobs_omitted"), exposed.value("cluster_jobs_waiting")
    assert omitted is not None
    assert waiting == 0
    for job_id in shown:
        check(exposed, job_id, log.getvalue())
    # What is not shown is left out for max_jobs, or is a Completed job of unknown age.
    assert sum(not completed(api, job_id) for job_id in api.named - shown) <= omitted


def completed(api: Api, job_id: str) -> bool:
    """Whether the API says that the job is Completed."""
    try:
        return api.progress(job_id).state is State.COMPLETED
    except ApiError:
        return False


def check(exposed: Exposed, job_id: str, log: str) -> None:
    """A job is in one state, or its error is exposed and logged; and why it failed is exposed."""
    if exposed.value("job_up", job_id=job_id) == 0:
        assert exposed.error(job_id) == "payload"
        assert job_id in log
        return
    state = exposed.state(job_id)
    assert state is not None
    assert state != "Unknown"
    if state == "Failed":
        assert any("Import failed" in line and job_id in line for line in log.splitlines())
