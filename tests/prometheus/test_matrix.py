"""Each alert fires when it should, and nobody is paged in its look-alikes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from prometheus.rules import RULES, SCRAPE_JOB, TIMINGS
from tests.prometheus.cases import CASES, Case
from tests.support import promtool


def as_test(case: Case, about: frozenset[str]) -> dict[str, Any]:
    """The case as promtool reads it: all that fires is compared, also alerts that nobody thought of.

    With `about` only the alerts of these names are asked about.
    """
    names = f',alertname=~"{"|".join(sorted(about))}"' if about else ""
    return {
        "name": case.name,
        "interval": "1m",
        "input_series": promtool.input_series(SCRAPE_JOB, case.minutes()),
        "promql_expr_test": [
            {
                "expr": f'ALERTS{{alertstate="firing"{names}}}',
                "eval_time": f"{minute}m",
                "exp_samples": [
                    {"labels": promtool.written(promtool.series("ALERTS", **labels)), "value": 1}
                    for labels in case.firing(minute)
                    if not about or labels["alertname"] in about
                ],
            }
            for minute in case.want
        ],
    }


def verdict(
    rules: Path,
    cases: Sequence[Case],
    scratch: Path,
    binary: str = "promtool",
    *,
    about: frozenset[str] = frozenset(),
) -> tuple[bool, str]:
    """What promtool says of the cases under these rules."""
    tests = [as_test(case, about) for case in cases]
    file = scratch / "cases.yml"
    file.write_text(
        yaml.dump({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": tests}, Dumper=yaml.CSafeDumper)
    )
    return promtool.run("test", "rules", file, binary=binary)


@pytest.mark.parametrize("binary", promtool.binaries())
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_exactly_the_wanted_alerts_fire(case: Case, binary: str, tmp_path: Path) -> None:
    passed, output = verdict(RULES, [case], tmp_path, binary)
    assert passed, output


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    fired = {labels["alertname"] for case in CASES for alerts in case.want.values() for labels in alerts}
    assert fired == {f"ZillizImport{name}" for name in TIMINGS}
