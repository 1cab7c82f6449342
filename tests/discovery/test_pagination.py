"""Whole readings of lists through a cluster's watch, from servers of every bad habit."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.collector.discovery import PAGES_PER_READING, PAGES_PER_SCRAPE
from exporter.model import ListedJob, ListPage, Source, State
from tests.collector.bench import Bench, discovering
from tests.collector.loop import VirtualLoop
from tests.discovery.bench import Service, lists, zilliz
from tests.support.simulated import SimulatedApi
from tests.support.simulated.bulk import bulk_jobs
from tests.support.simulated.faults import Rewrite


@dataclass
class Server:
    """A list of `jobs`, of which a seventh is finished, in pages made by its habits."""

    jobs: int
    page_size: int
    overlap: int
    repeat: int
    shuffles_pages: bool
    ignores_pages: bool
    seed: int

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def ids(self) -> list[str]:
        return [str(4_487_613_136_983 + number) for number in range(self.jobs)]

    def state(self, job_id: str) -> State:
        return State.COMPLETED if int(job_id) % 7 == 0 else State.IMPORTING

    def page(self, number: int) -> ListPage:
        ids = self.ids()
        if not self.ignores_pages:
            step = max(1, self.page_size - self.overlap)
            ids = ids[(number - 1) * step : (number - 1) * step + self.page_size]
        ids *= self.repeat
        if self.shuffles_pages or self.ignores_pages:
            self._chance.shuffle(ids)
        return ListPage(tuple(ListedJob(job_id, "articles", self.state(job_id)) for job_id in ids))


servers = st.builds(
    Server,
    jobs=st.integers(0, 300),
    page_size=st.integers(1, 130),
    overlap=st.integers(0, 60),
    repeat=st.integers(1, 3),
    shuffles_pages=st.booleans(),
    ignores_pages=st.booleans(),
    seed=st.integers(0, 99),
)


def watched(bench: Bench) -> set[str]:
    return {record.job_id for record in bench.cluster.jobs.worst(10_000)}


@settings(max_examples=60, deadline=None)
@given(server=servers, max_jobs=st.integers(1, 320))
def test_the_jobs_watched_are_right_or_the_rest_is_counted(server: Server, max_jobs: int) -> None:
    with VirtualLoop() as loop:
        bench = discovering(loop, discovery={"max_jobs": max_jobs})
        bench.api.pages = server.page
        bench.api.states = {job_id: server.state(job_id) for job_id in server.ids()}
        snapshot = bench.scrape()
        for _ in range(2):
            if bench.cluster.jobs.discovery is not None and bench.cluster.jobs.discovery.reading is not None:
                snapshot = bench.scrape()
        assert bench.cluster.jobs.discovery is not None
        assert bench.cluster.jobs.discovery.reading is None
    ids = server.ids()
    # Without completeTime a finished job is old news to a fresh start, once it was asked; the rest is asked in turn.
    wanted = sorted(ids, key=lambda job_id: (server.state(job_id).finished, -int(job_id)))[:max_jobs]
    assert {job_id for job_id in wanted if not server.state(job_id).finished} == watched(bench)
    assert snapshot.omitted == len(ids) - len(wanted)
    assert set(bench.api.requested) - {"list"} <= set(ids)
    assert all(bench.api.requested[job_id] >= 1 for job_id in wanted)
    assert snapshot.up is not False


@settings(max_examples=30, deadline=None)
@given(server=servers, later=st.lists(servers, min_size=1, max_size=3), lists_nothing=st.booleans())
def test_a_job_once_seen_running_stays_watched_whatever_later_lists_say(
    server: Server, later: list[Server], lists_nothing: bool
) -> None:
    with VirtualLoop() as loop:
        bench = discovering(loop, discovery={"max_jobs": 10_000})
        bench.api.pages = server.page
        bench.scrape()
        running = watched(bench)
        for other in later:
            bench.api.pages = (lambda _: ListPage(())) if lists_nothing else other.page
            bench.scrape()
            assert running <= watched(bench)


def test_a_list_that_never_ends_is_read_in_parts_and_ends_all_the_same() -> None:
    with VirtualLoop() as loop:
        bench = discovering(loop, "457", discovery={"max_jobs": 100})
        bench.api.pages = lambda number: ListPage(
            tuple(ListedJob(f"{number}-{place}", "articles", State.IMPORTING) for place in range(3))
        )
        pages = []
        for _ in range(PAGES_PER_READING // PAGES_PER_SCRAPE):
            before = len(bench.api.pages_read)
            snapshot = bench.scrape()
            pages.append(len(bench.api.pages_read) - before)
    assert pages == [PAGES_PER_SCRAPE] * (PAGES_PER_READING // PAGES_PER_SCRAPE)
    assert snapshot.counts == {Source.CONFIG: 1, Source.LIST: 0, Source.DISCOVERY: 100}
    assert snapshot.omitted == 3 * PAGES_PER_READING - 100
    assert bench.api.requested["457"] == len(pages)


LIES: dict[str, dict[str, Any]] = {
    "count of this page": {"count": 40},
    "nothing": {"count": 0},
    "more than there is": {"count": 10**9},
    "no number": {"count": "many"},
    "another page": {"currentPage": 1, "pageSize": 10},
}


@pytest.mark.parametrize("lie", LIES)
def test_what_a_page_says_of_itself_hides_no_job(lie: str) -> None:
    def short(body: bytes) -> bytes:
        reply = json.loads(body)
        # Pages of 40 where 100 were asked for.
        page = reply["data"]["currentPage"]
        start = (page - 1) * 40
        reply["data"]["records"] = records[start : start + 40]
        return json.dumps({**reply, "data": {**reply["data"], **LIES[lie]}}).encode()

    jobs = list(bulk_jobs(130, files=1))
    records = [{"jobId": job.job_id, "collectionName": "c", "state": "InProgress"} for job in jobs]
    with SimulatedApi() as api:
        api.add(*jobs)
        api.faults.inject(Rewrite(short), operation="list")
        with Service(api, zilliz(api)) as service:
            shown = service.scrape()
        assert len(shown.family("job_up")) == 130
        assert lists(api.requests) == 5
