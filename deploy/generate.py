"""Writes the objects of prometheus-operator that hold the rules and the dashboard: `python -m deploy.generate`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
OPERATOR = Path(__file__).parent / "kubernetes/prometheus-operator"
COMMAND = "python -m deploy.generate"
RULES = ROOT / "prometheus/rules/zilliz-import.rules.yml"
DASHBOARD = ROOT / "grafana/zilliz-imports.json"


def prometheus_rule() -> Mapping[str, Any]:
    """The rule file as a PrometheusRule."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "zilliz-import-exporter", "labels": {"release": "prometheus"}},
        "spec": yaml.safe_load(RULES.read_text(encoding="utf-8")),
    }


def dashboard() -> Mapping[str, Any]:
    """The dashboard as a ConfigMap that Grafana's sidecar finds by its label; without indentation, to be small."""
    text = json.dumps(json.loads(DASHBOARD.read_text(encoding="utf-8")), ensure_ascii=False, separators=(",", ":"))
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "zilliz-import-exporter-dashboard",
            "labels": {"grafana_dashboard": "1"},
            "annotations": {"grafana_folder": "Zilliz"},
        },
        "data": {DASHBOARD.name: text},
    }


def manifests() -> dict[Path, str]:
    """Every file that is made, as it should be."""
    return {
        OPERATOR / "prometheusrule.yaml": _written(prometheus_rule()),
        OPERATOR / "dashboard.yaml": _written(dashboard()),
    }


def _written(manifest: Mapping[str, Any]) -> str:
    text = yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True, width=120)
    return f"# Made by `{COMMAND}`: change the file that it is made from.\n{text}"


if __name__ == "__main__":
    for path, text in manifests().items():
        path.write_text(text, encoding="utf-8")
