"""How long a scrape may take, clusters side by side, and scrapes that a change of the configuration overtakes."""

from __future__ import annotations

import asyncio
import gc
import math
import threading
import weakref
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.api.attempt import Attempt
from exporter.api.client import ApiSettings, ImportApi
from exporter.api.errors import TlsError
from exporter.collector.collector import Collector, UnknownClusterError, budget
from exporter.config.load import Loader
from exporter.config.schema import Scrape
from exporter.log import FailureLog
from exporter.model import Job, ListPage, Source, State
from tests.collector.bench import errors
from tests.support.rig import real_clock

PLAIN = Scrape()
CAPPED = Scrape.model_validate({"timeout": "5s"})


@pytest.mark.parametrize(
    ("header", "offset", "scrape", "seconds"),
    [
        ("10", 0.5, PLAIN, 9.5),
        ("10.000000", 0.5, PLAIN, 9.5),
        ("0.6", 0.5, PLAIN, 0.1),
        ("0.5", 0.5, PLAIN, 0.25),
        ("0.1", 0.5, PLAIN, 0.05),
        ("300", 0.5, PLAIN, 299.5),
        ("10", 0.0, PLAIN, 10),
        (None, 0.5, PLAIN, 9.5),
        ("", 0.5, PLAIN, 9.5),
        ("abc", 0.5, PLAIN, 9.5),
        ("nan", 0.5, PLAIN, 9.5),
        ("inf", 0.5, PLAIN, 9.5),
        ("-1", 0.5, PLAIN, 9.5),
        ("0", 0.5, PLAIN, 9.5),
        ("5e-324", 0.5, PLAIN, 9.5),
        ("300.1", 0.5, PLAIN, 299.5),
        ("600", 0.5, PLAIN, 299.5),
        ("1e308", 0.5, PLAIN, 299.5),
        ("10", 0.5, CAPPED, 4.5),
        ("4", 0.5, CAPPED, 3.5),
        (None, 0.5, CAPPED, 4.5),
        ("junk", 0.5, CAPPED, 4.5),
        ("600", 0.5, CAPPED, 4.5),
        (None, 5.0, CAPPED, 2.5),
        (None, 0.0, CAPPED, 5),
    ],
)
def test_the_budget_follows_the_scrape_timeout_header(
    header: str | None, offset: float, scrape: Scrape, seconds: float
) -> None:
    assert budget(header, offset, scrape) == pytest.approx(seconds)


@given(st.text() | st.floats().map(str), st.floats(0, 1000))
def test_any_header_gives_a_positive_finite_budget(header: str, offset: float) -> None:
    assert 0 < budget(header, offset, PLAIN) <= 300
    assert math.isfinite(budget(header, offset, PLAIN))


LONG = 20.0


class ThreadApi:
    """Answers in the thread in which it is called, at once unless it is held."""

    def __init__(self, settings: ApiSettings) -> None:
        self.settings = settings
        self.requested: list[str] = []
        self.closed = False
        self.arrived = threading.Semaphore(0)
        self._held: threading.Event | None = None

    @contextmanager
    def holding(self) -> Iterator[threading.Event]:
        """Let calls hang until the event is set, or they are aborted."""
        self._held = threading.Event()
        try:
            yield self._held
        finally:
            self._held.set()
            self._held = None

    def progress(self, job_id: str, attempt: Attempt, *, database: str = "") -> Job:
        """As the client's."""
        self.requested.append(job_id + database)
        held = self._held
        self.arrived.release()
        while held is not None and not held.wait(0.01):
            attempt.enter("waiting for the reply")
        return Job(job_id, "articles", State.IMPORTING, progress=0.5)

    def list_page(self, *_: object, **__: object) -> ListPage:
        """As the client's."""
        return ListPage(())

    def close(self) -> None:
        """As the client's."""
        self.closed = True


class World:
    """A collector on a real loop, and the APIs that it made, by cluster and in order."""

    def __init__(self) -> None:
        self.made: list[ThreadApi] = []
        self.broken = False
        self.collector = Collector(self._make, real_clock(), FailureLog(), lambda *_: None)

    def configure(self, **clusters: dict[str, Any]) -> None:
        """Put these clusters in force."""
        listed = [{"cluster_id": name, "api_key": "key", **keys} for name, keys in clusters.items()]
        config = {"clusters": listed, "scrape": {"fresh_for": "0s"}}
        self.collector.activate(self.collector.stage(Loader.from_mapping(config).load()))

    def api(self, cluster_id: str) -> ThreadApi:
        """The API last made for that cluster."""
        return [api for api in self.made if api.settings.cluster_id == cluster_id][-1]

    async def begin(self, call: Coroutine[Any, Any, Any], api: ThreadApi, calls: int = 1) -> asyncio.Task[Any]:
        """Begin a scrape or probe, and wait until so many calls have arrived."""
        task = asyncio.create_task(call)
        for _ in range(calls):
            assert await asyncio.to_thread(api.arrived.acquire, timeout=LONG)
        return task

    def _make(self, settings: ApiSettings) -> ImportApi:
        if self.broken:
            message = "ca.pem: too many open files"
            raise TlsError(message)
        api = ThreadApi(settings)
        self.made.append(api)
        return cast("ImportApi", api)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.collector.close()


def test_clusters_are_scraped_side_by_side_and_shown_in_their_order(world: World) -> None:
    async def scenario() -> None:
        world.configure(b={"jobs": ["1"]}, a={"jobs": ["2"]})
        with world.api("b").holding() as held_b, world.api("a").holding() as held_a:
            scrape = await world.begin(world.collector.scrape(LONG), world.api("b"))
            assert await asyncio.to_thread(world.api("a").arrived.acquire, timeout=LONG)
            held_b.set()
            held_a.set()
            snapshot = await scrape
        assert [cluster.cluster_id for cluster in snapshot.clusters] == ["b", "a"]
        assert [errors(cluster.jobs) for cluster in snapshot.clusters] == [{"1": None}, {"2": None}]

    run(scenario())


def test_a_scrape_that_a_change_overtakes_ends_under_its_own_configuration(world: World) -> None:
    async def scenario() -> None:
        world.configure(a={"jobs": ["1", "2"], "db_name": "before"}, b={"jobs": ["3"]})
        before = world.collector.active.loaded
        with world.api("a").holding() as held_a, world.api("b").holding() as held_b:
            old = world.api("a"), world.api("b")
            scrape = await world.begin(world.collector.scrape(LONG), old[0], 2)
            assert await asyncio.to_thread(old[1].arrived.acquire, timeout=LONG)
            world.configure(a={"jobs": ["2", "4"], "db_name": "after"})
            assert world.collector.cluster_ids_in_use() == {"a", "b"}
            held_a.set()
            held_b.set()
            snapshot = await scrape
        assert snapshot.loaded is before
        first, second = snapshot.clusters
        assert (first.cluster_id, errors(first.jobs)) == ("a", {"1": None, "2": None})
        assert {record.db_name for record in first.jobs.values()} == {"before"}
        assert (second.cluster_id, errors(second.jobs), second.counts[Source.CONFIG]) == ("b", {"3": None}, 1)
        assert sorted(old[0].requested) == ["1", "2"]
        assert world.collector.cluster_ids_in_use() == {"a"}
        [after] = (await world.collector.scrape(LONG)).clusters
        assert errors(after.jobs) == {"2": None, "4": None}
        assert {record.db_name for record in after.jobs.values()} == {"after"}

    run(scenario())


@pytest.mark.parametrize("job_id", [None, "1", "other"])
def test_a_probe_of_a_cluster_that_leaves_the_configuration_meanwhile_gives_its_answer(
    world: World, job_id: str | None
) -> None:
    async def scenario() -> None:
        world.configure(a={"jobs": ["1"]}, b={"jobs": ["1"]})
        api = world.api("b")
        collector = world.collector
        probe = collector.scrape(LONG, "b") if job_id is None else collector.probe("b", job_id, LONG)
        with api.holding() as held:
            task = await world.begin(probe, api)
            world.configure(a={"jobs": ["1"]})
            held.set()
            result = await task
        known = {} if job_id else {each.cluster_id: each.jobs for each in result.clusters}
        record = result if job_id else known["b"]["1"]
        assert record.up is True
        with pytest.raises(UnknownClusterError):
            await collector.probe("b", "1", LONG)
        with pytest.raises(UnknownClusterError):
            await collector.scrape(LONG, "b")

    run(scenario())


def test_an_unchanged_cluster_keeps_its_answers_and_its_connections(world: World) -> None:
    async def scenario() -> None:
        world.configure(a={"jobs": ["1"]}, b={"jobs": ["2"]})
        await world.collector.scrape(LONG)
        world.configure(a={"jobs": ["1", "3"]}, b={"jobs": ["2"], "api_key": "other"})
        made = sorted((api.settings.cluster_id, api.closed) for api in world.made)
        assert made == [("a", False), ("b", False), ("b", True)]
        assert errors(world.collector.cluster("a").jobs.shown()) == {"1": None}
        assert errors(world.collector.cluster("b").jobs.shown()) == {"2": None}

    run(scenario())


def test_what_cannot_be_staged_changes_nothing(world: World) -> None:
    async def scenario() -> None:
        world.configure(a={"jobs": ["1"]})
        active = world.collector.active
        world.broken = True
        with pytest.raises(TlsError, match="too many open files"):
            world.configure(a={"jobs": ["1"]}, b={"jobs": ["2"]})
        assert world.collector.active is active
        assert (await world.collector.scrape(LONG)).clusters[0].up is True

    run(scenario())


def test_a_cluster_that_left_the_configuration_is_forgotten_with_its_client(world: World) -> None:
    async def scenario() -> None:
        world.configure(a={"jobs": ["1"]}, b={"jobs": ["2"], "base_url": "https://b.example"})
        await world.collector.scrape(LONG)
        cluster, api = weakref.ref(world.collector.cluster("b")), weakref.ref(world.api("b"))
        world.made.clear()
        world.configure(a={"jobs": ["1"]})
        await asyncio.sleep(0.3)
        gc.collect()
        assert cluster() is None
        assert api() is None
        world.configure(a={"jobs": ["1"]}, b={"jobs": ["2"]})
        assert world.collector.cluster("b").jobs.shown() == {}

    run(scenario())


def test_clusters_that_share_a_key_share_its_rate(world: World) -> None:
    async def scenario() -> None:
        world.configure(
            a={"jobs": ["1"], "requests_per_second": 8.0},
            b={"jobs": ["2"], "requests_per_second": 4.0},
            c={"jobs": ["3"], "requests_per_second": 4.0, "api_key": "other"},
        )
        endpoints = [world.collector.cluster(name).jobs.endpoint for name in "abc"]
        assert endpoints[0].limit is endpoints[1].limit
        assert endpoints[2].limit is not endpoints[0].limit
        assert [endpoint.rate for endpoint in endpoints] == [2, 2, 4]
        assert [endpoint.limit.rate for endpoint in endpoints] == [4, 4, 4]

    run(scenario())


def test_scrapes_of_every_configuration_can_be_hurried(world: World) -> None:
    async def scenario() -> None:
        world.configure(a={"jobs": ["1"]}, b={"jobs": ["2"]})
        api = world.api("b")
        with api.holding():
            scrape = await world.begin(world.collector.scrape(300), api)
            world.configure(a={"jobs": ["1"]})
            world.collector.hurry(0.05)
            snapshot = await scrape
        assert [errors(cluster.jobs) for cluster in snapshot.clusters] == [{"1": None}, {"2": "timeout"}]

    run(scenario())


def test_threads_are_as_many_as_calls_at_once_and_end_with_their_cluster(world: World) -> None:
    names = list(map(str, range(30)))

    def threads() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "api-of-threads"]

    async def scenario() -> None:
        world.configure(**{"of-threads": {"jobs": names, "concurrency": 3, "requests_per_second": 0.0}})
        for _ in range(5):
            await world.collector.scrape(LONG)
            assert 1 <= len(threads()) <= 3
        world.configure(a={"jobs": names})

    run(scenario())
    gc.collect()
    for thread in threads():
        thread.join(LONG)
    assert threads() == []
