"""One cluster on a simulated clock, in front of an API whose answers the test decides."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

from structlog import DropEvent
from structlog.testing import capture_logs

from exporter.api.attempt import AbortHandle, Attempt
from exporter.api.client import Exchange, ImportApi
from exporter.api.errors import ApiError
from exporter.collector.clock import Clock
from exporter.collector.cluster import Cluster
from exporter.collector.ratelimit import RateLimit
from exporter.collector.record import Record
from exporter.collector.request import Endpoint
from exporter.collector.settings import Settings
from exporter.collector.snapshot import ClusterSnapshot
from exporter.config import schema
from exporter.log import FailureLog
from exporter.model import ErrorClass, Job, ListedJob, ListPage, State
from exporter.threads import Ended, Threads
from tests.collector.loop import VirtualLoop

EPOCH = 1_800_000_000.0
LONG = 15.0
"""Seconds: the budget of a scrape that has time enough, and is below what one call may take."""

Pages = Callable[[int], ListPage]


def settings(
    *jobs: str,
    listed: Sequence[str] = (),
    discovery: Mapping[str, Any] | None = None,
    scrape: Mapping[str, Any] | None = None,
    **cluster: Any,
) -> Settings:
    """Settings as a configuration file gives them, with `jobs`, and with discovery only where it is given."""
    keys: dict[str, Any] = {"cluster_id": "in01", "requests_per_second": 0.0, "jobs": jobs, **cluster}
    if discovery is not None:
        keys["discovery"] = discovery
    made = schema.Cluster.model_validate(keys)
    if discovery is None:
        made = made.model_copy(update={"discovery": None})
    return Settings(made, schema.Scrape.model_validate(scrape or {}), tuple(listed))


def clock_of(loop: VirtualLoop) -> Clock:
    """The clock of the loop, without chance."""
    return Clock(loop.time, lambda: EPOCH + loop.time(), lambda: 0.5)


def page(*job_ids: str, state: State = State.IMPORTING) -> ListPage:
    """A page of jobs in one state."""
    return ListPage(tuple(ListedJob(job_id, "articles", state) for job_id in job_ids))


def pages(*some: ListPage) -> Pages:
    """A list of these pages, and empty ones after them."""
    return lambda number: some[number - 1] if number <= len(some) else page()


def failing(error: ApiError) -> Pages:
    """A list that always fails."""

    def answer(_: int) -> ListPage:
        raise error

    return answer


class _Interruption(AbortHandle):
    """Lets `abort` end a call that waits on the loop."""

    __slots__ = ("interrupted",)

    def __init__(self) -> None:
        self.interrupted = asyncio.Event()

    def shut_down(self) -> None:
        self.interrupted.set()


class FakeApi:
    """Answers at once, unless the test says otherwise of a subject: a job id, `list`, `list COLLECTION`, or `*`.

    `errors` and `down` are raised; `seconds` is how long a call takes; calls about `stuck` subjects ignore `abort`;
    `unsent` ones never get on their way. `order` and `began_at` are the subjects and times of all calls, `answered_at`
    the last answers about jobs; finished jobs have the same `completed_at`.
    """

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.order: list[str] = []
        self.began_at: list[float] = []
        self.pages_read: list[tuple[str, int]] = []
        self.databases: dict[str, str] = {}
        self.states: dict[str, State] = {}
        self.completed_at: float | None = None
        self.answered_at: dict[str, float] = {}
        self.errors: dict[str, Exception] = {}
        self.down: Exception | None = None
        self.pages: Pages = pages()
        self.lists: dict[str, Pages] = {}
        self.seconds: dict[str, float] = {}
        self.stuck: set[str] = set()
        self.unsent: set[str] = set()
        self.at_once = 0
        self.most_at_once = 0
        self._held: dict[str, asyncio.Event] = {}

    @property
    def requested(self) -> Counter[str]:
        """How many calls were made about each subject."""
        return Counter(self.order)

    @contextmanager
    def holding(self, *subjects: str) -> Iterator[asyncio.Event]:
        """Let calls about these last until the event is set, or they are aborted."""
        release = asyncio.Event()
        self._held.update(dict.fromkeys(subjects, release))
        try:
            yield release
        finally:
            release.set()
            for subject in subjects:
                self._held.pop(subject, None)

    def call(self, function: Callable[[], Any], ended: Ended) -> None:
        """Make a call in a task, in place of a thread."""

        def note_end(task: asyncio.Future[Any]) -> None:
            if task.cancelled():
                ended(None, asyncio.CancelledError())
            else:
                ended(task.result(), None)

        self.run(function).add_done_callback(note_end)

    def run(self, call: Callable[[], Any]) -> asyncio.Future[Any]:
        """Make a call in a task, in place of a thread, for whoever awaits it."""
        assert isinstance(call, partial)
        subject, attempt = _subject(call.args[0]), call.args[1]
        self.order.append(subject)
        self.began_at.append(self._loop.time())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        return self._loop.create_task(self._perform(subject, call, attempt))

    def progress(self, job_id: str, _: Attempt, *, database: str = "") -> Job:
        """As the client's."""
        self.databases[job_id] = database
        self._fail(job_id)
        self.answered_at[job_id] = self._loop.time()
        state = self.states.get(job_id, State.IMPORTING)
        return Job(job_id, "articles", state, 0.5, completed_at=self.completed_at if state.finished else None)

    def list_page(self, number: int, _: Attempt, *, collection: str = "", database: str = "") -> ListPage:
        """As the client's."""
        self.pages_read.append((collection or database, number))
        self._fail(f"list {collection}".rstrip())
        return self.lists.get(collection, self.pages)(number)

    def explain(self, job_id: str, attempt: Attempt, *, database: str = "") -> Exchange:
        """As the client's."""
        outcome: Job | ApiError
        try:
            outcome = self.progress(job_id, attempt, database=database)
        except ApiError as error:
            outcome = error
        return Exchange("POST", (), "", attempt.was_sent, None, (), "", 0, outcome)

    def close(self) -> None:
        """As the client's."""

    async def _perform(self, subject: str, call: Callable[[], Any], attempt: Attempt) -> Any:
        interruption = _Interruption()
        attempt.attach(interruption)
        try:
            if subject not in self.unsent:
                attempt.enter("waiting for the reply")
                attempt.sent()
            working = self._loop.create_task(self._work(subject))
            aborted = self._loop.create_task(interruption.interrupted.wait())
            try:
                ends = [working] if subject in self.stuck else [working, aborted]
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            finally:
                working.cancel()
                aborted.cancel()
            return call()
        finally:
            self.at_once -= 1

    async def _work(self, subject: str) -> None:
        seconds = self.seconds.get(subject, self.seconds.get("*", 0.0))
        if seconds:
            await asyncio.sleep(seconds)
        held = self._held.get(subject) or self._held.get("*")
        if held is not None:
            await held.wait()

    def _fail(self, subject: str) -> None:
        error = self.down or self.errors.get(subject)
        if error is not None:
            raise error


def _subject(call: object) -> str:
    """What a call is about: a partial of `progress` or `list_page`, or the first argument of `explain`."""
    if not isinstance(call, partial):
        return str(call)
    if call.func.__name__ == "list_page":
        return f"list {call.keywords['collection']}".rstrip()
    return str(call.args[0])


class Bench:
    """A cluster, and what a scrape of it shows. Answers are never fresh unless `scrape` says so."""

    def __init__(
        self,
        loop: VirtualLoop,
        *jobs: str,
        rate: float = 0.0,
        concurrency: int = 16,
        limit: RateLimit | None = None,
        share: int = 1,
        **more: Any,
    ) -> None:
        """`share`: among how many clusters the rate is shared; `more`: see `settings`."""
        self.loop = loop
        self.api = FakeApi(loop)
        self.limit = limit or RateLimit(rate)
        self._more = {"scrape": {"fresh_for": "0s"}, "concurrency": concurrency, **more}
        self._rate = rate / share
        self._slots = asyncio.Semaphore(concurrency)
        self.finished: list[tuple[str, str, State]] = []
        """The jobs that were counted as finished: cluster id, collection and state."""
        self.cluster = Cluster(
            settings(*jobs, **self._more),
            self._endpoint(),
            clock_of(loop),
            FailureLog(),
            self._job_finished,
        )

    def configure(self, *jobs: str, api: FakeApi | None = None, limit: RateLimit | None = None, **more: Any) -> None:
        """Change the configuration: all `jobs`, and what differs of the rest."""
        self._more.update(more)
        self.api = api or self.api
        self.limit = limit or self.limit
        if api is not None or "concurrency" in more:
            self._slots = asyncio.Semaphore(self._more["concurrency"])
        self.cluster.configure(settings(*jobs, **self._more), self._endpoint())

    @property
    def concurrency(self) -> int:
        """How many requests may be in flight."""
        return int(self._more["concurrency"])

    def begin(self, seconds: float = LONG) -> asyncio.Task[ClusterSnapshot]:
        """Begin a scrape that may take so many seconds; its first calls are under way afterwards."""
        self.loop.wait()
        task = self.loop.create_task(self.cluster.scrape(self.cluster.jobs, self.loop.time() + seconds))
        self.loop.wait()
        return task

    def scrape(self, seconds: float = LONG) -> ClusterSnapshot:
        """Scrape to the end, a moment after all that was before."""
        self.loop.wait()
        return self.loop.run(self.cluster.scrape(self.cluster.jobs, self.loop.time() + seconds))

    def begin_probe(self, job_id: str, seconds: float = LONG) -> asyncio.Task[Record | None]:
        """Begin a probe of one job; its call is under way afterwards, if it can be."""
        task = self.loop.create_task(self.cluster.probe(job_id, self.loop.time() + seconds))
        self.loop.wait()
        return task

    def probe(self, job_id: str, seconds: float = LONG) -> Record | None:
        """Probe one job, a moment after all that was before."""
        self.loop.wait()
        return self.loop.run(self.cluster.probe(job_id, self.loop.time() + seconds))

    def ended(self, task: asyncio.Task[ClusterSnapshot]) -> ClusterSnapshot:
        """Wait for a scrape that was begun."""
        return self.loop.run_until_complete(task)

    def errors(self) -> dict[str, ErrorClass | None]:
        """Why each job of which something is known cannot be read; None where it can."""
        return errors(self.cluster.jobs.shown())

    def _job_finished(self, cluster_id: str, collection_name: str, state: State | None) -> None:
        if state is not None:
            self.finished.append((cluster_id, collection_name, state))

    def _endpoint(self) -> Endpoint:
        return Endpoint(cast("ImportApi", self.api), cast("Threads", self.api), self._slots, self.limit, self._rate)


@contextmanager
def troubles() -> Iterator[list[dict[str, Any]]]:
    """What is logged meanwhile, apart from the first answer of a cluster."""
    with capture_logs(processors=[_drop_first_answer]) as logs:
        yield cast("list[dict[str, Any]]", logs)


def _drop_first_answer(_: object, __: str, event: Any) -> Any:
    if event["event"].startswith("First usable answer"):
        raise DropEvent
    return event


def errors(jobs: Mapping[str, Record]) -> dict[str, ErrorClass | None]:
    """Why each job cannot be read; None where it can."""
    return {job_id: record.error for job_id, record in jobs.items()}


def discovering(loop: VirtualLoop, *jobs: str, discovery: Mapping[str, Any] | None = None, **more: Any) -> Bench:
    """A cluster whose lists are read at every scrape, unless `discovery` says otherwise."""
    return Bench(loop, *jobs, discovery={"refresh_interval": "0s", **(discovery or {})}, **more)
