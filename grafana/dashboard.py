"""The bundled dashboards as JSON: `python -m grafana.dashboard` writes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as dm

from exporter.model import State
from grafana import imports, job, look
from grafana.queries import ALL_JOBS, ID, KEY, ONE_JOB, Scope, latest, metric
from grafana.tables import IMPORT_JOB, IMPORTS, RUNBOOKS

COMMAND = "python -m grafana.dashboard"
FILES = {uid: Path(__file__).with_name(f"{uid}.json") for uid in (IMPORTS, IMPORT_JOB)}

Rows = Sequence[tuple[str, bool, Sequence[imports.Panel]]]
Variable = dashboard.DatasourceVariable | dashboard.QueryVariable | dashboard.CustomVariable

_ALL = dm.VariableOption(text="All", value="$__all")
_WATCHED = "zilliz_import_scrape_duration_seconds"
_INFO = "zilliz_import_job_info"


def _query(name: str, label: str, query: str, description: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .description(description)
        .datasource(look.DATASOURCE)
        .query(query)
        .sort(dm.VariableSort.ALPHABETICAL_ASC)
        .refresh(dm.VariableRefresh.ON_TIME_RANGE_CHANGED)
    )


def _choice(name: str, label: str, query: str, description: str, all_value: str = ".+") -> dashboard.QueryVariable:
    made = _query(name, label, query, description)
    return made.multi(True).include_all(True).all_value(all_value).current(_ALL)


def _targets() -> list[Variable]:
    """Last, as only who has several exporters needs them."""
    own = '{__name__=~"zilliz_import_(scrape_duration_seconds|exporter_build_info)"'
    return [
        _choice("job", "Job", f"label_values({own}}}, job)", "The scrape job, as prometheus.yml names it."),
        _choice(
            "instance",
            "Instance",
            f'label_values({own}, job=~"$job"}}, instance)',
            "The scrape target. Where /sd names the targets, each cluster is one and the exporter another: a cluster"
            " chosen here empties the row Exporter. To see one cluster, choose it under Cluster.",
        ),
    ]


def _source() -> dashboard.DatasourceVariable:
    return dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")


def all_jobs_variables() -> list[Variable]:
    """The filters of the page, in its order, each narrowed by those before it."""
    newest = f"topk({imports.NEWEST}, {latest('job_first_seen_timestamp_seconds', ALL_JOBS.id)}"
    return [
        _source(),
        _choice("cluster_id", "Cluster", f"label_values({_WATCHED}, cluster_id)", "Its id."),
        _choice(
            "collection",
            "Collection",
            f'label_values({_INFO}{{cluster_id=~"$cluster_id"}}, collection_name)',
            "What an import goes into; empty until the API has named it.",
            all_value=".*",
        ),
        dashboard.CustomVariable("state")
        .label("State")
        .description("As the API reports it; imports that cannot be read have none and are always listed.")
        .values(",".join(look.STATE_COLOURS))
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(_ALL),
        _choice(
            "job_id",
            "Import job",
            f'label_values({_INFO}{{cluster_id=~"$cluster_id", collection_name=~"$collection"}}, job_id)',
            "Its id, as the import API gave it.",
        ),
        *_targets(),
        # Without an `allValue` its All sends the listed ids: a graph of them is cheap among 5,000 jobs.
        _choice(
            "newest",
            "newest",
            f"query_result({newest} and on ({ID}) {metric('job_info', ALL_JOBS.job)}))",
            "Bounds the graphs of single jobs, however many there are.",
            all_value="",
        )
        .regex('/job_id="([^"]+)"/')
        .hide(dm.VariableHide.HIDE_VARIABLE),
    ]


def one_job_variables() -> list[Variable]:
    """Which import."""
    return [
        _source(),
        _query("cluster_id", "Cluster", f"label_values({_WATCHED}, cluster_id)", "Its id."),
        _query(
            "job_id",
            "Import job",
            f'label_values({_INFO}{{cluster_id="$cluster_id"}}, job_id)',
            "Its id, as the import API gave it; one that is no longer exposed can be typed.",
        ).allow_custom_value(True),
        *_targets(),
    ]


class _Ends(dashboard.AnnotationQuery):
    """Marks the times at which jobs ended in this state, also of those seen only later."""

    def __init__(self, name: str, state: State, scope: Scope, *, shown: bool) -> None:
        super().__init__()
        self.name(name).datasource(look.DATASOURCE).enable(shown).icon_color(look.STATE_COLOURS[state])
        ended = latest("job_last_change_timestamp_seconds", f'{scope.job}, state="{state}"', KEY)
        self._fields: dict[str, object] = {
            "expr": f"1000 * {ended}",
            "titleFormat": f"{{{{collection_name}}}}: {state}",
            "textFormat": "{{job_id}}",
            "tagKeys": "cluster_id,collection_name",
            "step": "60s",
            "useValueForTime": True,
        }

    def build(self) -> dm.AnnotationQuery:
        """The SDK's model, with the fields of Grafana's Prometheus data source that it lacks."""
        return _WithFields(super().build(), self._fields)


class _WithFields(dm.AnnotationQuery):
    def __init__(self, plain: dm.AnnotationQuery, fields: dict[str, object]) -> None:
        super().__init__(**vars(plain))
        self._fields = fields

    def to_json(self) -> dict[str, object]:
        return super().to_json() | self._fields


def _board(uid: str, title: str, description: str, rows: Rows, variables: Sequence[Variable]) -> dashboard.Dashboard:
    """A panel's id is its row times 100 plus its place there, so that links to it stay good."""
    runbooks = dashboard.DashboardLink("Runbooks").type(dm.DashboardLinkType.LINK).url(RUNBOOKS).target_blank(True)
    everything = dashboard.DashboardLink("All imports").type(dm.DashboardLinkType.LINK).keep_time(True)
    made = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["zilliz", "milvus"])
        .readonly()
        .time("now-6h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(dm.DashboardCursorSync.CROSSHAIR)
        .link(everything.url(f"/d/{IMPORTS}/?${{datasource:queryparam}}"))
        .link(runbooks)
    )
    for variable in variables:
        made = made.with_variable(variable)
    for number, (name, collapsed, panels) in enumerate(rows, start=1):
        row = dashboard.Row(name).id(number * 100)
        numbered = [panel.id(number * 100 + place) for place, panel in enumerate(panels, start=1)]
        if collapsed:
            for panel in numbered:
                row = row.with_panel(panel)
            made = made.with_row(row)
        else:
            made = made.with_row(row)
            for panel in numbered:
                made = made.with_panel(panel)
    return made


def _arranged(board: dm.Dashboard) -> dm.Dashboard:
    """The dashboard with each panel as high, then as far left, as it fits.

    Panels of a collapsed row take no room until it is opened.
    """
    tops = [0] * 24  # how high each column of the grid is filled

    def place(panel: dm.Panel | dm.RowPanel, filled: list[int]) -> None:
        size = panel.grid_pos or dm.GridPos(h=1, w=24)
        y, x = min((max(filled[x : x + size.w]), x) for x in range(25 - size.w))
        panel.grid_pos = dm.GridPos(h=size.h, w=size.w, x=x, y=y)
        filled[x : x + size.w] = [y + size.h] * size.w

    for each in board.panels or []:
        if isinstance(each, dm.RowPanel):
            each.grid_pos = None
            place(each, tops)
            inside = list(tops)
            for panel in each.panels:
                place(panel, inside)
        else:
            place(each, tops)
    return board


def boards() -> dict[str, dm.Dashboard]:
    """Both dashboards by their uid."""
    every = _board(
        IMPORTS,
        "Zilliz / Imports",
        "Bulk imports into Zilliz Cloud and Milvus, as zilliz-import-exporter sees them.",
        imports.rows(),
        all_jobs_variables(),
    )
    every = every.annotation(_Ends("Failures", State.FAILED, ALL_JOBS, shown=True))
    every = every.annotation(_Ends("Completions", State.COMPLETED, ALL_JOBS, shown=False))
    one = _board(
        IMPORT_JOB,
        "Zilliz / Import job",
        "One bulk import into Zilliz Cloud or Milvus: its state, its reason, its course and its files.",
        job.rows(),
        one_job_variables(),
    )
    one = one.annotation(_Ends("Failures", State.FAILED, ONE_JOB, shown=True))
    one = one.annotation(_Ends("Completions", State.COMPLETED, ONE_JOB, shown=True))
    return {IMPORTS: _arranged(every.build()), IMPORT_JOB: _arranged(one.build())}


def render() -> dict[str, str]:
    """The dashboards as the JSON that is committed, by their uid."""
    return {
        uid: json.dumps(board, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        for uid, board in boards().items()
    }


if __name__ == "__main__":
    for uid, text in render().items():
        FILES[uid].write_text(text, encoding="utf-8")
