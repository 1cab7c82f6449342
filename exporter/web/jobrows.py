"""The jobs on the status page: the state that each is shown in, their order, and what is said of each."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from exporter import humanize
from exporter.collector.record import Record
from exporter.model import ErrorClass, Job, State
from exporter.web.filter import Filter
from exporter.web.urls import Urls

UNREADABLE = "Unreadable"
NOT_QUERIED = "Not queried"
STATES = ("Failed", UNREADABLE, "Unknown", "Uncommitted", "Importing", "Pending", NOT_QUERIED, "Completed")
"""The states in which jobs are shown, in order of concern."""
MOST = 200
"""Jobs that are shown of a cluster."""


def slug(state: str) -> str:
    """The name of a state in queries and style sheets."""
    return state.lower().replace(" ", "-")


SLUGS = {slug(state): state for state in STATES}
_RANK = {state: -place for place, state in enumerate(STATES)}


@dataclass(frozen=True, slots=True)
class Row:
    """One job, ready to print. `progress` is percent, None where there is no bar; texts are "" where nothing is known.

    `age` is when the job was created or ended, `more_age` how long it took or has not changed.
    """

    job_id: str
    href: str
    collection: str
    database: str
    state: str
    progress: float | None
    size: str
    rows: str
    rows_exact: str
    files: str
    files_failed: int
    age: str
    more_age: str
    answered: str
    note: str


@dataclass(frozen=True, slots=True)
class Rows:
    """The jobs of one cluster: the `worst` out of those `matching` the filter, and all watched ones by state."""

    worst: Sequence[Row]
    matching: int
    watched: int
    states: Mapping[str, int]


def rows(records: Sequence[Record], chosen: Filter, urls: Urls, now: float, *, scraped: bool) -> Rows:
    """Choose and describe the jobs of a cluster; `scraped`: somebody scraped it within `max_age`."""
    states = [_shown_state(record, scraped=scraped) for record in records]
    counted = Counter(states)
    matching = [
        (_RANK[state], _latest(record), record.job_id, state, record)
        for state, record in zip(states, records, strict=True)
        if not chosen.active or chosen.matches(slug(state), *_names(record))
    ]
    worst = heapq.nlargest(MOST, matching, key=lambda each: each[:3])
    return Rows(
        worst=[_row(record, state, urls, now) for _, _, _, state, record in worst],
        matching=len(matching),
        watched=len(records),
        states={state: counted[state] for state in STATES if counted[state]},
    )


def _shown_state(record: Record, *, scraped: bool) -> str:
    """The state of a job; the last known one, where it is out of date only since nobody scraped."""
    answer = record.state.answer
    if record.up is None:
        return NOT_QUERIED
    if answer is None or not (record.up or (record.error is ErrorClass.STARVED and not scraped)):
        return UNREADABLE
    return answer.job.state


def _latest(record: Record) -> float:
    """What puts the youngest jobs first."""
    ended = record.changed_at if record.finished else None
    return record.first_seen if ended is None else ended


def _names(record: Record) -> Sequence[str]:
    answer = record.state.answer
    reason = "" if answer is None else answer.job.failure_reason
    return record.cluster_id, record.job_id, record.collection_name, record.db_name, record.file_name, reason


def _row(record: Record, state: str, urls: Urls, now: float) -> Row:
    answer = record.state.answer
    job = None if answer is None or state == UNREADABLE else answer.job
    file_states = job.file_states if job else None
    age, more_age = _ages(record, job, now)
    query = {"target": record.cluster_id, "job_id": record.job_id, "debug": "true"}
    return Row(
        job_id=record.job_id,
        href=urls.link("/probe") + "?" + urlencode(query),
        collection=record.collection_name,
        database=record.db_name,
        state=state,
        progress=_percent(job),
        size=humanize.size(job.size) if job and job.size is not None else "",
        rows=_rows(job, humanize.count),
        rows_exact=_rows(job, "{:,.0f}".format),
        files=f"{file_states.get(State.COMPLETED, 0)} of {sum(file_states.values())}" if file_states else "",
        files_failed=file_states.get(State.FAILED, 0) if file_states else 0,
        age=age,
        more_age=more_age,
        answered=humanize.age(now - record.refreshed) if record.refreshed is not None else "never",
        note=_error(record, now) if state == UNREADABLE else job.failure_reason if job else "",
    )


def _ages(record: Record, job: Job | None, now: float) -> tuple[str, str]:
    """When the job was created or ended, and how long it took or has not changed."""
    created = record.listed_created_at if job is None or job.created_at is None else job.created_at
    changed = record.changed_at
    if job is None or not job.state.finished:
        since = "First seen" if created is None else "Created"
        age = f"{since} {humanize.age(now - (record.first_seen if created is None else created))}"
        unchanged = 0.0 if job is None or changed is None else now - changed
        return age, f"unchanged for {humanize.duration(float(int(unchanged)))}" if unchanged >= 1 else ""
    if changed is None:
        return "", ""
    took = 0.0 if created is None else changed - created
    return f"Ended {humanize.age(now - changed)}", f"took {humanize.duration(took)}" if took > 0 else ""


def _percent(job: Job | None) -> float | None:
    return None if job is None or job.progress is None else round(job.progress * 100, 1)


def _rows(job: Job | None, text: Callable[[float], str]) -> str:
    known = () if job is None else (job.imported_rows, job.rows)
    return " of ".join(text(number) for number in known if number is not None)


def _error(record: Record, now: float) -> str:
    """Why the job cannot be read, and what was last known of it."""
    words = "Could not be read" if record.error is None else humanize.error(record.error)
    said = f"{words[0].upper()}{words[1:]}."
    answer = record.state.answer
    if answer is None:
        return said
    percent = _percent(answer.job)
    progress = "" if percent is None else f", {percent:g} %"
    return f"{said} Last known {humanize.age(now - answer.at.epoch)}: {answer.job.state}{progress}."
