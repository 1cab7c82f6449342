"""A real Prometheus for tests: a configuration in, answers of its HTTP API out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import yaml

from tests.support.program import Program, wait_for

BINARIES = ["prometheus", *filter(None, [os.environ.get("PROMETHEUS3")])]
"""The system's Prometheus and, where $PROMETHEUS3 is the path of one, a Prometheus 3."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of an instant query: `labels` include `__name__` where the expression keeps it."""

    labels: Mapping[str, str]
    value: float


def scrape_config(targets: list[str], *, job: str = "zilliz-import-exporter", **more: object) -> dict[str, object]:
    """Return one entry of `scrape_configs` with static targets (HOST:PORT); `more` are further keys of it."""
    return {"job_name": job, "static_configs": [{"targets": targets}], **more}


class Prometheus(Program):
    """Runs on a free loopback port with its data under `directory`, which should be a tmp_path of the test.

    `config` is prometheus.yml as text or as data; `rules` are files copied beside it and loaded as rule files.
    `binary` may name another Prometheus than `Prometheus.binary`, which is the system's unless a test chooses.
    """

    binary = BINARIES[0]

    def __init__(
        self,
        config: str | Mapping[str, object],
        directory: Path,
        *,
        rules: tuple[Path, ...] = (),
        binary: str | None = None,
        arguments: tuple[str, ...] = (),
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.config_file = directory / "prometheus.yml"
        self._rules = tuple(rule.name for rule in rules)
        for rule in rules:
            shutil.copy(rule, directory / rule.name)
        self.write(config)
        super().__init__(
            (
                binary or self.binary,
                f"--config.file={self.config_file}",
                f"--storage.tsdb.path={directory / 'data'}",
                "--web.listen-address=127.0.0.1:0",
                "--web.enable-lifecycle",
                *arguments,
            ),
            directory / "prometheus.log",
        )

    def write(self, config: str | Mapping[str, object]) -> None:
        """Replace the configuration; `reload` makes it count."""
        data = dict(yaml.safe_load(config)) if isinstance(config, str) else dict(config)
        if self._rules:
            data["rule_files"] = list(self._rules)
        self.config_file.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")

    def api(self, path: str, **parameters: str) -> Any:
        """Return `data` of /api/v1/`path`; requests.HTTPError with Prometheus' own words if it refuses."""
        reply = requests.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=30)
        if not reply.ok:
            raise requests.HTTPError(f"{reply.status_code} {reply.text}", response=reply)
        return reply.json()["data"]

    def query(self, expression: str, *, at: float | None = None) -> list[Sample]:
        """Return the instant vector (or the one scalar) of `expression`, by default now; `at` in Unix seconds."""
        data = self.api("query", query=expression, **({} if at is None else {"time": repr(at)}))
        if data["resultType"] == "scalar":
            return [Sample({}, float(data["result"][1]))]
        return [Sample(series["metric"], float(series["value"][1])) for series in data["result"]]

    def value(self, expression: str) -> float | None:
        """Return the value of the only series of `expression`, None if there is no series; ValueError if several."""
        samples = self.query(expression)
        if len(samples) > 1:
            raise ValueError(f"{expression} has {len(samples)} series: {samples}")
        return samples[0].value if samples else None

    def wait_until(self, expression: str, timeout: float = 30.0) -> list[Sample]:
        """Return the vector of `expression` once it has a series (write the condition into it: `up == 1`)."""
        try:
            return wait_for(expression, lambda: self.query(expression), timeout)
        except TimeoutError as error:
            raise AssertionError(f"{error}; targets: {self.targets()}") from error

    def targets(self) -> list[dict[str, Any]]:
        """Return the active targets with their labels, health and lastError."""
        active: list[dict[str, Any]] = self.api("targets", state="active")["activeTargets"]
        return active

    def alerts(self) -> list[dict[str, Any]]:
        """Return the pending and firing alerts with labels, annotations and state."""
        alerts: list[dict[str, Any]] = self.api("alerts")["alerts"]
        return alerts
