"""The bundled dashboard as JSON: `python -m grafana.dashboard` writes it to zilliz-imports.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from grafana_foundation_sdk.builders import bargauge, dashboard, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as dm

from exporter.model import State
from grafana.links import UID
from grafana.rows import exporter, files, history, jobs, trouble
from grafana.variables import Ends, variables

RUNBOOKS = "https://github.com/zilliztech/zilliz-import-exporter/blob/main/docs/runbooks.md"
FILE = Path(__file__).with_name("zilliz-imports.json")
Panel = bargauge.Panel | stat.Panel | statetimeline.Panel | table.Panel | timeseries.Panel
COMMAND = "python -m grafana.dashboard"


def board() -> dm.Dashboard:
    """The whole page. A panel's id is its row times 100 plus its place there, so that links to it stay good."""
    everything = dashboard.DashboardLink("All jobs").type(dm.DashboardLinkType.LINK).keep_time(True)
    runbooks = dashboard.DashboardLink("Runbooks").type(dm.DashboardLinkType.LINK).url(RUNBOOKS).target_blank(True)
    made = (
        dashboard.Dashboard("Zilliz / Imports")
        .uid(UID)
        .description("Bulk imports into Zilliz Cloud and Milvus, as zilliz-import-exporter sees them.")
        .tags(["zilliz", "milvus"])
        .readonly()
        .time("now-6h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(dm.DashboardCursorSync.CROSSHAIR)
        .link(everything.url(f"/d/{UID}/?${{datasource:queryparam}}"))
        .link(runbooks)
        .annotation(Ends("Failures", State.FAILED, shown=True))
        .annotation(Ends("Completions", State.COMPLETED, shown=False))
    )
    for variable in variables():
        made = made.with_variable(variable)
    open_rows: tuple[tuple[str, Sequence[Panel]], ...] = (
        ("Is anything wrong?", trouble.panels()),
        ("Jobs", jobs.panels()),
        ("Files", files.panels()),
        ("History", history.panels()),
    )
    for number, (title, panels) in enumerate(open_rows, start=1):
        made = made.with_row(dashboard.Row(title).id(number * 100))
        for place, panel in enumerate(panels, start=1):
            made = made.with_panel(panel.id(number * 100 + place))
    last = (len(open_rows) + 1) * 100
    row = dashboard.Row("Exporter").id(last).collapsed(True)
    for place, panel in enumerate(exporter.panels(), start=1):
        row = row.with_panel(panel.id(last + place))
    return made.with_row(row).build()


def render() -> str:
    """The dashboard as the JSON that is committed."""
    return json.dumps(board(), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
