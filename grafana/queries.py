"""PromQL of the dashboard: selectors, what is wrong with a job, how fast and how far it is.

Instant queries aggregate by `max by` first, so that two exporters that watch the same job, or `/metrics` beside
`/sd`, count it once. Range queries do not: over 5,000 jobs the same aggregation takes twenty times as long.
"""

from __future__ import annotations

from exporter.model import State

EXPORTER = 'job=~"$job", instance=~"$instance"'
CLUSTER = f'{EXPORTER}, cluster_id=~"$cluster_id"'
ASKED = f'{CLUSTER}, job_id=~"$job_id"'
JOB = f'{CLUSTER}, collection_name=~"$collection", job_id=~"$job_id"'

ID = "cluster_id, job_id"
KEY = "cluster_id, collection_name, job_id"
FILE = f"{KEY}, file_name"

# Progress comes in whole percents: a shorter window mostly sees none of them.
PACE_WINDOW = "10m"
PACE_STEP = "1m"
STALLED_AFTER = "30m"
# From 70 % on, Milvus sorts and builds indexes and reports little progress while it does.
LATE_PROGRESS = 0.7
STALLED_LATE_AFTER = "2h"
# Until when a job that left the exporter's watch unfinished is missed.
MISSED_FOR = "1h"
LONGEST_ESTIMATE = 7 * 86400


def metric(name: str, selector: str, **labels: str) -> str:
    """Series of this exporter: `name` without its prefix, `labels` as further equality matchers."""
    matchers = "".join(f', {label}="{value}"' for label, value in labels.items())
    return f"zilliz_import_{name}{{{selector}{matchers}}}"


def latest(name: str, by: str = KEY, selector: str = JOB, **labels: str) -> str:
    """One sample per `by`, whatever the number of exporters."""
    return f"max by ({by}) ({metric(name, selector, **labels)})"


def in_state(state: State) -> str:
    """Jobs that are in this state now."""
    return f"(max by ({KEY}) ({metric('job_state', JOB, state=state)}) == 1)"


def _stalled() -> str:
    """Importing now, throughout and already when the window began, without a change of progress or rows.

    `last_over_time` reaches across a gap in scraping that happened to be a window ago.
    """
    importing = metric("job_state", JOB, state=State.IMPORTING)
    progress, rows = metric("job_progress_ratio", JOB), metric("job_imported_rows", JOB)

    def began(window: str) -> str:
        return f"(last_over_time({importing}[15m] offset {window}) == 1)"

    early = (
        f"({importing} == 1) and (min_over_time({importing}[{STALLED_AFTER}]) == 1) and {began(STALLED_AFTER)}"
        f" and ignoring (state) (changes({progress}[{STALLED_AFTER}]) == 0)"
        f" unless ignoring (state) (changes({rows}[{STALLED_AFTER}]) > 0)"
    )
    late = (
        f"(changes({progress}[{STALLED_LATE_AFTER}]) == 0) and ignoring (state) {began(STALLED_LATE_AFTER)}"
        f" unless (changes({rows}[{STALLED_LATE_AFTER}]) > 0)"
    )
    return f"max by ({KEY}) ({early} and ignoring (state) ({progress} < {LATE_PROGRESS} or {late}))"


PROGRESS = latest("job_progress_ratio")
SIZE = latest("job_size_bytes")
ROWS = latest("job_rows")
IMPORTING = in_state(State.IMPORTING)
STALLED = _stalled()

_INFO = latest("job_info")
_SILENT = f"{latest('job_up', ID, ASKED)} == 0"


def _silent_for(error: str) -> str:
    return f"{_INFO} and on ({ID}) ({_SILENT}) and on ({ID}) {metric('job_error', ASKED, error=error)}"


UNREADABLE = (
    f'{_INFO} and on ({ID}) ({_SILENT}) unless on ({ID}) zilliz_import_job_error{{{ASKED}, error=~"not_found|expired"}}'
)
_UNFINISHED = f'zilliz_import_job_state{{{JOB}, state=~"{State.PENDING}|{State.IMPORTING}|{State.UNCOMMITTED}"}}'
# The cluster must still be scraped: otherwise a dead exporter would look like jobs that vanished.
VANISHED = (
    f"{_silent_for('not_found')} or (max by ({KEY}) (last_over_time({_UNFINISHED}[{MISSED_FOR}]) == 1)"
    f" and on (cluster_id) {metric('cluster_up', CLUSTER)} unless on ({ID}) {metric('job_info', CLUSTER)})"
)

# Words of the table's State column, worst first. A job to which several apply is shown under the first.
CONDITIONS: dict[str, str] = {
    "Failed": in_state(State.FAILED),
    "Unreadable": UNREADABLE,
    "Vanished": VANISHED,
    "Stalled": STALLED,
    "Uncommitted": in_state(State.UNCOMMITTED),
    "Importing": IMPORTING,
    "Pending": in_state(State.PENDING),
    "Completed": in_state(State.COMPLETED),
    "Expired": _silent_for("expired"),
    "Unknown": in_state(State.UNKNOWN),
}


def _ranked_conditions() -> str:
    """Every job with its word as label `state` and, as value, its rank: the worst highest. Obeys `$state`.

    PromQL cannot filter by a label that it has just made; `label_replace` can mark what matches, and a join then
    keeps the marked.
    """
    ranks = range(len(CONDITIONS), 0, -1)
    words = "\nor ".join(
        f'label_replace({rank} * ({expr}), "state", "{word}", "", "")'
        for rank, (word, expr) in zip(ranks, CONDITIONS.items(), strict=True)
    )
    return (
        f'max by ({KEY}, state) (label_replace(topk by ({KEY}) (1,\n{words}\n), "shown", "yes", "state", "$state")'
        ' and on (shown) label_replace(vector(1), "shown", "yes", "", ""))'
    )


RANKED = _ranked_conditions()


def _while_importing(name: str) -> str:
    """The gauge while its job is importing: the step from Pending into it is no pace."""
    importing = metric("job_state", JOB, state=State.IMPORTING)
    return f"{metric(name, JOB)} and ignoring (state) ({importing} == 1)"


def _pace(name: str, window: str) -> str:
    """Growth per second. A regression, not a difference: progress is a staircase of whole percents."""
    return f"clamp_min(deriv(({_while_importing(name)})[{window}]), 0)"


def _pace_now(name: str) -> str:
    return f"(max by ({KEY}) ({_pace(name, f'{PACE_WINDOW}:15s')}) and {IMPORTING})"


def pace_over_time(name: str) -> str:
    """Growth per second of a gauge that only a retry lowers, for graphs: as many evaluations as the graph has steps.

    Where the steps are so long that PACE_WINDOW does not hold two of them, the window grows with them.
    """
    windows = (f"{PACE_WINDOW}:$__interval", "$__rate_interval:$__interval")
    return "(" + " or ".join(_pace(name, window) for window in windows) + ")"


PACE = _pace_now("job_progress_ratio")
BYTES_PER_SECOND = f"{PACE} * {SIZE}"
ROWS_PER_SECOND = f"({_pace_now('job_imported_rows')} or {PACE} * {ROWS})"
REMAINING = f"((1 - {PROGRESS}) / ({PACE} > 1e-6) < {LONGEST_ESTIMATE})"


def tally(jobs: str) -> str:
    """How many; a calm 0 only while a cluster is being scraped, otherwise nothing."""
    return f"count({jobs}) or 0 * count({metric('cluster_up', CLUSTER)})"


WORST_FILES = (
    f"bottomk(200, ({latest('file_progress_ratio', FILE)} or 0 * {latest('file_state', FILE, state=State.FAILED)})"
    f" - 2 * {latest('file_state', FILE, state=State.FAILED)})"
)


def of_worst_files(values: str) -> str:
    """These values of the files that the table lists."""
    return f"({values}) and on ({FILE}) {WORST_FILES}"


# Numbers for a state timeline, which knows no words; Failed highest.
TIMELINE_ORDER = (
    State.UNKNOWN,
    State.COMPLETED,
    State.PENDING,
    State.IMPORTING,
    State.UNCOMMITTED,
    State.FAILED,
)
STATE_NUMBER = (
    f"max by ({KEY}) ("
    + " or ".join(
        f"{number} * {metric('job_state', JOB.replace('$job_id', '$newest'), state=state)}"
        for number, state in enumerate(TIMELINE_ORDER, start=1)
    )
    + ")"
)


def newly_finished(state: State) -> str:
    """Jobs that ended in `state` during each step: by finish time, or, without one, by first sight of the state.

    Milvus gives a failed job no finish time.
    """
    now = f"({metric('job_state', JOB, state=state)} == 1)"
    before = f"(max_over_time({metric('job_state', JOB, state=state)}[15m] offset $__interval) == 1)"
    completed = metric("job_completed_timestamp_seconds", JOB)
    return (
        f"count((({completed} > time() - $__interval_ms / 1000) and ignoring (state) {now})"
        f" or ignoring (state) ({now} unless {before} unless ignoring (state) {completed}))"
    )
