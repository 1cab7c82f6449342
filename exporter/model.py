"""What an import API says about its jobs, as plain data: no I/O, no Prometheus."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""What a job id may be, whoever names it: nothing that could mean something in a path, a label or a log."""


class State(StrEnum):
    """Where a job or a file stands; the closed set behind every `state` label.

    `UNCOMMITTED` is a two-phase job that waits for a commit by its owner and never ends by itself.
    `UNKNOWN` is a word that this exporter does not know.
    """

    PENDING = "Pending"
    IMPORTING = "Importing"
    COMPLETED = "Completed"
    FAILED = "Failed"
    UNCOMMITTED = "Uncommitted"
    UNKNOWN = "Unknown"

    @property
    def finished(self) -> bool:
        """Whether the API considers the job over: Completed or Failed."""
        return self is State.COMPLETED or self is State.FAILED


class ErrorClass(StrEnum):
    """Why a job or a list could not be read; the closed set behind every `error` label."""

    TIMEOUT = "timeout"
    CONNECT = "connect"
    TLS = "tls"
    AUTH = "auth"
    NOT_FOUND = "not_found"
    EXPIRED = "expired"
    VANISHED = "vanished"
    RATE_LIMITED = "rate_limited"
    HTTP = "http"
    API = "api"
    PAYLOAD = "payload"
    STARVED = "starved"


class Cause(StrEnum):
    """What kind of thing made an import fail; the closed set behind every `cause` label, in the order of preference.

    `ABORTED` and `DROPPED` are what somebody did on purpose.
    """

    ABORTED = "aborted"
    DROPPED = "dropped"
    TIMEOUT = "timeout"
    QUOTA = "quota"
    SCHEMA = "schema"
    STORAGE = "storage"
    OTHER = "other"


class Source(StrEnum):
    """Who named a job: the configuration, a file of `job_lists`, or discovery; the first that holds."""

    CONFIG = "config"
    LIST = "list"
    DISCOVERY = "discovery"


@dataclass(frozen=True, slots=True)
class File:
    """One file of a job (`details[]`), entries of the same name merged into one.

    Ratios are 0 to 1, sizes bytes, times seconds since the epoch. None: the API did not say.
    `name` and `reason` are at most 512 bytes of UTF-8 each.
    """

    name: str
    state: State
    progress: float | None = None
    size: float | None = None
    rows: float | None = None
    imported_rows: float | None = None
    completed_at: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """One import job as the API last described it (`data` of a getProgress reply).

    Ratios are 0 to 1, sizes bytes, times seconds since the epoch. None: the API did not say.
    `files` are merged by name and ordered by it; None where `details` is absent or null.
    `file_states` counts the entries of `details` one by one, duplicates included; None likewise.
    `reason` and `file_name` are at most 512 bytes of UTF-8, `collection_name` 255; `whole_reason` is the reason before
    it was cut, at most 16 KiB, and empty where it is no longer than `reason`.
    """

    job_id: str
    collection_name: str
    state: State
    progress: float | None = None
    size: float | None = None
    rows: float | None = None
    imported_rows: float | None = None
    completed_at: float | None = None
    reason: str = ""
    files: tuple[File, ...] | None = None
    file_states: Mapping[State, int] | None = None
    file_name: str = ""
    created_at: float | None = None
    whole_reason: str = ""

    @property
    def failure_reason(self) -> str:
        """Why the job failed: its own reason, else that of the first Failed file by name that has one, else ""."""
        if self.reason:
            return self.reason
        return next((file.reason for file in self.files or () if file.state is State.FAILED and file.reason), "")


@dataclass(frozen=True, slots=True)
class ListedJob:
    """One record of the list endpoint (`data.records[]`); `created_at` in seconds since the epoch, None: not given."""

    job_id: str
    collection_name: str
    state: State
    created_at: float | None = None


@dataclass(frozen=True, slots=True)
class ListTarget:
    """One list to read: a database and a collection, each empty for the API's default or for all."""

    database: str = ""
    collection: str = ""

    def __str__(self) -> str:
        parts = ["list"]
        if self.collection:
            parts.append(f"collection {self.collection}")
        if self.database:
            parts.append(f"database {self.database}")
        return " of ".join(parts)


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of the list: the records that name a job, duplicates included.

    `unusable` is the number of records without an id that could be a job's.
    """

    jobs: tuple[ListedJob, ...]
    unusable: int = 0


def id_order(job_id: str) -> tuple[int, str]:
    """Sort key that puts younger job ids higher: decimal ids by value, others by length, then by letter."""
    return (len(job_id), job_id)
