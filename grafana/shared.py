"""Tables that both dashboards have: what is in trouble, what is firing, files."""

from __future__ import annotations

from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.models import dashboard as dm

from exporter.model import State
from grafana import look, queries
from grafana.queries import KEY, SCRAPED, latest, metric
from grafana.tables import BAR, GAP, LONG_TEXT, RUNBOOKS, STATE, Column, badge, figure, labelled, link, listing

FILE = f"{KEY}, file_name"

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


def worst_files(scope: queries.Scope) -> str:
    """At most 200 files: failed ones first, then by progress."""
    bad = latest("file_state", f'{scope.job}, state="{State.FAILED}"', FILE)
    return f"bottomk(200, ({latest('file_progress_ratio', scope.job, FILE)} or 0 * {bad}) - 2 * {bad})"


def file_rows(scope: queries.Scope) -> str:
    """These files with their states, the worst first."""
    state = f"max by ({FILE}, state) ({metric('file_state', scope.job)} == 1)"
    return f"sort({state} * on ({FILE}) group_left () {worst_files(scope)})"


def _of_worst_files(values: str, scope: queries.Scope) -> str:
    """These values of the files that the table lists."""
    return f"({values}) and on ({FILE}) {worst_files(scope)}"


def files(scope: queries.Scope, title: str, description: str, *where: Column) -> table.Panel:
    """At most 200 files, the worst first."""

    def of_file(name: str) -> str:
        return _of_worst_files(latest(name, scope.job, FILE), scope)

    why = f"max by ({FILE}, reason) ({metric('file_failure_info', scope.job)})"
    ended = f"1000 * ({of_file('file_completed_timestamp_seconds')})"
    return listing(
        title,
        description,
        [file_rows(scope)],
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
