"""The real exporter as a process of its own, for tests."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.program import Program

LISTENING = re.compile(r"msg\W+Listening\b.*addresses\W+(?P<address>[^\s\"]+)")


class Exporter(Program):
    """Runs on a free loopback port with its configuration under `directory`; `config` is the YAML file as data."""

    def __init__(
        self, config: Mapping[str, object] | None, directory: Path, *arguments: str, address: str = "127.0.0.1:0"
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.config_file = directory / "config.yaml"
        if config is not None:
            self.write(config)
            arguments = (f"--config.file={self.config_file}", *arguments)
        command = (sys.executable, "-m", "exporter", f"--web.listen-address={address}", *arguments)
        super().__init__(command, directory / "exporter.log")

    def write(self, config: Mapping[str, object]) -> None:
        """Replace the configuration file in one step."""
        fresh = self.config_file.with_suffix(".new")
        fresh.write_text(yaml.safe_dump(dict(config), sort_keys=False), encoding="utf-8")
        fresh.replace(self.config_file)

    @property
    def host(self) -> str:
        """HOST:PORT, as a scrape configuration names it."""
        return self.url.removeprefix("http://")

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def send(self, number: int) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def wait(self, timeout: float = 30.0) -> int:
        """Wait for its end; the exit code."""
        return self._process.wait(timeout)

    def scrape(self, path: str = "/metrics", timeout: str | None = None) -> Samples:
        """What Prometheus would get, by name and labels."""
        headers = {} if timeout is None else {"X-Prometheus-Scrape-Timeout-Seconds": timeout}
        reply = requests.get(self.url + path, headers=headers, timeout=60)
        reply.raise_for_status()
        return Samples(reply.text)

    def _address(self) -> str | None:
        if self._process.poll() is not None:
            raise RuntimeError(f"{self._process.args!r} ended at once\n{self.log.read_text()}")
        found = LISTENING.search(self.log.read_text())
        return found["address"] if found else None


class Samples:
    """The samples of one exposition."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._samples = [
            (sample.name.removeprefix("zilliz_import_"), dict(sample.labels), sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]

    def all(self, name: str, **labels: str) -> list[tuple[dict[str, str], float]]:
        """All samples of a family (named without `zilliz_import_`) that bear these labels."""
        return [
            (has, value)
            for of, has, value in self._samples
            if of == name and all(has.get(label) == wanted for label, wanted in labels.items())
        ]

    def value(self, name: str, **labels: str) -> float | None:
        """The value of the only such sample; None if there is none."""
        found = self.all(name, **labels)
        if len(found) > 1:
            raise ValueError(f"{name}{labels} has {len(found)} samples")
        return found[0][1] if found else None

    def state(self, job_id: str, name: str = "job_state", **labels: Any) -> str | None:
        """The state that is 1 for the job."""
        ones = [has["state"] for has, value in self.all(name, job_id=job_id, **labels) if value == 1]
        if len(ones) > 1:
            raise ValueError(f"{job_id} is in several states: {ones}")
        return ones[0] if ones else None

    def error(self, job_id: str) -> str | None:
        """The class of the error of a job that is not up."""
        found = self.all("job_error", job_id=job_id)
        return found[0][0]["error"] if found else None
