"""Tables of the dashboards: queries that name the rows, and one query per column of values, merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models import common as cm
from grafana_foundation_sdk.models import dashboard as dm
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from exporter.model import State
from grafana import look

GAP = "\N{EN DASH}"
IMPORTS, IMPORT_JOB = "zilliz-imports", "zilliz-import-job"
RUNBOOKS = "https://github.com/zilliztech/zilliz-import-exporter/blob/main/docs/runbooks.md"

# A row that is always there and never shown. Without a row Grafana would not know the columns by which it merges and
# filters, and would list what the columns of values bring along.
NO_ROW = "-"


def labelled(expr: str, labels: Mapping[str, str]) -> str:
    """The series of `expr` with these labels."""
    for label, value in labels.items():
        expr = f'label_replace({expr}, "{label}", "{value}", "", "")'
    return expr


@dataclass(frozen=True, slots=True)
class Column:
    """A column that shows a label, or, where no `label` is named, the value of the query `expr`.

    A label without `expr` comes with the rows. `width` is in pixels; those of 0 share what is left.
    """

    title: str
    expr: str = ""
    label: str = ""
    width: int = 0
    settings: tuple[dm.DynamicConfigValue, ...] = ()


def figure(unit: str, decimals: int | None = None) -> tuple[dm.DynamicConfigValue, ...]:
    """Settings of a column of numbers."""
    rounding = () if decimals is None else (look.setting("decimals", decimals),)
    return (look.setting("unit", unit), look.setting("noValue", GAP), *rounding)


def link(title: str, url: str) -> dm.DynamicConfigValue:
    """A link of each cell."""
    return look.setting("links", [{"title": title, "url": url, "targetBlank": url.startswith("http")}])


def _page(uid: str, *kept: str, **chosen: str) -> str:
    """A dashboard with the time range, data source and targets of now; `chosen` as the URL spells it."""
    names = ("datasource", "job", "instance", *kept)
    filters = [f"${{{name}:queryparam}}" for name in names if name not in chosen]
    return f"/d/{uid}/?" + "&".join(
        ["${__url_time_range}", *filters, *(f"var-{name}={value}" for name, value in chosen.items())]
    )


_CLUSTER = '${__data.fields["cluster_id"]:percentencode}'
_VALUE = "${__value.raw:percentencode}"
TEXT = (look.setting("noValue", GAP),)
LONG_TEXT = (
    *TEXT,
    look.setting("custom.cellOptions", cm.TableAutoCellOptions(wrap_text=True)),
    look.setting("custom.wrapText", value=True),  # the same, from Grafana 12 on
    look.setting("custom.inspect", value=True),
)
_FILTERED = (*TEXT, look.setting("custom.filterable", value=True))
CLUSTER_LINK = (*_FILTERED, link("Only this cluster", _page(IMPORTS, cluster_id=_VALUE)))
COLLECTION_LINK = (*_FILTERED, link("Only this collection", _page(IMPORTS, "cluster_id", collection=_VALUE)))
JOB_LINK = (*_FILTERED, link("This import job", _page(IMPORT_JOB, cluster_id=_CLUSTER, job_id=_VALUE)))
BAR = (
    *figure("percentunit", 0),
    look.setting("min", 0),
    look.setting("max", 1),
    look.fixed(look.STATE_COLOURS[State.IMPORTING]),
    look.setting(
        "custom.cellOptions",
        cm.TableBarGaugeCellOptions(mode=cm.BarGaugeDisplayMode.GRADIENT, value_display_mode=cm.BarGaugeValueMode.TEXT),
    ),
)


def badge(meanings: Mapping[str, tuple[str, str | None]]) -> tuple[dm.DynamicConfigValue, ...]:
    """Settings of a column of words on a coloured ground; `meanings` are value -> (text, colour)."""
    ground = cm.TableColoredBackgroundCellOptions(mode=cm.TableCellBackgroundDisplayMode.BASIC)
    return (look.setting("mappings", [look.words(meanings)]), look.setting("custom.cellOptions", ground))


STATE = badge({str(state): (str(state), colour) for state, colour in look.STATE_COLOURS.items()})
REASON = (
    *LONG_TEXT,
    look.setting("mappings", [look.words({value: (text, None) for value, text in look.REASON_WORDS.items()})]),
)


def listing(
    title: str,
    description: str,
    rows: Sequence[str],
    columns: Sequence[Column],
    *,
    known: str = "state",
    sort: str = "",
    descending: bool = False,
    width: int = 24,
    height: int,
    no_value: str,
) -> table.Panel:
    """One row per series of the queries `rows`, in their order or by the column titled `sort`.

    Every series of `rows` has the label `known`. The default unit is `string`: an id must never be formatted as a
    number.
    """
    exprs = list(
        dict.fromkeys(
            [
                *rows,
                labelled("vector(0)", dict.fromkeys(("cluster_id", "job_id", known), NO_ROW)),
                *(c.expr for c in columns if c.expr),
            ]
        )
    )
    refs = dict(zip(exprs, ascii_uppercase, strict=False))
    made = look.panel(table.Panel(), title, description, width=width, height=height, no_value=no_value)
    made = made.unit("string").filterable(False).cell_height(cm.TableCellHeight.SM)
    made = made.footer(common.TableFooterOptions().show(False).reducer([]).enable_pagination(True))
    for expr, ref in refs.items():
        made = made.with_target(look.at_once(expr, ref).format(PromQueryFormat.TABLE))
    for column in columns:
        wide = (look.setting("custom.width", column.width),) if column.width else ()
        made = made.override_by_name(column.title, [*column.settings, *wide])

    fields = {column.title: column.label or f"Value #{refs[column.expr]}" for column in columns}
    labels = {"cluster_id", "collection_name", "db_name", "job_id", "state", "error", "severity", "source"}
    hidden = {"Time", *labels, *(f"Value #{ref}" for ref in refs.values())} - set(fields.values())
    is_row = [
        {"fieldName": known, "config": {"id": "isNotNull", "options": {}}},
        {"fieldName": known, "config": {"id": "notEqual", "options": {"value": NO_ROW}}},
    ]
    transformations: list[tuple[str, object]] = [
        ("merge", {}),
        ("filterByValue", {"type": "include", "match": "all", "filters": is_row}),
        *([("sortBy", {"fields": {}, "sort": [{"field": fields[sort], "desc": descending}]})] if sort else []),
        (
            "organize",
            {
                "excludeByName": dict.fromkeys(sorted(hidden), True),
                "indexByName": {field: position for position, field in enumerate(fields.values())},
                "renameByName": {field: title for title, field in fields.items()},
            },
        ),
    ]
    return made.transformations(
        [dm.DataTransformerConfig(id_val=name, options=options) for name, options in transformations]
    )
