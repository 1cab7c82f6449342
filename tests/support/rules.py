"""The rule file, what it consists of, and a copy at the pace of a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

PROMETHEUS = Path(__file__).parents[2] / "prometheus"
RULES = PROMETHEUS / "rules/zilliz-import.rules.yml"
ALERTMANAGER = PROMETHEUS / "alertmanager/alertmanager.yml"
SCRAPE_JOB = "zilliz-import-exporter"
"""The name of the scrape job in the examples."""

GRAFANA = "http://localhost:3000"
RUNBOOKS = "https://github.com/zilliztech/zilliz-import-exporter/blob/main/docs/runbooks.md"
"""The addresses that the rule file's links begin with, and that users replace."""


def rules() -> list[dict[str, Any]]:
    """Every rule as in the file."""
    found: list[dict[str, Any]] = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"][0]["rules"]
    return found


def faster(directory: Path, *, interval: str = "200ms", wait: str = "0s", keep: str = "1s") -> Path:
    """Write a copy of the rule file into `directory` and return its path: other times, the same expressions and texts.

    `wait` stands for each `for`, `keep` for each `keep_firing_for`; windows inside expressions stay.
    """
    document = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    for group in document["groups"]:
        group["interval"] = interval
        for rule in group["rules"]:
            for field, time in {"for": wait, "keep_firing_for": keep}.items():
                if field in rule:
                    rule[field] = time
    directory.mkdir(parents=True, exist_ok=True)
    copy = directory / RULES.name
    copy.write_text(yaml.safe_dump(document), encoding="utf-8")
    return copy
