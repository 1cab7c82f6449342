"""A reply's `data` made into jobs: with values.py, filenames.py and verdict.py the home of every leniency.

Both dialects, old and new field names: https://docs.zilliz.com/reference/restful/get-import-job-progress-v2
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

from exporter.api.errors import PayloadError
from exporter.api.filenames import file_name
from exporter.api.values import (
    LONGEST_COLLECTION_NAME,
    LONGEST_REASON,
    amount,
    number,
    ratio,
    reason,
    shortened,
    text,
    timestamp,
    whole_reason,
)
from exporter.log import get_logger
from exporter.model import JOB_ID, File, Job, ListedJob, ListPage, State

_STATES: Final[Mapping[str, State]] = {
    "": State.PENDING,
    "none": State.PENDING,
    "pending": State.PENDING,
    "importing": State.IMPORTING,
    "inprogress": State.IMPORTING,
    "retry": State.IMPORTING,
    "running": State.IMPORTING,
    "started": State.IMPORTING,
    "persisted": State.IMPORTING,
    "preimporting": State.IMPORTING,
    "canceling": State.IMPORTING,
    "cancelling": State.IMPORTING,
    "sorting": State.IMPORTING,
    "stats": State.IMPORTING,
    "indexbuilding": State.IMPORTING,
    "assigningidrange": State.IMPORTING,
    "resharding": State.IMPORTING,
    "planning": State.IMPORTING,
    "committing": State.IMPORTING,
    "uncommitted": State.UNCOMMITTED,
    "completed": State.COMPLETED,
    "success": State.COMPLETED,
    "successful": State.COMPLETED,
    "failed": State.FAILED,
    "failedandcleaned": State.FAILED,
    "canceled": State.FAILED,
    "cancelled": State.FAILED,
    "aborted": State.FAILED,
}
# Words that say why as well.
_CANCELED: Final = frozenset({"canceled", "cancelled", "aborted"})
# As today's servers write them: found without any work.
_USUAL: Final[Mapping[object, State]] = {
    "Pending": State.PENDING,
    "Importing": State.IMPORTING,
    "InProgress": State.IMPORTING,
    "Completed": State.COMPLETED,
    "Failed": State.FAILED,
}
_PREFIX = re.compile(r"^import(?:(?:job|task)state(?:v[0-9])?)?(?=.)")
# Characters; longer words and ids are read in part, and fit nothing.
_LONGEST_STATE: Final = 64
_LONGEST_ID: Final = 256
# What tells the state of a job where `state` is left out, as in the v1 API.
_STANDING: Final = ("progress", "readyPercentage", "completeTime", "reason", "errorMessage")
# What a file of several entries is said to be: the first of these that one of them is.
_MERGED_STATE: Final = (
    State.FAILED,
    State.UNKNOWN,
    State.PENDING,
    State.IMPORTING,
    State.UNCOMMITTED,
    State.COMPLETED,
)
_MOST_UNHEARD_OF: Final = 100

_log = get_logger()
_unheard_of: set[str] = set()


def job_from(data: Mapping[str, Any], job_id: str) -> Job:
    """Read the `data` of a progress reply as the job that was asked for, whatever id it echoes.

    Raises PayloadError if nothing in it says how the job stands.
    """
    get = data.get
    if not _says_how_it_stands(data):
        raise PayloadError("the data has no state, no progress, no completeTime and no errorMessage")
    details = get("details")
    said = _first(data, "reason", "errorMessage")
    whole = whole_reason(said) or _word_of_canceled(data)
    why = shortened(whole, LONGEST_REASON)
    files: tuple[File, ...] | None = None
    file_states: Mapping[State, int] | None = None
    if isinstance(details, list):
        # A server gives all files the reason of the job: read once, kept once.
        entries = [_file(entry, said, why) for entry in details if isinstance(entry, dict)]
        counts = dict.fromkeys(State, 0)
        for entry in entries:
            counts[entry.state] += 1
        files, file_states = _merged(entries), counts
    return Job(
        job_id=job_id,
        collection_name=text(get("collectionName"), LONGEST_COLLECTION_NAME),
        state=_state(data),
        progress=ratio(_first(data, "progress", "readyPercentage")),
        size=amount(get("fileSize")),
        rows=amount(get("totalRows")),
        imported_rows=amount(get("importedRows")),
        completed_at=timestamp(get("completeTime")),
        reason=why,
        files=files,
        file_states=file_states,
        file_name=file_name(get("fileName")),
        created_at=_created_at(data),
        whole_reason=whole if whole != why else "",
    )


def list_page_from(data: Mapping[str, Any]) -> ListPage:
    """Read the `data` of a list reply: its records as sent, duplicates included, without those that name no job.

    Raises PayloadError if the records are not a list.
    """
    records = _first(data, "records", "tasks")
    if records is None:
        records = []
    if not isinstance(records, list):
        raise PayloadError("the records of the list are not a list")
    jobs = []
    for record in records:
        if isinstance(record, dict) and (job_id := _job_id(_first(record, "jobId", "jobID"))):
            name = text(record.get("collectionName"), LONGEST_COLLECTION_NAME)
            jobs.append(ListedJob(job_id, name, _state(record), _created_at(record)))
    return ListPage(tuple(jobs), unusable=len(records) - len(jobs))


def _job_id(value: object) -> str:
    job_id = text(value, _LONGEST_ID)
    return job_id if JOB_ID.fullmatch(job_id) else ""


def _says_how_it_stands(data: Mapping[str, Any]) -> bool:
    return data.get("state") is not None or any(data.get(name) not in (None, "") for name in _STANDING)


def _created_at(data: Mapping[str, Any]) -> float | None:
    created_at = timestamp(data.get("createTime"))
    return timestamp(data.get("startTime")) if created_at is None else created_at


def _word_of_canceled(data: Mapping[str, Any]) -> str:
    """Return the state as sent where it says why the job or file failed, else ""."""
    value = data.get("state")
    if type(value) is not str or value in _USUAL or _normalized(value) not in _CANCELED:
        return ""
    return value.strip()


def _first(data: Mapping[str, Any], name: str, older_name: str) -> Any:
    value = data.get(name)
    return data.get(older_name) if value is None else value


def _file(entry: Mapping[str, Any], said_of_job: object, reason_of_job: str) -> File:
    get = entry.get
    said = _first(entry, "reason", "errorMessage")
    why = reason_of_job if type(said) is str and said == said_of_job else reason(said)
    return File(
        name=file_name(get("fileName")),
        state=_state(entry),
        progress=ratio(_first(entry, "progress", "readyPercentage")),
        size=amount(get("fileSize")),
        rows=amount(get("totalRows")),
        imported_rows=amount(get("importedRows")),
        completed_at=timestamp(get("completeTime")),
        reason=why or _word_of_canceled(entry),
    )


def _state(data: Mapping[str, Any]) -> State:
    value = data.get("state")
    if type(value) is str:
        usual = _USUAL.get(value)
        return usual or _read_state(value)
    return _state_of_v1(data) if value is None else _unknown(type(value).__name__)


def _read_state(value: str) -> State:
    word = _normalized(value)
    state = _STATES.get(word) or _STATES.get(_PREFIX.sub("", word, count=1))
    return state or _unknown(shortened(whole_reason(value), _LONGEST_STATE))


def _normalized(word: str) -> str:
    """Write a word without case, blanks, "_" and "-"."""
    return "".join(word[: 2 * _LONGEST_STATE].split()).replace("_", "").replace("-", "").casefold()


def _state_of_v1(data: Mapping[str, Any]) -> State:
    """Derive the state that the v1 API leaves out."""
    if _first(data, "reason", "errorMessage"):
        return State.FAILED
    if data.get("completeTime"):
        return State.COMPLETED
    return State.IMPORTING if number(_first(data, "progress", "readyPercentage")) else State.PENDING


def _unknown(shown: str) -> State:
    if shown not in _unheard_of and len(_unheard_of) < _MOST_UNHEARD_OF:
        _unheard_of.add(shown)
        _log.warning("The API sent a state that this exporter does not know; it is shown as Unknown", state=shown)
    return State.UNKNOWN


def _merged(entries: Sequence[File]) -> tuple[File, ...]:
    """Order files by name, entries of the same name made into one."""
    by_name = {entry.name: entry for entry in entries}
    if len(by_name) < len(entries):
        groups: dict[str, list[File]] = {name: [] for name in by_name}
        for entry in entries:
            groups[entry.name].append(entry)
        by_name = {name: group[0] if len(group) == 1 else _one_of(group) for name, group in groups.items()}
    return tuple(sorted(by_name.values(), key=attrgetter("name")))


def _one_of(group: Sequence[File]) -> File:
    states = {entry.state for entry in group}
    finish_times = [entry.completed_at for entry in group if entry.completed_at is not None]
    return File(
        name=group[0].name,
        state=next(state for state in _MERGED_STATE if state in states),
        progress=_mean_progress(group),
        size=_sum(entry.size for entry in group),
        rows=_sum(entry.rows for entry in group),
        imported_rows=_sum(entry.imported_rows for entry in group),
        # The file is done when its last entry is.
        completed_at=max(finish_times) if len(finish_times) == len(group) else None,
        reason=_reason_of(group),
    )


def _reason_of(group: Sequence[File]) -> str:
    """Choose one reason, whatever the order of the entries: a failed one's if there is one."""
    reasons = sorted((entry.state is not State.FAILED, entry.reason) for entry in group if entry.reason)
    return reasons[0][1] if reasons else ""


def _sum(values: Iterable[float | None]) -> float | None:
    given = [value for value in values if value is not None]
    return amount(sum(given)) if given else None


def _mean_progress(group: Sequence[File]) -> float | None:
    parts = [(entry.progress, entry.size) for entry in group if entry.progress is not None]
    if not parts:
        return None
    # Scaled by the number of parts so that no sum of sizes overflows.
    weights = [(size or 0.0) / len(parts) for _, size in parts]
    total = sum(weights)
    if total <= 0 or any(size is None for _, size in parts):
        weights, total = [1.0] * len(parts), float(len(parts))
    # Rounding must not lift the mean above 1.
    return min(1.0, sum(progress * weight for (progress, _), weight in zip(parts, weights, strict=True)) / total)
