"""The loop of the collector's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.collector.loop import VirtualLoop


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    """A loop with a clock of its own, closed afterwards."""
    with VirtualLoop() as loop:
        yield loop
