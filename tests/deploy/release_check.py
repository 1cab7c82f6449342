"""Builds the distributions, installs them in every way, scrapes each: `python -m tests.deploy.release_check`.

What is built, and a software bill of materials, is left in dist/.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

from exporter import __version__, bundled
from tests.deploy.trial import TrialError, clean_environment, try_out

ROOT = Path(__file__).parents[2]
DIST = ROOT / "dist"
NAME = "zilliz-import-exporter"
TOOLS = Path(sys.executable).parent

Command = Sequence[str | Path]


def main() -> int:
    """Print a line for each check; the exit code is 1 if one failed."""
    failures = 0
    wheel = build()
    with tempfile.TemporaryDirectory(prefix="release-check-") as folder:
        for check in (contents, changelog, pip, lowest, pipx, uvx, bill_of_materials):
            began = time.monotonic()
            try:
                outcome = check(wheel, Path(folder))
            except (TrialError, subprocess.CalledProcessError) as error:
                outcome = f"FAILED: {error}\n{getattr(error, 'stderr', None) or ''}"
                failures += 1
            sys.stdout.write(f"{check.__name__:18} {time.monotonic() - began:5.1f} s  {outcome}\n")
            sys.stdout.flush()
    return 1 if failures else 0


def build() -> Path:
    """Build the source distribution, and from it the wheel."""
    shutil.rmtree(DIST, ignore_errors=True)
    run(TOOLS / "uv", "build", "--quiet", "--out-dir", DIST, ROOT)
    (DIST / ".gitignore").unlink(missing_ok=True)
    (wheel,) = DIST.glob("*.whl")
    return wheel


def contents(wheel: Path, _folder: Path) -> str:
    """Both hold what they should, and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = set(run("git", "-C", ROOT, "ls-files", "exporter").split())
    expected |= {f"exporter/files/{path}" for path in bundled.FILES.values()}
    if packed != expected:
        raise TrialError(f"the wheel differs from what git tracks: {sorted(packed ^ expected)}")
    with tarfile.open(DIST / f"{wheel.name.split('-')[0]}-{__version__}.tar.gz") as archive:
        sources = {name.partition("/")[2] for name in archive.getnames()}
    if missing := {"README.md", "LICENSE", "CHANGELOG.md", "config.example.yaml", "pyproject.toml"} - sources:
        raise TrialError(f"the source distribution lacks {sorted(missing)}")
    return f"{len(packed)} files in the wheel, {len(sources)} in the source distribution"


def changelog(_wheel: Path, _folder: Path) -> str:
    """The version has a section, and links of its own."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## \[{re.escape(__version__)}\] - \d{{4}}-\d\d-\d\d$", text, re.MULTILINE):
        raise TrialError(f"CHANGELOG.md has no section [{__version__}] with a date")
    return __version__


def pip(wheel: Path, folder: Path) -> str:
    """Install with pip, in an empty environment, the newest versions of all dependencies."""
    run(sys.executable, "-m", "venv", folder / "pip")
    run(folder / "pip/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    return jobs([folder / "pip/bin" / NAME])


def lowest(wheel: Path, folder: Path) -> str:
    """Install the lowest versions that pyproject.toml allows for direct dependencies."""
    run(TOOLS / "uv", "venv", "--quiet", "--python", sys.executable, folder / "lowest")
    python = folder / "lowest/bin/python"
    install = (TOOLS / "uv", "pip", "install", "--quiet", "--python", python)
    run(*install, "--resolution", "lowest-direct", "--requirements", ROOT / "pyproject.toml")
    run(*install, "--no-deps", wheel)
    versions = run(TOOLS / "uv", "pip", "freeze", "--python", python).split()
    return jobs([folder / "lowest/bin" / NAME]) + " with " + ", ".join(each for each in versions if "==" in each)


def pipx(wheel: Path, folder: Path) -> str:
    """Install with pipx, in a home of its own."""
    own = {"PIPX_HOME": str(folder / "pipx"), "PIPX_BIN_DIR": str(folder / "pipx-bin")}
    run(TOOLS / "pipx", "install", "--quiet", "--python", sys.executable, wheel, **own)
    return jobs([folder / "pipx-bin" / NAME])


def uvx(wheel: Path, _folder: Path) -> str:
    """Run with uvx, which installs nothing."""
    return jobs([TOOLS / "uvx", "--quiet", "--python", sys.executable, "--isolated", "--from", wheel, NAME])


def bill_of_materials(_wheel: Path, folder: Path) -> str:
    """Write what was installed with the newest versions as CycloneDX."""
    bill = DIST / f"{NAME}-{__version__}.cdx.json"
    python = folder / "pip/bin/python"
    run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "pip", "setuptools")
    run(TOOLS / "cyclonedx-py", "environment", "--output-reproducible", "--pyproject", ROOT / "pyproject.toml",
        "--mc-type", "application", "--output-file", bill, python)  # fmt: skip
    return bill.name


def jobs(command: Command) -> str:
    """Scrape the demo of an installed exporter."""
    return f"{try_out(command)} jobs in a scrape"


def run(*command: str | Path, **environment: str) -> str:
    """Return what a command prints. Raises subprocess.CalledProcessError."""
    done = subprocess.run(command, check=True, capture_output=True, env=clean_environment(**environment), text=True)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
