"""The Compose project: its files exist, its services know each other, it is open to this machine only."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter import __version__
from exporter.config.load import Loader
from tests.support.promtool import binaries, run

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "deploy/compose"


def project(*names: str) -> dict[str, Any]:
    """The files laid over each other as Compose does it, as far as these need it."""
    merged: dict[str, Any] = {}
    for name in names:
        for key, value in yaml.safe_load((COMPOSE / name).read_text(encoding="utf-8")).items():
            if key == "services":
                services = merged.setdefault("services", {})
                for service, settings in value.items():
                    services[service] = {**services.get(service, {}), **settings}
            else:
                merged[key] = value
    return merged


DEMO = project("compose.yaml")
ZILLIZ = project("compose.yaml", "compose.zilliz.yaml")


@pytest.mark.parametrize("compose", [DEMO, ZILLIZ], ids=["demo", "zilliz"])
def test_every_service_is_pinned_hardened_and_on_localhost_only(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_the_image_has_the_version_of_the_package() -> None:
    assert DEMO["services"]["exporter"]["image"] == f"zilliz-import-exporter:{__version__}"


def test_what_is_mounted_exists_and_is_read_only() -> None:
    volumes = [volume for service in DEMO["services"].values() for volume in service.get("volumes", ())]
    for source, _target, *options in (volume.split(":") for volume in volumes):
        if source.startswith("."):
            assert (COMPOSE / source).exists(), source
            assert options == ["ro"]
        else:
            assert source in DEMO["volumes"]


def test_grafana_finds_the_bundled_dashboards_where_its_provisioning_looks() -> None:
    provider = yaml.safe_load((ROOT / "grafana/provisioning/dashboards/zilliz.yaml").read_text(encoding="utf-8"))
    folder = provider["providers"][0]["options"]["path"]
    grafana = DEMO["services"]["grafana"]
    for name in ("zilliz-imports.json", "zilliz-import-job.json"):
        assert f"../../grafana/{name}:{folder}/{name}:ro" in grafana["volumes"]
    assert grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == f"{folder}/zilliz-imports.json"
    assert grafana["environment"]["PROMETHEUS_URL"] == "http://prometheus:9090"


@pytest.mark.needs("promtool")
def test_prometheus_takes_its_configuration_and_knows_the_services(tmp_path: Path) -> None:
    shutil.copy(COMPOSE / "prometheus.yml", tmp_path)
    shutil.copytree(ROOT / "prometheus/rules", tmp_path / "rules")
    for promtool in binaries():
        good, said = run("check", "config", tmp_path / "prometheus.yml", binary=promtool)
        assert good, said
    text = (COMPOSE / "prometheus.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"(\w+):(?:9093|10530)\b", text)) == {"alertmanager", "exporter"} <= DEMO["services"].keys()


def test_the_exporters_configuration_is_valid_once_the_key_is_there(tmp_path: Path) -> None:
    key = ZILLIZ["services"]["exporter"]["secrets"][0]["target"]
    text = (COMPOSE / "config.yaml").read_text(encoding="utf-8")
    assert key in text
    (tmp_path / "key").write_text("your-key\n")
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "config.yaml").write_text(text.replace(key, str(tmp_path / "key")))
    assert Loader(tmp_path / "config.yaml", {}).load().warnings == ()
    target = ZILLIZ["services"]["exporter"]["configs"][0]["target"]
    assert ZILLIZ["services"]["exporter"]["command"] == [f"--config.file={target}"]
