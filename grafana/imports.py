"""The dashboard *Zilliz / Imports*: what is wrong, what runs, and, collapsed, how it came about."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.builders import stat, statetimeline, table, timeseries

from exporter.model import State
from grafana import exporter, look, queries
from grafana.queries import ALL_JOBS, EXPORTER, SCRAPED, latest, metric, tally
from grafana.shared import files, firing, trouble_rows, trouble_state
from grafana.tables import (
    BAR,
    CLUSTER_LINK,
    COLLECTION_LINK,
    JOB_LINK,
    REASON,
    STATE,
    TEXT,
    Column,
    figure,
    listing,
)

Panel = stat.Panel | statetimeline.Panel | table.Panel | timeseries.Panel
NEWEST = 15


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
            Column("Collection", "", "collection_name", 140, COLLECTION_LINK),
            Column("Reason", queries.reason(ALL_JOBS), "reason", 0, REASON),
            Column("Since", queries.since(ALL_JOBS), "", 90, figure("s", 1)),
            Column("Job", "", "job_id", 210, JOB_LINK),
            Column("Database", queries.database(ALL_JOBS), "db_name", 90, TEXT),
            Column("Cluster", "", "cluster_id", 176, CLUSTER_LINK),
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
            Column("Collection", "", "collection_name", 0, COLLECTION_LINK),
            Column("Progress", queries.progress(ALL_JOBS), "", 100, BAR),
            Column("Remaining", queries.remaining(ALL_JOBS), "", 86, figure("s", 1)),
            Column("Speed", queries.bytes_per_second(ALL_JOBS), "", 84, figure("Bps")),
            Column("Unchanged", queries.running(ALL_JOBS), "", 88, figure("s", 1)),
            Column("Age", queries.age(ALL_JOBS), "", 78, figure("s", 1)),
            Column("Rows", latest("job_rows", ALL_JOBS.job), "", 68, figure("short")),
            Column("Size", latest("job_size_bytes", ALL_JOBS.job), "", 70, figure("decbytes")),
            Column("Files", queries.files(ALL_JOBS), "", 48, figure("none")),
            Column("Job", "", "job_id", 206, JOB_LINK),
            Column("Database", "", "db_name", 78, TEXT),
            Column("Cluster", "", "cluster_id", 172, CLUSTER_LINK),
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
                Column("Collection", "", "collection_name", 0, COLLECTION_LINK),
                Column("Ended", f"1000 * {queries.ended(ALL_JOBS)}", "", 120, figure("dateTimeFromNow")),
                Column("Duration", queries.duration(ALL_JOBS), "", 90, figure("s", 1)),
                Column("Rows", latest("job_rows", ALL_JOBS.job), "", 80, figure("short")),
                Column("Size", latest("job_size_bytes", ALL_JOBS.job), "", 80, figure("decbytes")),
                Column("Files", queries.files(ALL_JOBS), "", 60, figure("none")),
                Column("Job", "", "job_id", 210, JOB_LINK),
                Column("Database", queries.database(ALL_JOBS), "db_name", 90, TEXT),
                Column("Cluster", "", "cluster_id", 176, CLUSTER_LINK),
            ],
            sort="Ended",
            descending=True,
            height=10,
            no_value="No finished import is exposed.",
        ),
    ]


def rows() -> list[tuple[str, bool, Sequence[Panel]]]:
    """Title, whether it is collapsed, its panels."""
    worst = files(
        ALL_JOBS,
        "Files, worst first",
        "At most 200 files of the imports in view: failed ones, then those with the least progress. When an import"
        " fails, Milvus marks all of its files as failed: its reason names the culprit.",
        Column("Job", "", "job_id", 206, JOB_LINK),
    )
    return [
        ("Now", False, [*numbers(), attention(), running()]),
        ("Throughput", True, throughput()),
        ("Files", True, [worst]),
        ("History", True, history()),
        ("Exporter", True, exporter.panels()),
    ]
