"""The bookkeeping of calls under way: one query per job in flight, shared by the scrapes that want it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from exporter.api.errors import ApiError
from exporter.model import ErrorClass, Job
from exporter.watch.deadline import Deadline

OLDEST_QUERY = 20.0


@dataclass(eq=False, slots=True)
class Round:
    """One scrape of one cluster. Times are monotonic seconds.

    `since`: when the scrape began, which a reload may have interrupted before this round.
    `seen`: the jobs that this scrape asks at most once; `due`: those of them that it waits for, re-checks left
    out; `wanted`: not asked yet, in the order of `queue`; `left`: their turn did not come.
    `list_seen`: whether this scrape had the list read, or wants it. `open` counts what the scrape waits for.
    `only`: a probe of this job alone; `outcome` its answer where the job is not watched.
    `counted`: whether its calls say something about the cluster. `ended`: when nothing was left to wait for.
    """

    began: float
    deadline: float
    clock: Callable[[], float]
    since: float
    only: str | None = None
    counted: bool = True
    seen: set[str] = field(default_factory=set)
    due: set[str] = field(default_factory=set)
    wanted: set[str] = field(default_factory=set)
    queue: deque[str] = field(default_factory=deque)
    left: set[str] = field(default_factory=set)
    joined: set[Query] = field(default_factory=set)
    wants_list: bool = False
    list_seen: bool = False
    open: int = 0
    progress_results: list[ErrorClass | None] = field(default_factory=list)
    list_results: list[ErrorClass | None] = field(default_factory=list)
    outcome: Job | ApiError | None = None
    done: threading.Event = field(default_factory=threading.Event)
    ended: float | None = None

    @property
    def asked(self) -> set[str]:
        """The jobs whose turn came in this round, which is over."""
        return self.seen - self.wanted - self.left

    def settle(self, count: int = 1) -> None:
        """Note that `count` of the things waited for are over."""
        self.open -= count
        if self.open <= 0:
            self.ended = self.clock()
            self.done.set()

    def await_more(self) -> None:
        """Wait for one more thing."""
        self.open += 1
        self.ended = None
        self.done.clear()

    def next_deadline(self) -> float:
        """The first moment at which the round, or a query that it waits for, is out of time."""
        return min((self.deadline, *(query.deadline.at for query in self.joined if query.deadline is not None)))

    def give_up(self) -> set[str]:
        """Stop waiting for what was not asked yet, and return it."""
        unasked, self.wanted = self.wanted, set()
        self.queue.clear()
        self.settle(len(unasked))
        return unasked


@dataclass(eq=False, slots=True)
class Query:
    """One question about one job; `remember`: whether its answer is kept (not that of an unwatched job)."""

    job_id: str
    remember: bool = True
    rounds: list[Round] = field(default_factory=list)
    began: float | None = None
    deadline: Deadline | None = None
    over: bool = False

    @property
    def until(self) -> float:
        """The latest deadline among the scrapes that wait for it."""
        return max((waiter.deadline for waiter in self.rounds), default=float("-inf"))

    def begin_by(self, usual_seconds: float) -> float:
        """The last moment at which to begin: later ones would make a timeout of a job that only had to wait long.

        It leaves twice the usual time of an answer, but at least the first half of a scrape to begin in.
        """
        return max(
            (each.deadline - min(2 * usual_seconds, (each.deadline - each.began) / 2) for each in self.rounds),
            default=float("-inf"),
        )

    def join(self, waiter: Round) -> None:
        """Let one more scrape wait for it, as long as it may."""
        self.rounds.append(waiter)
        waiter.joined.add(self)
        if self.deadline is not None and self.began is not None:
            self.deadline.extend(min(waiter.deadline, self.began + OLDEST_QUERY))

    def begin(self, now: float) -> Deadline:
        """Start the clock of the call."""
        self.began = now
        self.deadline = Deadline(min(self.until, now + OLDEST_QUERY))
        return self.deadline

    def overdue(self, now: float) -> bool:
        """Whether its deadline has passed."""
        return self.deadline is not None and now >= self.deadline.at


@dataclass(eq=False, slots=True)
class Listing:
    """The list being read by a worker, for the rounds that wait for it.

    `call`: the deadline of a call under way, which began at `call_began` (monotonic); `pages`: how many came in.
    """

    deadline: float
    rounds: list[Round]
    call: Deadline | None = None
    call_began: float = 0.0
    pages: int = 0
