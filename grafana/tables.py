"""Tables of the dashboard: one query per column, merged into one row per job or file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models import common as cm
from grafana_foundation_sdk.models import dashboard as dm
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from exporter.model import State
from grafana import look

GAP = "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class Column:
    """A column that shows a label, or the value of its own query where no `label` is named.

    A `label` without `expr` comes with another column's query. `width` is in pixels, those of 0 share what is left.
    """

    title: str
    expr: str = ""
    label: str = ""
    width: int = 0
    settings: tuple[dm.DynamicConfigValue, ...] = ()


TEXT = (look.setting("custom.filterable", value=True),)
LONG_TEXT = (look.setting("custom.inspect", value=True), look.setting("noValue", GAP))
BAR = (
    look.setting("unit", "percentunit"),
    look.setting("decimals", 0),
    look.setting("min", 0),
    look.setting("max", 1),
    look.setting("noValue", GAP),
    look.fixed(look.STATE_COLOURS[State.IMPORTING]),
    look.setting(
        "custom.cellOptions",
        cm.TableBarGaugeCellOptions(mode=cm.BarGaugeDisplayMode.BASIC, value_display_mode=cm.BarGaugeValueMode.TEXT),
    ),
)
BADGE = (
    *TEXT,
    look.setting("mappings", [look.words({word: (word, colour) for word, colour in look.CONDITION_COLOURS.items()})]),
    look.setting(
        "custom.cellOptions",
        cm.TableColoredBackgroundCellOptions(mode=cm.TableCellBackgroundDisplayMode.BASIC),
    ),
)


def figure(unit: str, decimals: int | None = None) -> tuple[dm.DynamicConfigValue, ...]:
    """Settings of a column of numbers."""
    rounding = () if decimals is None else (look.setting("decimals", decimals),)
    return (look.setting("unit", unit), look.setting("noValue", GAP), *rounding)


def listing(
    title: str,
    description: str,
    columns: Sequence[Column],
    *,
    worst_first: str,
    descending: bool,
    height: int,
    no_value: str,
) -> table.Panel:
    """One row per subject that the first column's query finds, ordered by the value of the query `worst_first`.

    The panel's default unit is `string`: an id must never be formatted as a number.
    """
    exprs = list(dict.fromkeys([*(column.expr for column in columns if column.expr), worst_first]))
    refs = dict(zip(exprs, "ABCDEFGHIJKLMNOPQRSTUVWXYZ", strict=False))
    made = look.panel(table.Panel(), title, description, width=24, height=height, no_value=no_value)
    made = made.unit("string").filterable(False).cell_height(cm.TableCellHeight.SM)
    made = made.footer(common.TableFooterOptions().show(False).reducer([]).enable_pagination(True))
    for expr, ref in refs.items():
        made = made.with_target(look.at_once(expr, ref).format(PromQueryFormat.TABLE))
    for column in columns:
        width = (look.setting("custom.width", column.width),) if column.width else ()
        made = made.override_by_name(column.title, [*column.settings, *width])

    fields = [column.label or f"Value #{refs[column.expr]}" for column in columns]
    labels = {"cluster_id", "collection_name", "job_id"}
    values = {f"Value #{ref}" for ref in refs.values()}
    hidden = {"Time", *labels, *values} - set(fields)
    first_known = {"fieldName": columns[0].label, "config": {"id": "isNotNull", "options": {}}}
    transformations: list[tuple[str, object]] = [
        ("merge", {}),
        ("filterByValue", {"type": "include", "match": "all", "filters": [first_known]}),
        ("sortBy", {"fields": {}, "sort": [{"field": f"Value #{refs[worst_first]}", "desc": descending}]}),
        (
            "organize",
            {
                "excludeByName": dict.fromkeys(sorted(hidden), True),
                "indexByName": {field: position for position, field in enumerate(fields)},
                "renameByName": dict(zip(fields, (column.title for column in columns), strict=True)),
            },
        ),
    ]
    return made.transformations(
        [dm.DataTransformerConfig(id_val=name, options=options) for name, options in transformations]
    )
