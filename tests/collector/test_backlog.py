"""More unfinished jobs than the rate can query in one scrape: minutes of service, in simulated time."""

from __future__ import annotations

import pytest

from exporter.collector.snapshot import ClusterSnapshot
from exporter.model import ErrorClass, ListedJob, ListPage, State
from tests.collector.bench import EPOCH, Bench, discovering
from tests.collector.loop import VirtualLoop
from tests.discovery.bench import busiest_second

RATE, INTERVAL, BUDGET = 20, 15.0, 14.5
LATENCY = 0.03
UNFINISHED = [f"457{number:04}" for number in range(1000)]
FINISHED = [f"456{number:04}" for number in range(1000)]


class Service:
    """A cluster that is scraped every 15 s, and whose API takes 30 ms."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.listed = [*FINISHED, *UNFINISHED]
        self.start = bench.loop.time()
        api = bench.api
        api.seconds["*"] = LATENCY
        api.states = dict.fromkeys(FINISHED, State.COMPLETED)
        api.completed_at = EPOCH + self.start
        api.pages = self._page
        self._scrapes = 0

    def scrape(self) -> ClusterSnapshot:
        """The next scrape, at its time and within its budget."""
        at = self.start + self._scrapes * INTERVAL
        self._scrapes += 1
        self.bench.loop.wait(at - self.bench.loop.time())
        snapshot = self.bench.scrape(BUDGET)
        assert snapshot.scrape_duration <= BUDGET + 1e-6
        return snapshot

    def scrape_until(self, jobs: int, *, within: int) -> None:
        """Scrape until so many jobs are shown, in so many scrapes at most."""
        for _ in range(within):
            if len(self.scrape().jobs) >= jobs:
                return
        pytest.fail(f"not all {jobs} jobs are shown after {within} scrapes")

    def age(self, job_id: str) -> float:
        """Seconds since the last answer about a job."""
        return self.bench.loop.time() - self.bench.api.answered_at[job_id]

    def _page(self, number: int) -> ListPage:
        jobs = self.listed[(number - 1) * 100 : number * 100]
        states = self.bench.api.states
        return ListPage(tuple(ListedJob(job_id, "articles", states.get(job_id, State.IMPORTING)) for job_id in jobs))


def test_a_thousand_unfinished_jobs_take_turns_at_the_rate_beside_a_thousand_finished_ones(loop: VirtualLoop) -> None:
    service = Service(Bench(loop, *FINISHED, *UNFINISHED, rate=RATE, scrape={"fresh_for": "2s"}))
    api = service.bench.api
    snapshots = []
    for number in range(40):
        snapshot = service.scrape()
        snapshots.append(snapshot)
        assert all(snapshot.jobs[job_id].up for job_id in FINISHED if job_id in snapshot.jobs)
        for job_id in UNFINISHED:
            record = snapshot.jobs.get(job_id)
            if record is None:
                assert job_id not in api.answered_at
                continue
            assert (record.up, record.error) in {(True, None), (False, ErrorClass.TIMEOUT)}
            assert record.refreshed == pytest.approx(EPOCH + loop.time() - service.age(job_id))
        if number == 8:
            assert snapshot.jobs.keys() == {*FINISHED, *UNFINISHED}
        if number > 12:
            assert max(map(service.age, UNFINISHED)) < 5 * INTERVAL
    assert busiest_second(api.began_at) <= RATE
    assert len(api.began_at) > 0.9 * RATE * BUDGET * 40
    # Some are due for a check within these ten minutes, and have every tenth turn.
    assert max(api.requested[job_id] for job_id in FINISHED) <= 2
    turns = [api.requested[job_id] for job_id in UNFINISHED]
    assert max(turns) - min(turns) <= 1
    first = [at for at in api.began_at if at < service.start + INTERVAL]
    assert snapshots[0].waiting == 2000 - len(first)
    assert 650 < snapshots[-1].waiting < 750
    assert snapshots[-1].up is True


def test_jobs_found_by_discovery_are_refreshed_in_turn_and_no_finished_one_is_lost(loop: VirtualLoop) -> None:
    discovery = {"refresh_interval": "1m", "max_jobs": 5000}
    service = Service(discovering(loop, rate=RATE, discovery=discovery, scrape={"fresh_for": "2s"}))
    service.listed = FINISHED
    service.scrape_until(1000, within=6)
    service.listed = [*FINISHED, *UNFINISHED]
    waiting = []
    for _ in range(60):
        snapshot = service.scrape()
        waiting.append(snapshot.waiting)
        assert set(FINISHED) <= snapshot.jobs.keys()
        assert all(record.up for record in snapshot.jobs.values())
    assert snapshot.jobs.keys() == {*FINISHED, *UNFINISHED}
    assert min(waiting[10:]) > 600
    assert busiest_second(service.bench.api.began_at) <= RATE
    assert max(map(service.age, UNFINISHED)) < 5 * INTERVAL


def test_jobs_that_wait_longer_than_max_age_are_starved_and_not_before(loop: VirtualLoop) -> None:
    service = Service(Bench(loop, *UNFINISHED, rate=RATE, concurrency=1, scrape={"fresh_for": "2s"}))
    service.scrape_until(1000, within=8)
    # From here on a call takes 1.45 s, so that a scrape reads ten jobs.
    service.bench.api.seconds["*"] = 1.45
    for _ in range(30):
        snapshot = service.scrape()
        for job_id, record in snapshot.jobs.items():
            if record.error is not ErrorClass.TIMEOUT:
                assert (record.error is ErrorClass.STARVED) == (service.age(job_id) >= 300)
                assert record.refreshed is not None
    assert any(record.error is ErrorClass.STARVED for record in snapshot.jobs.values())
    service.bench.api.seconds["*"] = LATENCY
    for _ in range(5):
        snapshot = service.scrape()
    assert all(record.up for record in snapshot.jobs.values())


def test_rechecks_take_a_tenth_of_the_rate_at_most(loop: VirtualLoop) -> None:
    service = Service(Bench(loop, *FINISHED, rate=RATE, scrape={"fresh_for": "2s"}))
    service.scrape_until(1000, within=6)
    # A thousand jobs are due every 450 s, which is more than a tenth of 20 a second.
    begun = len(service.bench.api.order)
    for _ in range(100):
        snapshot = service.scrape()
    rechecks = len(service.bench.api.order) - begun
    assert 0.9 * 0.1 * RATE * (100 * INTERVAL - 300) < rechecks <= 0.1 * RATE * (100 * INTERVAL + 60)
    assert all(record.up for record in snapshot.jobs.values())


def test_a_backlog_hides_no_job_that_the_list_calls_failed(loop: VirtualLoop) -> None:
    """300 unfinished jobs at 10 requests per second: a scrape of 14 s reaches fewer than half of them."""
    service = Service(discovering(loop, rate=10, scrape={"fresh_for": "2s"}))
    api = service.bench.api
    service.listed = [*UNFINISHED[:300], FINISHED[0]]
    api.states = {FINISHED[0]: State.FAILED}
    # Failed from the start: it has one of the turns that finished jobs get.
    service.scrape()
    service.scrape()
    assert api.requested[FINISHED[0]] == 1
    # Failed when the list is read again: it is queried before all others.
    service.listed += FINISHED[1:4]
    api.states |= dict.fromkeys(FINISHED[1:4], State.FAILED)
    while not service.bench.api.requested.keys() >= {*FINISHED[:4]}:
        begun = len(api.order)
        snapshot = service.scrape()
        assert service.bench.loop.time() < service.start + 10 * INTERVAL
    asked = [subject for subject in api.order[begun:] if not subject.startswith("list")]
    assert set(FINISHED[1:4]) <= set(asked[:40])
    for job_id in FINISHED[:4]:
        job = snapshot.jobs[job_id].job
        assert job is not None
        assert job.state is State.FAILED


def test_a_kept_answer_that_the_list_contradicts_is_checked_at_once_beside_a_backlog(loop: VirtualLoop) -> None:
    service = Service(discovering(loop, rate=10, scrape={"fresh_for": "2s"}))
    api = service.bench.api
    service.listed = [*UNFINISHED[:300], *FINISHED[:3]]
    api.states = dict.fromkeys(FINISHED[:3], State.COMPLETED)
    for _ in range(4):
        service.scrape()
    assert [api.requested[job_id] for job_id in FINISHED[:3]] == [1, 1, 1]
    api.states[FINISHED[1]] = State.FAILED
    service.scrape()
    snapshot = service.scrape()
    job = snapshot.jobs[FINISHED[1]].job
    assert job is not None
    assert job.state is State.FAILED
    assert [api.requested[job_id] for job_id in FINISHED[:3]] == [1, 2, 1]
    assert snapshot.jobs[FINISHED[1]].changed_at == pytest.approx(EPOCH + loop.time(), abs=2 * INTERVAL)
