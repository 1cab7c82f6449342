"""What is remembered of jobs, what a scrape has to look at, and what it has to show anew."""

from __future__ import annotations

from dataclasses import replace

from exporter.model import ErrorClass, File, Job, ListedJob, Source, State
from exporter.watch.memory import JobMemory, Named
from exporter.watch.plan import Moment, Rules, Turn
from exporter.watch.sources import NamedJob

EPOCH = 1_800_000_000.0
RULES = Rules()
DAY = 86_400.0


def at(seconds: float) -> Moment:
    return Moment(seconds, EPOCH + seconds)


def job(job_id: str, state: State = State.IMPORTING, completed_at: float | None = None) -> Job:
    files = (File("a.parquet", state, progress=0.5, size=10.0),)
    return Job(job_id, "articles", state, progress=0.5, completed_at=completed_at, files=files)


def memory(*jobs: str, discovery: bool = False) -> JobMemory:
    return JobMemory("in01", Named(jobs=jobs, discovery=discovery), RULES, at(0), lambda: 0.5)


def named(job_id: str, state: State = State.IMPORTING, database: str = "") -> NamedJob:
    return NamedJob(ListedJob(job_id, "listed", state), database)


def shown(watch: JobMemory, seconds: float) -> set[str]:
    views, _ = watch.changes(seconds)
    return {view.job_id for view in views}


def test_only_jobs_that_changed_are_shown_again() -> None:
    watch = memory("1", "2", "3")
    for job_id in "123":
        watch.answered(job_id, job(job_id), 1, at(1))
    assert shown(watch, 1) == {"1", "2", "3"}
    assert shown(watch, 2) == set()
    watch.answered("2", job("2"), 16, at(16))
    assert shown(watch, 16) == {"2"}


def test_a_job_whose_answer_grows_old_is_shown_again_without_being_asked() -> None:
    watch = memory("1")
    watch.answered("1", job("1"), 1, at(1))
    assert shown(watch, 1) == {"1"}
    assert shown(watch, 300) == set()
    views, _ = watch.changes(301)
    assert [(view.up, view.error, view.job) for view in views] == [(False, ErrorClass.STARVED, None)]


def test_each_answer_grows_old_in_its_own_time() -> None:
    watch = memory("1", "2", "3")
    for second, job_id in ((1, "1"), (2, "2"), (3, "3")):
        watch.answered(job_id, job(job_id), second, at(second))
    assert shown(watch, 5) == {"1", "2", "3"}
    assert shown(watch, 301) == {"1"}
    watch.answered("2", job("2"), 301.5, at(301.5))
    assert shown(watch, 303) == {"2", "3"}
    assert shown(watch, 601) == set()
    assert shown(watch, 601.5) == {"2"}


def test_other_rules_age_answers_at_once() -> None:
    watch = memory("1")
    watch.answered("1", job("1"), 1, at(1))
    watch.changes(1)
    watch.reconfigure(Named(jobs=("1",)), replace(RULES, max_age=10), at(20))
    assert shown(watch, 20) == {"1"}


def test_finished_jobs_are_looked_at_only_when_an_event_of_theirs_is_due() -> None:
    watch = memory(*(str(number) for number in range(1000)))
    for number in range(1000):
        watch.answered(str(number), job(str(number), State.COMPLETED), 1, at(1))
    watch.changes(1)
    assert watch.due(15, None) == []
    assert shown(watch, 15) == set()
    due = watch.due(451, None)
    assert len(due) == 1000
    assert {turn for turn, _ in due} == {Turn.RECHECK}


def test_the_answer_of_a_finished_job_survives_being_packed() -> None:
    watch = memory("1")
    finished = job("1", State.FAILED, EPOCH - 5)
    watch.answered("1", finished, 1, at(1))
    view = watch.view("1", 100)
    assert view is not None
    assert view.job == finished


def test_a_recheck_that_is_due_does_not_outlive_the_end_of_finished_for() -> None:
    watch = memory(discovery=True)
    watch.discover([named("1")], at(0))
    watch.answered("1", job("1", State.COMPLETED), 1, at(1))
    watch.changes(1)
    assert watch.due(1000, None) == [(Turn.RECHECK, "1")]
    assert watch.changes(1 + DAY) == ([], ["1"])
    assert "1" not in watch


def test_a_job_over_finished_for_is_not_taken_up_from_the_list_again_unless_it_runs_again() -> None:
    watch = memory(discovery=True)
    watch.discover([named("1")], at(0))
    watch.answered("1", job("1", State.COMPLETED), 1, at(1))
    watch.changes(1 + DAY)
    watch.discover([named("1", State.COMPLETED)], at(2 + DAY))
    assert "1" not in watch
    watch.discover([named("1", State.IMPORTING)], at(3 + DAY))
    assert "1" in watch


def test_an_expired_configured_job_is_shown_as_expired_when_its_time_is_over() -> None:
    watch = memory("1")
    watch.answered("1", job("1", State.COMPLETED), 1, at(1))
    watch.failed("1", ErrorClass.NOT_FOUND, 700, at(700))
    assert shown(watch, 700) == {"1"}
    views, _ = watch.changes(DAY + 2)
    assert [view.error for view in views] == [ErrorClass.EXPIRED]


def test_reading_the_list_again_changes_nothing_that_is_shown() -> None:
    watch = memory(discovery=True)
    jobs = {str(number): named(str(number)) for number in range(10)}
    watch.choose_discovered(jobs, 500, at(0))
    for job_id in jobs:
        watch.answered(job_id, job(job_id, State.COMPLETED), 1, at(1))
    watch.changes(1)
    watch.choose_discovered(jobs, 500, at(2))
    assert watch.changes(2) == ([], [])


def test_a_job_that_one_reload_drops_and_the_next_brings_back_is_forgotten_in_between() -> None:
    watch = memory("1")
    watch.answered("1", job("1"), 1, at(1))
    assert shown(watch, 1) == {"1"}
    watch.reconfigure(Named(), RULES, at(2))
    watch.reconfigure(Named(jobs=("1",)), RULES, at(3))
    assert watch.changes(4) == ([], ["1"])
    watch.answered("1", job("1"), 5, at(5))
    assert shown(watch, 5) == {"1"}


def test_a_job_that_its_list_called_finished_too_early_vanishes_like_any_other() -> None:
    watch = memory(discovery=True)
    watch.choose_discovered({"1": named("1", State.COMPLETED)}, 500, at(0))
    watch.answered("1", job("1"), 1, at(1))
    watch.failed("1", ErrorClass.NOT_FOUND, 2, at(2))
    assert [view.error for view in watch.changes(2)[0]] == [ErrorClass.NOT_FOUND]


def test_absence_from_a_list_ends_nothing() -> None:
    watch = memory(discovery=True)
    watch.choose_discovered({"1": named("1"), "2": named("2")}, 500, at(0))
    assert watch.choose_discovered({}, 500, at(60)) == 0
    assert "1" in watch
    assert "2" in watch


def test_jobs_over_max_jobs_are_left_out_and_counted() -> None:
    watch = memory("config", discovery=True)
    jobs = {str(number): named(str(number), State.COMPLETED if number % 2 else State.IMPORTING) for number in range(10)}
    assert watch.choose_discovered({**jobs, "config": named("config")}, 6, at(0)) == 4
    assert watch.counts() == {Source.CONFIG: 1, Source.LIST: 0, Source.DISCOVERY: 6}
    assert [job_id for job_id in jobs if job_id in watch] == ["0", "2", "4", "6", "8", "9"]
    watch.answered("8", job("8", State.COMPLETED), 1, at(1))
    watch.changes(1)
    assert watch.choose_discovered(jobs, 5, at(60)) == 5
    assert [job_id for job_id in jobs if job_id in watch] == ["0", "2", "4", "6", "9"]
    assert watch.changes(60)[1] == ["8"]


def test_a_job_named_by_configuration_and_list_counts_as_configured_and_keeps_the_database_of_its_list() -> None:
    watch = JobMemory("in01", Named(jobs=("1",), discovery=True, db_name="mine"), RULES, at(0), lambda: 0.5)
    watch.answered("1", job("1"), 1, at(1))
    watch.discover([named("1", database="theirs")], at(2))
    view = watch.view("1", 2)
    assert view is not None
    assert (view.source, view.db_name) == (Source.CONFIG, "theirs")
    watch.reconfigure(Named(discovery=True, db_name="mine"), RULES, at(3))
    view = watch.view("1", 3)
    assert view is not None
    assert (view.source, view.db_name, view.first_seen) == (Source.DISCOVERY, "theirs", EPOCH)


def test_before_the_first_answer_the_collection_is_that_of_the_list() -> None:
    watch = memory(discovery=True)
    watch.discover([named("1")], at(0))
    assert watch.view("1", 0) is None
    watch.failed("1", ErrorClass.HTTP, 1, at(1))
    view = watch.view("1", 1)
    assert view is not None
    assert (view.collection_name, view.up, view.error) == ("listed", False, ErrorClass.HTTP)


def test_reconfiguring_keeps_the_answers_of_jobs_that_stay_and_forgets_the_others() -> None:
    watch = memory("1", "2")
    watch.answered("1", job("1"), 1, at(1))
    watch.answered("2", job("2"), 1, at(1))
    watch.changes(1)
    watch.reconfigure(Named(jobs=("2", "3")), RULES, at(2))
    assert watch.changes(2) == ([], ["1"])
    assert [job_id for _, job_id in watch.due(10, None)] == ["3", "2"]
    assert watch.counts()[Source.CONFIG] == 2


def test_a_shorter_finished_for_takes_effect_at_the_reload() -> None:
    watch = memory(discovery=True)
    watch.discover([named("1")], at(0))
    watch.answered("1", job("1", State.COMPLETED), 1, at(1))
    watch.changes(1)
    watch.reconfigure(Named(discovery=True), replace(RULES, finished_for=60), at(100))
    assert watch.changes(100) == ([], ["1"])


def test_everything_can_be_shown_again() -> None:
    watch = memory("1", "2", "never-asked")
    watch.answered("1", job("1"), 1, at(1))
    watch.answered("2", job("2", State.COMPLETED), 1, at(1))
    watch.changes(1)
    views, _ = watch.changes(2, everything=True)
    assert {view.job_id for view in views} == {"1", "2"}


def test_the_page_lists_unreadable_failed_uncommitted_and_running_jobs_before_completed_ones() -> None:
    watch = memory("done", "running", "failed", "unreadable", "new", "waits")
    watch.answered("waits", job("waits", State.UNCOMMITTED), 1, at(1))
    watch.answered("done", job("done", State.COMPLETED), 1, at(1))
    watch.answered("running", job("running"), 1, at(1))
    watch.answered("failed", job("failed", State.FAILED), 1, at(1))
    watch.failed("unreadable", ErrorClass.TIMEOUT, 1, at(1))
    order = [view.job_id for view in watch.worst(2, 10)]
    assert order[:3] == ["unreadable", "failed", "waits"]
    assert order[-1] == "done"
    assert set(order[3:-1]) == {"running", "new"}
    assert len(watch.worst(2, 3)) == 3


def test_a_job_that_is_rechecked_for_months_is_remembered_in_the_same_space() -> None:
    watch = memory("1")
    watch.reconfigure(Named(jobs=("1",)), replace(RULES, finished_for=90 * DAY), at(0))
    watch.answered("1", job("1", State.COMPLETED), 0, at(0))
    for cycle in range(1, 1000):
        seconds = cycle * RULES.recheck_finished
        assert watch.due(seconds, None) == [(Turn.RECHECK, "1")]
        watch.answered("1", job("1", State.COMPLETED), seconds, at(seconds))
    assert len(watch._events) <= 2
