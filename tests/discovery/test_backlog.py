"""More unfinished jobs than the rate can ask in one scrape: minutes of service, in simulated time.

One worker does all the waiting, and moves the clock on by what it waits; so the time of every request is exact.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from exporter.api.errors import CallTimeoutError
from exporter.api.limiter import Limiter
from exporter.model import ErrorClass, Job, ListedJob, ListPage, State
from exporter.watch.cluster import ClusterWatch
from exporter.watch.deadline import Deadline
from exporter.watch.memory import Named
from exporter.watch.plan import Rules
from exporter.watch.settings import Clock, Settings
from exporter.watch.sources import ListTarget
from exporter.watch.view import ClusterView, JobView
from tests.discovery.bench import busiest_second
from tests.support.program import wait_for
from tests.watch.test_cluster import Journal

RATE, INTERVAL, BUDGET = 20, 15.0, 14.5
LATENCY = 0.03
EPOCH = 1_800_000_000.0
UNFINISHED = [f"457{number:04}" for number in range(1000)]
FINISHED = [f"456{number:04}" for number in range(1000)]


class SimulatedService:
    """One cluster under watch, its API and its limiter, all in one simulated time."""

    def __init__(self, *, jobs: tuple[str, ...] = (), discovery: bool = False) -> None:
        self.now = 0.0
        self.sent_at: list[float] = []
        self.asked: Counter[str] = Counter()
        self.asked_last: dict[str, float] = {}
        self.finished = set(FINISHED)
        self.listed = [*FINISHED, *UNFINISHED]
        self.latency = LATENCY
        self._limiter = Limiter(RATE, clock=lambda: self.now, wait=self._wait)
        settings = Settings(
            cluster_id="in01",
            named=Named(jobs=jobs, discovery=discovery),
            rules=Rules(),
            concurrency=1,
            requests_per_second=RATE,
            lists=(ListTarget(),) if discovery else (),
            max_jobs=5000,
        )
        clock = Clock(lambda: self.now, lambda: EPOCH + self.now, lambda: 0.5)
        self.watch = ClusterWatch(settings, self, self._limiter, clock, Journal())
        self._shown: dict[str, JobView] = {}

    def scrape(self, at: float) -> ClusterView:
        """Scrape at a moment and stay within the budget."""
        assert self.now <= at
        self.now = at
        deadline = at + BUDGET
        scrape = self.watch.begin(deadline)
        wait_for("the end of the worker", lambda: self.watch._workers == 0)
        assert self.now <= deadline
        if scrape.open:
            self.now = deadline
        return self.watch.end(scrape)

    def shown(self) -> dict[str, JobView]:
        """What a scrape would expose of each job, kept up to date as the exposition does it."""
        views, gone = self.watch.changes()
        for job_id in gone:
            self._shown.pop(job_id, None)
        self._shown.update((view.job_id, view) for view in views)
        return self._shown

    def progress(
        self, job_id: str, deadline: Deadline, *, database: str = "", sent: Callable[[], None] | None = None
    ) -> Job:
        self.asked[job_id] += 1
        self._call(deadline, sent)
        self.asked_last[job_id] = self.now
        state = State.COMPLETED if job_id in self.finished else State.IMPORTING
        return Job(job_id, "articles", state, progress=0.5, completed_at=EPOCH if state.finished else None)

    def list_page(
        self,
        page: int,
        deadline: Deadline,
        *,
        collection: str = "",
        database: str = "",
        sent: Callable[[], None] | None = None,
    ) -> ListPage:
        self.asked["list"] += 1
        self._call(deadline, sent)
        jobs = self.listed[(page - 1) * 100 : page * 100]
        states = {True: State.COMPLETED, False: State.IMPORTING}
        return ListPage(tuple(ListedJob(job_id, "articles", states[job_id in self.finished]) for job_id in jobs))

    def close(self) -> None:
        pass

    def _call(self, deadline: Deadline, sent: Callable[[], None] | None) -> None:
        assert sent is not None
        sent()
        self.sent_at.append(self.now)
        self.now = min(self.now + self.latency, deadline.at)
        if self.now >= deadline.at:
            raise CallTimeoutError("no answer before the deadline")

    def _wait(self, _: threading.Condition, seconds: float) -> None:
        self.now += seconds


def test_a_thousand_unfinished_jobs_take_turns_at_the_rate_beside_a_thousand_finished_ones() -> None:
    service = SimulatedService(jobs=(*FINISHED, *UNFINISHED))
    views = []
    for number in range(40):
        began = number * INTERVAL
        views.append(service.scrape(began))
        shown = service.shown()
        for job_id in FINISHED:
            if job_id in shown:
                assert shown[job_id].up
        for job_id in UNFINISHED:
            if job_id not in shown:
                assert service.asked[job_id] == 0
                continue
            view = shown[job_id]
            age = service.now - service.asked_last[job_id]
            assert (view.up, view.error) in {(True, None), (False, ErrorClass.TIMEOUT)}
            assert view.refreshed is None or abs(EPOCH + service.now - age - view.refreshed) < 1e-6
        if number == 8:
            assert set(shown) == {*FINISHED, *UNFINISHED}
        if number > 12:
            assert max(service.now - service.asked_last[job_id] for job_id in UNFINISHED) < 5 * INTERVAL
    assert busiest_second(service.sent_at) <= RATE
    assert len(service.sent_at) > 0.9 * RATE * BUDGET * 40
    assert all(view.scrape_duration <= BUDGET for view in views)
    assert max(service.asked[job_id] for job_id in FINISHED) == 1
    turns = [service.asked[job_id] for job_id in UNFINISHED]
    assert max(turns) - min(turns) <= 1
    assert views[0].waiting == 2000 - len([moment for moment in service.sent_at if moment < INTERVAL])
    assert 650 < views[-1].waiting < 750
    assert views[-1].up is True


def test_jobs_found_by_discovery_are_refreshed_in_turn_and_no_finished_one_is_lost() -> None:
    service = SimulatedService(discovery=True)
    service.listed = FINISHED
    at = 0.0
    while len(service.shown()) < 1000:
        service.scrape(at)
        at += INTERVAL
    assert at <= 6 * INTERVAL
    service.listed = [*FINISHED, *UNFINISHED]
    waiting = []
    for _ in range(60):
        waiting.append(service.scrape(at).waiting)
        at += INTERVAL
        shown = service.shown()
        assert set(FINISHED) <= set(shown)
        assert all(view.up for view in shown.values())
    assert set(shown) == {*FINISHED, *UNFINISHED}
    assert min(waiting[10:]) > 600
    assert busiest_second(service.sent_at) <= RATE
    assert max(service.now - service.asked_last[job_id] for job_id in UNFINISHED) < 5 * INTERVAL


def test_jobs_that_wait_longer_than_max_age_are_starved_and_not_before() -> None:
    service = SimulatedService(jobs=tuple(UNFINISHED))
    at = 0.0
    while len(service.shown()) < 1000:
        service.scrape(at)
        at += INTERVAL
    # From here on a call takes 1.45 s, so that a scrape reads ten jobs.
    service.latency = 1.45
    for _ in range(30):
        service.scrape(at)
        at += INTERVAL
        for job_id, view in service.shown().items():
            if view.error is ErrorClass.TIMEOUT:
                continue
            age = service.now - service.asked_last[job_id]
            assert (view.error is ErrorClass.STARVED) == (age >= 300), (job_id, age)
            assert view.refreshed is not None
    assert any(view.error is ErrorClass.STARVED for view in service.shown().values())
    service.latency = LATENCY
    for _ in range(5):
        service.scrape(at)
        at += INTERVAL
    assert all(view.up for view in service.shown().values())


def test_rechecks_take_a_tenth_of_the_rate_at_most() -> None:
    service = SimulatedService(jobs=tuple(FINISHED))
    at = 0.0
    while len(service.shown()) < 1000:
        service.scrape(at)
        at += INTERVAL
    # A thousand jobs are due every 450 s, which is more than a tenth of 20 a second.
    begun = len(service.sent_at)
    for _ in range(100):
        service.scrape(at)
        at += INTERVAL
    rechecks = len(service.sent_at) - begun
    assert 0.9 * 0.1 * RATE * (100 * INTERVAL - 300) < rechecks <= 0.1 * RATE * (100 * INTERVAL + 60)
    assert all(view.up for view in service.shown().values())
