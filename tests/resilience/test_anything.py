"""Whatever JSON the API sends, about jobs and as its list: a scrape answers, and what it answers is valid."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.api.client import ImportApi
from exporter.api.parse import job_from, list_page_from
from exporter.api.verdict import reply_data
from exporter.model import Job, ListPage
from tests.resilience.night import CANARY, NEIGHBOURS, VICTIMS, Night
from tests.support.rig import Rig
from tests.support.simulated.faults import Rewrite

TEXTS = (
    st.text(max_size=20) | st.text(st.characters(codec=None), max_size=5) | st.sampled_from(["", "Importing", "1e400"])
)
NUMBERS = st.integers() | st.floats() | st.sampled_from([10**400, -1, 155, 385, 2**63, 1e308, 5e-324, -0.0])
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12
)
STATES = st.sampled_from(
    ["Pending", "Importing", "InProgress", "Completed", "Failed", "Uncommitted", "Retry", "ImportRunning", "", "Odd"]
)
TIMES = st.sampled_from(["", "2026-11-24T09:18:01Z", "2026-11-24T09:18:01+08:00", 1_780_000_000, 1e13, "never"])
NAMES = TEXTS | st.sampled_from(["a", "[a]", 'paths:"a"', "https://u:p@h/a?sig=1", "x" * 5000, "\ud800", 'a\n"\\'])


def object_of(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any of these fields, each mostly as it should be, and others."""
    optional = {name: values | SCALARS | ANYTHING for name, values in fields.items()}
    return st.fixed_dictionaries({}, optional=optional)


FILES = object_of(
    fileName=NAMES,
    fileSize=NUMBERS,
    state=STATES,
    progress=NUMBERS,
    completeTime=TIMES,
    reason=TEXTS,
    totalRows=NUMBERS,
    importedRows=NUMBERS,
)
JOBS = object_of(
    jobId=TEXTS,
    collectionName=NAMES,
    fileName=NAMES,
    fileSize=NUMBERS,
    state=STATES,
    progress=NUMBERS,
    readyPercentage=NUMBERS,
    completeTime=TIMES,
    reason=TEXTS,
    errorMessage=TEXTS,
    totalRows=NUMBERS,
    importedRows=NUMBERS,
    details=st.lists(FILES | ANYTHING, max_size=6),
)
RECORDS = object_of(jobId=st.sampled_from(["1", "2", "job-3", VICTIMS[0]]) | NAMES, state=STATES, collectionName=NAMES)
LISTS = object_of(records=st.lists(RECORDS | ANYTHING, max_size=6), tasks=st.lists(RECORDS), count=NUMBERS)


def replies(data: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[Any]:
    """A reply with such data, mostly a successful one, or any JSON."""
    codes = st.sampled_from([0, 0, 0, 0, 200, "0", 96026, 1800, 1])
    proper = st.fixed_dictionaries({"code": codes, "data": data}, optional={"message": ANYTHING})
    return proper | object_of(code=codes, data=data, message=TEXTS) | ANYTHING


class Oracle:
    """Stands for the network: gives each job, and the list, the reply that the test drew."""

    def __init__(self) -> None:
        self.jobs: dict[str, Any] = {}
        self.list: Any = {}

    def progress(self, job_id: str, *_: object, **__: object) -> Job:
        return job_from(reply_data(200, json.dumps(self.jobs.get(job_id)).encode()), job_id)

    def list_page(self, *_: object, **__: object) -> ListPage:
        return list_page_from(reply_data(200, json.dumps(self.list).encode()))

    def explain(self, *_: object, **__: object) -> Any:
        raise NotImplementedError

    explain_list = explain

    def close(self) -> None:
        pass


WATCHED = ("job-1", "job-2", "job-3")


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    cluster = {
        "cluster_id": "c",
        "api_key": CANARY,
        "jobs": list(WATCHED),
        "discovery": {"refresh_interval": "0s", "max_jobs": 3},
        "requests_per_second": 0,
        "concurrency": 1,
    }
    return {
        "clusters": [cluster],
        "scrape": {"fresh_for": "0s", "recheck_finished": "0s"},
        "files": {"max_per_job": 3, "max_total": 7},
    }


Course = list[tuple[tuple[Any, Any, Any], Any]]


@given(st.lists(st.tuples(st.tuples(*[replies(JOBS)] * 3), replies(LISTS)), min_size=1, max_size=3))
def test_a_course_of_any_replies_is_exposed_validly(config: dict[str, Any], course: Course) -> None:
    oracle = Oracle()
    with Rig(config, make_api=lambda *_: cast("ImportApi", oracle)) as rig:
        for jobs, listed in course:
            oracle.jobs = dict(zip(WATCHED, jobs, strict=True))
            oracle.list = listed
            exposed = rig.scrape("30")
            about = {dict(has)["job_id"] for has in exposed.family("job_up")}
            assert about >= set(WATCHED)
            for job_id in about:
                assert rig.probe("c", job_id).value("job_up", job_id=job_id) in (0.0, 1.0)


@settings(max_examples=30)
@given(replies(JOBS))
def test_any_reply_over_the_wire_leaves_the_neighbours_exact(nights: dict[str, Night], reply: Any) -> None:
    night = nights["http"]
    night.begin()
    body = json.dumps(reply).encode()
    night.api.faults.inject(Rewrite(lambda _: body), job_ids=VICTIMS)
    with Rig(night.config()) as rig:
        exposed = rig.scrape()
    night.assert_exact(exposed, NEIGHBOURS)
    assert all(exposed.value("job_up", job_id=job_id) in (0.0, 1.0) for job_id in VICTIMS)
