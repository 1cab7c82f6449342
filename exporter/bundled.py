"""The files that come with this version, for `--print`: rules, dashboards and examples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

FILES: Final[Mapping[str, str]] = {
    "rules": "prometheus/rules/zilliz-import.rules.yml",
    "dashboard": "grafana/zilliz-imports.json",
    "job-dashboard": "grafana/zilliz-import-job.json",
    "alertmanager": "prometheus/alertmanager/alertmanager.yml",
    "prometheus": "prometheus/prometheus.yml",
    "config": "config.example.yaml",
}
"""Their paths in the repository, by what `--print` calls them; in the wheel they are below exporter/files."""

_PACKAGE: Final = Path(__file__).parent


def text(name: str) -> str:
    """Return the text of a file, from the installed package or from the repository. Raises OSError."""
    path = _PACKAGE / "files" / FILES[name]
    return (path if path.exists() else _PACKAGE.parent / FILES[name]).read_text(encoding="utf-8")
