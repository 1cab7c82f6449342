"""The image's tree, built once for the tests that run what is in it."""

from __future__ import annotations

import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.dockerfile import Image, follow

UNREACHABLE = ("No matching distribution", "Could not find a version", "ConnectionError", "NewConnectionError")


@pytest.fixture(scope="session")
def image() -> Iterator[Image]:
    """The image's tree, without a right to write for anyone, in a folder that every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="image-"))
    folder.chmod(0o755)
    try:
        built = follow(folder)
    except RuntimeError as error:
        shutil.rmtree(folder)
        if any(words in str(error) for words in UNREACHABLE):
            pytest.skip("the package index cannot be reached")
        raise
    for path in (built.root, *built.root.rglob("*")):
        if not path.is_symlink():
            path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o222)
    yield built
    for path in (built.root, *built.root.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(folder)
