"""The workflows are sound: by zizmor, which looks for what an attacker could use, and by actionlint.

Not checked here: a run on GitHub.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ACTIONLINT = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"
PROGRAM = "actionlint" if shutil.which("actionlint") else "go"
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def test_zizmor_finds_nothing_to_exploit() -> None:
    zizmor = Path(sys.executable).with_name("zizmor")
    command = [str(zizmor), "--offline", "--no-progress", "--persona=regular", str(ROOT / ".github")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs(PROGRAM)
def test_actionlint_finds_no_mistake(tmp_path: Path) -> None:
    command = ["actionlint"] if PROGRAM == "actionlint" else ["go", "run", ACTIONLINT]
    done = subprocess.run([*command, *map(str, WORKFLOWS)], check=False, capture_output=True, cwd=tmp_path, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_its_commit_and_named_by_its_version(workflow: Path) -> None:
    uses = re.findall(r"uses: (.*)", workflow.read_text(encoding="utf-8"))
    assert uses
    assert [line for line in uses if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_what_a_workflow_runs_is_there(workflow: Path) -> None:
    jobs = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"].values()
    commands = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    for script in re.findall(r"^bash (\S+)$", "\n".join(commands), re.MULTILINE):
        assert (ROOT / script).is_file()
    for target in re.findall(r"^make (\S+)$", "\n".join(commands), re.MULTILINE):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
