"""What Milvus checks before it answers: the REST handler's routes and texts; and the random order of its replies."""

from __future__ import annotations

import base64
import binascii
import json
import random
import re
from collections.abc import Mapping
from typing import Literal

from exporter.demo import answers
from exporter.demo.clock import Clock
from tests.support.simulated.jobs import Jobs
from tests.support.simulated.wire import Reply, Request

_ROOT = "/v2/vectordb/jobs/import/"
_PROGRESS = {_ROOT + "describe", _ROOT + "get_progress"}
_LIST = _ROOT + "list"
_INT64 = 2**63
# What fits Go's write buffer is sent with its length, what does not in chunks.
_GO_BUFFER = 2048


class _RefusedError(Exception):
    """An error in the body, sent under HTTP 200."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


class MilvusApi:
    """One Milvus.

    `users` maps user names to passwords; empty turns authorization off. Those of `unprivileged` may not read imports.
    `coordinator` is how well the proxy reaches the one who knows the jobs.
    """

    def __init__(self, clock: Clock, users: Mapping[str, str], shuffle: random.Random) -> None:
        """`shuffle` orders what the server keeps in Go maps."""
        self.users = dict(users)
        self.unprivileged: set[str] = set()
        self.coordinator: Literal["healthy", "initializing", "unreachable"] = "healthy"
        self.jobs = Jobs()
        self._clock = clock
        self._shuffle = shuffle

    def answer(self, request: Request) -> Reply:
        """Answer as the proxy does."""
        user = self._user(request.headers.get("authorization", ""))
        if user is None:
            status, body = answers.MILVUS_REFUSAL
            return _json(body, status)
        path = request.path.removesuffix("/")
        if request.method != "POST" or path not in _PROGRESS | {_LIST}:
            return Reply(404, b"404 page not found", "text/plain")
        if path != request.path:
            return Reply(307, content_type="", headers=(("Location", path),))
        listing = path == _LIST
        try:
            fields = _decoded(request)
            database = _text(fields, "dbName") or request.headers.get("db-name") or "default"
            job_id = "" if listing else _job_id(fields)
            if user in self.unprivileged:
                return _denied(user, database, "PrivilegeListImport" if listing else "PrivilegeGetImportProgress")
            body = self._list(_text(fields, "collectionName"), database) if listing else self._progress(job_id)
        except _RefusedError as refusal:
            return _json({"code": refusal.code, "message": refusal.message})
        return _json(body)

    def _user(self, authorization: str) -> str | None:
        """The user, empty where authorization is off; None where the request has to be refused."""
        if not self.users:
            return ""
        scheme, _, credentials = authorization.rpartition(" ")
        if scheme == "Basic":
            try:
                credentials = base64.b64decode(credentials, validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                return None
        elif scheme not in {"Bearer", ""}:
            return None
        user, _, password = credentials.partition(":")
        return user if self.users.get(user) == password else None

    def _progress(self, job_id: str) -> answers.Body:
        number = _parsed_id(job_id)
        if self.coordinator == "initializing":
            raise _RefusedError(1, "service not ready[=0]: Initializing")
        if self.coordinator == "unreachable":
            raise _RefusedError(65535, "rpc error: code = Unavailable desc = connection refused")
        body = answers.milvus(self.jobs, self._clock, "describe", {"jobId": str(number)})
        if "data" in body:
            body["data"]["jobId"] = job_id
            self._shuffle.shuffle(body["data"]["details"])
        return body

    def _list(self, collection: str, database: str) -> answers.Body:
        if self.coordinator == "initializing":
            raise _RefusedError(1, "service not ready[=0]: Initializing")
        if collection and collection not in self.jobs.collections(database):
            raise _RefusedError(100, f"collection not found[database={database}][collection={collection}]")
        body = answers.milvus(self.jobs, self._clock, "list", {"collectionName": collection, "dbName": database})
        if self.coordinator == "unreachable":
            body["data"]["records"] = []
        self._shuffle.shuffle(body["data"]["records"])
        return body


def _decoded(request: Request) -> Mapping[str, object]:
    """The body's keys in lower case: Go finds a field whatever the case of its key, and the last of several wins."""
    refused = "can only accept json format request, "
    if not request.body:
        raise _RefusedError(1801, refused + "the request body should be nil, however {} is valid")
    if not isinstance(request.json, dict):
        raise _RefusedError(1801, refused + "error: invalid character in the request body")
    fields = {name.lower(): value for name, value in request.json.items()}
    for name, owner in (("jobId", "JobIDReq"), ("collectionName", "OptionalCollectionNameReq"), ("dbName", "DBReq")):
        value = fields.get(name.lower())
        if value is not None and not isinstance(value, str):
            kind = {bool: "bool", dict: "object", list: "array"}.get(type(value), "number")
            what = f"cannot unmarshal {kind} into Go struct field {owner}.{name} of type string"
            raise _RefusedError(1801, f"{refused}error: json: {what}")
    return fields


def _job_id(fields: Mapping[str, object]) -> str:
    job_id = _text(fields, "jobId")
    if not job_id:
        failed = "Key: 'JobIDReq.JobID' Error:Field validation for 'JobID' failed on the 'required' tag"
        raise _RefusedError(1802, f"missing required parameters, error: {failed}")
    return job_id


def _parsed_id(job_id: str) -> int:
    """Read an id as Go's ParseInt does."""
    problem = "value out of range"
    if not re.fullmatch(r"[+-]?[0-9]+", job_id):
        problem = "invalid syntax"
    elif len(job_id) < 40 and -_INT64 <= int(job_id) < _INT64:
        return int(job_id)
    quoted = json.dumps(job_id, ensure_ascii=False)
    raise _RefusedError(
        2100, f"parse job id failed, err=%wstrconv.ParseInt: parsing {quoted}: {problem}: importing data failed"
    )


def _denied(user: str, database: str, privilege: str) -> Reply:
    message = f"{privilege}: permission deny to {user} in the `{database}` database"
    return _json({"code": 65535, "message": f"rpc error: code = PermissionDenied desc = {message}"}, 403)


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name.lower())
    return value if isinstance(value, str) else ""


def _json(content: Mapping[str, object], status: int = 200) -> Reply:
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    return Reply(status, body, chunked=len(body) > _GO_BUFFER)
