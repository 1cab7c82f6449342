"""Ten thousand scrapes, two days of simulated time, of all that goes on and goes wrong: nothing piles up.

They run in a process of their own, whose resident size is theirs alone. That size says what the user pays, but only
roughly; the blocks that Python has allocated say exactly whether any object is left behind.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import fmean

from tests.resilience.faults import FAULTS
from tests.resilience.night import JOBS, VICTIMS, Night
from tests.resilience.soak import PERIOD, SCRAPES, THREADS, Held
from tests.support.logs import captured_logs
from tests.support.process import descriptors, threads
from tests.support.program import wait_for
from tests.support.rig import Rig

WARM_UP = 2000
FEW = 4
"""So many looks are averaged."""
CONCURRENCY = 8
RENDERING = 1
"""The one thread that renders."""
DESCRIPTORS = 3
"""Of one kept connection: the server's, the client's, and the one by which a late call is shut down."""


def test_memory_threads_and_descriptors_are_flat_over_10_000_scrapes() -> None:
    command = [sys.executable, "-m", "tests.resilience.soak"]
    root = Path(__file__).parents[2]
    output = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    before, *looks = (Held(**json.loads(line)) for line in output.splitlines())
    assert len(looks) == SCRAPES // PERIOD
    warm = [look for look in looks if look.scrape >= WARM_UP]
    first, last = warm[:FEW], warm[-FEW:]
    blocks = [fmean(look.blocks for look in few) - before.blocks for few in (first, last)]
    assert blocks[1] <= 1.1 * blocks[0]
    assert fmean(look.rss for look in last) <= 1.1 * fmean(look.rss for look in first)
    assert {look.descriptors for look in looks} == {before.descriptors}
    assert max(look.threads for look in looks) <= THREADS


def test_connections_and_threads_are_bounded_whatever_fails_and_gone_at_the_end(night: Night) -> None:
    names = [name for name, fault in FAULTS.items() if fault.error != "rate_limited"]
    before = descriptors()
    with captured_logs(), Rig(night.config(night.cluster(concurrency=CONCURRENCY))) as rig:
        idle, own = len(threads()), descriptors()
        for _ in range(3):
            for name in names:
                night.api.faults.inject(FAULTS[name].behaviour, job_ids=VICTIMS)
                rig.text()
                night.api.faults.clear()
            night.api.drop_connections()
            night.assert_exact(rig.scrape(), JOBS)
            assert len(threads()) <= idle + CONCURRENCY + RENDERING
            assert descriptors() <= own + DESCRIPTORS * CONCURRENCY
    wait_for("threads to end", lambda: threads() == ["MainThread"])
    wait_for("connections to end", lambda: night.api.connections_open == 0)
    assert descriptors() == before
