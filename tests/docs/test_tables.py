"""The documents name every metric, key, flag and alert that there is, and none that there is not."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections import Counter
from functools import cache

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from docs.generate import COMMAND, filled, job_metrics, own_metrics
from docs.generate import documents as made_documents
from docs.keys import keys
from exporter.model import Source, State
from tests.docs.markdown import ROOT, documents, prose, read, spans

RULES = ROOT / "prometheus/rules/zilliz-import.rules.yml"


@cache
def command_flags() -> frozenset[str]:
    """The flags that the command says it has."""
    shown = subprocess.run([sys.executable, "-m", "exporter", "--help"], check=True, capture_output=True, text=True)
    return frozenset(re.findall(r"^  (?:-h, )?(--[\w.-]+)", shown.stdout, re.MULTILINE)) - {"--help"}


def rule_names(kind: str) -> set[str]:
    """The names of all rules that are `alert` or `record`."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return {rule[kind] for group in groups for rule in group["rules"] if kind in rule}


def test_what_is_made_from_the_code_is_up_to_date() -> None:
    stale = [str(path.relative_to(ROOT)) for path, text in made_documents().items() if text != read(path)]
    assert stale == [], f"run: {COMMAND}"


def test_a_document_without_its_markers_is_an_error() -> None:
    with pytest.raises(ValueError, match="must stand around"):
        filled("# Metrics\n", {"metrics": ""})


def test_the_documents_have_one_row_for_every_metric_of_a_real_exposition() -> None:
    golden = (ROOT / "tests/metrics/golden/text/milvus_failed.txt").read_text(encoding="utf-8")
    exposed = {family.name for family in text_string_to_metric_families(golden)}
    rows = Counter(re.findall(r"^\| `(\w+)` \|", read(ROOT / "docs/metrics.md"), re.MULTILINE))
    assert exposed - rows.keys() == set()
    metrics = {metric.name for metric in (*job_metrics(), *own_metrics())}
    assert {name: rows[name] for name in metrics} == dict.fromkeys(metrics, 1)


def test_no_job_and_no_file_has_more_samples_than_the_page_on_scaling_counts() -> None:
    counted = re.search(r"at most (\d+) samples per job and (\d+) per listed file", read(ROOT / "docs/scaling.md"))
    assert counted is not None
    of_job, of_file = map(int, counted.groups())
    goldens = sorted((ROOT / "tests/metrics/golden/text").glob("*.txt"))
    assert goldens
    for golden in goldens:
        samples: Counter[tuple[str, ...]] = Counter()
        for family in text_string_to_metric_families(golden.read_text(encoding="utf-8")):
            kind = family.name.removeprefix("zilliz_import_").partition("_")[0]
            for sample in family.samples:
                if kind in {"job", "file"}:
                    name = sample.labels["file_name"] if kind == "file" else ""
                    samples[kind, sample.labels["job_id"], name] += 1
        assert all(count <= (of_job if kind == "job" else of_file) for (kind, *_), count in samples.items())


def test_documents_speak_only_of_metrics_and_rules_that_exist() -> None:
    known = {metric.name for metric in (*job_metrics(), *own_metrics())} | rule_names("record")
    known |= {f"{name}_{suffix}" for name in known for suffix in ("bucket", "count", "sum")}
    named = {
        (str(document.relative_to(ROOT)), word)
        for document in documents()
        for word in re.findall(
            r"(?<![\w:/-])(?:zilliz_import:[\w:]+|zilliz_import_\w*[a-z])(?![\w*]|_?\()", read(document)
        )
    }
    assert {(where, word) for where, word in named if word not in known} == set()


def test_documents_speak_only_of_alerts_that_exist() -> None:
    named = {word for document in documents() for word in re.findall(r"\bZillizImport[A-Z]\w+", read(document))}
    assert named - rule_names("alert") == set()


def test_every_flag_is_documented_and_every_documented_flag_exists() -> None:
    section = prose(ROOT / "docs/configuration.md").partition("\n# Flags")[2].partition("\n# ")[0]
    assert re.findall(r"^\| `(--[\w.-]+)` \|", section, re.MULTILINE) == sorted(command_flags())


def test_documents_speak_only_of_flags_that_exist() -> None:
    named = {
        word
        for document in documents()
        for word in re.findall(r"(?<![\w-])--(?:config|web|log|scrape)\.[\w.-]*\w", read(document))
    }
    assert {word for word in named if word not in command_flags()} == set()


def test_documents_speak_only_of_keys_that_exist() -> None:
    known = {key.path.replace("[]", "") for key in keys()}
    known |= {path.removeprefix("clusters.") for path in known}
    sections = "|".join(("scrape", "files", "discovery", "tls_config", "clusters"))
    named = {
        word
        for document in documents()
        for word in re.findall(rf"`((?:{sections})\.[a-z_.]+)(?::[^`]*)?`", prose(document))
    }
    assert named - known == set()


def test_every_default_in_the_flags_table_is_the_commands_own() -> None:
    shown = subprocess.run([sys.executable, "-m", "exporter", "--help"], check=True, capture_output=True, text=True)
    shown_defaults = " ".join(shown.stdout.split())
    section = prose(ROOT / "docs/configuration.md").partition("\n# Flags")[2].partition("\n# ")[0]
    defaults = dict(re.findall(r"^\| `(--[\w.-]+)` \| `([^`]+)` \|", section, re.MULTILINE))
    assert {flag for flag, default in defaults.items() if f"({default})" not in shown_defaults} == set()


def test_every_value_of_a_closed_set_of_labels_is_explained() -> None:
    explained = prose(ROOT / "docs/metrics.md")
    assert [value for value in (*State, *Source) if f"`{value}`" not in explained] == []
    assert [state for state in State if f"`{state}`" not in prose(ROOT / "README.md")] == []


def test_every_variable_that_is_a_configuration_is_documented() -> None:
    section = prose(ROOT / "docs/configuration.md").partition("\n## Environment")[2].partition("\n# ")[0]
    shown = subprocess.run([sys.executable, "-m", "exporter", "--help"], check=True, capture_output=True, text=True)
    named = set(re.findall(r"ZILLIZ_\w+", shown.stdout))
    assert set(re.findall(r"^\| `(ZILLIZ_\w+)` \|", section, re.MULTILINE)) == named


def test_commands_named_in_passing_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    words = [words.split() for document in documents() for words in spans(document)]
    assert {each[1] for each in words if each[0] == "make" and len(each) > 1} - targets == set()
    modules = {each[2] for each in words if each[:2] == ["python", "-m"]}
    assert [module for module in modules if importlib.util.find_spec(module) is None] == []
