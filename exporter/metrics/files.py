"""Which files get series of their own: the `files` section of the configuration applied to the jobs of a scrape."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from exporter.collector.record import Record
from exporter.config.schema import Files
from exporter.model import File, Job, State, id_order

Series = Literal["all", "unfinished", "none"]

JobKey = tuple[str, str]
"""Cluster id and job id."""

Claim = tuple[bool, int]
"""What the share of a job in `max_total` depends on: whether it precedes others, and its number of files."""


@dataclass(frozen=True, slots=True)
class JobSeries:
    """What is exposed of a job: the job, those of its files that have series, and how many the limits left out.

    `omitted` is None where the API named no files.
    """

    record: Record
    files: tuple[File, ...] = ()
    omitted: int | None = None


def eligible(job: Job | None, series: Series) -> tuple[File, ...]:
    """The files that `series` admits, before any limit: a Completed one is not `unfinished`, a Failed one is."""
    if job is None or job.files is None or series == "none":
        return ()
    if series == "unfinished":
        return tuple(file for file in job.files if file.state is not State.COMPLETED)
    return job.files


def claim(record: Record | None, policy: Files) -> Claim:
    """What a job needs of `max_total`; `(False, 0)` where it has no file to list, or there is no job."""
    job = None if record is None else record.job
    number = min(len(eligible(job, policy.series)), policy.max_per_job)
    if job is None or number == 0:
        return (False, 0)
    return (job.state is not State.COMPLETED, number)


def shares(records: Iterable[Record], policy: Files) -> dict[JobKey, int]:
    """How many files are listed of the jobs for which `max_total` leaves no room for all that they claim.

    Failed and unfinished jobs come first, then those with the highest id; the last one that fits in part is cut.
    """
    claims = [(claim(record, policy), record) for record in records]
    left = policy.max_total
    if sum(number for (_first, number), _record in claims) <= left:
        return {}
    claims.sort(key=lambda each: (each[0][0], id_order(each[1].job_id), each[1].cluster_id), reverse=True)
    cut = {}
    for (_first, number), record in claims:
        given = min(left, number)
        left -= given
        if given < number:
            cut[record.cluster_id, record.job_id] = given
    return cut


def series_of(record: Record, policy: Files, share: int | None = None) -> JobSeries:
    """What is exposed of a job whose share of `max_total` is so many files; None: as many as it claims.

    Failed files are listed first, then unfinished ones, then others, each by name.
    """
    if record.job is None or record.job.files is None:
        return JobSeries(record)
    files = eligible(record.job, policy.series)
    number = min(len(files), policy.max_per_job)
    if share is not None:
        number = min(number, share)
    if number < len(files):
        listed = sorted(
            files, key=lambda file: (file.state is not State.FAILED, file.state is State.COMPLETED, file.name)
        )
        files, omitted = tuple(sorted(listed[:number], key=lambda file: file.name)), len(files) - number
        return JobSeries(record, files, omitted)
    return JobSeries(record, files, 0)
