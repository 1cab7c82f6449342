"""Fuzzes one target with atheris: `python -m tests.fuzz.worker TARGET [flags of libFuzzer] [directories]`."""

from __future__ import annotations

import importlib
import logging
import sys
from typing import Any

import structlog


def main(name: str, arguments: list[str]) -> None:
    """Run until libFuzzer ends the process, with an exit code other than 0 where the target raised."""
    # Not a dependency of the tests: there is none for some platforms.
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["exporter"]):
        targets = importlib.import_module("tests.fuzz.targets")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    atheris.Setup([sys.argv[0], *arguments], targets.TARGETS[name].check)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
