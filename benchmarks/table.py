"""What was measured, as rows of one table: ours against something else in the same run, and the facts around it."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Row:
    """One comparison. `unit` is that of both values; `limit` is the largest ratio that is wanted, None for any.

    `exact`: the ratio must be 1. `theirs` is None where there was nothing to compare with; `against` then says why.
    """

    part: str
    case: str
    ours: float
    unit: str
    against: str
    theirs: float | None
    limit: float | None = None
    exact: bool = False

    @property
    def ratio(self) -> float | None:
        """Ours in terms of theirs; 1 where both are nothing."""
        if self.theirs is None:
            return None
        if self.theirs == 0:
            return 1.0 if self.ours == 0 else math.inf
        return self.ours / self.theirs

    @property
    def missed(self) -> bool:
        """Whether the ratio is not as wanted."""
        if self.ratio is None:
            return False
        return (self.exact and self.ratio != 1) or (self.limit is not None and self.ratio > self.limit)


def shown_ratio(ratio: float | None) -> str:
    """A ratio as people compare it: 1.09, or 1/319 where it is small."""
    if ratio is None:
        return "-"
    return f"1/{1 / ratio:,.0f}" if 0 < ratio < 0.1 else f"{ratio:.2f}"


def _shown(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    if unit == "s":
        return f"{value * 1e3:,.1f} ms" if value < 1 else f"{value:,.2f} s"
    if unit == "bytes":
        return f"{value / 1e6:,.0f} MB"
    return f"{value:,.0f} {unit}"


_LINE = "{:<50} {:>16}  {:<45} {:>16}  {:>8} {:>8} {:>8}"


def print_rows(rows: Iterable[Row], before: Mapping[tuple[str, str, str], float | None]) -> Iterator[Row]:
    """Print rows while they come, with the ratios of an earlier run, and pass them on."""
    print(_LINE.format("what", "ours", "against", "theirs", "ratio", "wanted", "before" if before else "").rstrip())
    part = ""
    for row in rows:
        if row.part != part:
            part = row.part
            print(f"\n{part}")
        earlier = before.get((row.part, row.case, row.against))
        print(
            _LINE.format(
                f"  {row.case}",
                _shown(row.ours, row.unit),
                row.against,
                _shown(row.theirs, row.unit),
                shown_ratio(row.ratio) + ("!" if row.missed else ""),
                "exact" if row.exact else shown_ratio(row.limit) if row.limit is not None else "",
                shown_ratio(earlier) if earlier is not None else "",
            ).rstrip(),
            flush=True,
        )
        yield row


def facts() -> dict[str, Any]:
    """The commit and the machine that a run belongs to."""
    return {
        "commit": _git("rev-parse", "HEAD"),
        "changed_files": len(_git("status", "--porcelain", "--untracked-files=no").splitlines()),
        "cpu": _cpu_model(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in ("prometheus-client", "requests", "urllib3", "aiohttp")},
    }


def write(path: Path, rows: Iterable[Row], about: Mapping[str, Any]) -> None:
    """Write a run as JSON."""
    data = {**about, "rows": [asdict(row) | {"ratio": row.ratio} for row in rows]}
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def ratios_of(path: Path) -> dict[tuple[str, str, str], float | None]:
    """The ratios of an earlier run."""
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return {(row["part"], row["case"], row["against"]): row["ratio"] for row in rows}


def _git(*arguments: str) -> str:
    """What git says, empty where this is no repository."""
    done = subprocess.run(("git", *arguments), capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
