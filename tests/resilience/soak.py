"""Two days of simulated time in which everything goes on and goes wrong, scrape by scrape, in a process of its own.

Prints a line of JSON with what the process holds each time the same things are under way again.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from resource import getpagesize
from typing import Any, cast

from exporter.api.client import ImportApi
from exporter.api.errors import (
    ApiError,
    AuthError,
    CallTimeoutError,
    CodeError,
    ConnectError,
    HttpError,
    NotFoundError,
    PayloadError,
    TlsError,
)
from exporter.collector.clock import Clock
from exporter.config.load import Loader
from exporter.log import FailureLog
from exporter.model import File, Job, ListedJob, ListPage, State
from tests.support.logs import captured_logs
from tests.support.process import descriptors, threads
from tests.support.program import wait_for
from tests.support.rig import Rig
from tests.support.strict import Exposed

SCRAPES = 10_000
INTERVAL = 15.0
ONE_EVERY = 120.0
"""A job begins so often, in seconds."""
LIVES = 600.0
KNOWN = 3600.0
"""For how long after its begin the API knows a job."""
PERIOD = 240
"""Scrapes after which the same things happen again, to other jobs."""
THREADS = 5
"""The main thread, the loop's, the one that renders, and those of the two calls that are made at once."""
ERRORS: tuple[type[ApiError], ...] = (
    AuthError,
    CallTimeoutError,
    CodeError,
    ConnectError,
    HttpError,
    NotFoundError,
    PayloadError,
    TlsError,
)


@dataclass(frozen=True)
class Held:
    """What the process holds after so many scrapes. `blocks`: objects of Python, counted exactly; `rss` in bytes."""

    scrape: int
    blocks: int
    rss: int
    descriptors: int
    threads: int


class World:
    """What happens, as a function of the number of the scrape; time goes on with it."""

    def __init__(self) -> None:
        self.scrape = 0
        self._began = (time.monotonic(), 1_780_000_000.0)
        self.clock = Clock(lambda: self._began[0] + self.age, lambda: self._began[1] + self.age, lambda: 0.5)

    @property
    def age(self) -> float:
        """Seconds since the beginning."""
        return self.scrape * INTERVAL

    @property
    def phase(self) -> int:
        """Where in the period this is."""
        return self.scrape % PERIOD

    def youngest(self) -> int:
        """The number of the last job that has begun."""
        return int(self.age // ONE_EVERY)

    def job(self, number: int) -> Job | None:
        """A job at this moment; None where the API does not know it."""
        age = self.age - number * ONE_EVERY
        kind = number % 5
        if not 0 <= age < (LIVES / 2 if kind == 3 else KNOWN):
            return None
        state, ended = State.IMPORTING, None
        if age >= LIVES and kind != 4:
            state = State.FAILED if kind == 1 else State.COMPLETED
            ended = self._began[1] + number * ONE_EVERY + LIVES if kind != 2 else None
        share = min(1.0, age / LIVES)
        files = tuple(File(f"part-{index}.parquet", state, share, 1e6, 1e3) for index in range(1 + number % 3))
        states = {each: len(files) if each is state else 0 for each in State}
        reason = f"reason {number}" if state is State.FAILED else ""
        return Job(str(number), f"c{number % 7}", state, share, 1e6, 1e3, ended and 1e3, ended, reason, files, states)


class Api:
    """The API of one cluster of this world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def progress(self, job_id: str, *_: object, **__: object) -> Job:
        self._trouble(int(job_id))
        job = self._world.job(int(job_id))
        if job is None:
            raise NotFoundError(f"job {job_id} does not exist")
        return job

    def list_page(self, page: int, *_: object, **__: object) -> ListPage:
        self._trouble(0)
        youngest = self._world.youngest()
        jobs = [self._world.job(number) for number in range(youngest, max(-1, youngest - 40), -1)]
        if self._world.phase % 17 == 3:
            jobs = []
        listed = tuple(ListedJob(job.job_id, job.collection_name, job.state) for job in jobs if job is not None)
        return ListPage(listed if page == 1 else ())

    def explain(self, *_: object, **__: object) -> Any:
        raise NotImplementedError

    explain_list = explain

    def close(self) -> None:
        pass

    def _trouble(self, number: int) -> None:
        phase = self._world.phase
        if 100 <= phase < 120:
            raise ERRORS[phase % len(ERRORS)](f"all is lost in scrape {self._world.scrape}")
        if (phase + number) % 23 == 0:
            raise ERRORS[(phase + number) % 19 % len(ERRORS)](f"no answer about {number} in {self._world.scrape}")
        if (phase + number) % 101 == 0:
            raise RuntimeError(f"a fault of ours with {number}")


def configuration(world: World) -> dict[str, Any]:
    """That of this part of the period: jobs, clusters and policies come and go."""
    part = world.phase // 40
    youngest = world.youngest()
    named = [str(number) for number in range(youngest - 3, youngest + 1)] if part % 2 else []
    cluster = {
        "cluster_id": "a",
        "api_key": f"canary-{part % 3}",
        "jobs": named,
        "discovery": {"refresh_interval": "30s", "finished_for": "30m", "max_jobs": 12 if part == 4 else 500},
        "requests_per_second": 0,
        "concurrency": 2 + part % 2,
    }
    other = {**cluster, "cluster_id": "b", "discovery": {}, "jobs": [str(youngest)], "api_key": "canary-b"}
    return {
        "clusters": [cluster, other] if part in (2, 3) else [cluster],
        "scrape": {"recheck_finished": "5m", "max_age": "1m", "fresh_for": "10s"},
        "files": {"max_per_job": 2 if part == 5 else 100},
    }


def course(world: World, rig: Rig, document: dict[str, Any]) -> Iterator[int]:
    """One scrape after another; reloads in between, a good one at each change and bad ones."""
    for number in count():
        world.scrape = number
        if number % 40 == 0:
            document.update(configuration(world))
            assert rig.backend.reload().problems == ()
        if number % 40 == 20:
            document["cluster"] = "misspelt"
            assert rig.backend.reload().problems != ()
            del document["cluster"]
        body = rig.backend.metrics("30", "all")
        if number % 50 == 0:
            Exposed(body)
            rig.backend.probe("a", str(world.youngest()), "30")
            rig.backend.status()
        if number % 5 == 0:
            deque(body.chunks(openmetrics=number % 2 == 0, gzip=number % 3 == 0), maxlen=0)
        yield number


def held(scrape: int) -> Held:
    """Look, once the threads that serve no configuration any more have ended."""
    gc.collect()
    wait_for("threads to end", lambda: len(threads()) <= THREADS)
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * getpagesize()
    return Held(scrape, sys.getallocatedblocks(), resident, descriptors(), len(threads()))


def tell(look: Held) -> None:
    """Print it for the test that reads along."""
    sys.stdout.write(json.dumps(asdict(look)) + "\n")


def main() -> None:
    """Run it."""
    world = World()
    document = configuration(world)
    changes = FailureLog(clock=world.clock.monotonic)
    with captured_logs("error") as log:
        loader = Loader.from_mapping(document)
        rig = Rig(loader, clock=world.clock, make_api=lambda *_: cast("ImportApi", Api(world)), changes=changes)
        tell(held(0))
        for number in course(world, rig, document):
            log.seek(0)
            log.truncate()
            if number and number % PERIOD == 0:
                tell(held(number))
            if number == SCRAPES:
                return


if __name__ == "__main__":
    main()
