"""Follows the steps of the Dockerfile in an empty folder, without a daemon: COPY, RUN, and what the image then says.

What it cannot show: the base image (this machine's Python stands for it), other architectures, a kernel's namespaces.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[2]
_ABSOLUTE = re.compile(r"(?<![^\s=])/(?=[a-z])")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, its line continuations joined."""

    name: str
    rest: str

    def words(self) -> list[str]:
        """The arguments, in shell form or in exec form."""
        return list(json.loads(self.rest)) if self.rest.startswith("[") else shlex.split(self.rest)


@dataclass(slots=True)
class Image:
    """A stage: its file system under `root`, and what runs in it."""

    root: Path
    base: str
    workdir: str = "/"
    user: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    health_timeout: float = 0.0
    """Seconds."""

    def path(self, inside: str) -> Path:
        """Where a path of the image is on this machine."""
        return self.root / (PurePosixPath(self.workdir) / inside).relative_to("/")

    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.stat().st_size for file in self.root.rglob("*") if file.is_file() and not file.is_symlink())


def instructions(dockerfile: Path) -> Iterator[Instruction]:
    """Read a Dockerfile."""
    lines = [line for line in dockerfile.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            name, _, rest = line.strip().partition(" ")
            yield Instruction(name.upper(), rest.strip())


def follow(folder: Path, context: Path = ROOT) -> Image:
    """Build the last stage below `folder`. Raises RuntimeError with what a failed step said."""
    python = folder / "python"
    subprocess.run([sys.executable, "-m", "venv", python], check=True)
    stages: dict[str, Image] = {}
    image = Image(folder, "")
    for step in instructions(context / "Dockerfile"):
        if step.name == "FROM":
            base, *named = step.words()
            name = named[-1] if named else str(len(stages))
            image = stages[name] = Image(folder / f"stage-{name}", base)
            image.root.mkdir()
        else:
            _carry_out(step, image, stages, context, python)
    return image


def _carry_out(step: Instruction, image: Image, stages: Mapping[str, Image], context: Path, python: Path) -> None:
    match step.name:
        case "WORKDIR":
            image.workdir = step.rest
            image.path("").mkdir(parents=True, exist_ok=True)
        case "COPY":
            _copy(step.words(), image, stages, context)
        case "RUN":
            _run(step.rest, image, python)
        case "USER":
            image.user = step.rest
        case "ENV":
            image.environment |= dict(word.split("=", 1) for word in step.words())
        case "LABEL":
            image.labels |= dict(word.split("=", 1) for word in step.words())
        case "ENTRYPOINT":
            image.entrypoint = step.words()
        case "HEALTHCHECK":
            image.health, image.health_timeout = _health(step)
        case "ARG" | "EXPOSE":
            pass
        case other:
            raise ValueError(f"{other}: this instruction is not known here")


def _health(step: Instruction) -> tuple[list[str], float]:
    options, _, command = step.rest.partition("CMD ")
    timeout = re.search(r"--timeout=(\d+)s", options)
    if timeout is None:
        raise ValueError(f"{step.rest}: a --timeout in seconds is missing")
    return Instruction("CMD", command).words(), float(timeout[1])


def _copy(words: Sequence[str], image: Image, stages: Mapping[str, Image], context: Path) -> None:
    origin = next((word.removeprefix("--from=") for word in words if word.startswith("--from=")), "")
    *sources, target = [word for word in words if not word.startswith("--")]
    for source in sources:
        found = stages[origin].path(source) if origin else context / source
        into = image.path(target)
        if found.is_dir():
            shutil.copytree(found, into, symlinks=True, dirs_exist_ok=True, ignore=None if origin else _ignore(context))
        else:
            shutil.copy2(found, into)


def _ignore(context: Path) -> _Ignore:
    lines = (context / ".dockerignore").read_text(encoding="utf-8").splitlines()
    return _Ignore(context, [line for line in lines if line and not line.startswith("#")])


@dataclass(frozen=True, slots=True)
class _Ignore:
    context: Path
    patterns: Sequence[str]

    def __call__(self, folder: str, names: list[str]) -> set[str]:
        return {name for name in names if self.ignored(Path(folder, name).relative_to(self.context).as_posix())}

    def ignored(self, path: str) -> bool:
        """Whether the last pattern that matches the path, or a folder above it, leaves it out."""
        above = [path, *(str(parent) for parent in PurePosixPath(path).parents)]
        out = False
        for pattern in self.patterns:
            plain = pattern.removeprefix("!")
            anywhere = plain.removeprefix("**/")
            if any(_matches(each, plain, anywhere) for each in above):
                out = not pattern.startswith("!")
        return out


def _matches(path: str, plain: str, anywhere: str) -> bool:
    if plain == anywhere:
        return "/" not in path and fnmatch.fnmatch(path, plain)
    return fnmatch.fnmatch(PurePosixPath(path).name, anywhere)


def _run(script: str, image: Image, python: Path) -> None:
    environment = {**os.environ, **image.environment, "PATH": f"{python / 'bin'}:{os.environ['PATH']}"}
    script = _ABSOLUTE.sub(f"{image.root}/", script)
    done = subprocess.run(
        ["sh", "-ec", script], check=False, capture_output=True, cwd=image.path(""), env=environment, text=True
    )
    if done.returncode:
        raise RuntimeError(f"RUN {script}\n{done.stdout}{done.stderr}")
