"""A terminal in which the documents' commands are run as they stand, against the simulated API."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.docs.markdown import ROOT, Fence, fences
from tests.docs.stand_ins import PROGRAMS
from tests.support.simulated import JobScript, SimulatedApi

JOB_ID = "448761313698322011"
KEY = "your-key"
"""The key that the documents use."""
CONFIG = "clusters: [{cluster_id: in01-0123456789abcde, api_key_env: ZILLIZ_API_KEY}]"
"""What a reader who has the exporter already has as config.yaml."""


class Terminal:
    """A folder with nothing of the checkout but `deploy`, and a PATH on which some programs are stand-ins."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        """Begin in `folder`, which is empty; the exporter is that of the wheel unpacked at `wheel`."""
        self._wheel = wheel
        self.home = folder / "home"
        self._bin = folder / "bin"
        self._state = folder / "state"
        for directory in (self.home, self._bin, self._state):
            directory.mkdir()
        (self.home / "deploy").symlink_to(ROOT / "deploy")
        for name in PROGRAMS:
            stand_in = self._bin / name
            stand_in.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tests.docs.stand_ins {name} "$@"\n')
            stand_in.chmod(0o755)
        self._api = SimulatedApi()

    def __enter__(self) -> Self:
        self._api.cloud.keys = {KEY}
        self._api.milvus.users["root"] = "Milvus"
        self._api.add(JobScript(JOB_ID, "medium_articles"))
        self._api.add(JobScript(JOB_ID, "medium_articles"), cluster="milvus")
        self._api.start()
        self._api.clock.set(60)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pids = self._state / "pids"
        for pid in pids.read_text().split() if pids.exists() else ():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGTERM)
        self._api.stop()

    def follow(self, document: Path) -> None:
        """Write the files and run the commands of a document. Raises AssertionError with what was said."""
        self.run(fences(document))

    def run(self, blocks: Sequence[Fence]) -> None:
        """Write the files and run the commands of these blocks, in their order, in one shell."""
        if not any(fence.named.get("file") == "config.yaml" for fence in blocks) and "config.yaml" in str(blocks):
            (self.home / "config.yaml").write_text(CONFIG, encoding="utf-8")
        script = ["set -euo pipefail"]
        for number, fence in enumerate(blocks):
            script += self._lines(fence, number)
        done = subprocess.run(
            ["bash", "-c", "\n".join(script)],
            check=False,
            capture_output=True,
            cwd=self.home,
            env=self._environment(),
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{done.stderr}\n{done.stdout[-2000:]}"

    def _lines(self, fence: Fence, number: int) -> list[str]:
        announced = f"echo '## {fence.document.name}:{fence.line}' >&2"
        if fence.language == "bash":
            return [announced, fence.body]
        snippet = self._state / f"snippet-{number}"
        snippet.write_text(fence.body, encoding="utf-8")
        if "file" in fence.named:
            return [announced, f"cp '{snippet}' '{fence.named['file']}'"]
        if fence.language == "python" and not fence.kind:
            return [announced, f"'{sys.executable}' '{snippet}'"]
        return []

    def _environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "PATH": f"{self._bin}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "ZILLIZ_BASE_URL": self._api.url,
            "ZILLIZ_API_KEY": KEY,
            "MILVUS_USER_PASSWORD": "root:Milvus",
            "STAND_IN_STATE": str(self._state),
            "STAND_IN_ROOT": str(ROOT),
            "STAND_IN_WHEEL": str(self._wheel),
            "STAND_IN_CLOUD": self._api.url,
            "STAND_IN_MILVUS": self._api.milvus_url,
            **{f"STAND_IN_{name.upper()}": shutil.which(name) or name for name in ("curl", "make")},
        }
