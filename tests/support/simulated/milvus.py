"""Milvus' import API: the REST handler's routes, checks and texts, and lists that ignore pages and come shuffled."""

from __future__ import annotations

import base64
import binascii
import json
import random
import re
from collections.abc import Mapping
from typing import Literal

from exporter.demo.clock import ScenarioClock
from exporter.demo.jobs import Jobs
from exporter.demo.scenario import FileMoment, JobScript, Moment
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

    def __init__(self, clock: ScenarioClock, users: Mapping[str, str], shuffle: random.Random) -> None:
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
            return _json({"code": 1800, "message": "user hasn't authenticated"}, 401)
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
            data = self._list(fields, database) if listing else self._progress(job_id)
        except _RefusedError as refusal:
            return _json({"code": refusal.code, "message": refusal.message})
        return _json({"code": 0, "data": data})

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

    def _progress(self, job_id: str) -> dict[str, object]:
        number = _parsed_id(job_id)
        if self.coordinator == "initializing":
            raise _RefusedError(1, "service not ready[=0]: Initializing")
        if self.coordinator == "unreachable":
            raise _RefusedError(65535, "rpc error: code = Unavailable desc = connection refused")
        time = self._clock.time()
        script = self.jobs.find(str(number), time)
        moment = None if script is None else script.at(time)
        if script is None or moment is None:
            raise _RefusedError(2100, f"import job does not exist, jobID={number}: importing data failed")
        return self._describe(job_id, script, moment)

    def _describe(self, job_id: str, script: JobScript, moment: Moment) -> dict[str, object]:
        details = [self._describe_file(file) for file in moment.files]
        self._shuffle.shuffle(details)
        return {
            "collectionName": script.collection_name,
            "completeTime": self._when(moment.completed_at),
            "details": details,
            "fileSize": moment.size,
            "importedRows": moment.imported_rows,
            "jobId": job_id,
            "progress": moment.progress,
            **_reason(moment.reason),
            "state": moment.state,
            "totalRows": moment.rows,
        }

    def _describe_file(self, file: FileMoment) -> dict[str, object]:
        return {
            "completeTime": self._when(file.completed_at),
            "fileName": f"[{' '.join(file.paths)}]",
            "fileSize": file.size,
            "importedRows": file.imported_rows,
            "progress": file.progress,
            **_reason(file.reason),
            "state": file.state,
            "totalRows": file.rows,
        }

    def _when(self, at: float | None) -> str:
        return "" if at is None else self._clock.timestamp(at)

    def _list(self, fields: Mapping[str, object], database: str) -> dict[str, object]:
        if self.coordinator == "initializing":
            raise _RefusedError(1, "service not ready[=0]: Initializing")
        collection = _text(fields, "collectionName")
        if collection and collection not in self.jobs.collections(database):
            raise _RefusedError(100, f"collection not found[database={database}][collection={collection}]")
        if self.coordinator == "unreachable":
            return {"records": []}
        time = self._clock.time()
        records = [
            {
                "collectionName": script.collection_name,
                "jobId": script.job_id,
                "progress": moment.progress,
                **_reason(moment.reason),
                "state": moment.state,
            }
            for script in self.jobs.present(time)
            if (not collection or (script.collection_name, script.db_name) == (collection, database))
            and (moment := script.at(time)) is not None
        ]
        self._shuffle.shuffle(records)
        return {"records": records}


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


def _reason(reason: str) -> dict[str, str]:
    return {"reason": reason} if reason else {}


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name.lower())
    return value if isinstance(value, str) else ""


def _json(content: Mapping[str, object], status: int = 200) -> Reply:
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    return Reply(status, body, chunked=len(body) > _GO_BUFFER)
