"""The shape of the configuration: every key with its type, its default and one line about it."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, model_validator

from exporter.config.values import (
    ZILLIZ_URL,
    ApiKey,
    BaseUrl,
    ClusterId,
    Count,
    DbName,
    Duration,
    FilePath,
    FilePattern,
    JobId,
    Kind,
    Name,
    PathSegment,
    ProxyUrl,
    VariableName,
)
from exporter.model import ListTarget

PROGRESS_PATHS: Final = {"zilliz": "getProgress", "milvus": "describe"}
_FINISHED_FOR: Final = 86_400.0


def given(data: dict[Any, Any]) -> dict[Any, Any]:
    """Leave out keys that count as not given: those without a value, and empty lists."""
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
        """Leave out known keys that count as not given, and set defaults that depend on other keys."""
        return {key: value for key, value in data.items() if _is_given(value) or key not in cls.model_fields}


class TlsConfig(_Section):
    """How the API's certificate is checked, as in Prometheus' tls_config. Loaded paths are absolute."""

    ca_file: FilePath | None = Field(
        None,
        description="certificate authorities to trust (PEM); "
        "by default those of SSL_CERT_FILE or REQUESTS_CA_BUNDLE if set, else those of Mozilla (certifi)",
    )
    cert_file: FilePath | None = Field(None, description="client certificate (PEM); needs key_file")
    key_file: FilePath | None = Field(None, description="key of the client certificate (PEM); needs cert_file")
    server_name: Name | None = Field(None, description="name expected in the certificate, if the URL has another")
    insecure_skip_verify: StrictBool = Field(False, description="true: the certificate is not checked at all")


class Discovery(_Section):
    """Watch what the API lists. Times are seconds."""

    collections: tuple[Name, ...] = Field((), description="only these collections; empty = all")
    databases: tuple[DbName, ...] = Field((), description="one list per database; empty = the API's default")
    refresh_interval: Duration = Field(
        60.0, description="the list is read at a scrape, at most this often; 0s = at every scrape"
    )
    finished_for: Duration = Field(_FINISHED_FOR, description="how long a finished job stays exposed after it finished")
    max_jobs: Count = Field(1000, description="maximum number of discovered jobs; the rest is only counted")


class Cluster(_Section):
    """One cluster whose imports are watched."""

    cluster_id: ClusterId = Field(description="required, unique: the label cluster_id, and clusterId in requests")
    api: Literal["zilliz", "milvus"] = Field("zilliz", description="zilliz (Zilliz Cloud) or milvus (self-hosted)")
    base_url: BaseUrl = Field(ZILLIZ_URL, description="where the API is; required for milvus")
    api_key_file: FilePath | None = Field(
        None,
        description="file that holds the key; exactly one of api_key_file, api_key_env and api_key; "
        "for milvus user:password, or none of them",
    )
    api_key_env: VariableName | None = Field(None, description="environment variable that holds the key", repr=False)
    api_key: ApiKey | None = Field(None, description="the key itself; a file or a variable is safer")
    jobs: tuple[JobId, ...] = Field((), description="job ids to watch, always in quotes")
    job_lists: tuple[FilePattern, ...] = Field(
        (),
        description="files that hold a YAML list of job ids, written by whatever starts imports; "
        "may be patterns with * and ?",
    )
    discovery: Discovery | None = Field(
        None,
        description="watch what the API lists; on if present, even if empty, "
        "and if neither jobs nor job_lists are given",
    )
    db_name: DbName | None = Field(None, description="sent as DB-Name; the label db_name of zilliz_import_job_info")
    project_id: Name | None = Field(
        None, description="with region_id: sent instead of clusterId (on-demand compute); zilliz only"
    )
    region_id: Name | None = Field(None, description="with project_id; zilliz only")
    progress_path: PathSegment = Field(
        PROGRESS_PATHS["zilliz"],
        description="last part of the path that is queried for a job; "
        "default for milvus: describe; on old servers: get_progress",
    )
    requests_per_second: Annotated[StrictFloat, Kind("number")] = Field(
        10.0,
        ge=0,
        description="0 = unlimited; one budget for all clusters with the same base_url and key "
        "(Zilliz Cloud allows 20 per user)",
    )
    concurrency: Count = Field(16, le=1000, description="requests in flight to this cluster's API")
    proxy_url: ProxyUrl | None = Field(None, description="HTTP proxy to the API", repr=False)
    proxy_from_environment: StrictBool = Field(
        False, description="true: the proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name, as in Prometheus"
    )
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
        """Also turn discovery on if no jobs are given, and set the progress path of Milvus."""
        keys = super().resolve(data)
        if "discovery" in data or not ("jobs" in keys or "job_lists" in keys):
            keys.setdefault("discovery", {})
        if keys.get("api") == "milvus":
            keys.setdefault("progress_path", PROGRESS_PATHS["milvus"])
        return keys


class Scrape(_Section):
    """Timing of scrapes. Times are seconds."""

    timeout: Duration = Field(
        10.0,
        gt=0,
        description="scrape timeout where the scraper sends none; if set here, it also caps the one that is sent",
    )
    fresh_for: Duration = Field(
        2.0, description="a job is not queried again while its answer is younger than this; 0s = query at every scrape"
    )
    recheck_finished: Duration = Field(600.0, description="how often a finished job is checked again")
    max_age: Duration = Field(300.0, description="an unfinished job's answer older than this is not exposed")

    @property
    def timeout_set(self) -> bool:
        """Whether the file sets `timeout`, which then also caps the timeout that a scraper sends."""
        return "timeout" in self.model_fields_set


class Files(_Section):
    """Which of a job's files get series of their own."""

    series: Literal["all", "unfinished", "none"] = Field(
        "all", description="all, unfinished (a Completed file drops out, a Failed one stays) or none"
    )
    max_per_job: Count = Field(
        100,
        description="files listed per job: Failed first, then unfinished, then by name; the rest is only counted",
    )
    max_total: Count = Field(
        5000,
        description="files listed over all jobs: Failed and unfinished jobs first, then highest id; "
        "the last one cut as for max_per_job",
    )


class Config(_Section):
    """A whole configuration. Durations are seconds, lists are tuples, defaults are filled in."""

    clusters: tuple[Cluster, ...] = Field(description="the clusters to watch")
    scrape: Scrape = Field(Scrape(), description="timing of scrapes")
    files: Files = Field(Files(), description="which of a job's files get series of their own")
