from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from exporter.collector.record import Record
from exporter.config.schema import Files
from exporter.metrics.files import JobKey, claim, eligible, series_of, shares
from exporter.model import File, Job, State, id_order
from tests.support.snapshots import job_snapshot, silent_job, some_files


def job(*files: File) -> Job:
    return Job("1", "articles", State.IMPORTING, files=files)


def names(files: tuple[File, ...]) -> list[str]:
    return [file.name for file in files]


COMPLETED, FAILED, PENDING = (File(state.value, state) for state in (State.COMPLETED, State.FAILED, State.PENDING))


def test_all_lists_every_file() -> None:
    assert eligible(job(COMPLETED, FAILED, PENDING), "all") == (COMPLETED, FAILED, PENDING)


def test_unfinished_drops_completed_files_and_keeps_failed_ones() -> None:
    assert eligible(job(COMPLETED, FAILED, PENDING), "unfinished") == (FAILED, PENDING)


def test_none_lists_no_file_and_omits_none() -> None:
    series = series_of(job_snapshot(files=(COMPLETED, FAILED)), Files(series="none"), 10)
    assert (series.files, series.omitted) == ((), 0)


def test_a_job_without_details_lists_nothing_and_omits_nothing() -> None:
    for record in (silent_job(), job_snapshot(files=None)):
        assert claim(record, Files()) == (False, 0)
        assert (series_of(record, Files()).files, series_of(record, Files()).omitted) == ((), None)


def test_limits_keep_the_first_files_by_name_and_count_the_rest() -> None:
    files = some_files(5)
    by_job = series_of(job_snapshot(files=files), Files(max_per_job=3), share=10)
    by_total = series_of(job_snapshot(files=files), Files(max_per_job=3), share=2)
    assert (names(by_job.files), by_job.omitted) == (names(files[:3]), 2)
    assert (names(by_total.files), by_total.omitted) == (names(files[:2]), 3)


def test_limits_list_failed_files_first_then_unfinished_ones_and_order_them_by_name() -> None:
    files = (
        File("a", State.COMPLETED),
        File("b", State.COMPLETED),
        File("c", State.PENDING),
        File("d", State.IMPORTING),
        File("e", State.FAILED),
        File("f", State.UNKNOWN),
        File("g", State.FAILED),
    )
    record = job_snapshot(files=files)
    listed = [names(series_of(record, Files(max_per_job=most)).files) for most in range(1, 8)]
    assert [set(more) - set(fewer) for fewer, more in zip([[], *listed], listed, strict=False)] == [
        {name} for name in "egcdfab"
    ]
    assert all(each == sorted(each) for each in listed)
    assert names(series_of(record, Files(), share=2).files) == ["e", "g"]


def test_failed_jobs_share_max_total_before_completed_ones() -> None:
    jobs = [
        job_snapshot("1", state=State.FAILED, files=some_files(3)),
        job_snapshot("2", state=State.COMPLETED, files=some_files(3)),
        job_snapshot("3", files=some_files(3)),
    ]
    assert shares(jobs, Files(max_total=7)) == {("c", "2"): 1}


def test_a_dropped_completed_file_does_not_count_as_omitted() -> None:
    record = job_snapshot(files=(COMPLETED, FAILED, PENDING))
    assert series_of(record, Files(series="unfinished", max_per_job=1)).omitted == 1


def records(claims: Iterable[tuple[str, str, int, bool]]) -> list[Record]:
    return [
        job_snapshot(
            job_id,
            cluster_id=cluster_id,
            state=State.COMPLETED if finished else State.IMPORTING,
            files=some_files(files),
        )
        for cluster_id, job_id, files, finished in claims
    ]


def test_unfinished_jobs_come_first_then_the_highest_id_and_the_last_is_cut() -> None:
    jobs = records([("c", "9", 10, True), ("c", "10", 10, True), ("c", "1", 10, False), ("c", "11", 0, False)])
    assert shares(jobs, Files(max_total=25)) == {("c", "9"): 5}
    assert shares(jobs, Files(max_total=5)) == {("c", "1"): 5, ("c", "10"): 0, ("c", "9"): 0}


def test_no_job_is_cut_while_there_is_room_for_all() -> None:
    assert shares(records([("c", "1", 10, True), ("c", "2", 10, False)]), Files(max_total=20)) == {}


CLAIMS = st.lists(
    st.tuples(st.sampled_from("ab"), st.from_regex(r"[0-9]{1,3}", fullmatch=True), st.integers(0, 6), st.booleans()),
    max_size=30,
    unique_by=lambda each: each[:2],
)


@given(st.integers(1, 40), st.integers(1, 5), CLAIMS)
def test_shares_follow_the_order_of_the_jobs_whatever_the_order_of_the_snapshot(
    max_total: int, max_per_job: int, claims: list[tuple[str, str, int, bool]]
) -> None:
    policy = Files(max_total=max_total, max_per_job=max_per_job)
    jobs = records(claims)
    cut = shares(jobs, policy)
    assert shares(reversed(jobs), policy) == cut
    left = max_total
    expected: dict[JobKey, int] = {}
    for cluster_id, job_id, files, _finished in sorted(
        claims, key=lambda each: (not each[3], id_order(each[1]), each[0]), reverse=True
    ):
        expected[cluster_id, job_id] = min(left, files, max_per_job)
        left -= expected[cluster_id, job_id]
    for record in jobs:
        key = (record.cluster_id, record.job_id)
        assert len(series_of(record, policy, cut.get(key)).files) == expected[key]
