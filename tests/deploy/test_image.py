"""The Dockerfile is sound, and its steps make an exporter that runs as a user without rights in a tree it cannot write.

Not checked here, for want of a daemon: the base image, which this machine's Python stands for, and arm64.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

from exporter import __version__
from tests.deploy.dockerfile import Image, instructions
from tests.deploy.trial import clean_environment, for_everyone, try_out

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "Dockerfile"
LARGEST = 40_000_000


def environment(image: Image) -> dict[str, str]:
    """What the image sets, and where on this machine its packages are."""
    (packages,) = image.path("/usr/local").glob("lib/python*/site-packages")
    return clean_environment(**image.environment, PYTHONPATH=str(packages), HOME="/nonexistent")


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, DOCKERFILE], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_bases_are_pinned_and_alike_and_slim() -> None:
    bases = {step.words()[0] for step in instructions(DOCKERFILE) if step.name == "FROM"}
    assert bases == {"python:3.13-slim-bookworm"}


def test_the_steps_make_an_exporter_that_needs_no_rights(image: Image) -> None:
    python, user = for_everyone(), int(image.user.partition(":")[0])
    if os.geteuid() != 0 or python is None:
        # Then the tree is still one that nobody may write, but the user is the one who tests.
        user = os.geteuid()
    command: list[str | Path] = [python or sys.executable, image.path("/usr/local/bin") / image.entrypoint[0]]

    def healthy(address: str) -> None:
        program, *flags = image.health
        assert program == image.entrypoint[0]
        asked = [*command, *flags, f"--web.listen-address={address}"]
        before = cpu_of_ended_processes()
        subprocess.run(asked, check=True, env=environment(image), timeout=60)
        with_a_tenth_of_a_core = 10 * (cpu_of_ended_processes() - before)
        assert with_a_tenth_of_a_core < image.health_timeout

    jobs = try_out(
        command,
        environment=environment(image),
        cwd=image.path(""),
        user=user,
        meanwhile=healthy,
    )
    assert jobs > 0


def cpu_of_ended_processes() -> float:
    """CPU seconds of all processes that this one started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_the_user_is_a_number_other_than_root(image: Image) -> None:
    assert [int(part) > 0 for part in image.user.split(":")] == [True, True]


def test_the_image_holds_the_package_and_what_it_needs_only(image: Image) -> None:
    packages = {path.name for path in image.path("/usr/local").glob("lib/python*/site-packages/*")}
    assert "exporter" in packages
    assert {"tests", "docs", "grafana", "pip", "hatchling", "pytest"} & packages == set()
    assert image.size() < LARGEST


def test_labels_and_version_are_those_of_the_package(image: Image) -> None:
    prefix = "org.opencontainers.image."
    labels = {name.removeprefix(prefix): value for name, value in image.labels.items()}
    assert labels["title"] == "zilliz-import-exporter"
    assert labels["licenses"] == "Apache-2.0"
    assert f"VERSION={__version__}" in [step.rest for step in instructions(DOCKERFILE) if step.name == "ARG"]


def test_the_context_is_what_the_wheel_is_made_of(image: Image) -> None:
    source = image.root.parent / "stage-build/source"
    assert {path.name for path in source.iterdir()} - {"build"} == {
        "exporter",
        "grafana",
        "prometheus",
        "config.example.yaml",
        "pyproject.toml",
        "README.md",
        "LICENSE",
    }
    assert not [path for path in source.rglob("*") if path.name == "__pycache__"]
