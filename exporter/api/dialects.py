"""How Zilliz Cloud and Milvus want to be asked: paths, headers and bodies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from exporter import __version__
from exporter.config.secret import Secret

Dialect = Literal["zilliz", "milvus"]

PAGE_SIZE: Final = 100

_ENCODER: Final = json.JSONEncoder(separators=(",", ":"))
_IMPORT_JOBS: Final = "/v2/vectordb/jobs/import/"


@dataclass(frozen=True, slots=True)
class Target:
    """Whose jobs to ask for, and in which words; blank values are not sent.

    `project_id` with `region_id` stand for `cluster_id` (on-demand compute). Only Zilliz Cloud reads any of the three.
    """

    dialect: Dialect
    cluster_id: str
    project_id: str | None
    region_id: str | None
    db_name: str | None

    def headers(self, key: Secret | None, database: str = "") -> dict[str, str]:
        """Return the headers of a call; `database` goes before the configured one."""
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "User-Agent": f"zilliz-import-exporter/{__version__}",
        }
        if key is not None:
            headers["Authorization"] = f"Bearer {_header_text(key.reveal())}"
        if db_name := database or self.db_name:
            headers["DB-Name"] = _header_text(db_name)
        return headers

    def progress_body(self, job_id: str) -> bytes:
        """Return the body that asks for one job; the id is a string even where it is a number."""
        return _json(self._scope() | {"jobId": job_id})

    def list_body(self, page: int, collection: str = "", database: str = "") -> bytes:
        """Return the body that asks for one page of jobs, counted from 1. Milvus ignores the page."""
        body: dict[str, str | int] = dict(self._scope())
        if self.dialect == "zilliz":
            body |= {"pageSize": PAGE_SIZE, "currentPage": page}
        if collection:
            body["collectionName"] = collection
        if db_name := database or self.db_name:
            body["dbName"] = db_name
        return _json(body)

    def _scope(self) -> dict[str, str]:
        if self.dialect == "milvus":
            return {}
        if self.project_id and self.region_id:
            return {"projectId": self.project_id, "regionId": self.region_id}
        return {"clusterId": self.cluster_id}


def progress_target(progress_path: str) -> str:
    """Return the path of the one-job call; `progress_path` is its last segment, such as getProgress."""
    return _IMPORT_JOBS + progress_path


LIST_TARGET: Final = _IMPORT_JOBS + "list"


def _json(body: Mapping[str, str | int]) -> bytes:
    return _ENCODER.encode(body).encode()


def _header_text(value: str) -> str:
    """Return the text that http.client, which writes Latin-1, turns into the UTF-8 bytes of `value`."""
    return value if value.isascii() else value.encode().decode("latin-1")
