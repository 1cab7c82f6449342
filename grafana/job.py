"""The dashboard *Zilliz / Import job*: all that is known about one import, where alerts and the tables' links lead."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.builders import common, timeseries
from grafana_foundation_sdk.models import common as cm

from exporter.model import State
from grafana import look, queries
from grafana.imports import Panel
from grafana.queries import ID, KEY, ONE_JOB, SCRAPED, latest, metric
from grafana.shared import files, firing, trouble_rows, trouble_state
from grafana.tables import CLUSTER_LINK, COLLECTION_LINK, GAP, LONG_TEXT, REASON, TEXT, Column, figure, listing

JOB = ONE_JOB.job
# Percents at which Milvus goes from one stage to the next, and the colour of the band above.
STAGES = ((None, look.STATE_COLOURS[State.PENDING]), (0.1, "#8AB8FF"), (0.4, "#1F60F0"), (0.7, "#B877D9"))


def state() -> Panel:
    """The state in one word, also where there is none."""
    silent = f"0 * {latest('job_error', JOB, KEY)}"
    gone = f"0 * max({SCRAPED}) - 1"
    meanings = {"0": ("Unreadable", look.SILENT), "-1": ("NOT EXPOSED", look.SILENT)}
    return look.number(
        "State",
        "As the API reports it. Unreadable: it gives no usable answer now. Not exposed: the exporter does not watch it,"
        " or no longer.",
        f"max({queries.state_code(JOB)} or {silent}) or {gone}",
        mappings=[look.state_words(), look.words(dict(meanings))],
    )


def figures() -> list[Panel]:
    """State, pace and size."""

    def figure_of(title: str, description: str, expr: str, unit: str) -> Panel:
        return look.number(title, description, expr, unit=unit, no_value=GAP)

    changed = metric("job_last_change_timestamp_seconds", JOB)
    return [
        state(),
        figure_of(
            "Last change",
            "When state, progress or rows last changed; for a finished import when it ended.",
            f"1000 * min({changed})",
            "dateTimeFromNow",
        ),
        figure_of(
            "Progress", "As the API reports it, in percents.", f"max({queries.progress(ONE_JOB)})", "percentunit"
        ),
        figure_of(
            "Remaining",
            f"At the pace of the last {queries.PACE_WINDOW}; nothing while it stands still.",
            f"max({queries.remaining(ONE_JOB)})",
            "s",
        ).decimals(1),
        figure_of(
            "Speed",
            f"Progress per second times size, over the last {queries.PACE_WINDOW}.",
            f"max({queries.bytes_per_second(ONE_JOB)})",
            "Bps",
        ),
        figure_of(
            "Age",
            "Since its creation, or since the exporter first saw it; of a finished import nothing.",
            f"max({queries.age(ONE_JOB)} and on ({ID}) ({metric('job_state', _unfinished())} == 1))",
            "s",
        ).decimals(1),
        figure_of(
            "Duration",
            "From its creation, or from when the exporter first saw it, to its end.",
            f"max({queries.duration(ONE_JOB)})",
            "s",
        ).decimals(1),
        figure_of(
            "Answered",
            "When the API last answered about it.",
            f"1000 * max({metric('job_refreshed_timestamp_seconds', ONE_JOB.id)})",
            "dateTimeFromNow",
        ),
    ]


def _unfinished() -> str:
    return f'{JOB}, state=~"{queries.UNFINISHED}"'


def tables() -> list[Panel]:
    """What is wrong, and which import this is."""
    failed = latest("job_files", f'{JOB}, state="{State.FAILED}"')
    return [
        listing(
            "What is wrong",
            "What an alert would say about this import, and the reason; the state leads to the runbook.",
            trouble_rows(ONE_JOB),
            [
                Column("State", "", "state", 118, trouble_state()),
                Column("Reason", queries.reason(ONE_JOB), "reason", 0, REASON),
                Column("Since", queries.since(ONE_JOB), "", 90, figure("s", 1)),
            ],
            width=15,
            height=7,
            no_value="Nothing is wrong with this import, as far as the exporter can read it.",
        ),
        firing('cluster_id=~"|$cluster_id", job_id=~"|$job_id"', height=7),
        listing(
            "Import",
            "Which import this is, and how large. Rows and sizes as the API gives them.",
            [latest("job_info", JOB, f"{KEY}, db_name, file_name, source")],
            [
                Column("Collection", "", "collection_name", 150, COLLECTION_LINK),
                Column("Database", "", "db_name", 90, TEXT),
                Column("Cluster", "", "cluster_id", 176, CLUSTER_LINK),
                Column("File", "", "file_name", 0, LONG_TEXT),
                Column("Named by", "", "source", 86, TEXT),
                Column("Rows", latest("job_rows", JOB), "", 76, figure("short")),
                Column("Imported", latest("job_imported_rows", JOB), "", 84, figure("short")),
                Column("Size", latest("job_size_bytes", JOB), "", 76, figure("decbytes")),
                Column("Files", queries.files(ONE_JOB), "", 56, figure("none")),
                Column("Failed files", failed, "", 90, figure("none")),
                Column("Not listed", latest("job_files_omitted", JOB), "", 84, figure("none")),
            ],
            known="source",
            height=4,
            no_value="No exporter exposes this import now. Is its id right, and the time range?",
        ),
    ]


def course() -> list[Panel]:
    """Progress and rows over time, and the states."""
    progress = look.graph(
        "Progress over time",
        "The bands are Milvus' stages: up to 10 % it waits, to 40 % it checks the files, to 70 % it imports, and above"
        " it sorts and builds indexes, or, before 2.5, only builds indexes. Zilliz Cloud does not document its bands.",
        [look.over_time(f"max by (job_id) ({metric('job_progress_ratio', JOB)})", "progress")],
        unit="percentunit",
    )
    banded = timeseries_bands(progress).max(1).override_by_name("progress", [look.fixed("text")])
    rows = look.graph(
        "Rows over time",
        "Rows that the API has counted as imported, of those in the import's files.",
        [
            look.over_time(f"max by (job_id) ({metric('job_imported_rows', JOB)})", "imported", "A"),
            look.over_time(f"max by (job_id) ({metric('job_rows', JOB)})", "in all", "B"),
        ],
        unit="short",
    )
    rows = rows.override_by_name("imported", [look.fixed(look.STATE_COLOURS[State.IMPORTING])])
    rows = rows.override_by_name("in all", [look.fixed("text")])
    return [
        banded,
        rows,
        look.timeline(
            "Timeline",
            "The import's state over time. A gap: it could not be read, or nothing was scraped.",
            queries.state_code(JOB),
            "state",
            height=4,
        ),
    ]


def timeseries_bands(made: timeseries.Panel) -> timeseries.Panel:
    """The stages as bands behind the line."""
    style = common.GraphThresholdsStyleConfig().mode(cm.GraphThresholdsStyleMode.AREA)
    return made.thresholds(look.steps(*STAGES)).thresholds_style(style)


def rows() -> list[tuple[str, bool, Sequence[Panel]]]:
    """Title, whether it is collapsed, its panels."""
    worst = files(
        ONE_JOB,
        "Files, worst first",
        "At most 200 files: failed ones, then those with the least progress. When an import fails, Milvus marks all of"
        " its files as failed: the reason names the culprit.",
    )
    return [("Import", False, [*figures(), *tables()]), ("Course", False, course()), ("Files", False, [worst])]
