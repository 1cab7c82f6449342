"""What a scrape costs, counted: calls, connections, samples rendered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection

import pytest

from exporter.metrics.blocks import BLOCK_JOBS
from exporter.model import State
from tests.discovery.bench import Service, asked, lists, zilliz
from tests.support.rendered import Rendered
from tests.support.simulated import SimulatedApi
from tests.support.simulated.bulk import bulk_jobs

JOBS, UNFINISHED, CONCURRENCY = 200, 2, 8
HOUR = 3600.0
# The family that changes with every answer, whatever it says.
REFRESHED = "job_refreshed_timestamp_seconds"


@dataclass(frozen=True)
class Costs:
    """Of one scrape; `rendered` are samples by family.

    `opened` are connections to the API; how many are needed depends on how the calls happen to overlap.
    """

    calls: int = 0
    lists: int = 0
    rendered: Mapping[str, int] = field(default_factory=Counter)
    opened: int = field(default=0, compare=False)


class Accounts:
    """A backend whose scrapes are counted."""

    def __init__(self, api: SimulatedApi, rendered: Rendered, **scrape: object) -> None:
        self._api = api
        self._rendered = rendered
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
        rendered = self._rendered.during(self._service.lines)
        requests, opened = self._api.requests, self._api.connections_opened
        return Costs(asked(requests).total(), lists(requests), rendered, opened)

    def close(self) -> None:
        self._service.backend.close()


@pytest.fixture
def api() -> Iterator[SimulatedApi]:
    with SimulatedApi() as running:
        running.add(*bulk_jobs(JOBS, files=3, unfinished=UNFINISHED / JOBS))
        yield running


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> Rendered:
    return Rendered(monkeypatch)


@pytest.fixture
def accounts(api: SimulatedApi, rendered: Rendered) -> Iterator[Accounts]:
    started = Accounts(api, rendered)
    yield started
    started.close()


def test_the_first_scrape_costs_one_call_and_one_rendering_for_each_job(accounts: Accounts) -> None:
    first = accounts.scrape()
    assert (first.calls, first.rendered["job_up"]) == (JOBS, JOBS)
    assert first.opened <= CONCURRENCY


def test_a_job_is_rendered_once_although_the_scrape_still_waits_for_others(rendered: Rendered) -> None:
    with SimulatedApi(latency=0.05) as slow:
        slow.add(*bulk_jobs(60, files=1))
        accounts = Accounts(slow, rendered)
        first = accounts.scrape()
        accounts.close()
    assert (first.calls, first.rendered["job_up"]) == (60, 60)


def test_a_steady_scrape_asks_about_unfinished_jobs_and_makes_nothing_anew_but_the_time_of_their_answers(
    accounts: Accounts,
) -> None:
    accounts.scrape()
    for _ in range(3):
        accounts.waits(15)
        assert accounts.scrape() == Costs(calls=UNFINISHED, rendered={REFRESHED: UNFINISHED})


def test_a_scrape_right_after_another_costs_nothing(accounts: Accounts) -> None:
    accounts.scrape()
    assert accounts.scrape() == Costs()


def test_what_changed_is_rendered_and_what_finished_is_not(accounts: Accounts) -> None:
    accounts.scrape()
    accounts.passes(HOUR)
    changed = accounts.scrape()
    assert (changed.calls, changed.rendered["job_progress_ratio"]) == (UNFINISHED, UNFINISHED)
    assert changed.rendered["job_up"] == 0


def test_a_finished_job_that_expires_costs_the_block_that_it_was_in(accounts: Accounts) -> None:
    accounts.scrape()
    # The oldest of the finished jobs ended twelve hours before the start, the next one 216 seconds later.
    accounts.passes(12 * HOUR - 100)
    assert accounts.scrape().rendered["job_up"] <= UNFINISHED
    accounts.waits(200)
    expired = accounts.scrape()
    assert expired.calls == UNFINISHED
    assert 0 < expired.rendered["job_info"] < BLOCK_JOBS


def test_rechecks_with_equal_answers_render_only_their_times(api: SimulatedApi, rendered: Rendered) -> None:
    accounts = Accounts(api, rendered, recheck_finished="10m")
    accounts.scrape()
    accounts.waits(601)
    again = accounts.scrape()
    accounts.close()
    assert again.calls == JOBS
    # A block may be rendered before the last answer about its jobs has come.
    assert JOBS <= again.rendered[REFRESHED] <= 2 * JOBS
    assert again.rendered["job_state"] <= UNFINISHED * len(State)


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
