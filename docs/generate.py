"""Writes what the documents say about metrics and configuration keys, from the code: `python -m docs.generate`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from docs.keys import Key, keys
from exporter.metrics.families import CLUSTER_FAMILIES, JOB_FAMILIES
from exporter.metrics.own import OwnMetrics
from exporter.model import ErrorClass, State

ROOT = Path(__file__).parent.parent
COMMAND = "python -m docs.generate"

_SECTIONS = {
    "": "The whole file",
    "clusters[].": "`clusters[]`: one cluster",
    "clusters[].discovery.": "`clusters[].discovery`: watch what the API lists",
    "clusters[].tls_config.": "`clusters[].tls_config`: the API's certificate",
    "scrape.": "`scrape`: how a scrape spends its time",
    "files.": "`files`: which files get series of their own",
}


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric as the documents show it; `field` is empty where the exporter itself is the source."""

    name: str
    type: str
    labels: tuple[str, ...]
    help: str
    field: str = ""


def job_metrics() -> tuple[Metric, ...]:
    """What is exposed about jobs and clusters, on `/metrics` and on `/probe`."""
    about_jobs = [Metric(each.name, each.kind, each.labels, each.help, each.field) for each in JOB_FAMILIES]
    about_clusters = [Metric(each.name, each.kind, each.labels, each.help, each.field) for each in CLUSTER_FAMILIES]
    return (*about_jobs, *about_clusters)


def own_metrics() -> tuple[Metric, ...]:
    """What the exporter exposes about itself, on `/metrics` alone."""
    own = OwnMetrics()
    own.add_cluster("cluster")
    own.job_finished("cluster", "collection", None)
    own.observe("cluster", "progress", 0.1, ErrorClass.TIMEOUT)
    own.job_finished("cluster", "collection", State.COMPLETED)
    return tuple(
        Metric(
            family.name + ("_total" if family.type == "counter" else ""),
            family.type,
            tuple(label for label in family.samples[0].labels if label != "le"),
            family.documentation,
        )
        for family in own.collect()
    )


def in_full(metrics: Sequence[Metric]) -> str:
    """A table with the whole HELP text of each metric."""
    rows = [(*_named(metric), metric.help, _code([metric.field])) for metric in metrics]
    return table(("Metric", "Type", "Labels", "HELP", "API field"), rows)


def configuration() -> str:
    """The reference of all keys, a table per section."""
    parts = []
    for prefix, title in _SECTIONS.items():
        rows = [_key_row(key, prefix) for key in keys() if _section_of(key.path) == prefix]
        parts.append(f"## {title}\n\n" + table(("Key", "Type", "Default", "Meaning"), rows))
    return "\n\n".join(parts)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; bars in cells are escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def filled(text: str, parts: Mapping[str, str]) -> str:
    """`text` with what is between `<!-- begin NAME -->` and `<!-- end NAME -->` generated anew. Raises ValueError."""
    for name, part in parts.items():
        begin, end = f"<!-- begin {name}: {COMMAND} -->", f"<!-- end {name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"{begin} and {end} must stand around the generated part")
        text = f"{before}{begin}\n\n{part}\n\n{end}{after}"
    return text


def documents() -> dict[Path, str]:
    """Every document with generated parts, as it should be."""
    parts = {
        ROOT / "docs/metrics.md": {"job metrics": in_full(job_metrics()), "own metrics": in_full(own_metrics())},
        ROOT / "docs/configuration.md": {"keys": configuration()},
    }
    return {path: filled(path.read_text(encoding="utf-8"), made) for path, made in parts.items()}


def _named(metric: Metric) -> tuple[str, str, str]:
    return f"`{metric.name}`", metric.type, _code(metric.labels)


def _key_row(key: Key, prefix: str) -> tuple[str, ...]:
    default = "required" if key.required else "" if key.default in (None, []) else f"`{_plain(key.default)}`"
    return f"`{key.path.removeprefix(prefix)}`", key.type, default, key.description.removeprefix("required, ")


def _section_of(path: str) -> str:
    return path[: path.rfind(".") + 1]


def _plain(default: object) -> str:
    return default if isinstance(default, str) else json.dumps(default)


def _code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words if word)


if __name__ == "__main__":
    for path, text in documents().items():
        path.write_text(text, encoding="utf-8")
