"""The unit is hardened and its files fit together. Not checked, for want of a running systemd: a start."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from exporter.config.load import Loader

FOLDER = Path(__file__).parents[2] / "deploy/systemd"
UNIT = FOLDER / "zilliz-import-exporter.service"


@pytest.mark.needs("systemd-analyze")
def test_the_unit_is_exposed_less_than_2_of_10(tmp_path: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(UNIT)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-200:]


@pytest.mark.needs("systemd-analyze")
def test_systemd_understands_every_line_of_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "zilliz-import-exporter"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / UNIT.name
    text = UNIT.read_text(encoding="utf-8")
    unit.write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={program}", text, flags=re.MULTILINE))
    command = ["systemd-analyze", "verify", "--man=no", str(unit)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_configuration_is_valid_once_the_credential_is_there(tmp_path: Path) -> None:
    credential = "/run/credentials/zilliz-import-exporter.service/zilliz-api-key"
    text = (FOLDER / "config.yaml").read_text(encoding="utf-8")
    assert credential in text
    assert "\nLoadCredential=zilliz-api-key:" in UNIT.read_text(encoding="utf-8")
    key = tmp_path / "key"
    key.write_text("your-key\n")
    key.chmod(0o400)
    (tmp_path / "config.yaml").write_text(text.replace(credential, str(key)))
    assert Loader(tmp_path / "config.yaml", {}).load().warnings == ()


def test_the_environment_file_holds_the_arguments_of_the_unit() -> None:
    lines = [line for line in (FOLDER / "environment").read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    assert [shlex.split(line) for line in lines] == [
        ["ARGUMENTS=--config.file=/etc/zilliz-import-exporter/config.yaml"]
    ]
    assert "zilliz-import-exporter $ARGUMENTS\n" in UNIT.read_text(encoding="utf-8")
