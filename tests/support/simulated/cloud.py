"""What Zilliz Cloud checks before it answers: key, clusters, projects, pages of the list."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Literal

from exporter.demo import answers
from exporter.demo.clock import Clock
from tests.support.simulated.jobs import Jobs
from tests.support.simulated.wire import Reply, Request

_ROOT = "/v2/vectordb/jobs/import/"
_PROGRESS = {_ROOT + "getProgress", _ROOT + "get_progress", _ROOT + "describe"}
_LIST = _ROOT + "list"
_CLUSTER_ID = re.compile(r"in\d\d-[\w-]+")


class _RefusedError(Exception):
    """An error of the API's own, sent under HTTP 200."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.reply = _json({"code": code, "message": message})


class CloudApi:
    """The control plane, with all clusters of one organisation.

    `keys` are those it accepts. A wrong one is refused as `refusal` says: under HTTP 200 with code 21119 or with HTTP
    401 and code 80001; the documents leave open which. `filters_list` is whether collection and database narrow the
    list, which they leave open too.
    """

    def __init__(self, clock: Clock, keys: Iterable[str]) -> None:
        """Begin without any cluster."""
        self.keys = set(keys)
        self.refusal: Literal[200, 401] = 200
        self.filters_list = True
        self.clusters: dict[str, Jobs] = {}
        self._clock = clock

    def answer(self, request: Request) -> Reply:
        """Answer as the control plane does."""
        if request.method != "POST" or (request.path != _LIST and request.path not in _PROGRESS):
            return Reply(404, b"404 page not found", "text/plain")
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or key not in self.keys:
            return self._refuse()
        if not isinstance(request.json, dict):
            return _RefusedError(80000, "Incorrect parameter: the request body is not a JSON object.").reply
        try:
            jobs = self._cluster(request.fields)
            checked = self._checked_list if request.path == _LIST else self._checked_progress
            return _json(answers.zilliz(jobs, self._clock, request.operation, checked(request.fields)))
        except _RefusedError as refusal:
            return refusal.reply

    def _refuse(self) -> Reply:
        if self.refusal == 401:
            return _json({"code": 80001, "message": "The token is illegal."}, 401)
        status, body = answers.ZILLIZ_REFUSAL
        return _json(body, status)

    def _cluster(self, fields: Mapping[str, object]) -> Jobs:
        cluster = _text(fields, "clusterId")
        project, region = _text(fields, "projectId"), _text(fields, "regionId")
        if project or region:
            if cluster or not project:
                raise _RefusedError(96005, "Invalid projectId: give projectId with regionId, and no clusterId.")
            if not region:
                raise _RefusedError(96001, "Invalid regionId: it is required with projectId.")
            cluster = f"{project}/{region}"
        elif not cluster:
            raise _RefusedError(96025, "The clusterId is empty.")
        elif not _CLUSTER_ID.fullmatch(cluster):
            raise _RefusedError(96036, f"Invalid clusterId: {cluster}.")
        jobs = self.clusters.get(cluster)
        if jobs is None:
            raise _RefusedError(96018, f"The cluster does not exist: {cluster}.")
        return jobs

    def _checked_progress(self, fields: Mapping[str, object]) -> answers.Fields:
        if not fields.get("jobId"):
            raise _RefusedError(80000, "Incorrect parameter: jobId is required.")
        return fields

    def _checked_list(self, fields: Mapping[str, object]) -> answers.Fields:
        size = _number(fields, "pageSize", 10)
        if not 1 <= size <= 100:
            raise _RefusedError(96008, f"Invalid pageSize: {size}; it is 1 to 100.")
        page = _number(fields, "currentPage", 1)
        if not 1 <= page <= 2**31 - 1:
            raise _RefusedError(96009, f"Invalid currentPage: {page}; it begins at 1.")
        filters = ("collectionName", "dbName") if self.filters_list else ()
        return {"pageSize": size, "currentPage": page, **{name: _text(fields, name) for name in filters}}


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _number(fields: Mapping[str, object], name: str, default: int) -> int:
    value = fields.get(name, default)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _json(content: Mapping[str, object], status: int = 200) -> Reply:
    return Reply(status, json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode())
