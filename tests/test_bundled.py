"""What `--print` prints is there, in the repository and in the wheel."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from exporter import bundled

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", bundled.FILES)
def test_each_file_is_there(name: str) -> None:
    assert bundled.text(name) == (ROOT / bundled.FILES[name]).read_text(encoding="utf-8")


def test_the_wheel_holds_each_file_where_it_is_looked_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included == {path: f"exporter/files/{path}" for path in bundled.FILES.values()}


def test_a_package_without_a_repository_has_them_below_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "files/config.example.yaml"
    path.parent.mkdir()
    path.write_text("clusters: []\n", encoding="utf-8")
    monkeypatch.setattr(bundled, "_PACKAGE", tmp_path)
    assert bundled.text("config") == "clusters: []\n"
