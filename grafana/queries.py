"""PromQL of the dashboards: which jobs need attention, how far and how fast the others are.

Everything aggregates by labels of the exporter before it counts or sums, so that two replicas that watch the same job
count it once, whatever labels their targets carry. Instant queries do so per job. Range queries over all jobs sum each
target first, since as many series as jobs at each step take twenty times as long.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from exporter.model import State

ID = "cluster_id, job_id"
KEY = "cluster_id, collection_name, job_id"

EXPORTER = 'job=~"$job", instance=~"$instance"'
CLUSTER = f'cluster_id=~"$cluster_id", {EXPORTER}'

# As long as a failure is news to its alert; its series may have gone earlier.
RECENT = "12h"
# Progress comes in whole percents: a shorter window mostly sees none of them.
PACE_WINDOW = "10m"
PACE_STEP = "1m"
LONGEST_ESTIMATE = 7 * 86400
# Until when a cluster that is no longer scraped is missed.
MISSED_FOR = "1h"
_UNFINISHED = tuple(state for state in State if not state.finished)
UNFINISHED = "|".join(_UNFINISHED)


@dataclass(frozen=True, slots=True)
class Scope:
    """The jobs that a dashboard shows, as matchers.

    `id` is for families without `collection_name`; `state` is added where a table lists jobs by their state.
    """

    job: str
    id: str
    state: str = ""


ALL_JOBS = Scope(
    job=f'cluster_id=~"$cluster_id", collection_name=~"$collection", job_id=~"$job_id", {EXPORTER}',
    id=f'cluster_id=~"$cluster_id", job_id=~"$job_id", {EXPORTER}',
    state=', state=~"$state"',
)
_ONE = f'cluster_id="$cluster_id", job_id="$job_id", {EXPORTER}'
ONE_JOB = Scope(job=_ONE, id=_ONE)


def metric(name: str, selector: str) -> str:
    """Series of this exporter: `name` without its prefix."""
    return f"zilliz_import_{name}{{{selector}}}"


def latest(name: str, selector: str, by: str = ID) -> str:
    """One sample per `by`, whatever the number of exporters."""
    return f"max by ({by}) ({metric(name, selector)})"


def in_state(state: State, scope: Scope) -> str:
    """Jobs that are in this state now, each 1."""
    selector = f'{scope.job}, state="{state}"'
    return f"({latest('job_state', selector, KEY)} == 1)"


# --- What needs attention: each as its alert has it -------------------------------------------------------------------


def unchanged(scope: Scope, *states: State) -> str:
    """Seconds since anything changed, by job and state."""
    matcher = f'state{"=~" if len(states) > 1 else "="}"{"|".join(states)}"'
    changed = metric("job_last_change_timestamp_seconds", f"{scope.job}, {matcher}{scope.state}")
    return f"time() - min by (cluster_id, collection_name, db_name, job_id, state) ({changed})"


def failed(scope: Scope) -> str:
    """Failed now or recently, the series may have gone; not those that were aborted or whose collection was dropped.

    The value is the time of the failure, or 1 where nobody knows it.
    """
    state = f'{scope.job}, state="{State.FAILED}"{scope.state}'
    wanted = metric("job_failure_info", f'{scope.job}, cause=~"aborted|dropped"')
    return (
        f"max by ({KEY}) (last_over_time({metric('job_last_change_timestamp_seconds', state)}[{RECENT}])"
        f" or {metric('job_state', state)} == 1) unless on ({ID}) last_over_time({wanted}[{RECENT}])"
    )


def _silent(scope: Scope, error: str) -> str:
    return (
        f"group by ({KEY}) ({metric('job_error', f'{scope.job}, error{error}')})"
        f" unless on ({ID}) {metric('job_up', scope.id)} == 1"
    )


def vanished(scope: Scope) -> str:
    """Unknown to the API after the exporter saw them unfinished; no replica can read them."""
    return _silent(scope, '="vanished"')


def unreadable(scope: Scope) -> str:
    """No replica can read them, for another reason than that the API does not know them."""
    return _silent(scope, '!~"expired|not_found|vanished"')


def not_found(scope: Scope) -> str:
    """Unknown to the API, and never seen: a mistyped id, mostly."""
    return _silent(scope, '="not_found"')


def stalled(scope: Scope) -> str:
    """Unchanged for too long; from 70 % on, Milvus sorts and builds indexes, and reports little while it does."""
    importing, unknown = unchanged(scope, State.IMPORTING), unchanged(scope, State.UNKNOWN)
    early = f"and on ({ID}) {metric('job_progress_ratio', scope.job)} < 0.7"
    return f"{importing} > 90 * 60 {early} or {importing} > 6 * 3600 or {unknown} > 3600"


def pending(scope: Scope) -> str:
    """Waiting for their start for too long."""
    return f"{unchanged(scope, State.PENDING)} > 3600"


def uncommitted(scope: Scope) -> str:
    """Waiting for their commit for too long."""
    return f"{unchanged(scope, State.UNCOMMITTED)} > 6 * 3600"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why jobs are listed under *Needs attention*: the word, the section of the runbooks, the expression."""

    word: str
    section: str
    jobs: Callable[[Scope], str]


# In the order of the table.
TROUBLES = (
    Trouble("Failed", "zillizimportjobfailed", failed),
    Trouble("Vanished", "zillizimportjobvanished", vanished),
    Trouble("Unreadable", "zillizimportjobsunreadable", unreadable),
    Trouble("Stalled", "zillizimportjobstalled", stalled),
    Trouble("Pending", "zillizimportjobpending", pending),
    Trouble("Uncommitted", "zillizimportjobuncommitted", uncommitted),
    Trouble("Not found", "what-has-no-alert", not_found),
)


def since(scope: Scope) -> str:
    """Seconds since a failed job failed, since anything changed, or since the last answer about an unreadable job."""
    name = "job_last_change_timestamp_seconds"
    ended = metric(name, f'{scope.job}, state="{State.FAILED}"')
    changed = metric(name, f'{scope.job}, state=~"{UNFINISHED}"')
    answered = f"{metric('job_refreshed_timestamp_seconds', scope.id)} and on ({ID}) {metric('job_error', scope.job)}"
    return (
        f"time() - (min by ({ID}) (last_over_time({ended}[{RECENT}])) or min by ({ID}) ({changed})"
        f" or max by ({ID}) ({answered}))"
    )


def reason(scope: Scope) -> str:
    """The API's reason as label `reason`; without one, the job's state, or the error that keeps it from being read."""
    given = f"last_over_time({metric('job_failure_info', scope.job)}[{RECENT}])"
    state = metric("job_state", f'{scope.job}, state=~"{State.FAILED}|{UNFINISHED}"')
    error = metric("job_error", scope.job)
    return (
        f"max by ({ID}, reason) ({given}"
        f' or on ({ID}) label_replace({state} == 1, "reason", "$1", "state", "(.+)")'
        f' or on ({ID}) label_replace({error}, "reason", "$1", "error", "(.+)"))'
    )


def database(scope: Scope) -> str:
    """The job's database as label `db_name`."""
    return latest("job_info", scope.job, f"{ID}, db_name")


# --- What runs --------------------------------------------------------------------------------------------------------


def running(scope: Scope) -> str:
    """Unfinished jobs, with the seconds since anything changed. Where replicas differ, the later change counts."""
    return f"bottomk by ({ID}) (1, {unchanged(scope, *_UNFINISHED)})"


def progress(scope: Scope) -> str:
    """From 0 to 1."""
    return latest("job_progress_ratio", scope.job)


def _pace(name: str, scope: Scope, window: str) -> str:
    """Growth per second of a gauge while its job is importing: the step from Pending into it is no pace.

    A regression, not a difference: progress is a staircase of whole percents.
    """
    importing = metric("job_state", f'{scope.job}, state="{State.IMPORTING}"')
    gauge = f"{metric(name, scope.job)} and ignoring (state) ({importing} == 1)"
    return f"clamp_min(deriv(({gauge})[{window}]), 0)"


def _pace_now(name: str, scope: Scope) -> str:
    pace = f"max by ({ID}) ({_pace(name, scope, f'{PACE_WINDOW}:15s')})"
    return f"({pace} and on ({ID}) {in_state(State.IMPORTING, scope)})"


def bytes_per_second(scope: Scope) -> str:
    """An estimate: the API reports percents."""
    return f"{_pace_now('job_progress_ratio', scope)} * {latest('job_size_bytes', scope.job)}"


def remaining(scope: Scope) -> str:
    """Seconds at the pace of now; nothing for a job that stands still."""
    pace = f"({_pace_now('job_progress_ratio', scope)} > 1e-6)"
    return f"((1 - {progress(scope)}) / {pace} < {LONGEST_ESTIMATE})"


def files(scope: Scope) -> str:
    """How many files the job has."""
    return f"sum by ({ID}) ({latest('job_files', scope.job, f'{ID}, state')})"


def created(scope: Scope) -> str:
    """When the job was created, or, where the API does not say, when an exporter first saw it."""
    seen = metric("job_first_seen_timestamp_seconds", scope.id)
    return f"min by ({ID}) ({metric('job_created_timestamp_seconds', scope.job)} or on ({ID}) {seen})"


def age(scope: Scope) -> str:
    """Seconds since the job was created."""
    return f"time() - {created(scope)}"


def pace_over_time(name: str, factor: str = "") -> str:
    """Growth per second of the jobs of each collection, for graphs, times their gauge `factor`."""
    pace = f"({_pace(name, ALL_JOBS, f'{PACE_WINDOW}:{PACE_STEP}')} > 0)"
    product = f"{pace} * {metric(factor, ALL_JOBS.job)}" if factor else pace
    return f"max by (cluster_id, collection_name) (sum without (job_id) ({product}))"


# --- What ended -------------------------------------------------------------------------------------------------------

_FINISHED = f'state=~"{State.COMPLETED}|{State.FAILED}"'


def finished(scope: Scope) -> str:
    """Completed and failed jobs."""
    state = metric("job_state", f"{scope.job}, {_FINISHED}{scope.state}")
    return f"max by ({KEY}, state) ({state}) == 1"


def ended(scope: Scope) -> str:
    """When a finished job ended, in Unix seconds."""
    return f"min by ({ID}) ({metric('job_last_change_timestamp_seconds', f'{scope.job}, {_FINISHED}')})"


def duration(scope: Scope) -> str:
    """Seconds from the job's creation, or from an exporter's first sight of it, to its end."""
    return f"({ended(scope)} - {created(scope)} > 0)"


# --- Clusters, alerts, history ----------------------------------------------------------------------------------------

SCRAPED = metric("scrape_duration_seconds", CLUSTER)


def tally(jobs: str) -> str:
    """How many; 0 only while something is scraped, otherwise nothing."""
    return f"(count({jobs}) or vector(0)) and on () {SCRAPED}"


_SEEN = f"last_over_time({metric('cluster_up', CLUSTER)}[{MISSED_FOR}])"
CLUSTERS_DOWN = f"group by (cluster_id) ({_SEEN}) unless (max by (cluster_id) ({metric('cluster_up', CLUSTER)}) == 1)"


def firing(matchers: str) -> str:
    """Seconds since each alert of this exporter fires, or was about to; `where` is its collection, or its cluster."""
    alerts = f'alertname=~"ZillizImport.+", {matchers}'
    since = (
        "time() - min by (alertname, cluster_id, collection_name, job_id)"
        f' (ALERTS_FOR_STATE{{{alerts}}} and ignoring (alertstate) ALERTS{{{alerts}, alertstate="firing"}})'
    )
    for label in ("cluster_id", "collection_name"):
        since = f'label_replace({since}, "where", "$1", "{label}", "(.+)")'
    return since


# Numbers for a state timeline, which knows no words; Failed highest.
STATE_CODES = {
    State.UNKNOWN: 1,
    State.COMPLETED: 2,
    State.PENDING: 3,
    State.IMPORTING: 4,
    State.UNCOMMITTED: 5,
    State.FAILED: 6,
}


def state_code(selector: str) -> str:
    """Each job's state as its number."""
    each = (f'{code} * zilliz_import_job_state{{{selector}, state="{state}"}}' for state, code in STATE_CODES.items())
    return f"max by ({KEY}) ({' or '.join(each)})"
