"""What both products answer to a request: from its fields, the jobs and the clock to JSON, without I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from exporter.demo.clock import Clock
from exporter.demo.jobs import Jobs
from exporter.demo.scenario import FileMoment, JobScript, Moment, Phase, TaskPhase

Fields = Mapping[str, Any]
Body = dict[str, Any]

ZILLIZ_REFUSAL: tuple[int, Body] = (200, {"code": 21119, "message": "The API key is illegal."})
MILVUS_REFUSAL: tuple[int, Body] = (401, {"code": 1800, "message": "user hasn't authenticated"})
"""Status and body where the key, or user and password, are wrong."""


def zilliz(jobs: Jobs, clock: Clock, operation: str, fields: Fields) -> Body:
    """The reply of a Zilliz Cloud cluster to `list`, or to any other operation as a question about one job."""
    return _zilliz_list(jobs, clock, fields) if operation == "list" else _zilliz_progress(jobs, clock, fields)


def milvus(jobs: Jobs, clock: Clock, operation: str, fields: Fields) -> Body:
    """The reply of a Milvus, likewise."""
    return _milvus_list(jobs, clock, fields) if operation == "list" else _milvus_progress(jobs, clock, fields)


def _zilliz_progress(jobs: Jobs, clock: Clock, fields: Fields) -> Body:
    job_id = str(fields["jobId"])
    time = clock.time()
    script = jobs.find(job_id, time)
    moment = None if script is None else script.at(time)
    if script is None or moment is None:
        return {"code": 96026, "message": f"The job does not exist: {job_id}."}
    failed = moment.state is Phase.FAILED
    data = {
        "jobId": job_id,
        "collectionName": script.collection_name,
        "fileName": ",".join(script.files[0].paths) if script.files else "",
        "fileSize": moment.size,
        "state": moment.state,
        "progress": moment.progress,
        "completeTime": _time(clock, moment.completed_at, None if failed else ""),
        "reason": moment.reason,
        "totalRows": moment.rows,
        "importedRows": moment.imported_rows,
        "details": [_zilliz_file(file, clock) for file in moment.files],
    }
    if failed:
        del data["importedRows"]
    return {"code": 0, "data": data}


def _zilliz_file(file: FileMoment, clock: Clock) -> Body:
    return {
        "fileName": ",".join(file.paths),
        "fileSize": file.size,
        "state": "Importing" if file.state is TaskPhase.IN_PROGRESS else file.state,
        "progress": file.progress,
        "completeTime": _time(clock, file.completed_at, ""),
        "reason": file.reason,
        "totalRows": file.rows,
    }


def _zilliz_list(jobs: Jobs, clock: Clock, fields: Fields) -> Body:
    page, size = fields.get("currentPage", 1), fields.get("pageSize", 10)
    collection, database = fields.get("collectionName", ""), fields.get("dbName", "")
    time = clock.time()
    found = [
        script
        for script in jobs.present(time)
        if collection in {"", script.collection_name} and database in {"", script.db_name}
    ]
    records = [
        {
            "collectionName": script.collection_name,
            "jobId": script.job_id,
            "state": "InProgress" if moment.state is Phase.IMPORTING else moment.state,
        }
        for script, moment in _moments(found[(page - 1) * size : page * size], time)
    ]
    return {"code": 0, "data": {"count": len(found), "currentPage": page, "pageSize": size, "records": records}}


def _milvus_progress(jobs: Jobs, clock: Clock, fields: Fields) -> Body:
    job_id = fields["jobId"]
    time = clock.time()
    script = jobs.find(job_id, time)
    moment = None if script is None else script.at(time)
    if script is None or moment is None:
        return {"code": 2100, "message": f"import job does not exist, jobID={job_id}: importing data failed"}
    data = {
        "collectionName": script.collection_name,
        "completeTime": _time(clock, moment.completed_at, ""),
        "details": [_milvus_file(file, clock) for file in moment.files],
        "fileSize": moment.size,
        "importedRows": moment.imported_rows,
        "jobId": job_id,
        "progress": moment.progress,
        **_reason(moment),
        "state": moment.state,
        "totalRows": moment.rows,
    }
    return {"code": 0, "data": data}


def _milvus_file(file: FileMoment, clock: Clock) -> Body:
    return {
        "completeTime": _time(clock, file.completed_at, ""),
        "fileName": f"[{' '.join(file.paths)}]",
        "fileSize": file.size,
        "importedRows": file.imported_rows,
        "progress": file.progress,
        **_reason(file),
        "state": file.state,
        "totalRows": file.rows,
    }


def _milvus_list(jobs: Jobs, clock: Clock, fields: Fields) -> Body:
    """All jobs on one page, of all databases unless a collection is named."""
    collection, database = fields.get("collectionName"), fields.get("dbName", "default")
    time = clock.time()
    records = [
        {
            "collectionName": script.collection_name,
            "jobId": script.job_id,
            "progress": moment.progress,
            **_reason(moment),
            "state": moment.state,
        }
        for script, moment in _moments(jobs.present(time), time)
        if not collection or (script.collection_name, script.db_name) == (collection, database)
    ]
    return {"code": 0, "data": {"records": records}}


def _moments(scripts: Iterable[JobScript], time: float) -> Iterator[tuple[JobScript, Moment]]:
    return ((script, moment) for script in scripts if (moment := script.at(time)) is not None)


def _time(clock: Clock, at: float | None, unset: str | None) -> str | None:
    return unset if at is None else clock.timestamp(at)


def _reason(moment: Moment | FileMoment) -> dict[str, str]:
    return {"reason": moment.reason} if moment.reason else {}
