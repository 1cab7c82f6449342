"""A simulated API that runs, and a client that asks it as a person with curl would."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.support.simulated import CLUSTER, KEY, SimulatedApi

ROOT = "/v2/vectordb/jobs/import/"


class Client:
    """Asks over one kept connection."""

    def __init__(self, api: SimulatedApi) -> None:
        self._api = api
        self.session = requests.Session()
        self.session.trust_env = False

    def cloud(self, operation: str, fields: object = None, *, key: str = KEY, **more: Any) -> requests.Response:
        """Ask Zilliz Cloud about the cluster that is there from the start."""
        body = {"clusterId": CLUSTER, **fields} if isinstance(fields, dict) else fields
        headers = {"Authorization": f"Bearer {key}"}
        return self.session.post(self._api.url + ROOT + operation, json=body, headers=headers, timeout=5, **more)

    def milvus(self, operation: str, fields: object = None, **more: Any) -> requests.Response:
        """Ask the Milvus; `fields` as bytes are the body as it is."""
        body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
        return self.session.post(
            self._api.milvus_url + ROOT + operation, data=body, allow_redirects=False, timeout=5, **more
        )


@pytest.fixture
def api() -> Iterator[SimulatedApi]:
    with SimulatedApi() as running:
        yield running


@pytest.fixture
def client(api: SimulatedApi) -> Iterator[Client]:
    asking = Client(api)
    yield asking
    asking.session.close()
