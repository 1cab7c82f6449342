"""The life of a job over time."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.demo.scenario import FileScript, JobScript, Moment, Pause, Phase, Stages, TaskPhase

STAGES = Stages(pending=10, preimporting=20, importing=100, sorting=20, indexing=40)
"""Import from 30, sorting from 130, indexing from 150, Completed from 190."""


def moment(script: JobScript, time: float) -> Moment:
    found = script.at(time)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("time", "state", "progress", "file_states"),
    [
        (0, Phase.PENDING, 0, []),
        (9.9, Phase.PENDING, 0, []),
        (10, Phase.IMPORTING, 10, []),
        (20, Phase.IMPORTING, 25, []),
        (29, Phase.IMPORTING, 40, []),
        (30, Phase.IMPORTING, 40, [TaskPhase.PENDING] * 2),
        (79, Phase.IMPORTING, 55, [TaskPhase.IN_PROGRESS] * 2),
        (129, Phase.IMPORTING, 70, [TaskPhase.COMPLETED] * 2),
        (131, Phase.IMPORTING, 70, [TaskPhase.COMPLETED] * 2),
        (149, Phase.IMPORTING, 80, [TaskPhase.COMPLETED] * 2),
        (151, Phase.IMPORTING, 80, [TaskPhase.COMPLETED] * 2),
        (189, Phase.IMPORTING, 90, [TaskPhase.COMPLETED] * 2),
        (190, Phase.COMPLETED, 100, [TaskPhase.COMPLETED] * 2),
    ],
)
def test_a_job_passes_through_the_stages_in_their_bands(
    time: float, state: Phase, progress: int, file_states: list[TaskPhase]
) -> None:
    now = moment(JobScript("1", stages=STAGES, files_per_task=2), time)
    assert (now.state, now.progress, [file.state for file in now.files]) == (state, progress, file_states)


def test_a_job_exists_from_its_start_until_it_is_forgotten() -> None:
    script = JobScript("1", starts_at=100, stages=STAGES, retention=50)
    assert script.at(99.9) is None
    assert script.at(100) is not None
    assert script.at(339.9) is not None
    assert script.at(340) is None


def test_sizes_and_rows_appear_with_the_import_stage() -> None:
    script = JobScript("1", stages=STAGES)
    assert (moment(script, 29).size, moment(script, 29).rows) == (0, 0)
    assert (moment(script, 30).size, moment(script, 30).rows) == (400 << 20, 1_000_000)


def test_completion_is_the_time_of_the_last_stage_and_that_of_a_file_is_its_own() -> None:
    done = moment(JobScript("1", starts_at=1000, stages=STAGES), 2000)
    assert done.completed_at == 1190
    assert [file.completed_at for file in done.files] == [1128, pytest.approx(1030 + 98 * 0.88)]


def test_files_of_one_task_share_its_percent() -> None:
    files = tuple(FileScript((name,), 1, rows) for name, rows in (("a", 7), ("b", 100), ("c", 50)))
    halfway = moment(JobScript("1", stages=STAGES, files=files, files_per_task=2), 60)
    first, second, third = (file.progress for file in halfway.files)
    assert first == second
    assert first != third
    assert [file.imported_rows for file in halfway.files] == [
        file.rows * file.progress // 100 for file in halfway.files
    ]


def test_many_files_are_imported_in_waves() -> None:
    files = tuple(FileScript((str(number),), 1, 100) for number in range(48))
    states = [file.state for file in moment(JobScript("1", stages=STAGES, files=files), 79).files]
    assert states[:16] == [TaskPhase.COMPLETED] * 16
    assert set(states[16:32]) <= {TaskPhase.IN_PROGRESS, TaskPhase.COMPLETED}
    assert states[32:] == [TaskPhase.PENDING] * 16


def test_a_failure_resets_percent_and_rows_at_once_and_reaches_the_files_a_tick_later() -> None:
    script = JobScript("1", stages=STAGES, fails_after=60, reason="io failure: no such key")
    at_once, later = moment(script, 60), moment(script, 62)
    assert (at_once.state, at_once.progress, at_once.rows, at_once.imported_rows) == (Phase.FAILED, 0, 0, 0)
    assert at_once.reason == later.reason == "io failure: no such key"
    assert at_once.completed_at is None
    assert at_once.size == 400 << 20
    assert {(file.state, file.reason) for file in at_once.files} == {(TaskPhase.IN_PROGRESS, "")}
    assert {(file.state, file.reason) for file in later.files} == {(TaskPhase.FAILED, "io failure: no such key")}
    assert [file.progress for file in later.files] == [file.progress for file in at_once.files]


def test_a_failure_before_the_import_stage_names_no_file() -> None:
    failed = moment(JobScript("1", stages=STAGES, fails_after=20), 100)
    assert (failed.files, failed.size) == ((), 0)


def test_a_completed_job_can_turn_failed_and_keeps_its_completion_time() -> None:
    script = JobScript("1", stages=STAGES, fails_after=500, reason="collection 7 dropped", retention=1000)
    assert moment(script, 499).state is Phase.COMPLETED
    flipped = moment(script, 500)
    assert (flipped.state, flipped.completed_at) == (Phase.FAILED, 190)
    assert script.at(1499) is not None
    assert script.at(1500) is None


def test_a_failure_after_the_retention_changes_nothing() -> None:
    assert JobScript("1", stages=STAGES, fails_after=500, retention=100).at(291) is None


def test_a_job_that_vanishes_was_never_seen_finished() -> None:
    script = JobScript("1", stages=STAGES, vanishes_after=60)
    assert moment(script, 59).state is Phase.IMPORTING
    assert script.at(60) is None


def test_a_paused_job_stands_still_and_then_goes_on() -> None:
    script = JobScript("1", stages=STAGES, pause=Pause(131, 1000))
    assert moment(script, 131) == moment(script, 1130)
    assert moment(script, 1130).progress == 70
    assert moment(script, 1190).completed_at == 1190


def test_a_pause_without_end_is_never_left() -> None:
    script = JobScript("1", stages=STAGES, pause=Pause(151))
    assert moment(script, 1e9).progress == 80
    assert script.forgotten_after == math.inf


def test_a_suspended_job_is_called_so_while_it_stands_still() -> None:
    script = JobScript("1", stages=STAGES, pause=Pause(60, 30, suspended=True))
    before, suspended, after = moment(script, 59.99), moment(script, 60), moment(script, 90)
    assert (before.state, suspended.state, after.state) == (Phase.IMPORTING, Phase.SUSPENDED, Phase.IMPORTING)
    assert suspended.progress == after.progress == 49


def test_a_lost_node_puts_unfinished_files_back_to_pending_with_the_percent_they_had() -> None:
    script = JobScript("1", stages=STAGES, pause=Pause(60, 30, node_lost=True))
    before, lost, after = moment(script, 59.99), moment(script, 75), moment(script, 91)
    assert {file.state for file in lost.files} == {TaskPhase.PENDING}
    assert [file.progress for file in lost.files] == [pytest.approx(file.progress, abs=1) for file in before.files]
    assert {file.state for file in after.files} == {TaskPhase.IN_PROGRESS}


def test_without_auto_commit_a_job_waits_at_99_for_its_commit() -> None:
    script = JobScript("1", stages=STAGES, auto_commit=False, commits_after=100)
    assert (moment(script, 190).state, moment(script, 190).progress) == (Phase.UNCOMMITTED, 99)
    assert moment(script, 290).state is Phase.COMPLETED
    assert JobScript("1", stages=STAGES, auto_commit=False).forgotten_after == math.inf


def test_a_job_without_rows_completes_without_time_and_files() -> None:
    script = JobScript("1", stages=STAGES, files=(FileScript(("empty.json",), 2, 0),))
    assert moment(script, 30) == Moment(Phase.COMPLETED, 100)


@pytest.mark.parametrize("stages", [Stages(0, 0, 0, 0, 0), Stages(0, 0, 1, 0, 0), Stages(1, 1, 1, 1, 1)])
def test_stages_may_be_shorter_than_a_tick(stages: Stages) -> None:
    assert moment(JobScript("1", stages=stages), 5).state is Phase.COMPLETED


durations = st.floats(0, 1000, allow_subnormal=False)
scripts = st.builds(
    JobScript,
    job_id=st.just("1"),
    files=st.lists(
        st.builds(FileScript, st.just(("a",)), st.integers(0, 2**40), st.integers(0, 10**9)), max_size=40
    ).map(tuple),
    stages=st.builds(Stages, durations, durations, durations, durations, durations),
    pause=st.none() | st.builds(Pause, durations, durations, st.booleans()),
    fails_after=st.just(math.inf) | durations,
    auto_commit=st.booleans(),
    commits_after=durations,
    files_per_task=st.integers(1, 5),
    tasks_at_once=st.integers(1, 20),
)
ORDER = list(Phase)


@given(scripts, st.lists(st.floats(0, 8000), min_size=2, max_size=20).map(sorted))
def test_only_a_failure_takes_anything_back(script: JobScript, times: list[float]) -> None:
    moments = [now for time in times if (now := script.at(time)) is not None]
    assert [ORDER.index(now.state) for now in moments] == sorted(ORDER.index(now.state) for now in moments)
    going = [now for now in moments if now.state is not Phase.FAILED]
    for value in ("progress", "rows", "imported_rows", "size"):
        course = [getattr(now, value) for now in going]
        assert course == sorted(course)


@given(scripts, st.floats(0, 8000))
def test_every_moment_is_consistent(script: JobScript, time: float) -> None:
    now = script.at(time)
    if now is None:
        return
    assert 0 <= now.progress <= 100
    assert now.imported_rows <= now.rows
    assert (now.reason != "") == (now.state is Phase.FAILED)
    assert len(now.files) in {0, len(script.files)}
    if now.state is Phase.COMPLETED:
        assert now.imported_rows == now.rows
    for file in now.files:
        assert 0 <= file.progress <= 100
        assert file.imported_rows <= file.rows
        if file.completed_at is not None:
            assert file.completed_at <= time
