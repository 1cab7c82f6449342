"""Second row: every job in one table, and how those move that are importing."""

from __future__ import annotations

from grafana_foundation_sdk.builders import bargauge, common, dashboard, table, timeseries
from grafana_foundation_sdk.models import common as cm
from grafana_foundation_sdk.models import dashboard as dm

from exporter.model import State
from grafana import look, queries
from grafana.links import ONLY_THIS_CLUSTER, ONLY_THIS_COLLECTION, ONLY_THIS_JOB
from grafana.tables import BADGE, BAR, LONG_TEXT, TEXT, Column, figure, listing

SLOWEST = 20
LEGEND = "{{collection_name}} {{job_id}}"

_FAILURE = queries.metric("job_failure_info", queries.JOB)
_ERROR = queries.metric("job_error", queries.ASKED)
REASON = (
    f"max by ({queries.ID}, reason) ({_FAILURE}"
    f' or label_replace({_ERROR}, "reason", "cannot be read: $1", "error", "(.+)"))'
)
FILES = f"sum by ({queries.KEY}) ({queries.latest('job_files', f'{queries.KEY}, state')})"
FAILED_FILES = f"{queries.latest('job_files', state=State.FAILED)} > 0"
WATCHED_FOR = f"time() - {queries.latest('job_first_seen_timestamp_seconds', queries.ID, queries.ASKED)}"
ANSWER_AGE = f"time() - {queries.latest('job_refreshed_timestamp_seconds', queries.ID, queries.ASKED)}"


def every_job() -> table.Panel:
    """One row per job, also per job that cannot be read."""
    return listing(
        "Jobs",
        "Every watched job, the worst first. A job's id filters the page to it. Remaining and Speed are those of the"
        f" last {queries.PACE_WINDOW}; a dash means that nothing moved, or that the API does not say. Watched for"
        " counts from the exporter's first sight: the API names no start. Answered is the age of the last answer.",
        [
            Column("State", queries.RANKED, "state", 112, BADGE),
            Column("Progress", queries.PROGRESS, "", 136, BAR),
            Column("Collection", "", "collection_name", 142, (*TEXT, ONLY_THIS_COLLECTION)),
            Column("Job", "", "job_id", 208, (*TEXT, ONLY_THIS_JOB)),
            Column("Remaining", queries.REMAINING, "", 90, figure("s", 1)),
            Column("Speed", queries.BYTES_PER_SECOND, "", 82, figure("Bps")),
            Column("Size", queries.SIZE, "", 72, figure("decbytes")),
            Column("Rows", queries.ROWS, "", 74, figure("short")),
            Column("Files", FILES, "", 50, figure("none")),
            Column("Failed", FAILED_FILES, "", 58, figure("none")),
            Column("Reason", REASON, "reason", 0, LONG_TEXT),
            Column("Watched for", WATCHED_FOR, "", 96, figure("s", 1)),
            Column("Answered", ANSWER_AGE, "", 82, figure("s", 0)),
            Column("Cluster", "", "cluster_id", 170, (*TEXT, ONLY_THIS_CLUSTER)),
        ],
        worst_first=queries.RANKED,
        descending=True,
        height=13,
        no_value="No jobs match. Widen the filters above, or look at Jobs watched in the row Exporter.",
    )


def progress() -> timeseries.Panel:
    """Curves of the jobs that are furthest from done."""
    slowest = queries.metric("job_progress_ratio", queries.JOB.replace("$job_id", "$slowest"))
    return look.graph(
        "Progress of the slowest jobs",
        f"The {SLOWEST} jobs that are importing and have the least progress. Steps at 70 % and 80 % are Milvus sorting"
        " and building indexes. A fall is a retry.",
        [look.over_time(f"max by ({queries.KEY}) ({slowest})", LEGEND)],
        unit="percentunit",
        no_value="No job is importing.",
    ).max(1)


def remaining() -> bargauge.Panel:
    """The jobs that take longest."""
    blue = dashboard.FieldColor().mode(dm.FieldColorModeId.FIXED).fixed_color(look.STATE_COLOURS[State.IMPORTING])
    return (
        look.panel(
            bargauge.Panel(),
            "Time remaining",
            f"The ten jobs that take longest, at the pace of the last {queries.PACE_WINDOW}. Jobs that stand still have"
            " no estimate.",
            width=12,
            height=8,
            no_value="No job is progressing",
        )
        .unit("s")
        .decimals(1)
        .min(0)
        .color_scheme(blue)
        .orientation(cm.VizOrientation.HORIZONTAL)
        .display_mode(cm.BarGaugeDisplayMode.BASIC)
        .sizing(cm.BarGaugeSizing.MANUAL)
        .min_viz_height(16)
        .max_viz_height(36)
        .text(common.VizTextDisplayOptions().title_size(13).value_size(14))
        .with_target(look.at_once(f"sort_desc(topk(10, {queries.REMAINING}))", legend=LEGEND))
    )


def speed(title: str, expr: str, unit: str) -> timeseries.Panel:
    """Speed of the imports into each collection."""
    return look.graph(
        title,
        f"Stacked, over the last {queries.PACE_WINDOW}, or more where the page shows days. An estimate where the API"
        " gives percents only. Where two exporters watch the same jobs, choose one instance.",
        [
            look.over_time(
                f"sum by (cluster_id, collection_name) ({expr})",
                "{{collection_name}} ({{cluster_id}})",
                step=queries.PACE_STEP,
            )
        ],
        unit=unit,
        stacked=True,
        summary="max",
        no_value="No job moved in this range, or nothing was scraped.",
    )


def panels() -> list[table.Panel | timeseries.Panel | bargauge.Panel]:
    """The table over the whole width, four graphs below."""
    by_percent = f"({queries.pace_over_time('job_progress_ratio')} > 0)"
    by_count = f"({queries.pace_over_time('job_imported_rows')} > 0)"
    size, rows = (queries.metric(name, queries.JOB) for name in ("job_size_bytes", "job_rows"))
    return [
        every_job(),
        progress(),
        remaining(),
        speed("Bytes per second by collection", f"{by_percent} * {size}", "Bps"),
        speed("Rows per second by collection", f"{by_count} or {by_percent} * {rows}", "rowsps"),
    ]
