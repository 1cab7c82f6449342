"""The filters of the page, each narrowed by those before it, and what marks its graphs."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as dm

from exporter.model import State
from grafana import look, queries
from grafana.queries import ASKED, CLUSTER, EXPORTER, ID, JOB, metric
from grafana.rows.history import NEWEST
from grafana.rows.jobs import SLOWEST

Variable = dashboard.DatasourceVariable | dashboard.QueryVariable | dashboard.CustomVariable

_ALL = dm.VariableOption(text="All", value="$__all")
_TARGETS = '__name__=~"zilliz_import_(cluster_up|exporter_build_info)"'
_FIRST_SEEN = f"max by ({ID}) ({metric('job_first_seen_timestamp_seconds', ASKED)})"


def _choice(name: str, label: str, query: str, description: str, *, all_value: str = ".+") -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .description(description)
        .datasource(look.DATASOURCE)
        .query(query)
        .multi(True)
        .include_all(True)
        .all_value(all_value)
        .current(_ALL)
        .sort(dm.VariableSort.ALPHABETICAL_ASC)
        .refresh(dm.VariableRefresh.ON_TIME_RANGE_CHANGED)
    )


def _bound(name: str, expr: str) -> dashboard.QueryVariable:
    """Hidden; without an `allValue` its All sends the listed ids, so a graph of them is cheap among 5,000 jobs."""
    description = "Bounds the graphs of single jobs, however many there are."
    made = _choice(name, name, f"query_result({expr})", description, all_value="")
    return made.regex('/job_id="([^"]+)"/').hide(dm.VariableHide.HIDE_VARIABLE)


def variables() -> list[Variable]:
    """In the order of the page."""
    return [
        dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"),
        _choice("job", "Job", f"label_values({{{_TARGETS}}}, job)", "The scrape job, as prometheus.yml names it."),
        _choice(
            "instance",
            "Instance",
            f'label_values({{{_TARGETS}, job=~"$job"}}, instance)',
            "The scrape target. Where /sd names the targets, each cluster is one and the exporter another: a cluster"
            " chosen here empties the row Exporter. To see one cluster, choose it under Cluster.",
        ),
        _choice("cluster_id", "Cluster", f"label_values({metric('cluster_up', EXPORTER)}, cluster_id)", "Its id."),
        _choice(
            "collection",
            "Collection",
            f"label_values({metric('job_info', CLUSTER)}, collection_name)",
            "What a job imports into; empty until the API has named it.",
            all_value=".*",
        ),
        dashboard.CustomVariable("state")
        .label("State")
        .description("Filters the table Jobs, nothing else.")
        .values(",".join(queries.CONDITIONS))
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(_ALL),
        _choice(
            "job_id",
            "Import job",
            f'label_values(zilliz_import_job_info{{{CLUSTER}, collection_name=~"$collection"}}, job_id)',
            "Its id, as the import API gave it.",
        ),
        _bound("newest", f"topk({NEWEST}, {_FIRST_SEEN} and on ({ID}) {metric('job_info', JOB)})"),
        _bound("slowest", f"bottomk({SLOWEST}, {queries.PROGRESS} and {queries.IMPORTING})"),
    ]


class Ends(dashboard.AnnotationQuery):
    """Marks the finish times of jobs in this state, as the API gives them: also of those seen only later."""

    def __init__(self, name: str, state: State, *, shown: bool) -> None:
        super().__init__()
        self.name(name).datasource(look.DATASOURCE).enable(shown).icon_color(look.STATE_COLOURS[state])
        self._fields: dict[str, object] = {
            "expr": f"1000 * {queries.latest('job_completed_timestamp_seconds')} and {queries.in_state(state)}",
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
