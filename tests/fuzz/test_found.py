"""What fuzzing found once is tried each time, and so is what it begins with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

FOUND = Path(__file__).parent / "found"


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_found_is_fixed(name: str) -> None:
    for path in sorted((FOUND / name).glob("*")):
        TARGETS[name].check(path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_proper_input_and_parts_of_it_keep_every_promise(name: str) -> None:
    for seed in TARGETS[name].seeds():
        for end in {len(seed), len(seed) // 2, len(seed) // 3}:
            TARGETS[name].check(seed[:end])
