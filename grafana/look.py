"""How the dashboards look: colours, words, queries and panels of each kind, all with the same manners."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models import common as cm
from grafana_foundation_sdk.models import dashboard as dm

from exporter.model import State
from grafana.queries import STATE_CODES

DATASOURCE = dm.DataSourceRef(type_val="prometheus", uid="$datasource")

# Found by search: the text that Grafana writes on them has a contrast of at least 4.5, and any two are apart by at
# least 28 (CIE76) in normal, protan, deutan and tritan sight. The word is always there as well.
STATE_COLOURS: dict[State, str] = {
    State.FAILED: "#C0310F",
    State.UNCOMMITTED: "#FABC08",
    State.IMPORTING: "#1F60F0",
    State.PENDING: "#CBCBDC",
    State.COMPLETED: "#6EE39C",
    State.UNKNOWN: "#84529C",
}
BAD = STATE_COLOURS[State.FAILED]
GOOD = STATE_COLOURS[State.COMPLETED]
WARNING = STATE_COLOURS[State.UNCOMMITTED]
SILENT = STATE_COLOURS[State.UNKNOWN]
CALM = "transparent"
NOT_SCRAPED = "NOT SCRAPED"

WORD_COLOURS: dict[str, str] = {str(state): colour for state, colour in STATE_COLOURS.items()} | {
    "Vanished": SILENT,
    "Unreadable": SILENT,
    "Not found": SILENT,
    "Stalled": WARNING,
}

ERROR_WORDS: dict[str, str] = {
    "timeout": "The API did not answer in time",
    "connect": "No connection to the API",
    "tls": "The API's TLS certificate is not accepted",
    "auth": "The API refuses the key",
    "not_found": "The API does not know this job: is the id right?",
    "vanished": "The API no longer knows this job and will not say how it ended: check the collection",
    "expired": "Finished, and forgotten by the API",
    "rate_limited": "The API's rate limit is reached",
    "http": "The answer is not the API's: a proxy, a wrong address, or an outage",
    "api": "The API answers with an error",
    "payload": "The API's answer cannot be understood",
    "starved": "Too many jobs for the rate limit: its turn has not come",
}
"""What the classes of the label `error` mean, for people."""

REASON_WORDS: dict[str, str] = {
    State.FAILED: "The API gives no reason",
    State.IMPORTING: "Neither progress nor rows have changed",
    State.PENDING: "It waits for a slot, a quota or a worker",
    State.UNCOMMITTED: "All is imported: somebody has to commit or abort it",
    State.UNKNOWN: "The API names a state that this exporter does not know; the exporter's log has the word",
    **ERROR_WORDS,
}
"""What stands for a reason where the API gives none."""

NO_SAMPLES = "No samples in this range. Is Prometheus scraping the exporter?"

AnyPanel = TypeVar("AnyPanel", stat.Panel, timeseries.Panel, table.Panel, statetimeline.Panel)


def setting(name: str, value: object) -> dm.DynamicConfigValue:
    """One property of a field override."""
    return dm.DynamicConfigValue(name, value)


def words(meanings: Mapping[str, tuple[str, str | None]]) -> dm.ValueMap:
    """Value -> (text, colour)."""
    return dm.ValueMap(
        options={
            value: dm.ValueMappingResult(text=text, color=colour, index=index)
            for index, (value, (text, colour)) in enumerate(meanings.items())
        }
    )


def nothing(text: str, colour: str | None) -> dm.SpecialValueMap:
    """What a figure without a value says."""
    result = dm.ValueMappingResult(text=text, color=colour, index=99)
    return dm.SpecialValueMap(dm.DashboardSpecialValueMapOptions(match=dm.SpecialValueMatch.NULL, result=result))


def fixed(colour: str) -> dm.DynamicConfigValue:
    """Override that gives a series one colour, whatever its position."""
    return setting("color", {"mode": "fixed", "fixedColor": colour})


def steps(*values: tuple[float | None, str]) -> dashboard.ThresholdsConfig:
    """From each value on, a colour; the first has no value."""
    made = [dm.Threshold(value=value, color=colour) for value, colour in values]
    return dashboard.ThresholdsConfig().mode(dm.ThresholdsMode.ABSOLUTE).steps(made)


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
    alarm: str = "",
    unit: str = "none",
    mappings: Sequence[dm.ValueMap] = (),
    no_value: str = "",
    width: int = 3,
    height: int = 4,
    legend: str = "__auto",
) -> stat.Panel:
    """One figure; its background takes the colour `alarm` from 1 on, and that of `mappings` where one fits.

    Without a value it is red and says so, unless `no_value` says that nothing is wrong with that.
    """
    colours: list[tuple[float | None, str]] = [(None, CALM), (1, alarm)] if alarm else [(None, CALM)]
    missing = nothing(no_value, CALM) if no_value else nothing(NOT_SCRAPED, BAD)
    return (
        panel(stat.Panel(), title, description, width=width, height=height, no_value=no_value or NOT_SCRAPED)
        .unit(unit)
        .graph_mode(cm.BigValueGraphMode.NONE)
        .color_mode(cm.BigValueColorMode.BACKGROUND_SOLID)
        .thresholds(steps(*colours))
        .mappings([*mappings, missing])
        .with_target(at_once(expr, legend=legend))
    )


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
) -> timeseries.Panel:
    """Lines, areas or bars over time, their names below."""
    made = (
        panel(timeseries.Panel(), title, description, width=width, height=height, no_value=no_value)
        .unit(unit)
        .min(0)
        .show_points(cm.VisibilityMode.AUTO)
        .line_width(1 if stacked else 2)
        .fill_opacity(80 if bars else 25 if stacked else 0)
        .tooltip(common.VizTooltipOptions().mode(cm.TooltipDisplayMode.MULTI).sort(cm.SortOrder.DESCENDING))
        .legend(_legend())
    )
    if stacked:
        made = made.stacking(common.StackingConfig().mode(cm.StackingMode.NORMAL).group("A"))
    if bars:
        made = made.draw_style(cm.GraphDrawStyle.BARS)
    for query in queries:
        made = made.with_target(query)
    return made


def _legend() -> common.VizLegendOptions:
    shown = common.VizLegendOptions().show_legend(True).calcs([])
    return shown.display_mode(cm.LegendDisplayMode.LIST).placement(cm.LegendPlacement.BOTTOM)


def state_colours(made: timeseries.Panel, states: Iterable[State]) -> timeseries.Panel:
    """Series named after states in the colours of the states."""
    for state in states:
        made = made.override_by_name(state, [fixed(STATE_COLOURS[state])])
    return made


def state_words() -> dm.ValueMap:
    """Words and colours for the numbers of `STATE_CODES`, the worst first."""
    return words({str(code): (str(state), STATE_COLOURS[state]) for state, code in reversed(STATE_CODES.items())})


def timeline(title: str, description: str, expr: str, legend: str, *, height: int) -> statetimeline.Panel:
    """States of jobs over time, given as numbers."""
    return (
        panel(statetimeline.Panel(), title, description, width=24, height=height, no_value=NO_SAMPLES)
        .unit("none")
        .mappings([state_words()])
        .show_value(cm.VisibilityMode.AUTO)
        .row_height(0.8)
        .fill_opacity(100)
        .legend(_legend())
        .with_target(over_time(expr, legend))
    )
