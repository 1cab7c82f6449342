"""Runs promtool, and turns what targets expose minute by minute into its test files."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Series = tuple[str, tuple[tuple[str, str], ...]]
"""Name and labels; a label with an empty value is left out."""

Exposure = Mapping[Series, float]


@dataclass(frozen=True, slots=True)
class NoScrape:
    """Instead of an exposure: what becomes of `up` in a minute in which nothing was scraped."""

    up: float | None


DOWN = NoScrape(0)
GONE = NoScrape(None)

Targets = Mapping[str, Exposure | NoScrape]
"""What each target, named by its label `instance`, exposes in one minute."""


def binaries() -> list[str]:
    """promtool of the system and, where $PROMETHEUS3 is the path of a Prometheus 3, the one beside it."""
    newer = os.environ.get("PROMETHEUS3")
    return ["promtool", *([str(Path(newer).with_name("promtool"))] if newer else [])]


def run(*arguments: str | Path, binary: str = "promtool", text: str | None = None) -> tuple[bool, str]:
    """Whether promtool succeeded, and all that it printed."""
    done = subprocess.run(
        [binary, *map(str, arguments)], check=False, capture_output=True, text=True, input=text, timeout=120
    )
    return done.returncode == 0, done.stdout + done.stderr


def series(name: str, **labels: str) -> Series:
    """One series as key of an exposure."""
    return name, tuple(sorted((label, value) for label, value in labels.items() if value))


def written(one: Series) -> str:
    """The series in the exposition's notation."""
    name, labels = one
    # JSON and PromQL quote alike: backslash, quote and newline.
    return f"{name}{{{','.join(f'{label}={json.dumps(value, ensure_ascii=False)}' for label, value in labels)}}}"


def values(samples: Iterable[float | None]) -> str:
    """Samples minute by minute as promtool reads them; where a series ends it goes stale, as after a real scrape."""
    words = []
    alive = False
    for value, run_ in itertools.groupby(samples):
        count = len(list(run_))
        if value is None:
            if alive:
                words.append("stale")
                count -= 1
            if count:
                words.append(f"_x{count}")
        else:
            number = repr(value).removesuffix(".0")
            words.append(f"{number}x{count - 1}" if count > 1 else number)
        alive = value is not None
    return " ".join(words)


def input_series(job: str, minutes: Sequence[Targets]) -> list[dict[str, str]]:
    """`input_series` of a test, with `up` and the labels that Prometheus adds to each target's samples."""
    samples: dict[Series, list[float | None]] = {}
    for minute, targets in enumerate(minutes):
        for instance, exposure in targets.items():
            seen: dict[Series, float | None]
            seen = {series("up"): exposure.up} if isinstance(exposure, NoScrape) else {**exposure, series("up"): 1.0}
            for (name, labels), value in seen.items():
                key = series(name, **dict(labels), instance=instance, job=job)
                samples.setdefault(key, [None] * len(minutes))[minute] = value
    return [{"series": written(one), "values": values(of_one)} for one, of_one in samples.items()]
