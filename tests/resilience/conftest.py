"""The API of a bad night, started once for each scheme."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.resilience.night import JOBS, MIDNIGHT, Night
from tests.support.authority import Authority
from tests.support.simulated import CLUSTER, ScenarioClock, SimulatedApi


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def nights(authority: Authority) -> Iterator[dict[str, Night]]:
    context = authority.server_context()
    clock = ScenarioClock(epoch=MIDNIGHT)
    with SimulatedApi(clock=clock) as plain, SimulatedApi(clock=clock, ssl_context=context) as secure:
        for api in (plain, secure):
            api.add(*JOBS, cluster=CLUSTER)
        yield {"http": Night(plain, authority.ca_file), "https": Night(secure, authority.ca_file)}


@pytest.fixture(params=["http", "https"])
def night(request: pytest.FixtureRequest, nights: dict[str, Night]) -> Iterator[Night]:
    """For what must hold over plain HTTP and over TLS."""
    chosen = nights[request.param]
    chosen.begin()
    yield chosen
    chosen.begin()


@pytest.fixture
def plain(nights: dict[str, Night]) -> Iterator[Night]:
    """For what the scheme has nothing to do with."""
    nights["http"].begin()
    yield nights["http"]
    nights["http"].begin()
