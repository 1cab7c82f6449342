from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from exporter.listing import JobKey, Shares, eligible, listed, wish
from exporter.model import File, Job, State, id_order
from tests.support.views import Policy, some_files


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
    assert listed(job(COMPLETED, FAILED), Policy(series="none"), 10).files == ()
    assert listed(job(COMPLETED, FAILED), Policy(series="none"), 10).omitted == 0


def test_a_job_without_details_lists_nothing() -> None:
    assert wish(None, Policy()) == 0
    assert wish(Job("1", "articles", State.PENDING), Policy()) == 0


def test_caps_keep_the_first_files_by_name_and_count_the_rest() -> None:
    files = some_files(5)
    by_job = listed(job(*files), Policy(max_per_job=3), share=10)
    by_total = listed(job(*files), Policy(max_per_job=3), share=2)
    assert (names(by_job.files), by_job.omitted) == (names(files[:3]), 2)
    assert (names(by_total.files), by_total.omitted) == (names(files[:2]), 3)


def test_a_dropped_completed_file_does_not_count_as_omitted() -> None:
    assert listed(job(COMPLETED, FAILED, PENDING), Policy(series="unfinished", max_per_job=1), 10).omitted == 1


def shares(max_total: int, wishes: dict[JobKey, tuple[int, bool]]) -> Shares:
    dealt = Shares(max_total)
    for key, (files, finished) in wishes.items():
        dealt.wish(key, files, finished=finished)
    dealt.settle()
    return dealt


def test_unfinished_jobs_come_first_then_the_highest_id_and_the_last_is_cut() -> None:
    dealt = shares(
        25, {("c", "9"): (10, True), ("c", "10"): (10, True), ("c", "1"): (10, False), ("c", "11"): (0, False)}
    )
    assert [dealt.share(("c", job_id)) for job_id in ("1", "10", "9", "11")] == [10, 10, 5, 0]


def test_only_jobs_whose_share_changed_are_named() -> None:
    dealt = shares(25, {("c", "1"): (10, True), ("c", "2"): (10, True), ("c", "3"): (10, True)})
    dealt.wish(("c", "4"), 10, finished=False)
    assert dealt.settle() == [("c", "1"), ("c", "2"), ("c", "4")]
    dealt.wish(("c", "4"), 0, finished=False)
    assert dealt.settle() == [("c", "1"), ("c", "2"), ("c", "4")]
    dealt.wish(("c", "3"), 10, finished=True)
    assert dealt.settle() == []


WISHES = st.lists(
    st.tuples(st.sampled_from("ab"), st.from_regex(r"[0-9]{1,3}", fullmatch=True), st.integers(0, 6), st.booleans()),
    max_size=30,
)


@given(st.integers(0, 40), WISHES, st.lists(st.booleans(), max_size=30))
def test_shares_are_those_of_sorting_all_jobs_whatever_came_before(
    max_total: int, wishes: list[tuple[str, str, int, bool]], settle: list[bool]
) -> None:
    dealt = Shares(max_total)
    told: dict[JobKey, int] = {}
    for index, (cluster_id, job_id, files, finished) in enumerate(wishes):
        dealt.wish((cluster_id, job_id), files, finished=finished)
        if index < len(settle) and settle[index]:
            told |= {key: dealt.share(key) for key in dealt.settle()}
    told |= {key: dealt.share(key) for key in dealt.settle()}
    left = max_total
    latest = {(cluster_id, job_id): (files, finished) for cluster_id, job_id, files, finished in wishes}
    order = sorted(latest, key=lambda key: (not latest[key][1], id_order(key[1]), key[0]), reverse=True)
    for key in order:
        expected = min(left, latest[key][0])
        left -= expected
        assert dealt.share(key) == expected
        assert told.get(key, 0) == expected
