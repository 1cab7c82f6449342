"""The shape of the configuration: every key, its type, range, default and one line about it."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import SplitResult, urlsplit, urlunsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from exporter.config.duration import parse_duration
from exporter.config.secret import Secret
from exporter.model import JOB_ID, ListTarget

ZILLIZ_URL: Final = "https://api.cloud.zilliz.com"
PROGRESS_PATHS: Final = {"zilliz": "getProgress", "milvus": "describe"}
_FINISHED_FOR: Final = 86_400.0
_PATH_SEGMENT = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Kind:
    """What a value is called in the documentation, where the Python type says too little."""

    name: str


def job_id_problem(value: object) -> str | None:
    """Say what is wrong with a job id; None if nothing is."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return 'is a number to YAML; put it in quotes, such as "448761313698322011"'
    if not isinstance(value, str):
        return 'must be a job id in quotes, such as "448761313698322011"'
    if JOB_ID.fullmatch(value) is None:
        return "is not a job id; job ids are 1 to 128 of A-Z, a-z, 0-9, _ and -"
    return None


def _wrong(sentence: str) -> PydanticCustomError:
    """Refuse a value with a sentence of our own, which must hold no part of the value."""
    return PydanticCustomError("rule", "{sentence}", {"sentence": sentence})


def _job_id(value: object) -> object:
    problem = job_id_problem(value)
    if problem is not None:
        raise _wrong(problem)
    return value


def _duration(value: object) -> float:
    if isinstance(value, int) and not isinstance(value, bool) and value == 0:
        return 0.0
    if not isinstance(value, str):
        raise _wrong("must be a duration with its unit, such as 30s, 10m or 1h30m")
    try:
        return parse_duration(value)
    except ValueError as error:
        raise _wrong(str(error)) from None


def _text(longest: int) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not value:
            raise _wrong("is empty; write a value")
        if len(value) > longest:
            raise _wrong(f"is longer than {longest} characters")
        if not value.isprintable() or value != value.strip():
            raise _wrong("must be printable, without spaces at its ends")
        return value

    return check


def _ascii(value: str) -> str:
    if not value.isascii():
        raise _wrong("must be ASCII, since it is sent in an HTTP header")
    return value


def _path_segment(value: str) -> str:
    if _PATH_SEGMENT.fullmatch(value) is None:
        raise _wrong("must be the last part of the path alone, such as getProgress, describe or get_progress")
    return value


def _http_url(value: str, example: str) -> SplitResult:
    if not value.isascii() or not value.isprintable() or " " in value or "\\" in value:
        raise _wrong(f"must be a URL of printable ASCII without spaces, such as {example}")
    try:
        url = urlsplit(value)
        host, _ = url.hostname, url.port
    except ValueError:
        raise _wrong(f"must be a URL, such as {example}") from None
    if not host or url.scheme not in {"http", "https"}:
        raise _wrong(f"must be an http or https URL with a host, such as {example}")
    if "?" in value or "#" in value:
        raise _wrong(f"must have no query and no fragment, such as {example}")
    return url


def _base_url(value: str) -> str:
    url = _http_url(value, ZILLIZ_URL)
    if "@" in url.netloc:
        raise _wrong("must have no user name or password in it; the key belongs in api_key_file")
    return urlunsplit((url.scheme, url.netloc.lower(), url.path.rstrip("/"), "", ""))


def _proxy_url(value: str) -> str:
    url = _http_url(value, "http://proxy:3128")
    if url.path not in {"", "/"}:
        raise _wrong("must have no path, such as http://proxy:3128")
    return value.rstrip("/")


def _path(value: str) -> str:
    if not value or "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise _wrong("must be the path of a file")
    return value


def _absolute(value: str, info: ValidationInfo) -> str:
    return str(_directory(info) / _path(value))


def _absolute_pattern(value: str, info: ValidationInfo) -> str:
    return str(Path(glob.escape(str(_directory(info)))) / _path(value))


def _directory(info: ValidationInfo) -> Path:
    return Path((info.context or {}).get("directory", ""))


def _environment_name(value: str) -> str:
    if not value or "=" in value or "\0" in value:
        raise _wrong("must be the name of an environment variable, such as ZILLIZ_API_KEY")
    return value


Duration = Annotated[float, BeforeValidator(_duration), Kind("duration")]
Count = Annotated[StrictInt, Field(ge=1), Kind("whole number")]
Name = Annotated[StrictStr, AfterValidator(_text(255)), Kind("text")]
DbName = Annotated[StrictStr, AfterValidator(_text(255)), AfterValidator(_ascii), Kind("text")]
JobId = Annotated[StrictStr, BeforeValidator(_job_id), Kind("job id")]
FilePath = Annotated[StrictStr, AfterValidator(_absolute), Kind("file")]
FilePattern = Annotated[StrictStr, AfterValidator(_absolute_pattern), Kind("file pattern")]
BaseUrl = Annotated[StrictStr, AfterValidator(_base_url), Kind("URL")]
ProxyUrl = Annotated[StrictStr, AfterValidator(_proxy_url), Kind("URL")]


def given(data: dict[Any, Any]) -> dict[Any, Any]:
    """Leave out what counts as not given: keys without a value, and empty lists."""
    return {key: value for key, value in data.items() if _is_given(value)}


def _is_given(value: object) -> bool:
    return value is not None and value not in ([], ())


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _only_given(cls, data: object) -> object:
        return cls.resolve(data) if isinstance(data, dict) else data

    @classmethod
    def resolve(cls, data: dict[Any, Any]) -> dict[Any, Any]:
        """Leave out what counts as not given, but no unknown key; and fill in what follows from other keys."""
        return {key: value for key, value in data.items() if _is_given(value) or key not in cls.model_fields}


class TlsConfig(_Section):
    """How the API's certificate is checked, as in Prometheus' tls_config. Paths are absolute once loaded."""

    ca_file: FilePath | None = Field(None, description="authorities to trust instead of the usual ones (PEM)")
    cert_file: FilePath | None = Field(None, description="client certificate (PEM); needs key_file")
    key_file: FilePath | None = Field(None, description="key of the client certificate (PEM); needs cert_file")
    server_name: Name | None = Field(None, description="name that the certificate must bear, where the URL has another")
    insecure_skip_verify: StrictBool = Field(False, description="true: the certificate is not checked at all")


class Discovery(_Section):
    """Watch what the API lists. Times are seconds."""

    collections: tuple[Name, ...] = Field((), description="only these collections; empty = all")
    databases: tuple[DbName, ...] = Field((), description="one list per database; empty = the API's default")
    refresh_interval: Duration = Field(
        60.0, description="the list is read at a scrape, at most this often; 0s = at every scrape"
    )
    finished_for: Duration = Field(_FINISHED_FOR, description="how long a finished job stays exposed after it finished")
    max_jobs: Count = Field(500, description="discovered jobs watched at most; the rest is counted")


class Cluster(_Section):
    """One cluster whose imports are watched. What depends on other keys is resolved: see `resolve`."""

    cluster_id: Name = Field(
        max_length=128, description="required, unique: the label cluster_id, and clusterId in requests"
    )
    api: Literal["zilliz", "milvus"] = Field("zilliz", description="zilliz (Zilliz Cloud) or milvus (self-hosted)")
    base_url: BaseUrl = Field(ZILLIZ_URL, description="where the API is; required for milvus")
    api_key_file: FilePath | None = Field(
        None,
        description="file that holds the key; exactly one of api_key_file, api_key_env and api_key; "
        "for milvus user:password, or none of them",
    )
    api_key_env: Annotated[StrictStr, AfterValidator(_environment_name), Kind("text")] | None = Field(
        None, description="environment variable that holds the key", repr=False
    )
    api_key: Secret | None = Field(None, description="the key itself; better kept out of this file")
    jobs: tuple[JobId, ...] = Field((), description="job ids to watch, always in quotes")
    job_lists: tuple[FilePattern, ...] = Field(
        (), description="files that hold a YAML list of job ids, written by whatever starts imports; * and ? match"
    )
    discovery: Discovery | None = Field(
        None, description="watch what the API lists; on where present, also empty, and without jobs and job_lists"
    )
    db_name: DbName | None = Field(None, description="sent as DB-Name; the label db_name of zilliz_import_job_info")
    project_id: Name | None = Field(
        None, description="with region_id: sent instead of clusterId (on-demand compute); zilliz only"
    )
    region_id: Name | None = Field(None, description="with project_id; zilliz only")
    progress_path: Annotated[StrictStr, AfterValidator(_path_segment), Kind("text")] = Field(
        PROGRESS_PATHS["zilliz"],
        description="last part of the path asked for a job; for milvus describe, on old servers get_progress",
    )
    requests_per_second: Annotated[StrictFloat, Kind("number")] = Field(
        10.0,
        ge=0,
        description="0 = unlimited; one budget for all clusters with the same base_url and key "
        "(Zilliz Cloud allows 20 per user)",
    )
    concurrency: Count = Field(16, le=1000, description="requests in flight to this cluster's API")
    proxy_url: ProxyUrl | None = Field(None, description="HTTP proxy to the API", repr=False)
    tls_config: TlsConfig = Field(TlsConfig(), description="how the API's certificate is checked, as in Prometheus")

    @property
    def finished_for(self) -> float:
        """How long a finished job stays exposed after it finished, in seconds; 24 h where discovery is off."""
        return _FINISHED_FOR if self.discovery is None else self.discovery.finished_for

    @property
    def lists(self) -> tuple[ListTarget, ...]:
        """The lists that discovery reads; none where it is off."""
        if self.discovery is None:
            return ()
        databases, collections = self.discovery.databases or ("",), self.discovery.collections or ("",)
        return tuple(ListTarget(database, collection) for database in databases for collection in collections)

    @classmethod
    def resolve(cls, data: dict[Any, Any]) -> dict[Any, Any]:
        """Also switch discovery on where it is due and give the progress path of Milvus."""
        keys = super().resolve(data)
        if "discovery" in data or not ("jobs" in keys or "job_lists" in keys):
            keys.setdefault("discovery", {})
        if keys.get("api") == "milvus":
            keys.setdefault("progress_path", PROGRESS_PATHS["milvus"])
        return keys


class Scrape(_Section):
    """How a scrape spends its time. Times are seconds."""

    timeout: Duration = Field(
        10.0,
        gt=0,
        description="budget where Prometheus sends no timeout header; where set in the file it also caps the header",
    )
    fresh_for: Duration = Field(
        2.0, description="an answer younger than this is not asked for again; 0s = asked at every scrape"
    )
    recheck_finished: Duration = Field(600.0, description="a finished job is asked again this seldom")
    max_age: Duration = Field(300.0, description="an unfinished job's answer older than this is not exposed")

    @property
    def timeout_set(self) -> bool:
        """Whether the file sets `timeout`, which then also caps Prometheus' header."""
        return "timeout" in self.model_fields_set


class Files(_Section):
    """Which of a job's files get series of their own."""

    series: Literal["all", "unfinished", "none"] = Field(
        "all", description="all, unfinished (a Completed file drops out, a Failed one stays) or none"
    )
    max_per_job: Count = Field(100, description="then the rest is counted, not listed; chosen by name")
    max_total: Count = Field(
        5000,
        description="files listed over all jobs: unfinished jobs first, then highest id; the last one cut by name",
    )


class Config(_Section):
    """A whole configuration. Durations are seconds, lists are tuples, defaults are filled in."""

    clusters: tuple[Cluster, ...] = Field(description="the clusters to watch")
    scrape: Scrape = Field(Scrape(), description="how a scrape spends its time")
    files: Files = Field(Files(), description="which of a job's files get series of their own")
