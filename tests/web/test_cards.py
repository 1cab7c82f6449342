from __future__ import annotations

import pytest

from exporter.model import ErrorClass, State
from exporter.web.cards import Card, cards
from exporter.web.filter import Filter
from exporter.web.status import ClusterStatus
from exporter.web.urls import Urls
from tests.support.statuses import NOW, cluster, job, watched


def card(status: ClusterStatus) -> Card:
    return cards([status], Filter(), Urls(), NOW)[0]


def test_clusters_that_are_down_come_first_then_those_with_failures() -> None:
    failed = [watched(job("1", State.FAILED))]
    given = [
        cluster(cluster_id="fine"),
        cluster(failed, cluster_id="failing"),
        cluster(cluster_id="down", up=False),
        cluster(cluster_id="also-fine"),
    ]
    assert [each.cluster_id for each in cards(given, Filter(), Urls(), NOW)] == ["down", "failing", "fine", "also-fine"]


@pytest.mark.parametrize(
    ("up", "scraped", "verdict"),
    [
        (True, NOW - 300, "up"),
        (False, NOW - 300, "down"),
        (None, NOW - 300, "nothing queried yet"),
        (True, NOW - 301, "not scraped"),
        (False, NOW - 301, "not scraped"),
        (True, None, "not scraped yet"),
    ],
)
def test_a_cluster_that_nobody_scraped_for_max_age_is_neither_up_nor_down(
    up: bool | None, scraped: float | None, verdict: str
) -> None:
    assert card(cluster(up=up, scraped=scraped, max_age="5m")).verdict == verdict


def test_without_a_scrape_the_last_known_states_stay_and_the_hint_names_prometheus() -> None:
    records = [
        watched(job("1"), error=ErrorClass.STARVED),
        watched(job("2", State.COMPLETED)),
        watched(job("3"), error=ErrorClass.TIMEOUT),
    ]
    left_alone = card(cluster(records, scraped=NOW - 900))
    assert left_alone.hint == (
        "Not scraped for 15 m; is Prometheus configured to scrape this exporter? What follows is the last known state."
    )
    assert left_alone.jobs.states == {"Unreadable": 1, "Importing": 1, "Completed": 1}
    assert card(cluster(records, scraped=NOW - 1)).jobs.states == {"Unreadable": 2, "Completed": 1}


def test_a_cluster_that_was_never_scraped_says_who_scrapes_it() -> None:
    assert card(cluster([watched(None)], scraped=None)).hint == (
        "Not scraped yet: this exporter queries the API when Prometheus scrapes it, or when you do."
    )


DISCOVERY = {"collections": ["reviews", "events"], "databases": ["shop"]}
ANYWHERE = "all collections of the default database"


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (
            cluster(listed={State.COMPLETED: 18, State.FAILED: 2}, discovery={"finished_for": "12h"}),
            "The API lists 20 jobs in all collections of the default database; all finished more than 12 h ago.",
        ),
        (
            cluster(listed={State.COMPLETED: 1}, discovery=DISCOVERY),
            "The API lists 1 job in collections reviews, events of database shop; it finished more than 1 d ago.",
        ),
        (
            cluster(listed={State.COMPLETED: 1, State.PENDING: 2}, db_name="shop"),
            "The API lists 3 jobs in all collections of database shop, 2 of them unfinished, but none is watched.",
        ),
        (
            cluster(listed=dict.fromkeys(State, 0), api="milvus"),
            "The API lists no import jobs in all collections of all databases.",
        ),
        (
            cluster(listed={}, discovery={"collections": list("abcdefg")}),
            "The API lists no import jobs in collections a, b, c, d, e and 2 more of the default database.",
        ),
        (
            cluster(),
            f"No job is watched: the list of jobs in {ANYWHERE} is not read to its end yet.",
        ),
        (
            cluster(up=False, listed={State.COMPLETED: 1}),
            f"No job is watched: the list of jobs in {ANYWHERE} could not be read.",
        ),
        (
            cluster(job_lists=["jobs.d/*.yaml"]),
            "No job is watched: discovery is off, and neither jobs nor the files of job_lists name a job.",
        ),
        (cluster([watched(job("1"))]), ""),
    ],
)
def test_a_cluster_without_jobs_says_why_with_numbers(status: ClusterStatus, why: str) -> None:
    assert card(status).hint == why


def test_when_the_last_scrape_was_and_how_long_it_took_cannot_be_mistaken() -> None:
    assert ("Last scrape", "12 s ago, took 1.5 s") in card(cluster(scraped=NOW - 12)).facts


def test_what_waits_and_what_is_left_out_is_counted() -> None:
    facts = dict(card(cluster(waiting=12, omitted=34)).facts)
    assert facts["Backlog"] == "12 waiting for their turn"
    assert facts["Left out"] == "34 over max_jobs"
    assert facts["Discovery"] == "all collections of the default database"
    assert "Discovery" not in dict(card(cluster(jobs=["1"])).facts)


def test_jobs_are_counted_as_failed_unreadable_and_unfinished() -> None:
    records = [watched(job(str(number), state)) for number, state in enumerate(State)]
    records += [watched(None), watched(None, error=ErrorClass.AUTH)]
    counted = card(cluster(records))
    assert (counted.failed, counted.unreadable, counted.unfinished, counted.jobs.watched) == (1, 1, 4, 8)
