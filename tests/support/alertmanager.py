"""A real Alertmanager for tests, alone in its cluster."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import requests
import yaml

from tests.support.program import Program

BINARY = "prometheus-alertmanager" if shutil.which("prometheus-alertmanager") else "alertmanager"


class Alertmanager(Program):
    """Runs on a free loopback port with its data under `directory`, which should be a tmp_path of the test.

    `config` is alertmanager.yml as text or as data; relative template paths count from `directory`.
    """

    def __init__(self, config: str | Mapping[str, object], directory: Path, *, binary: str = BINARY) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.config_file = directory / "alertmanager.yml"
        self.config_file.write_text(config if isinstance(config, str) else yaml.safe_dump(config), encoding="utf-8")
        super().__init__(
            (
                binary,
                f"--config.file={self.config_file}",
                f"--storage.path={directory / 'alertmanager-data'}",
                "--web.listen-address=127.0.0.1:0",
                "--cluster.listen-address=",
            ),
            directory / "alertmanager.log",
        )

    @property
    def address(self) -> str:
        """HOST:PORT, for `alerting.alertmanagers` of a Prometheus."""
        return self.url.removeprefix("http://")

    def send(self, alerts: Sequence[Mapping[str, object]]) -> None:
        """Hand over alerts as Prometheus would: `labels`, `annotations`, `startsAt`, `endsAt` (RFC 3339)."""
        reply = requests.post(f"{self.url}/api/v2/alerts", json=list(alerts), timeout=10)
        if not reply.ok:
            raise requests.HTTPError(f"{reply.status_code} {reply.text}", response=reply)

    def alerts(self) -> list[dict[str, Any]]:
        """Return what it holds, with `status.state` ("active", "suppressed") and `status.inhibitedBy`."""
        alerts: list[dict[str, Any]] = requests.get(f"{self.url}/api/v2/alerts", timeout=10).json()
        return alerts
