"""Links within the page: the same time range and filters, save those that the link is about."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as dm

UID = "zilliz-imports"
FILTERS = ("datasource", "job", "instance", "cluster_id", "collection", "state", "job_id")
ALL = "$__all"


def page(**chosen: str) -> str:
    """This page with the filters of now; `chosen` are filters with another value, as the URL spells it."""
    kept = [f"${{{name}:queryparam}}" for name in FILTERS if name not in chosen]
    return f"/d/{UID}/?" + "&".join(
        ["${__url_time_range}", *kept, *(f"var-{name}={value}" for name, value in chosen.items())]
    )


def _cell(field: str) -> str:
    """The value of this field in the row of the link; fields keep their names when a table renames its columns."""
    return f'${{__data.fields["{field}"]:percentencode}}'


def _link(title: str, url: str) -> dm.DynamicConfigValue:
    return dm.DynamicConfigValue("links", [{"title": title, "url": url}])


ONLY_THIS_JOB = _link(
    "Only this job", page(cluster_id=_cell("cluster_id"), collection=ALL, state=ALL, job_id=_cell("job_id"))
)
ONLY_THIS_CLUSTER = _link("Only this cluster", page(cluster_id=_cell("cluster_id")))
ONLY_THIS_COLLECTION = _link("Only this collection", page(collection=_cell("collection_name")))
