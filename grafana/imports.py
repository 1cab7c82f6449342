"""The dashboard *Zilliz / Imports*: what is wrong, what runs, and, collapsed, how it came about."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.builders import stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models import common as cm
from grafana_foundation_sdk.models import dashboard as dm

from exporter.model import State
from grafana import look, queries
from grafana.queries import ALL_JOBS, CLUSTER, EXPORTER, ID, SCRAPED, latest, metric, tally
from grafana.tables import (
    BAR,
    COLLECTION,
    DATABASE,
    GAP,
    JOB,
    LONG_TEXT,
    REASON,
    RUNBOOKS,
    STATE,
    Column,
    badge,
    figure,
    labelled,
    link,
    listing,
)
from grafana.tables import (
    CLUSTER as CLUSTER_CELL,
)

Panel = stat.Panel | statetimeline.Panel | table.Panel | timeseries.Panel
NEWEST = 15

ALERTS: dict[str, tuple[str, str]] = {
    "ZillizImportJobFailed": ("Import failed", look.BAD),
    "ZillizImportJobStalled": ("Import makes no progress", look.WARNING),
    "ZillizImportJobPending": ("Import does not start", look.WARNING),
    "ZillizImportJobUncommitted": ("Import waits for its commit", look.WARNING),
    "ZillizImportJobVanished": ("Import vanished", look.SILENT),
    "ZillizImportJobsUnreadable": ("Imports cannot be read", look.SILENT),
    "ZillizImportClusterUnreachable": ("Import API fails", look.BAD),
    "ZillizImportJobsOmitted": ("Not all imports are watched", look.WARNING),
    "ZillizImportExporterAbsent": ("No exporter is running", look.BAD),
    "ZillizImportExporterDown": ("An exporter is down", look.WARNING),
    "ZillizImportReloadFailed": ("Configuration refused", look.WARNING),
}
"""Alert -> its words and colour."""


def trouble_rows(scope: queries.Scope) -> list[str]:
    """Jobs that need attention, the last failures first; the label `state` is a section of the runbooks.

    Where nothing is scraped, a row says so.
    """
    not_scraped = {
        "state": "zillizimportexporterabsent",
        "reason": "Prometheus gets nothing from an exporter: nobody watches the imports",
        "cluster_id": GAP,
        "job_id": GAP,
    }
    return [
        labelled(f"absent({SCRAPED})", not_scraped),
        *(f"sort_desc({labelled(each.jobs(scope), {'state': each.section})})" for each in queries.TROUBLES),
    ]


def trouble_state() -> tuple[dm.DynamicConfigValue, ...]:
    """Words for `trouble_rows`, each with a link to its section."""
    meanings: dict[str, tuple[str, str | None]] = {
        each.section: (each.word, look.WORD_COLOURS[each.word]) for each in queries.TROUBLES
    }
    absent = {"zillizimportexporterabsent": (look.NOT_SCRAPED, look.BAD)}
    return (*badge(meanings | absent), link("What to do", f"{RUNBOOKS}#${{__value.raw}}"))


def firing(matchers: str, *, height: int) -> table.Panel:
    """The alerts of this exporter."""
    return listing(
        "Firing alerts",
        "Alerts of this exporter that fire now, of imports and of clusters, from Prometheus' own series ALERTS; each"
        " leads to the runbooks.",
        [queries.firing(matchers)],
        [
            Column("Alert", "", "alertname", 190, (*badge(dict(ALERTS)), link("Runbooks", RUNBOOKS))),
            Column("Where", "", "where", 0, LONG_TEXT),
            Column("For", queries.firing(matchers), "", 80, figure("s", 1)),
        ],
        known="alertname",
        sort="For",
        width=9,
        height=height,
        no_value="No alert fires, or this Prometheus has not loaded the exporter's rules.",
    )


def numbers() -> list[Panel]:
    """Two lines of figures, and what is firing."""

    def count(trouble: queries.Trouble, description: str) -> stat.Panel:
        colour = look.WORD_COLOURS[trouble.word]
        return look.number(trouble.word, description, tally(trouble.jobs(ALL_JOBS)), alarm=colour)

    def state(which: State, description: str) -> stat.Panel:
        return look.number(str(which), description, tally(queries.in_state(which, ALL_JOBS)))

    by_word = {each.word: each for each in queries.TROUBLES}
    idle = f"0 * max({SCRAPED})"
    return [
        count(by_word["Failed"], "Imports that failed and are exposed, or failed within 12 hours. Not aborted ones."),
        count(
            by_word["Stalled"],
            "Imports without any change for 90 minutes below 70 %, for 6 hours from there on, or for an hour in an"
            " unknown state: as the alert has it.",
        ),
        count(by_word["Vanished"], "Imports that the API no longer knows, although nobody saw them end."),
        count(by_word["Unreadable"], "Imports about which no exporter gets a usable answer."),
        look.number(
            "Clusters down",
            f"Clusters seen within {queries.MISSED_FOR} whose API gives no usable answer, or that nobody scrapes now.",
            tally(queries.CLUSTERS_DOWN),
            alarm=look.BAD,
        ),
        firing('cluster_id=~"|$cluster_id"', height=8),
        state(State.IMPORTING, "Imports that run now, stalled ones included."),
        state(State.PENDING, "Imports that wait for their turn in the cluster's queue."),
        state(State.UNCOMMITTED, "Imports that have read everything and wait until their owner commits them."),
        look.number(
            "Throughput",
            f"Bytes per second of all running imports over the last {queries.PACE_WINDOW}: an estimate from percents.",
            f"sum({queries.bytes_per_second(ALL_JOBS)}) or {idle}",
            unit="Bps",
        ),
        look.number(
            "All done in",
            f"Until the last import that moves now is done, at the pace of the last {queries.PACE_WINDOW}. Those that"
            " stand still are not waited for.",
            f"max({queries.remaining(ALL_JOBS)}) or {idle}",
            unit="s",
            mappings=[look.words({"0": ("idle", look.CALM)})],
        ).decimals(1),
    ]


def attention() -> table.Panel:
    """One row per job that somebody should look at."""
    return listing(
        "Needs attention",
        "Imports that an alert is about, the worst first, before the alert's own delay is over. The state leads to the"
        " runbook. Since: when it failed, when anything last changed, or when the API last answered.",
        trouble_rows(ALL_JOBS),
        [
            Column("State", "", "state", 118, trouble_state()),
            Column("Collection", "", "collection_name", 140, COLLECTION),
            Column("Reason", queries.reason(ALL_JOBS), "reason", 0, REASON),
            Column("Since", queries.since(ALL_JOBS), "", 90, figure("s", 1)),
            Column("Job", "", "job_id", 210, JOB),
            Column("Database", queries.database(ALL_JOBS), "db_name", 90, DATABASE),
            Column("Cluster", "", "cluster_id", 176, CLUSTER_CELL),
        ],
        height=10,
        no_value="No import needs attention.",
    )


def running() -> table.Panel:
    """One row per unfinished job."""
    return listing(
        "Running",
        f"Every unfinished import, the oldest first. Remaining and Speed are those of the last {queries.PACE_WINDOW}; a"
        " dash means that nothing moved, or that the API does not say. Age counts from the import's creation, or from"
        " the exporter's first sight of it where the API gives no time.",
        [queries.running(ALL_JOBS)],
        [
            Column("State", "", "state", 106, STATE),
            Column("Collection", "", "collection_name", 0, COLLECTION),
            Column("Progress", queries.progress(ALL_JOBS), "", 100, BAR),
            Column("Remaining", queries.remaining(ALL_JOBS), "", 86, figure("s", 1)),
            Column("Speed", queries.bytes_per_second(ALL_JOBS), "", 84, figure("Bps")),
            Column("Unchanged", queries.running(ALL_JOBS), "", 88, figure("s", 1)),
            Column("Age", queries.age(ALL_JOBS), "", 78, figure("s", 1)),
            Column("Rows", latest("job_rows", ALL_JOBS.job), "", 68, figure("short")),
            Column("Size", latest("job_size_bytes", ALL_JOBS.job), "", 70, figure("decbytes")),
            Column("Files", queries.files(ALL_JOBS), "", 48, figure("none")),
            Column("Job", "", "job_id", 206, JOB),
            Column("Database", "", "db_name", 78, DATABASE),
            Column("Cluster", "", "cluster_id", 172, CLUSTER_CELL),
        ],
        sort="Age",
        descending=True,
        height=12,
        no_value="No unfinished import. Widen the filters above, or see whether Prometheus scrapes the exporter.",
    )


def throughput() -> list[Panel]:
    """Speed of the imports into each collection."""

    def speed(title: str, expr: str, unit: str) -> timeseries.Panel:
        return look.graph(
            title,
            f"Stacked, over the last {queries.PACE_WINDOW} at each point.",
            [look.over_time(expr, "{{collection_name}} ({{cluster_id}})", step=queries.PACE_STEP)],
            unit=unit,
            stacked=True,
            height=10,
            no_value="No import moved in this range, or nothing was scraped.",
        )

    return [
        speed("Bytes per second", queries.pace_over_time("job_progress_ratio", "job_size_bytes"), "Bps"),
        speed("Rows per second", queries.pace_over_time("job_imported_rows"), "rowsps"),
    ]


def files(scope: queries.Scope, title: str, description: str, *where: Column) -> table.Panel:
    """At most 200 files, the worst first."""

    def of_file(name: str) -> str:
        return queries.of_worst_files(latest(name, scope.job, queries.FILE), scope)

    why = f"max by ({queries.FILE}, reason) ({metric('file_failure_info', scope.job)})"
    ended = f"1000 * ({of_file('file_completed_timestamp_seconds')})"
    return listing(
        title,
        description,
        [queries.file_rows(scope)],
        [
            Column("State", "", "state", 100, STATE),
            Column("Progress", of_file("file_progress_ratio"), "", 110, BAR),
            Column("File", "", "file_name", 0, LONG_TEXT),
            Column("Reason", why, "reason", 230, LONG_TEXT),
            Column("Size", of_file("file_size_bytes"), "", 80, figure("decbytes")),
            Column("Rows", of_file("file_rows"), "", 80, figure("short")),
            Column("Imported", of_file("file_imported_rows"), "", 80, figure("short")),
            Column("Ended", ended, "", 118, figure("dateTimeFromNow")),
            *where,
        ],
        height=11,
        no_value="No files: the API lists them once it has read them, and `files.series` may be none or unfinished.",
    )


def history() -> list[Panel]:
    """The course of the newest jobs, all jobs by state, what ended."""
    per_target = f"sum without (collection_name, job_id) ({metric('job_state', ALL_JOBS.job)})"
    over = f'cluster_id=~"$cluster_id", collection_name=~"$collection", {EXPORTER}'
    grown = f"round(increase({metric('jobs_finished_total', over)}[$__interval]))"
    newest = ALL_JOBS.job.replace("$job_id", "$newest")
    return [
        look.timeline(
            "State of the newest imports",
            f"The {NEWEST} imports among those in view that the exporter saw last. A gap: it could not be read.",
            f"{queries.state_code(newest)}",
            "{{collection_name}} {{job_id}}",
            height=10,
        ),
        look.state_colours(
            look.graph(
                "Imports by state",
                "Imports exposed in each state. Finished ones leave when `scrape.finished_for` is over.",
                [look.over_time(f"sum by (state) (max by (cluster_id, state) ({per_target}))", "{{state}}", step="1m")],
                unit="none",
                stacked=True,
            ).decimals(0),
            State,
        ),
        look.state_colours(
            look.graph(
                "Imports that ended",
                "Imports that the exporter saw finish within each bar.",
                [
                    look.over_time(
                        f"sum by (state) (max by (cluster_id, collection_name, state) ({grown}))",
                        "{{state}}",
                        step="5m",
                    )
                ],
                unit="none",
                stacked=True,
                bars=True,
                no_value="No import ended in this range.",
            ).decimals(0),
            [State.COMPLETED, State.FAILED],
        ),
        listing(
            "Finished",
            "Imports that ended, the last first, for as long as they are exposed. Duration counts from the import's"
            " creation, or from the exporter's first sight of it where the API gives no time.",
            [queries.finished(ALL_JOBS)],
            [
                Column("State", "", "state", 104, STATE),
                Column("Collection", "", "collection_name", 0, COLLECTION),
                Column("Ended", f"1000 * {queries.ended(ALL_JOBS)}", "", 120, figure("dateTimeFromNow")),
                Column("Duration", queries.duration(ALL_JOBS), "", 90, figure("s", 1)),
                Column("Rows", latest("job_rows", ALL_JOBS.job), "", 80, figure("short")),
                Column("Size", latest("job_size_bytes", ALL_JOBS.job), "", 80, figure("decbytes")),
                Column("Files", queries.files(ALL_JOBS), "", 60, figure("none")),
                Column("Job", "", "job_id", 210, JOB),
                Column("Database", queries.database(ALL_JOBS), "db_name", 90, DATABASE),
                Column("Cluster", "", "cluster_id", 176, CLUSTER_CELL),
            ],
            sort="Ended",
            descending=True,
            height=10,
            no_value="No finished import is exposed.",
        ),
    ]


def exporter() -> list[Panel]:
    """Is the exporter alive, does the API answer, does it keep up."""
    calls = CLUSTER

    def rate(name: str) -> str:
        return f"rate({metric(name, calls)}[$__rate_interval])"

    def per_cluster(name: str) -> str:
        return latest(name, CLUSTER, "cluster_id")

    def quantile(share: float) -> str:
        buckets = f"max by (le, cluster_id, operation) ({rate('api_request_duration_seconds_bucket')})"
        return f"histogram_quantile({share}, sum by (le, cluster_id) ({buckets}))"

    reloaded = metric("exporter_config_last_reload_successful", EXPORTER)
    answered = latest("job_refreshed_timestamp_seconds", CLUSTER)
    unfinished = metric("job_state", f'{CLUSTER}, state=~"{State.PENDING}|{State.IMPORTING}"')
    omitted = f"sum without (collection_name, job_id) ({metric('job_files_omitted', ALL_JOBS.job)})"
    return [
        look.number(
            "Targets",
            "The worst of the scrape targets chosen above, as Prometheus sees them.",
            f"min(up{{{EXPORTER}}} and on (job, instance) last_over_time({SCRAPED}[1d]))",
            mappings=[look.words({"1": ("up", look.CALM), "0": ("DOWN", look.BAD)})],
            width=5,
        ),
        look.number(
            "Configuration",
            "Whether the last reload of the configuration worked. If not, the exporter goes on with the one before.",
            f"min({reloaded})",
            mappings=[look.words({"1": ("loaded", look.CALM), "0": ("REFUSED", look.BAD)})],
            width=5,
        ),
        look.number(
            "Configuration read",
            "When the configuration was last read without an error.",
            f"1000 * min({metric('exporter_config_last_reload_success_timestamp_seconds', EXPORTER)})",
            unit="dateTimeFromNow",
            width=5,
        ),
        look.number(
            "Version",
            "Version of the exporter, from its build information.",
            f"max by (version) ({metric('exporter_build_info', EXPORTER)})",
            legend="{{version}}",
            width=4,
        ).text_mode(cm.BigValueTextMode.NAME),
        look.number(
            "Memory",
            "Resident memory of the exporter's process; the largest, where several are chosen.",
            f"max(process_resident_memory_bytes{{{EXPORTER}}})",
            unit="bytes",
            width=5,
        ),
        look.graph(
            "API requests",
            "Attempts per second of the busiest exporter: `progress` reads one import, `list` is discovery.",
            [
                look.over_time(
                    f"max by (cluster_id, operation) ({rate('api_requests_total')})", "{{cluster_id}} {{operation}}"
                )
            ],
            unit="reqps",
            width=8,
        ),
        look.graph(
            "API errors by class",
            "Failed attempts per second, by the class that the label `error` and the log name.",
            [
                look.over_time(
                    f"sum by (error) (max by (cluster_id, operation, error) ({rate('api_errors_total')})) > 0",
                    "{{error}}",
                )
            ],
            unit="reqps",
            width=8,
            no_value="No API errors in this range.",
        ),
        look.graph(
            "API latency",
            "Duration of requests: median and 95th percentile over both operations.",
            [
                look.over_time(quantile(0.5), "{{cluster_id}} p50", "A"),
                look.over_time(quantile(0.95), "{{cluster_id}} p95", "B"),
            ],
            unit="s",
            width=8,
        ),
        look.graph(
            "Backlog and limits",
            "Imports whose turn did not come in a scrape, imports over `max_jobs`, and files without series of their"
            " own because of `max_per_job` or `max_total`. A backlog after a start is normal.",
            [
                look.over_time(per_cluster("cluster_jobs_waiting"), "{{cluster_id}} imports waiting", "A"),
                look.over_time(per_cluster("cluster_jobs_omitted"), "{{cluster_id}} imports over limit", "B"),
                look.over_time(f"max by (cluster_id) ({omitted})", "{{cluster_id}} files not listed", "C"),
            ],
            unit="none",
            width=8,
        ).decimals(0),
        look.graph(
            "Oldest answer",
            "Age of the oldest answer about an import that is pending or runs; above `max_age` it is not exposed.",
            [
                look.over_time(
                    f"max by (cluster_id) (time() - ({answered} and on ({ID}) ({unfinished} == 1)))",
                    "{{cluster_id}}",
                    step="1m",
                )
            ],
            unit="s",
            width=8,
            no_value="No import is running.",
        ),
        look.graph(
            "Scrape duration",
            "How long the scrapes took per cluster; their limit is Prometheus' scrape timeout less the offset.",
            [look.over_time(per_cluster("scrape_duration_seconds"), "{{cluster_id}}")],
            unit="s",
            width=8,
        ),
        look.graph(
            "Imports watched",
            "Imports watched, by who named them: the configuration, a file of `job_lists`, or discovery.",
            [look.over_time(latest("cluster_jobs", CLUSTER, "cluster_id, source"), "{{cluster_id}} {{source}}")],
            unit="none",
        ).decimals(0),
        look.state_colours(
            look.graph(
                "Imports in the lists",
                "Imports by state in the last complete reading of the API's lists, watched or not.",
                [
                    look.over_time(
                        f"sum by (state) ({latest('cluster_listed_jobs', CLUSTER, 'cluster_id, state')})", "{{state}}"
                    )
                ],
                unit="none",
                stacked=True,
                no_value="No list was read completely in this range, or discovery is off.",
            ).decimals(0),
            State,
        ),
    ]


def rows() -> list[tuple[str, bool, Sequence[Panel]]]:
    """Title, whether it is collapsed, its panels."""
    worst = files(
        ALL_JOBS,
        "Files, worst first",
        "At most 200 files of the imports in view: failed ones, then those with the least progress. When an import"
        " fails, Milvus marks all of its files as failed: its reason names the culprit.",
        Column("Job", "", "job_id", 206, JOB),
    )
    return [
        ("Now", False, [*numbers(), attention(), running()]),
        ("Throughput", True, throughput()),
        ("Files", True, [worst]),
        ("History", True, history()),
        ("Exporter", True, exporter()),
    ]
