"""An import API on loopback whose replies are data that a test sets: records of lists, and a reply for each job."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from tests.support.hostile import Conversation, Hostile, reply

Data = Mapping[str, Any]


class StandIn(Hostile):
    """Answers like either dialect. `requests` has what was sent; everything may be changed at any time.

    `lists`: the records by the database asked for, those of "" for any other; bytes are a whole reply.
    `jobs`: `data` by job id; bytes are a whole reply. A job that is not there is not found.
    `rights`: the database that a job belongs to, for servers that check it against `DB-Name`.
    """

    def __init__(self) -> None:
        super().__init__(self._serve)
        self.lists: dict[str, Sequence[object] | bytes] = {"": ()}
        self.jobs: dict[str, Data | bytes] = {}
        self.rights: dict[str, str] = {}
        self.asked: list[str] = []
        """The job ids asked about, and `list`, in order."""

    def names(self, state: str, *jobs: Data) -> None:
        """Let the list name these jobs in that state, and the API know them."""
        self.lists[""] = [
            {"jobId": job["jobId"], "collectionName": job.get("collectionName"), "state": state} for job in jobs
        ]
        self.jobs = {job["jobId"]: job for job in jobs}

    def _serve(self, conversation: Conversation) -> None:
        while (request := conversation.request()) is not None:
            head, _, sent = request.partition(b"\r\n\r\n")
            fields = json.loads(sent) if sent else {}
            headers = {
                name.decode().lower(): value.decode().strip()
                for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
            }
            path = urlsplit(head.split()[1].decode()).path
            database = headers.get("db-name", "")
            if path.endswith("/list"):
                self.asked.append("list")
                conversation.send(self._page(fields, database))
            else:
                self.asked.append(fields["jobId"])
                conversation.send(self._job(fields["jobId"], database))

    def _page(self, fields: Data, database: str) -> bytes:
        records = self.lists.get(database, self.lists[""])
        if isinstance(records, bytes):
            return records
        if "pageSize" in fields:
            start = (fields["currentPage"] - 1) * fields["pageSize"]
            records = records[start : start + fields["pageSize"]]
        return reply({"code": 0, "data": {"records": records}})

    def _job(self, job_id: str, database: str) -> bytes:
        job = self.jobs.get(job_id)
        if self.rights.get(job_id, database) != database:
            return denied(database)
        if job is None:
            return reply({"code": 2100, "message": f"import job does not exist, jobID={job_id}: importing data failed"})
        return job if isinstance(job, bytes) else reply({"code": 0, "data": job})


def denied(database: str = "default", user: str = "reader") -> bytes:
    """What Milvus answers to whoever may list imports but not describe them."""
    message = f"PrivilegeGetImportProgress: permission deny to {user} in the `{database}` database"
    return reply({"code": 65535, "message": f"rpc error: code = PermissionDenied desc = {message}"}, "403 Forbidden")


def at(epoch: float) -> str:
    """A time as the API writes it."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def job(job_id: str, state: str = "Importing", **more: object) -> dict[str, object]:
    """The `data` of a job of the collection `orders`, complete but for what a case is about."""
    return {
        "jobId": job_id,
        "collectionName": "orders",
        "fileName": "",
        "fileSize": 2048,
        "state": state,
        "progress": 100 if state == "Completed" else 40 if state == "Importing" else 0,
        "completeTime": "",
        "reason": "",
        "totalRows": 20,
        "details": [],
        **more,
    }


def file(name: str, state: str = "Completed", **more: object) -> dict[str, object]:
    """One entry of `details`."""
    return {
        "fileName": name,
        "fileSize": 1024,
        "state": state,
        "progress": 100 if state == "Completed" else 0,
        "completeTime": "",
        "reason": "",
        **more,
    }
