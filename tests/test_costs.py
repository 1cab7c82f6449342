"""What a scrape costs, counted: calls, connections, jobs rendered, runs and blocks compressed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass, field
from http.client import HTTPConnection

import pytest

from exporter.shelf import Stats
from tests.discovery.bench import Service, asked, lists, zilliz
from tests.support.simulated import SimulatedApi
from tests.support.simulated.bulk import bulk_jobs

JOBS, UNFINISHED, CONCURRENCY = 200, 2, 8
HOUR = 3600.0
# The live run of job_refreshed_timestamp_seconds, which changes with every answer.
REFRESHED_ONLY = 1


@dataclass(frozen=True)
class Costs:
    """Of one scrape.

    `opened` are connections to the API; how many are needed depends on how the calls happen to overlap.
    """

    calls: int = 0
    lists: int = 0
    rendered: int = 0
    runs: int = 0
    blocks: int = 0
    opened: int = field(default=0, compare=False)


class Accounts:
    """A backend whose scrapes are counted."""

    def __init__(self, api: SimulatedApi, **scrape: object) -> None:
        self._api = api
        cluster = zilliz(api, concurrency=CONCURRENCY, discovery={"max_jobs": JOBS, "refresh_interval": "2d"})
        self._service = Service(api, cluster, scrape={"recheck_finished": "2d", **scrape})

    def passes(self, seconds: float) -> None:
        """Let time pass: the jobs go on."""
        self._service.passes(seconds)

    def waits(self, seconds: float) -> None:
        """Let time pass while the jobs stand still."""
        self._service.passes(seconds)
        self._api.clock.advance(-seconds)

    def scrape(self) -> Costs:
        self._api.reset()
        before = astuple(self._stats)
        self._service.lines()
        rendered, runs, blocks = (now - then for now, then in zip(astuple(self._stats), before, strict=True))
        requests, opened = self._api.requests, self._api.connections_opened
        return Costs(asked(requests).total(), lists(requests), rendered, runs, blocks, opened)

    def close(self) -> None:
        self._service.backend.close()

    @property
    def _stats(self) -> Stats:
        return self._service.backend._exposition.stats


@pytest.fixture
def api() -> Iterator[SimulatedApi]:
    with SimulatedApi() as running:
        running.add(*bulk_jobs(JOBS, files=3, unfinished=UNFINISHED / JOBS))
        yield running


@pytest.fixture
def accounts(api: SimulatedApi) -> Iterator[Accounts]:
    started = Accounts(api)
    yield started
    started.close()


def test_the_first_scrape_costs_one_call_and_one_rendering_for_each_job(accounts: Accounts) -> None:
    first = accounts.scrape()
    assert (first.calls, first.rendered) == (JOBS, JOBS)
    assert first.opened <= CONCURRENCY


def test_a_job_is_rendered_once_although_the_scrape_still_waits_for_others() -> None:
    with SimulatedApi(latency=0.05) as slow:
        slow.add(*bulk_jobs(60, files=1))
        accounts = Accounts(slow)
        first = accounts.scrape()
        accounts.close()
    assert (first.calls, first.rendered) == (60, 60)


def test_a_steady_scrape_asks_about_unfinished_jobs_and_makes_nothing_anew_but_the_time_of_their_answers(
    accounts: Accounts,
) -> None:
    accounts.scrape()
    for _ in range(3):
        accounts.waits(15)
        assert accounts.scrape() == Costs(calls=UNFINISHED, runs=REFRESHED_ONLY)


def test_a_scrape_right_after_another_costs_nothing(accounts: Accounts) -> None:
    accounts.scrape()
    assert accounts.scrape() == Costs()


def test_what_changed_is_rendered_and_what_finished_stays_compressed(accounts: Accounts) -> None:
    accounts.scrape()
    accounts.passes(HOUR)
    changed = accounts.scrape()
    assert (changed.calls, changed.rendered, changed.blocks) == (UNFINISHED, UNFINISHED, 0)
    assert changed.runs > REFRESHED_ONLY


def test_a_finished_job_that_expires_costs_the_block_that_it_was_in_and_at_most_a_small_one(accounts: Accounts) -> None:
    accounts.scrape()
    # The oldest of the finished jobs ended twelve hours before the start, the next one 216 seconds later.
    accounts.passes(12 * HOUR - 100)
    assert accounts.scrape().blocks == 0
    accounts.waits(200)
    expired = accounts.scrape()
    # How the first scrape was cut into blocks depends on when its answers came: one of less than half may be left over,
    # which joins the one that is opened, and both together may be too much for one.
    assert 1 <= expired.blocks <= 2
    assert expired == Costs(calls=UNFINISHED, runs=REFRESHED_ONLY, blocks=expired.blocks)


def test_a_recheck_with_an_equal_answer_renders_only_its_time(api: SimulatedApi) -> None:
    accounts = Accounts(api, recheck_finished="10m")
    accounts.scrape()
    accounts.waits(601)
    assert accounts.scrape() == Costs(calls=JOBS, runs=REFRESHED_ONLY)
    accounts.close()


def test_a_request_is_sent_in_one_piece(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces: list[bytes] = []
    send = HTTPConnection.send

    def counted(connection: HTTPConnection, data: bytes) -> None:
        pieces.append(data)
        send(connection, data)

    monkeypatch.setattr(HTTPConnection, "send", counted)
    first = accounts.scrape()
    assert len(pieces) == first.calls + first.lists


def test_connections_are_opened_anew_only_where_the_api_closed_them(api: SimulatedApi, accounts: Accounts) -> None:
    # So that the calls of the first scrape overlap.
    api.latency = 0.005
    assert UNFINISHED <= accounts.scrape().opened <= CONCURRENCY
    for _ in range(3):
        accounts.waits(15)
        assert accounts.scrape().opened == 0
    api.drop_connections()
    accounts.waits(15)
    assert 1 <= accounts.scrape().opened <= UNFINISHED
