"""Each part of each expression is there for a reason: a rule file without it fails its promtool tests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import promtool
from tests.support.rules import PROMETHEUS, RULES, rules

SWAPS = {
    "and": "unless",
    "unless": "and",
    "or": "and",
    "min": "max",
    "max": "min",
    "min_over_time": "max_over_time",
    "max_over_time": "min_over_time",
    "<": ">",
    ">": "<",
    "==": "!=",
}
SAME = {
    # What is counted has no such label any more.
    ("ZillizImportJobsUnreadable", "by (cluster_id) at 6: with a label of the target"),
}
"""Changes that change nothing."""

RANGES = {"1d": "2h", "15m": "75s", "10m": "50s"}

TOKEN = re.compile(
    r"""(?P<string>"[^"]*") | (?P<range>\[\w+\]) | (?P<matchers>\{[^}]*\}) | (?P<labels>(?:by|on)\ \([^)]*\))
    | (?P<number>\b\d[\d.]*\b) | (?P<word>[a-z_:]+|==|[<>])""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Mutant:
    """A rule with one field changed or, with None, left out."""

    rule: str
    what: str
    field: str
    value: str | None


def replacements(expr: str) -> Iterator[tuple[str, str]]:
    """What is changed, and the changed expression, for each part of an expression."""
    for found in TOKEN.finditer(expr):
        old = found[0]
        at = f"{old} at {found.start()}"
        for name, new in replacements_of(found.lastgroup or "", old, expr[: found.start()]):
            yield f"{at}: {name}", expr[: found.start()] + new + expr[found.end() :]


def replacements_of(kind: str, old: str, before: str) -> Iterator[tuple[str, str]]:
    """What to write instead of one token."""
    match kind:
        case "range":
            new = RANGES[old[1:-1]]
            yield new, f"[{new}]"
        case "matchers":
            yield "none", ""
            for left_out in re.findall(r"\w+(?=\|)|(?<=\|)\w+", old):
                yield f"without {left_out}", re.sub(rf"\|{left_out}\b|\b{left_out}\|", "", old)
        case "labels":
            opening, *labels = re.findall(r"\w+", old)
            for left_out in labels:
                kept = ", ".join(label for label in labels if label != left_out)
                yield f"without {left_out}", f"{opening} ({kept})"
            if opening == "by":
                # A label of the target in the alert's identity doubles it where two replicas are scraped.
                yield "with a label of the target", f"by ({', '.join([*labels, 'alloc_id'])})"
        case "number" if float(old) and not before.endswith("== "):
            for factor in (0.7, 1.3):
                yield f"times {factor}", str(round(float(old) * factor, 3))
        case "word" if old in SWAPS:
            yield SWAPS[old], SWAPS[old]


def mutants() -> Iterator[Mutant]:
    for rule in rules():
        name = rule.get("alert") or rule["record"]
        for what, expr in replacements(rule["expr"]):
            if (name, what) not in SAME:
                yield Mutant(name, what, "expr", expr)
        for field in ("for", "keep_firing_for"):
            if field in rule:
                yield Mutant(name, f"without {field}", field, None)


def file_of(rule: str) -> Path:
    """The promtool tests of an alert; those of JobStalled stand for the recording."""
    words = re.findall("[A-Z][a-z]+", rule.removeprefix("ZillizImport")) or ["Job", "Stalled"]
    return PROMETHEUS / "tests" / f"{'_'.join(words).lower()}_test.yml"


def verdict(document: dict[str, Any], tests: Path, scratch: Path) -> tuple[bool, str]:
    """What promtool says of a file of tests under changed rules; the rules that it does not name are left out."""
    text = tests.read_text(encoding="utf-8")
    [group] = document["groups"]
    group["rules"] = [rule for rule in group["rules"] if "record" in rule or rule["alert"] in text]
    mutated = scratch / "mutated.yml"
    mutated.write_text(yaml.safe_dump(document), encoding="utf-8")
    copy = scratch / "tests.yml"
    copy.write_text(text.replace("../rules/zilliz-import.rules.yml", str(mutated)), encoding="utf-8")
    return promtool.run("test", "rules", copy)


@pytest.mark.parametrize("tests", sorted({file_of(mutant.rule) for mutant in mutants()}), ids=lambda path: path.stem)
def test_rules_as_they_are_pass(tests: Path, tmp_path: Path) -> None:
    passed, output = verdict(yaml.safe_load(RULES.read_text(encoding="utf-8")), tests, tmp_path)
    assert passed, output


@pytest.mark.parametrize("mutant", list(mutants()), ids=lambda mutant: f"{mutant.rule}: {mutant.what}")
def test_a_changed_rule_is_noticed(mutant: Mutant, tmp_path: Path) -> None:
    document = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    [rule] = [rule for rule in document["groups"][0]["rules"] if mutant.rule in (rule.get("alert"), rule.get("record"))]
    if mutant.value is None:
        del rule[mutant.field]
    else:
        rule[mutant.field] = mutant.value
    passed, output = verdict(document, file_of(mutant.rule), tmp_path)
    assert not passed
    assert "FAILED" in output
    assert "could not parse" not in output
