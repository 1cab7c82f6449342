"""How the dashboard looks: colours, queries and panels of each kind, all with the same manners."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.models import common as cm
from grafana_foundation_sdk.models import dashboard as dm

from exporter.model import State
from grafana.queries import TIMELINE_ORDER

DATASOURCE = dm.DataSourceRef(type_val="prometheus", uid="$datasource")

# Found by search: apart by at least 33 (CIE76) in normal, protan, deutan and tritan sight; each word is shown as well.
STATE_COLOURS: dict[State, str] = {
    State.FAILED: "#CE5314",
    State.UNCOMMITTED: "#FABC08",
    State.IMPORTING: "#3ABEF9",
    State.PENDING: "#D0D0D0",
    State.COMPLETED: "#327B58",
    State.UNKNOWN: "#9341E3",
}
CALM = "#3d4451"
WAITS_FOR_SOMEBODY = STATE_COLOURS[State.UNCOMMITTED]
NOBODY_KNOWS = STATE_COLOURS[State.UNKNOWN]
CONDITION_COLOURS: dict[str, str] = {str(state): colour for state, colour in STATE_COLOURS.items()} | {
    "Unreadable": NOBODY_KNOWS,
    "Vanished": NOBODY_KNOWS,
    "Stalled": WAITS_FOR_SOMEBODY,
    "Expired": CALM,
}

SUMMARIES = {"lastNotNull": "Last *", "max": "Max", "sum": "Total"}
NO_SAMPLES = "No samples in this range. Is Prometheus scraping the exporter?"

AnyPanel = TypeVar("AnyPanel", stat.Panel, timeseries.Panel, table.Panel, bargauge.Panel, statetimeline.Panel)


def setting(name: str, value: object) -> dm.DynamicConfigValue:
    """One property of a field override."""
    return dm.DynamicConfigValue(name, value)


def words(meanings: Mapping[str, tuple[str, str]]) -> dm.ValueMap:
    """Value -> (text, colour)."""
    return dm.ValueMap(
        options={
            value: dm.ValueMappingResult(text=text, color=colour, index=index)
            for index, (value, (text, colour)) in enumerate(meanings.items())
        }
    )


def fixed(colour: str) -> dm.DynamicConfigValue:
    """Override that gives a series one colour, whatever its position."""
    return setting("color", {"mode": "fixed", "fixedColor": colour})


def at_once(expr: str, ref: str = "A", legend: str = "__auto") -> prometheus.Dataquery:
    """Query for the end of the time range."""
    return prometheus.Dataquery().ref_id(ref).expr(expr).datasource(DATASOURCE).instant().legend_format(legend)


def over_time(expr: str, legend: str, ref: str = "A", step: str = "") -> prometheus.Dataquery:
    """Query over the whole time range; `step` is the least distance of points, and a quarter of $__rate_interval."""
    query = prometheus.Dataquery().ref_id(ref).expr(expr).datasource(DATASOURCE).range().legend_format(legend)
    return query.interval(step) if step else query


def panel(kind: AnyPanel, title: str, description: str, *, width: int, height: int, no_value: str) -> AnyPanel:
    """What every panel has; `width` in 24ths of the page, `height` in grid rows."""
    return (
        kind.title(title).description(description).datasource(DATASOURCE).span(width).height(height).no_value(no_value)
    )


def number(
    title: str,
    description: str,
    expr: str,
    *,
    colour: str,
    alarm: bool = False,
    unit: str = "none",
    no_value: str = "no data",
    width: int = 3,
    height: int = 4,
    link: tuple[str, str] | None = None,
    legend: str = "__auto",
) -> stat.Panel:
    """One figure: with `alarm` its background takes the colour from 1 on, without, the figure has it always.

    `link` is title and URL of what a click opens.
    """
    steps = [dm.Threshold(value=None, color=CALM if alarm else colour)]
    if alarm:
        steps.append(dm.Threshold(value=1, color=colour))
    made = (
        panel(stat.Panel(), title, description, width=width, height=height, no_value=no_value)
        .unit(unit)
        .graph_mode(cm.BigValueGraphMode.NONE)
        .color_mode(cm.BigValueColorMode.BACKGROUND_SOLID if alarm else cm.BigValueColorMode.VALUE)
        .thresholds(dashboard.ThresholdsConfig().mode(dm.ThresholdsMode.ABSOLUTE).steps(steps))
        .text(common.VizTextDisplayOptions().value_size(40 if height > 3 else 28))
        .with_target(at_once(expr, legend=legend))
    )
    if link:
        made = made.data_links([dashboard.DashboardLink(link[0]).type(dm.DashboardLinkType.LINK).url(link[1])])
    return made


def graph(
    title: str,
    description: str,
    queries: Sequence[prometheus.Dataquery],
    *,
    unit: str,
    stacked: bool = False,
    bars: bool = False,
    width: int = 12,
    height: int = 8,
    no_value: str = NO_SAMPLES,
    summary: str = "lastNotNull",
) -> timeseries.Panel:
    """Lines, areas or bars over time; a wide one with a table as legend, the largest `summary` on top."""
    legend = common.VizLegendOptions().show_legend(True).calcs([summary])
    if width >= 12:
        legend = legend.display_mode(cm.LegendDisplayMode.TABLE).placement(cm.LegendPlacement.RIGHT)
        legend = legend.sort_by(SUMMARIES[summary]).sort_desc(True)
    else:
        legend = legend.display_mode(cm.LegendDisplayMode.LIST).placement(cm.LegendPlacement.BOTTOM).calcs([])
    made = (
        panel(timeseries.Panel(), title, description, width=width, height=height, no_value=no_value)
        .unit(unit)
        .min(0)
        .show_points(cm.VisibilityMode.AUTO)
        .line_width(1 if stacked else 2)
        .fill_opacity(60 if bars else 25 if stacked else 0)
        .tooltip(common.VizTooltipOptions().mode(cm.TooltipDisplayMode.MULTI).sort(cm.SortOrder.DESCENDING))
        .legend(legend)
    )
    if stacked:
        made = made.stacking(common.StackingConfig().mode(cm.StackingMode.NORMAL).group("A"))
    if bars:
        made = made.draw_style(cm.GraphDrawStyle.BARS)
    for query in queries:
        made = made.with_target(query)
    return made


def state_colours(made: timeseries.Panel, states: Iterable[State]) -> timeseries.Panel:
    """Series named after states in the colours of the states."""
    for state in states:
        made = made.override_by_name(state, [fixed(STATE_COLOURS[state])])
    return made


def timeline(title: str, description: str, expr: str, legend: str, *, height: int) -> statetimeline.Panel:
    """States of jobs, given as numbers in `TIMELINE_ORDER` from 1."""
    meanings = {str(code): (str(state), STATE_COLOURS[state]) for code, state in enumerate(TIMELINE_ORDER, start=1)}
    return (
        panel(statetimeline.Panel(), title, description, width=24, height=height, no_value=NO_SAMPLES)
        .unit("none")
        .mappings([words(dict(reversed(meanings.items())))])
        .show_value(cm.VisibilityMode.NEVER)
        .row_height(0.8)
        .fill_opacity(90)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(cm.LegendDisplayMode.LIST)
            .placement(cm.LegendPlacement.BOTTOM)
        )
        .with_target(over_time(expr, legend))
    )
