"""What holds for all tests: reproducible property tests, and no skipping in CI."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

# The same examples in each run, so that a red run is one that somebody's change made red. `make fuzz` looks further.
settings.register_profile("same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("explore", deadline=None, max_examples=2000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

PROGRAMS = ("prometheus", "promtool", "prometheus-alertmanager", "amtool", "chromium", "curl", "openssl")


def pytest_report_header() -> str:
    """Say which programs are missing."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    return (
        f"MISSING PROGRAMS, their tests fail or are skipped: {', '.join(missing)}" if missing else "programs: all there"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests marked `needs` whose programs are missing."""
    for item in items:
        wanted = {name for mark in item.iter_markers("needs") for name in mark.args}
        missing = sorted(name for name in wanted if shutil.which(name) is None)
        if missing:
            item.add_marker(pytest.mark.skip(reason=f"{', '.join(missing)} not installed: see `make tools`"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped test is a failed one."""
    report = yield
    if report.skipped and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report
