"""`--once`: what one scrape found, as a table for a person, and whether all of it could be read."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from exporter import humanize
from exporter.collector.record import Record
from exporter.collector.snapshot import ClusterSnapshot
from exporter.config.schema import Cluster
from exporter.model import ErrorClass, State, id_order

WIDTH: Final = 100
"""Columns that the table takes at most."""

_UNREADABLE: Final = "Unreadable"
# In order of concern.
_ORDER: Final = (_UNREADABLE, "Failed", "Unknown", "Uncommitted", "Importing", "Pending", "Completed")
_TITLES: Final = ("JOB", "COLLECTION", "STATE", "PROGRESS", "ROWS", "WHEN")
_STATE: Final = _TITLES.index("STATE")
_CUT: Final = (1, 0)
"""Columns that are cut where the table is too wide, in this order."""
_NARROWEST: Final = 8
_GAP: Final = "  "
_NOTE_LINES: Final = 3
_COLOURS: Final[Mapping[str, str]] = {
    **dict.fromkeys((_UNREADABLE, "Failed", "down"), "31"),
    **dict.fromkeys(("Unknown", "Uncommitted"), "33"),
    **dict.fromkeys(("Completed", "up"), "32"),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """One cluster after its only scrape; `error` and `detail` are the last failure of a call, if any."""

    settings: Cluster
    snapshot: ClusterSnapshot
    error: ErrorClass | None = None
    detail: str = ""

    @property
    def list_unfinished(self) -> bool:
        """Whether the lists were not read to their ends."""
        return bool(self.settings.lists) and self.snapshot.listed is None

    @property
    def complete(self) -> bool:
        """Whether the lists and every job could be read."""
        jobs = self.snapshot.jobs.values()
        failed = self.snapshot.up is False or any(not record.up for record in jobs)
        return not (failed or self.snapshot.waiting or self.list_unfinished)


def table(readings: Sequence[Reading], *, now: float, colour: bool) -> str:
    """Return the table, worst first in each cluster. `now` in seconds since the epoch."""
    return "\n".join("".join(f"{line}\n" for line in _cluster(reading, now, colour)) for reading in readings)


def _cluster(reading: Reading, now: float, colour: bool) -> Iterator[str]:
    settings, snapshot = reading.settings, reading.snapshot
    verdict = {None: "not read", True: "up", False: "down"}[snapshot.up]
    name = _cut(humanize.printable(settings.cluster_id), WIDTH // 2)
    rest = _cut(f"{settings.api} at {settings.base_url}", WIDTH - len(_GAP.join((name, verdict, ""))))
    yield _GAP.join((name, _painted(verdict, colour), rest))
    for remark in _remarks(reading):
        yield from _wrapped(remark, _GAP)
    if snapshot.jobs:
        records = sorted(snapshot.jobs.values(), key=lambda record: id_order(record.job_id), reverse=True)
        records.sort(key=lambda record: _ORDER.index(_state(record)))
        # What keeps the whole cluster from being read is said once.
        explained = reading.error if snapshot.up is False else None
        notes = ["" if record.error and record.error is explained else _note(record) for record in records]
        yield from _rows([_cells(record, now) for record in records], notes, colour)


def _remarks(reading: Reading) -> Iterator[str]:
    snapshot = reading.snapshot
    if reading.error is not None:
        yield f"{humanize.error(reading.error)}: {reading.detail}"
    if snapshot.waiting:
        yield f"not read for lack of time: {_jobs(snapshot.waiting)}; a longer scrape.timeout gives more"
    if reading.list_unfinished and snapshot.up is not False:
        yield "the list of jobs was not read to its end for lack of time; a longer scrape.timeout gives more"
    if snapshot.omitted:
        yield f"not watched, since there are more than discovery.max_jobs: {_jobs(snapshot.omitted)}"
    if snapshot.jobs:
        yield _counted(Counter(map(_state, snapshot.jobs.values())))
    elif snapshot.listed is not None:
        listed = Counter({str(state): number for state, number in snapshot.listed.items()})
        yield f"no jobs to show; the API lists {_counted(listed)}"
    elif reading.complete:
        yield "no jobs to show: the configuration names none, and discovery is off"


def _rows(rows: Sequence[tuple[str, ...]], notes: Sequence[str], colour: bool) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(_TITLES, *rows, strict=True)]
    for index in _CUT:
        excess = max(0, sum(widths) + len(_GAP) * len(widths) - WIDTH)
        widths[index] -= min(excess, max(0, widths[index] - _NARROWEST))
    yield _line(_TITLES, widths)
    for row, note in zip(rows, notes, strict=True):
        yield _line(row, widths, colour=colour)
        yield from _wrapped(note, 2 * _GAP)


def _cells(record: Record, now: float) -> tuple[str, ...]:
    job = record.job
    if job is None:
        return record.job_id, humanize.printable(record.collection_name), _state(record), "", "", ""
    rows = [humanize.count(number) for number in (job.imported_rows, job.rows) if number is not None]
    if job.state.finished:
        when = "" if record.changed_at is None else f"ended {humanize.age(now - record.changed_at)}"
    else:
        when = "" if record.created_at is None else f"created {humanize.age(now - record.created_at)}"
    return (
        job.job_id,
        humanize.printable(record.collection_name),
        _state(record),
        "" if job.progress is None else f"{100 * job.progress:.0f}%".rjust(len("PROGRESS")),
        " of ".join(rows),
        when,
    )


def _state(record: Record) -> str:
    return _UNREADABLE if record.job is None else record.job.state


def _note(record: Record) -> str:
    """Say why a job failed or cannot be read; "" where there is nothing to say."""
    if record.error is not None:
        last = record.state.answer
        return humanize.error(record.error) + (f"; it was {last.job.state} before" if last is not None else "")
    if record.job is None or record.job.state is not State.FAILED:
        return ""
    return record.job.failure_reason or "the API gives no reason"


def _line(cells: Sequence[str], widths: Sequence[int], *, colour: bool = False) -> str:
    padded = [_cut(cell, width).ljust(width) for cell, width in zip(cells, widths, strict=True)]
    padded[_STATE] = _painted(padded[_STATE], colour)
    return (_GAP + _GAP.join(padded)).rstrip()


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        humanize.printable(text),
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        max_lines=_NOTE_LINES,
        placeholder=" …",
    )


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _painted(text: str, colour: bool) -> str:
    code = _COLOURS.get(text.strip()) if colour else None
    return text if code is None else f"\x1b[{code}m{text}\x1b[0m"


def _jobs(number: int) -> str:
    return "1 job" if number == 1 else f"{humanize.count(number)} jobs"


def _counted(states: Counter[str]) -> str:
    """Return a number of jobs, and how many are in each state, in order of concern."""
    each = [f"{humanize.count(states[state])} {state}" for state in _ORDER if states[state]]
    return _jobs(states.total()) + (f": {', '.join(each)}" if each else "")
