"""Nothing imports upwards: the floor plan that CONTRIBUTING.md draws is the one that the code keeps."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "exporter"

# From the ground up. A module may import what is on floors below its own, and within its own package.
FLOORS = (
    {"__init__", "model", "log", "humanize", "signals", "output", "bundled", "threads"},
    {"config", "logwriter", "repeat"},
    {"api", "demo"},
    {"collector"},
    {"metrics", "debug"},
    {"web"},
    {"app", "once", "flags", "health"},
    {"cli"},
    {"__main__"},
)
FLOOR = {name: number for number, floor in enumerate(FLOORS) for name in floor}


def room(path: Path) -> str:
    """The module or package right below `exporter` that a file belongs to."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path: Path) -> Iterator[str]:
    """The rooms that a file imports from, other than its own."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            package, _, inner = name.partition(".")
            if package == "exporter":
                found = inner.split(".")[0]
                yield found if found in FLOOR else "__init__"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_floors_below(path: Path) -> None:
    mine = room(path)
    upwards = {name for name in imported(path) if name != mine and FLOOR[name] >= FLOOR[mine]}
    assert upwards == set()


def test_the_map_of_the_code_is_in_the_order_of_the_floors() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text[text.index("Nothing imports upwards") : text.index("Start with `model.py`")]
    rows = [re.findall(r"\(exporter/(\w+)", line) for line in table.splitlines() if line.startswith("| [exporter/")]
    floors = [max(FLOOR[name] for name in row) for row in rows if row != ["demo"]]
    assert len(floors) > 6
    assert floors == sorted(floors, reverse=True)
