"""Recording and alert rules of the exporter: thresholds, expressions, texts; `python -m prometheus.rules` writes them.

In PromQL a range cannot be a variable, and each threshold occurs as range, as offset and in a text: hence a program.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

# --- What a user may want to change ---------------------------------------------------------------------------------

SCRAPE_JOB = "zilliz-import-exporter"
RUNBOOKS = "https://github.com/zilliztech/zilliz-import-exporter/blob/main/docs/runbooks.md"
GRAFANA = "http://localhost:3000"
INTERVAL = "1m"
"""Between evaluations: the windows below reach over hours, and cost one sample per job and interval."""

NEWS = "12h"
"""How long a failure is worth a page; also how old it may be when the job is seen for the first time."""
STALLED = "90m"
STALLED_LATE = "6h"
LATE = 0.7
"""From this progress on Milvus sorts and builds indexes and reports little. With import V3 of Milvus 3 use 0.6."""
PENDING = "1h"
UNCOMMITTED = "6h"
REMEMBERED = "1d"
"""How long Prometheus' own memory of a job counts when the API does not know it any more."""
ERRORS = "15m"
THROTTLED = 0.1
LIST_FAILING = 0.5
RESTART = "15m"
"""No restart of the exporter takes longer. An alert about a job is kept for that long when its series vanish."""

CRITICAL, WARNING, INFO = "critical", "warning", "info"


@dataclass(frozen=True, slots=True)
class Timing:
    """When an alert fires and when it ends: `for` and `keep_firing_for` of Prometheus, empty for neither."""

    severity: str
    wait: str = ""
    keep: str = ""


# An inhibitor (AuthFailing, ClusterUnreachable, ExporterAbsent) waits for less than what it silences, so that it is
# there first, and what it silences is kept for longer than it waits.
TIMINGS: Mapping[str, Timing] = {
    "JobFailed": Timing(CRITICAL, keep=RESTART),
    "JobStalled": Timing(WARNING, keep=RESTART),
    "JobPending": Timing(WARNING, keep=RESTART),
    "JobUncommitted": Timing(WARNING, keep=RESTART),
    "JobUnreadable": Timing(WARNING, wait="15m", keep=RESTART),
    "JobVanished": Timing(WARNING, wait="5m", keep=RESTART),
    "JobUnknown": Timing(INFO, wait="15m", keep=RESTART),
    "AuthFailing": Timing(CRITICAL, wait="5m", keep=RESTART),
    "ClusterUnreachable": Timing(CRITICAL, wait="10m", keep=RESTART),
    "DiscoveryFailing": Timing(WARNING, wait="15m", keep=RESTART),
    "JobsOmitted": Timing(WARNING, wait="15m"),
    "Throttled": Timing(WARNING, wait="15m", keep=RESTART),
    "Backlog": Timing(WARNING, wait="15m", keep=RESTART),
    "ExporterDown": Timing(WARNING, wait="10m"),
    "ExporterAbsent": Timing(CRITICAL, wait="5m"),
    "ReloadFailed": Timing(WARNING, wait="5m"),
}

# --- Expressions ----------------------------------------------------------------------------------------------------

REPLICA = "instance, pod, container, endpoint, node"
"""What tells two exporters apart that watch the same job; a replaced pod must not be a new alert."""
SAME_JOB = "on (job, cluster_id, job_id)"

STATE = "import_job:zilliz_import_job_state:current"
PROGRESS = "import_job:zilliz_import_job_progress_ratio:importing"
ROWS = "import_job:zilliz_import_job_imported_rows:importing"
IDENTITY = "import_job:zilliz_import_job_info:best"
UP = "import_job:zilliz_import_job_up:max"
ROWS_PER_SECOND = "import_job:zilliz_import_job_imported_rows:deriv15m"
BYTES_PER_SECOND = "import_job:zilliz_import_job_size_bytes:deriv30m"
REMAINING_SECONDS = "import_job:zilliz_import_job_remaining_seconds:deriv30m"


IMPORTING = 'state="Importing"'
FAILED = 'state="Failed"'
FINISHED = 'state=~"Completed|Failed"'
NOT_FOUND = 'error="not_found"'
AUTH = 'error="auth"'
RATE_LIMITED = 'error="rate_limited"'
STARVED = 'error="starved"'
LIST = 'operation="list"'
CONFIGURED = 'source=~"config|list"'
OTHER_ALERTS_SAY_IT = 'error=~"expired|not_found|auth|rate_limited|starved"'


def select(metric: str, matchers: str) -> str:
    """The series of a metric to which the matchers apply."""
    return f"{metric}{{{matchers}}}"


def other_than(matcher: str) -> str:
    """The opposite of a matcher."""
    return matcher.replace('=~"', '!~"') if "=~" in matcher else matcher.replace('="', '!="')


def merged(metric: str, by: str = "max", drop: str = "") -> str:
    """One series for all exporters that expose it, without the labels in `drop` too."""
    return f"{by} without ({drop + ', ' if drop else ''}{REPLICA}) ({metric})"


def indented(expression: str) -> str:
    """The expression two columns to the right."""
    return "\n".join(f"  {line}" for line in expression.splitlines())


def while_importing(metric: str) -> str:
    """The metric of jobs that are Importing now: what they showed before that is no progress of the import."""
    return f"{merged(metric)}\nand ignoring (state) {select(STATE, IMPORTING)}"


NAMED_INFO = select("zilliz_import_job_info", 'collection_name!=""')

RECORDINGS: Mapping[str, str] = {
    STATE: f"{merged('zilliz_import_job_state')} == 1",
    PROGRESS: while_importing("zilliz_import_job_progress_ratio"),
    ROWS: while_importing("zilliz_import_job_imported_rows"),
    UP: merged("zilliz_import_job_up"),
    # Exactly one series per job, or every rule that joins it fails for all jobs. Two exporters may know a job by
    # different sources or, where one of them never read it, without its collection: the best-informed series wins.
    IDENTITY: (
        "topk by (job, cluster_id, job_id) (1,\n"
        f"  4 * {merged(NAMED_INFO, drop='source')}\n"
        f"  or 3 * max without (state) ({STATE})\n"
        f"  or 2 * {merged('zilliz_import_job_info', drop='source')}\n"
        f"  or {UP}\n"
        ") ^ 0"
    ),
    # A retry lets these gauges fall: rate() would take that for a counter's reset and count it as progress.
    ROWS_PER_SECOND: f"clamp_min(deriv({ROWS}[15m]), 0)\nand {ROWS}",
    # Progress comes in whole percents, which at a slow job are half an hour apart.
    BYTES_PER_SECOND: (
        f"clamp_min(deriv({PROGRESS}[30m]), 0)\n* ({merged('zilliz_import_job_size_bytes')} > 0)\nand {PROGRESS}"
    ),
    REMAINING_SECONDS: f"(1 - {PROGRESS})\n/ (deriv({PROGRESS}[30m]) > 0)",
}


def began(series: str, window: str) -> str:
    """The series at the time when the window began; a gap in scraping just then is bridged."""
    return f"last_over_time({series}[{RESTART}] offset {window})"


def held(state: str, window: str) -> str:
    """Jobs in this state now and when the window began, and in no other state between."""
    return (
        f"{select(STATE, state)}\n"
        f"and {began(select(STATE, state), window)}\n"
        f"unless ignoring (state) last_over_time({select(STATE, other_than(state))}[{window}])"
    )


def standing(bound: str, window: str) -> str:
    """Jobs that were Importing when the window began and are now, without a change of progress or rows between."""
    return (
        f"{PROGRESS} {bound}\n"
        f"and changes({PROGRESS}[{window}]) == 0\n"
        f"and {began(PROGRESS, window)}\n"
        f"unless changes({ROWS}[{window}]) > 0"
    )


def either(one: str, other: str) -> str:
    """What one of the expressions finds."""
    return f"(\n{indented(one)}\n)\nor (\n{indented(other)}\n)"


def failing(errors: str) -> str:
    """Jobs that no exporter can read, for a reason that the matcher `errors` names."""
    return f"{UP} == 0\nand {SAME_JOB} {select('zilliz_import_job_error', errors)}"


def named(expression: str) -> str:
    """The same jobs with the same value, one series each, with collection and database as alerts show them."""
    return (
        f"max without (state, collection_name) (\n{indented(expression)}\n)\n"
        f"* {SAME_JOB} group_left (collection_name, db_name) {IDENTITY}"
    )


def number_of(expression: str) -> str:
    """How many jobs of a cluster the expression finds; no series where there are none."""
    return f"count without (job_id) (\n{indented(expression)}\n) > 0"


def increase(counter: str, drop: str) -> str:
    """Increase of a counter of the API client over all exporters, without the labels in `drop`."""
    return merged(f"increase({counter}[{ERRORS}])", by="sum", drop=drop)


def errors(matcher: str) -> str:
    """Failed requests per cluster."""
    return increase(select("zilliz_import_api_errors_total", matcher), drop="operation, error")


def requests(matcher: str = "") -> str:
    """Requests per cluster."""
    counter = "zilliz_import_api_requests_total"
    return increase(select(counter, matcher) if matcher else counter, drop="operation")


def seconds(duration: str) -> int:
    """A duration of one unit as Prometheus writes it ("90m") in seconds."""
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[duration[-1]]


CLUSTER_DOWN = f"{merged('zilliz_import_cluster_up')} == 0"
UP_OF_TARGETS = f'up{{job="{SCRAPE_JOB}"}}'
WAITING = f"min_over_time(zilliz_import_cluster_jobs_waiting[{ERRORS}])"

EXPRESSIONS: Mapping[str, str] = {
    # The state, not a transition: a job may fail within one scrape interval. It is news for NEWS, and none if it had
    # ended that long before anybody watched it, unless it turned to Failed under our eyes: a job of Milvus that was
    # Completed fails when its collection is dropped, and keeps its completion time.
    "JobFailed": named(
        f"{select(STATE, FAILED)}\n"
        f"unless {SAME_JOB} max_over_time({select(STATE, FAILED)}[{NEWS}] offset {NEWS})\n"
        f"unless {SAME_JOB} (\n"
        f"  {merged('zilliz_import_job_completed_timestamp_seconds', drop='collection_name')}\n"
        f"  < {merged('zilliz_import_job_first_seen_timestamp_seconds', by='min')} - {seconds(NEWS)}\n"
        f"  unless {SAME_JOB} last_over_time({select(STATE, other_than(FAILED))}[{NEWS}])\n"
        ")"
    ),
    "JobStalled": named(either(standing(f"< {LATE}", STALLED), standing(f">= {LATE}", STALLED_LATE))),
    "JobPending": named(held('state="Pending"', PENDING)),
    "JobUncommitted": named(held('state="Uncommitted"', UNCOMMITTED)),
    # Which error it is changes from scrape to scrape. Excluded are those with an alert of their own, and ageing.
    "JobUnreadable": named(
        f"{UP} == 0\nunless {SAME_JOB} {select('zilliz_import_job_error', OTHER_ALERTS_SAY_IT)}",
    ),
    # After a restart the exporter cannot know that a job was finished before it was forgotten: Prometheus does.
    "JobVanished": named(
        f"{failing(NOT_FOUND)}\n"
        f"and {SAME_JOB} last_over_time({STATE}[{REMEMBERED}])\n"
        f"unless {SAME_JOB} last_over_time({select(STATE, FINISHED)}[{REMEMBERED}])"
    ),
    "JobUnknown": named(
        f"{failing(NOT_FOUND)}\n"
        f"and {SAME_JOB} {select('zilliz_import_job_info', CONFIGURED)}\n"
        f"unless {SAME_JOB} last_over_time({STATE}[{REMEMBERED}])"
    ),
    # A key that was changed fails for moments until the exporter reads the new one: only what still fails counts.
    "AuthFailing": (
        f"{errors(AUTH)} > 0\nand on (job, cluster_id) (\n{indented(either(CLUSTER_DOWN, failing(AUTH)))}\n)"
    ),
    "ClusterUnreachable": CLUSTER_DOWN,
    "DiscoveryFailing": f"{errors(LIST)}\n> {LIST_FAILING} * {requests(LIST)}",
    "JobsOmitted": f"{merged('zilliz_import_cluster_jobs_omitted')} > 0",
    # While Retry-After holds there are no requests, and no share of them: then the jobs say it.
    "Throttled": (f"{errors(RATE_LIMITED)}\n> {THROTTLED} * {requests()}\nor\n{number_of(failing(RATE_LIMITED))}"),
    "Backlog": f"{merged(WAITING, by='min')} > 0\nor\n{number_of(failing(STARVED))}",
    "ExporterDown": f"{UP_OF_TARGETS} == 0",
    "ExporterAbsent": f"absent({UP_OF_TARGETS} == 1)",
    "ReloadFailed": "zilliz_import_exporter_config_last_reload_successful == 0",
}

# --- Texts ----------------------------------------------------------------------------------------------------------


def queried(query: str, then: str, otherwise: str = "") -> str:
    """A template that asks Prometheus about the alert's job: `query` has one {} for matchers, `then` shows the answer.

    A label would be wrong for what changes while the alert lasts: each new value would be a new alert.
    """
    matchers = "job=%q,cluster_id=%q,job_id=%q"
    return (
        f"{{{{ with printf `{query.replace('{}', matchers)}` $labels.job $labels.cluster_id $labels.job_id | query }}}}"
        f"{then}" + (f"{{{{ else }}}}{otherwise}" if otherwise else "") + "{{ end }}"
    )


@dataclass(frozen=True, slots=True)
class Text:
    """What a person reads: a static sentence, and one about this very job, cluster or target."""

    summary: str
    description: str
    variables: tuple[str, ...] = ()
    """Variables of the dashboard that show what the alert is about; each is a label of the alert too."""


def about_job(summary: str, rest: str) -> Text:
    """The text of an alert about one job; `rest` goes on after its names."""
    job = (
        "Import {{ $labels.job_id }} into "
        "{{ with $labels.collection_name }}collection {{ . }}{{ else }}a collection not known yet{{ end }}"
        "{{ with $labels.db_name }} of database {{ . }}{{ end }} on cluster {{ $labels.cluster_id }}"
    )
    return Text(summary, f"{job} {rest}", ("cluster_id", "job_id"))


def about_cluster(summary: str, rest: str) -> Text:
    """The text of an alert about one cluster; `rest` goes on after its name."""
    return Text(summary, f"Cluster {{{{ $labels.cluster_id }}}} {rest}", ("cluster_id",))


REASON = queried(
    "max by (reason) (zilliz_import_job_failure_info{{}})",
    '{{ (. | sortByLabel "reason" | first).Labels.reason }}',
    "no reason given",
)
FILES = queried(
    'max by (file_name) (zilliz_import_file_state{{},state="Failed"} == 1)',
    ' (failed files: {{ range $i, $file := . | sortByLabel "file_name" }}{{ if lt $i 3 }}'
    "{{ if $i }}, {{ end }}{{ $file.Labels.file_name }}{{ end }}{{ end }}{{ if gt (len .) 3 }}, ...{{ end }})",
)
LAST_ERRORS = queried(
    "max by (error) (zilliz_import_job_error{{}})",
    '{{ range $i, $series := . | sortByLabel "error" }}{{ if $i }}, {{ end }}{{ $series.Labels.error }}{{ end }}',
    "unknown",
)

TEXTS: Mapping[str, Text] = {
    "JobFailed": about_job("A bulk import failed.", f"failed{FILES}: {REASON}"),
    "JobStalled": about_job(
        "A bulk import makes no progress.",
        "has stood at {{ $value | humanizePercentage }} for "
        f"{{{{ if lt $value {LATE} }}}}{STALLED}{{{{ else }}}}{STALLED_LATE}{{{{ end }}}}, rows included. "
        "70 % is sorting on Milvus 2.5 and 2.6 and the start of index building on 2.4; "
        "80 % is index building on 2.5 and 2.6 and the middle of it on 2.4.",
    ),
    "JobPending": about_job(
        "A bulk import does not start.",
        f"has been Pending for {PENDING}: it waits for a slot, for a quota, or for a worker that is gone.",
    ),
    "JobUncommitted": about_job(
        "A bulk import waits for its commit.",
        f"has been Uncommitted for {UNCOMMITTED}. It never ends by itself: somebody has to commit or abort it.",
    ),
    "JobUnreadable": about_job(
        "The state of a bulk import cannot be read.",
        f"has been unreadable for {TIMINGS['JobUnreadable'].wait}, last error: {LAST_ERRORS}.",
    ),
    "JobVanished": about_job(
        "A bulk import vanished before it ended.",
        "was not finished when it was last seen, and the API does not know it any more. "
        "The API will not say how it ended.",
    ),
    "JobUnknown": about_job(
        "A configured job id is unknown to the API.",
        f"is configured, but the API does not know it, and it was not seen for {REMEMBERED}: "
        "its id is mistyped, belongs to another cluster, or is of a job long gone.",
    ),
    "AuthFailing": about_cluster(
        "The API refuses the key.",
        "refuses its API key: it is wrong, revoked, or lacks a permission. What it refuses cannot be watched.",
    ),
    "ClusterUnreachable": about_cluster(
        "The import API of a cluster is unreachable.",
        f"has given no usable answer for {TIMINGS['ClusterUnreachable'].wait}, or its list of imports fails.",
    ),
    "DiscoveryFailing": about_cluster(
        "The list of imports fails.",
        f"fails more than {LIST_FAILING:.0%} of the requests for its list of imports. "
        "New imports may go unnoticed; those already known are still read.",
    ),
    "JobsOmitted": about_cluster(
        "Not all imports are watched.",
        'has {{ $value | printf "%.0f" }} more imports than discovery.max_jobs allows. Nobody watches them.',
    ),
    "Throttled": about_cluster(
        "The API throttles the exporter.",
        f"answers more than {THROTTLED:.0%} of the requests with a rate limit, or has told the exporter to wait. "
        "Progress is shown late.",
    ),
    "Backlog": about_cluster(
        "The exporter cannot keep up with the imports.",
        "has more imports than requests_per_second and the scrape timeout allow to ask about. Progress is shown late.",
    ),
    "ExporterDown": Text(
        "A scrape target of the exporter is down.",
        f"Prometheus has not been able to scrape {{{{ $labels.instance }}}} "
        f"for {TIMINGS['ExporterDown'].wait}. Other targets of {SCRAPE_JOB} may still answer.",
    ),
    "ExporterAbsent": Text(
        "No exporter of imports is running.",
        f"No target of the scrape job {SCRAPE_JOB} has been up for {TIMINGS['ExporterAbsent'].wait}. "
        "Nobody watches the imports; failures go unnoticed.",
    ),
    "ReloadFailed": Text(
        "The exporter cannot read all of its configuration.",
        "{{ $labels.instance }} could not load its configuration, or a job list that it names, "
        "and goes on with the last good one of that. Its log names each error.",
    ),
}

# --- The file -------------------------------------------------------------------------------------------------------

PREFIX = "ZillizImport"
RULES = Path(__file__).parent / "rules" / "zilliz-import.rules.yml"


def dashboard(text: Text) -> str:
    """Link to the dashboard, filtered to what the alert is about."""
    variables = (f"var-{name}={{{{ $labels.{name} | urlquery }}}}" for name in text.variables)
    return f"{GRAFANA}/d/zilliz-imports/?{'&'.join(variables)}".removesuffix("?")


def alert_rule(name: str) -> dict[str, Any]:
    """One alert as the rule file has it."""
    timing, text = TIMINGS[name], TEXTS[name]
    # absent() has no labels of the targets that are not there, and Alertmanager silences by `job`.
    labels = {"job": SCRAPE_JOB} if name == "ExporterAbsent" else {}
    return {
        "alert": f"{PREFIX}{name}",
        "expr": EXPRESSIONS[name],
        **({"for": timing.wait} if timing.wait else {}),
        **({"keep_firing_for": timing.keep} if timing.keep else {}),
        "labels": {**labels, "severity": timing.severity},
        "annotations": {
            "summary": text.summary,
            "description": text.description,
            "runbook_url": f"{RUNBOOKS}#{PREFIX.lower()}{name.lower()}",
            "dashboard_url": dashboard(text),
        },
    }


def groups() -> list[dict[str, Any]]:
    """One group, because rules of a group are evaluated in order: alerts read recordings of the same moment."""
    recordings = [{"record": name, "expr": expression} for name, expression in RECORDINGS.items()]
    return [{"name": "zilliz-import", "interval": INTERVAL, "rules": [*recordings, *map(alert_rule, TIMINGS)]}]


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def rendered() -> str:
    """The rule file as text."""
    head = (
        "# Made by `python -m prometheus.rules`: change prometheus/rules.py. Needs Prometheus 2.42 or later.\n"
        f"# The alerts link to {GRAFANA}: put the address of your Grafana in its place.\n"
    )
    return head + yaml.dump({"groups": groups()}, Dumper=_Dumper, sort_keys=False, width=10_000, allow_unicode=True)


if __name__ == "__main__":
    RULES.write_text(rendered(), encoding="utf-8")
