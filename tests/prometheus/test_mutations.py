"""Each clause of the rules is there for a reason: without it, a case that names the reason fails."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from prometheus.rules import IDENTITY, PREFIX, PROGRESS, RULES, STATE, UP
from tests.prometheus.cases import CASES
from tests.prometheus.test_matrix import verdict


@dataclass(frozen=True)
class Mutant:
    """A rule with `old` in its expression replaced by `new`, or without the field `old`; the case that notices."""

    rule: str
    old: str
    new: str
    noticed_by: str


WITHOUT = "-- the field is left out --"
KEPT = "keep_firing_for"

MUTANTS = (
    # recordings
    Mutant(STATE, "max without (instance, pod, container, endpoint, node)", "", "failed, the pod is replaced"),
    Mutant(STATE, " == 1", "", "two jobs of one collection failed, another one did not"),
    Mutant(
        PROGRESS,
        f'\nand ignoring (state) {STATE}{{state="Importing"}}',
        "",
        "pending for 100 minutes, then importing at 0",
    ),
    Mutant(UP, "max without", "min without", "unreadable for one exporter of two"),
    Mutant(IDENTITY, "4 * ", "1 * ", "unreadable for two exporters, one of which never knew the collection"),
    Mutant(
        IDENTITY,
        "topk by (job, cluster_id, job_id) (1,",
        "topk by (job, cluster_id, job_id) (2,",
        "unreadable for two exporters, one of which never knew the collection",
    ),
    Mutant(IDENTITY, f"\n  or {UP}", "", "unreadable, no job_info"),
    # JobFailed
    Mutant("JobFailed", KEPT, WITHOUT, "failed, exporter restarts for five minutes"),
    Mutant("JobFailed", "[12h] offset 12h", "[1m] offset 12h", "failed for 12 hours with a gap"),
    Mutant("JobFailed", '{state="Failed"}[12h]', '{state="Nothing"}[12h]', "failed for 12 hours with a gap"),
    Mutant("JobFailed", "- 43200", "- 43200000", "had failed 13 hours before it was first seen"),
    Mutant("JobFailed", "- 43200", "", "had failed 11 hours before it was first seen"),
    Mutant(
        "JobFailed",
        'last_over_time(import_job:zilliz_import_job_state:current{state!="Failed"}[12h])',
        "vector(1)",
        "completed 13 hours ago, exporter restarted, then failed",
    ),
    Mutant(
        "JobFailed",
        "(state, collection_name)",
        "(state)",
        "failed, known to two exporters by different sources and collections",
    ),
    # JobStalled
    Mutant("JobStalled", KEPT, WITHOUT, "stuck, exporter restarts during the page"),
    Mutant(
        "JobStalled",
        f"last_over_time({PROGRESS}[15m] offset 90m)",
        f"{PROGRESS} offset 90m",
        "stuck since a restart of the exporter",
    ),
    Mutant("JobStalled", f"and last_over_time({PROGRESS}[15m] offset 90m)", "", "stuck at 33 when first seen"),
    Mutant("JobStalled", f"and last_over_time({PROGRESS}[15m] offset 6h)", "", "stuck at 70"),
    Mutant("JobStalled", "[90m]) > 0", "[90m]) > 1000", "percent stands, rows move"),
    Mutant("JobStalled", "[6h]) > 0", "[6h]) > 1000", "percent stands in a late stage, rows move"),
    Mutant("JobStalled", "[90m]) == 0", "[90m]) >= 0", "one percent in half an hour"),
    Mutant("JobStalled", "[90m]) == 0", "[20m]) == 0", "one percent in half an hour"),
    Mutant("JobStalled", " < 0.7", "", "stuck at 70"),
    Mutant("JobStalled", " >= 0.7", " > 0.7", "stuck at 70"),
    # JobPending, JobUncommitted
    Mutant("JobPending", KEPT, WITHOUT, "pending, exporter restarts"),
    Mutant("JobPending", '{state!="Pending"}', '{state="Nothing"}', "pending, importing, pending again"),
    Mutant("JobUncommitted", KEPT, WITHOUT, "uncommitted, exporter restarts during the page"),
    Mutant("JobUncommitted", "[15m] offset 6h", "[15m] offset 1h", "uncommitted"),
    Mutant("JobUncommitted", '{state!="Uncommitted"}', '{state="Nothing"}', "uncommitted, retried, uncommitted again"),
    # JobUnreadable
    Mutant("JobUnreadable", "for", WITHOUT, "unreadable for two scrapes"),
    Mutant("JobUnreadable", KEPT, WITHOUT, "unreadable, exporter restarts"),
    Mutant("JobUnreadable", "expired|", "", "expired"),
    Mutant("JobUnreadable", "not_found|", "", "configured, never found"),
    Mutant("JobUnreadable", "auth|", "", "the key is refused for three jobs"),
    Mutant("JobUnreadable", "rate_limited|", "", "Retry-After stops all requests"),
    Mutant("JobUnreadable", "|starved", "", "jobs are starved"),
    # JobVanished, JobUnknown
    Mutant("JobVanished", "for", WITHOUT, "not found for one scrape"),
    Mutant("JobVanished", KEPT, WITHOUT, "not found, exporter restarts after it was importing"),
    Mutant("JobVanished", f"{UP} == 0\n", f"{UP} >= 0\n", "not found by one exporter of two"),
    Mutant("JobVanished", '{error="not_found"}', "", "importing, then unreadable for long"),
    Mutant("JobVanished", "current[1d]", "current[5m]", "not found, after it was importing"),
    Mutant(
        "JobVanished",
        '{state=~"Completed|Failed"}[1d]',
        '{state="Nothing"}[1d]',
        "not found, after it was completed and the exporter restarted",
    ),
    Mutant("JobUnknown", "for", WITHOUT, "configured, never found"),
    Mutant("JobUnknown", f"{UP} == 0\n", f"{UP} >= 0\n", "not found by one exporter of two that started anew"),
    Mutant("JobUnknown", '{source=~"config|list"}', "", "discovered, never found"),
    Mutant("JobUnknown", '{error="not_found"}', "", "expired"),
    Mutant("JobUnknown", "current[1d]", "current[5m]", "not found, after it was importing"),
    # clusters
    Mutant("AuthFailing", "for", WITHOUT, "the key is refused for three jobs"),
    Mutant("AuthFailing", "for", "30s", "the key is changed, and refused for two minutes"),
    Mutant("AuthFailing", "operation, error, ", "error, ", "the key is refused for the list and for jobs"),
    Mutant(
        "AuthFailing",
        "import_job:zilliz_import_job_up:max == 0",
        "import_job:zilliz_import_job_up:max == 2",
        "the key may not read one job's database",
    ),
    Mutant(
        "AuthFailing",
        "zilliz_import_cluster_up) == 0",
        "zilliz_import_cluster_up) == 2",
        "the key is refused for the list",
    ),
    Mutant("AuthFailing", '_total{error="auth"}', "_total", "a cluster cannot be reached"),
    Mutant("AuthFailing", "max without", "min without", "one exporter of two has an old key"),
    Mutant("ClusterUnreachable", "for", WITHOUT, "a cluster cannot be reached"),
    Mutant("ClusterUnreachable", "max without", "min without", "a cluster can be reached by one exporter of two"),
    Mutant("DiscoveryFailing", "for", WITHOUT, "the list fails"),
    Mutant("DiscoveryFailing", "> 0.5 *", "> 0.2 *", "every third page of the list fails"),
    Mutant("DiscoveryFailing", '_requests_total{operation="list"}', "_requests_total", "the list fails"),
    Mutant(
        "DiscoveryFailing", '_errors_total{operation="list"}', "_errors_total", "every third page of the list fails"
    ),
    Mutant("JobsOmitted", "for", WITHOUT, "jobs are omitted"),
    Mutant("Throttled", "for", WITHOUT, "throttled once"),
    Mutant("Throttled", "> 0.1 *", "> 0.2 *", "throttled, some requests still go through"),
    Mutant("Throttled", "or\ncount", "unless\ncount", "Retry-After stops all requests"),
    Mutant("Backlog", "for", WITHOUT, "jobs wait for ten minutes after a start"),
    Mutant("Backlog", "min without", "max without", "jobs wait at one exporter of two"),
    Mutant("Backlog", "min_over_time", "max_over_time", "jobs wait now and then"),
    Mutant("Backlog", "or\ncount", "unless\ncount", "jobs are starved"),
    Mutant("Backlog", "up:max == 0", "up:max >= 0", "jobs are starved at one exporter of two"),
    # exporters
    Mutant("ExporterDown", "for", WITHOUT, "the exporter restarts within four minutes"),
    Mutant("ExporterAbsent", "for", WITHOUT, "the exporter restarts within four minutes"),
    Mutant("ExporterAbsent", " == 1", "", "the exporter is down"),
    Mutant("ReloadFailed", "for", WITHOUT, "one exporter of two refuses its configuration"),
)


@pytest.mark.parametrize(
    "mutant", MUTANTS, ids=lambda mutant: f"{mutant.rule}: {mutant.old[:30]!r} {mutant.noticed_by}"
)
def test_a_missing_clause_is_noticed(mutant: Mutant, tmp_path: Path) -> None:
    document = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    [rule] = [
        rule
        for rule in document["groups"][0]["rules"]
        if mutant.rule in (rule.get("record"), rule.get("alert", "").removeprefix(PREFIX))
    ]
    if mutant.old in ("for", KEPT):
        if mutant.new == WITHOUT:
            del rule[mutant.old]
        else:
            rule[mutant.old] = mutant.new
    else:
        assert mutant.old in rule["expr"]
        rule["expr"] = rule["expr"].replace(mutant.old, mutant.new)
    [case] = [case for case in CASES if case.name == mutant.noticed_by]
    # The other alerts have their say in the matrix.
    about = frozenset(f"{PREFIX}{name}" for name in (*case.about, mutant.rule))
    document["groups"][0]["rules"] = [
        rule for rule in document["groups"][0]["rules"] if "record" in rule or rule["alert"] in about
    ]
    mutated = tmp_path / "mutated.yml"
    mutated.write_text(yaml.safe_dump(document))
    passed, output = verdict(mutated, [case], tmp_path, about=about)
    assert not passed
    assert "FAILED" in output
    assert "could not parse" not in output
