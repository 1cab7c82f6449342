"""Snapshots of jobs and clusters for tests: plain ones to vary, and hypothesis strategies for any."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hypothesis import strategies as st

from exporter.collector.clock import Moment
from exporter.collector.record import Answer, Failing, Finished, New, Polling, Record
from exporter.collector.snapshot import ClusterSnapshot
from exporter.model import ErrorClass, File, Job, Source, State


def known(
    cluster_id: str,
    job_id: str,
    source: Source,
    collection_name: str,
    db_name: str,
    first_seen: float,
    up: bool | None = None,
    error: ErrorClass | None = None,
    refreshed: float | None = None,
    job: Job | None = None,
    changed_at: float | None = None,
) -> Record:
    """The record of a job of which this is known: its answer where it is up, and the error where it is not."""
    record = Record(cluster_id, job_id, source, first_seen, collection_name, db_name)
    if up is None:
        return replace(record, state=New())
    said = job or Job(job_id, collection_name, State.IMPORTING)
    answer = None if refreshed is None else Answer(said, Moment(0.0, refreshed), changed_at)
    if error is not None or answer is None:
        return replace(record, state=Failing(error or ErrorClass.STARVED, answer))
    return replace(record, state=Finished(answer, 0.0, 0.0) if said.state.finished else Polling(answer))


def refreshed_at(record: Record, moment: float) -> Record:
    """The same record, answered at another moment."""
    answer = record.state.answer
    if answer is None or isinstance(record.state, New):
        return record
    return replace(record, state=replace(record.state, answer=replace(answer, at=Moment(0.0, moment))))


def cluster_snapshot(cluster_id: str = "c", jobs: Iterable[Record] = ()) -> ClusterSnapshot:
    """A cluster that answered, with those of the jobs that are its own."""
    by_id = {job.job_id: job for job in jobs if job.cluster_id == cluster_id}
    return ClusterSnapshot(
        cluster_id,
        up=True,
        counts={Source.CONFIG: len(by_id)},
        waiting=0,
        omitted=0,
        listed={State.IMPORTING: len(by_id)},
        scrape_duration=0.25,
        jobs=by_id,
    )


def some_files(number: int, state: State = State.IMPORTING) -> tuple[File, ...]:
    """Files in the same state, ordered by name."""
    return tuple(File(f"part-{index:04d}.parquet", state, 0.5, 1000.0, 10.0, 5.0) for index in range(number))


def job_snapshot(
    job_id: str = "1",
    *,
    cluster_id: str = "c",
    state: State = State.IMPORTING,
    files: tuple[File, ...] | None = (),
    progress: float = 0.5,
    refreshed: float = 200.0,
    reason: str = "",
) -> Record:
    """A job that answered."""
    counts = None if files is None else {each: sum(file.state is each for file in files) for each in State}
    job = Job(
        job_id,
        "articles",
        state,
        progress,
        1000.0,
        10.0,
        5.0,
        reason=reason,
        files=files,
        file_states=counts,
        file_name="bulk/articles",
        created_at=90.0,
    )
    return known(cluster_id, job_id, Source.CONFIG, "articles", "default", 100.0, True, None, refreshed, job, 150.0)


def silent_job(job_id: str = "1", *, cluster_id: str = "c", error: ErrorClass | None = None) -> Record:
    """A job that was never queried, or whose last query failed with `error`."""
    up = None if error is None else False
    return known(cluster_id, job_id, Source.LIST, "articles", "default", 100.0, up, error)


_NAMES = st.text(max_size=12) | st.text('"\\\n# HELP{}=, ', max_size=12)
_AMOUNTS = st.none() | st.floats(min_value=0, allow_infinity=False) | st.sampled_from([0.0, 1.0, 1e6, 2.0**53])
_RATIOS = st.none() | st.floats(0, 1)
_STATES = st.sampled_from(State)
_FILES = st.lists(
    st.builds(File, _NAMES, _STATES, _RATIOS, _AMOUNTS, _AMOUNTS, _AMOUNTS, _AMOUNTS, _NAMES),
    max_size=5,
    unique_by=lambda file: file.name,
).map(lambda files: tuple(sorted(files, key=lambda file: file.name)))


_JOB_IDS = st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True)


@st.composite
def job_snapshots(draw: st.DrawFn, job_ids: st.SearchStrategy[str] = _JOB_IDS) -> Record:
    """Any job of cluster `a` or `b` that keeps the promises of `Record` and `Job`."""
    job_id = draw(job_ids)
    up = draw(st.sampled_from([True, True, True, False, None]))
    name = draw(_NAMES)
    job = None
    if up:
        files = draw(st.none() | _FILES)
        counts = None if files is None else draw(st.dictionaries(_STATES, st.integers(0, 1000)))
        job = Job(
            job_id,
            name,
            draw(_STATES),
            draw(_RATIOS),
            draw(_AMOUNTS),
            draw(_AMOUNTS),
            draw(_AMOUNTS),
            draw(_AMOUNTS),
            draw(_NAMES),
            files,
            counts,
            draw(_NAMES),
            draw(_AMOUNTS),
        )
    return known(
        cluster_id=draw(st.sampled_from("ab")),
        job_id=job_id,
        source=draw(st.sampled_from(Source)),
        collection_name=name,
        db_name=draw(_NAMES),
        first_seen=draw(st.floats(0, 1e10)),
        up=up,
        error=draw(st.sampled_from(ErrorClass)) if up is False else None,
        refreshed=draw(st.floats(0, 1e10) if up else st.none() | st.floats(0, 1e10)) if up is not None else None,
        job=job,
        changed_at=draw(_AMOUNTS),
    )
