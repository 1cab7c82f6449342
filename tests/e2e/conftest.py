"""The end-to-end tests run against each Prometheus there is: the system's, and $PROMETHEUS3 where it is set."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.prometheus import BINARIES, Prometheus


@pytest.fixture(scope="session", autouse=True, params=BINARIES, ids=["prometheus", "prometheus3"][: len(BINARIES)])
def _each_prometheus(request: pytest.FixtureRequest) -> Iterator[None]:
    Prometheus.binary = request.param
    yield
    Prometheus.binary = BINARIES[0]
