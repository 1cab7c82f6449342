"""The files with which Grafana starts: a data source, a folder, the dashboard in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

import grafana

PROVISIONING = Path(grafana.__file__).parent / "provisioning"


def provisioned(kind: str) -> list[dict[str, Any]]:
    """The entries of all files of this kind."""
    key = {"datasources": "datasources", "dashboards": "providers"}[kind]
    files = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in sorted((PROVISIONING / kind).glob("*.yaml"))]
    assert all(file["apiVersion"] == 1 for file in files)
    return [entry for file in files for entry in file[key]]


def test_one_prometheus_is_the_default_so_that_the_page_opens_with_data() -> None:
    (source,) = provisioned("datasources")
    assert (source["type"], source["uid"], source["isDefault"]) == ("prometheus", "prometheus", True)
    assert source["url"] == "$PROMETHEUS_URL"


def test_the_dashboard_lies_in_a_folder_and_is_changed_only_where_it_is_generated() -> None:
    (provider,) = provisioned("dashboards")
    assert provider["folder"]
    assert provider["type"] == "file"
    assert not provider["allowUiUpdates"]
    assert Path(provider["options"]["path"]).is_absolute()
