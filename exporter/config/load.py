"""Loads a configuration from a file, the environment or a mapping, together with the files that it names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from exporter.config import environment, rules
from exporter.config.credentials import CredentialReader, Credentials
from exporter.config.document import LARGEST, Document, read_document
from exporter.config.files import FileError, FileReader
from exporter.config.joblists import JobLists
from exporter.config.problems import Problem, from_pydantic, outside, report, unexpected
from exporter.config.schema import Config
from exporter.config.secret import Secret

_KEY, _CLUSTER, _URL, _JOBS = "ZILLIZ_API_KEY", "ZILLIZ_CLUSTER_ID", "ZILLIZ_BASE_URL", "ZILLIZ_JOB_IDS"
_KEY_FILE, _API, _PROXY, _CA = "ZILLIZ_API_KEY_FILE", "ZILLIZ_API", "ZILLIZ_PROXY_URL", "ZILLIZ_CA_FILE"
_VARIABLES: Final = {
    "clusters[0].api_key": _KEY,
    "clusters[0].api_key_file": _KEY_FILE,
    "clusters[0].cluster_id": _CLUSTER,
    "clusters[0].base_url": _URL,
    "clusters[0].jobs": _JOBS,
    "clusters[0].api": _API,
    "clusters[0].proxy_url": _PROXY,
    "clusters[0].tls_config.ca_file": _CA,
}
_EXAMPLE: Final = "https://github.com/zilliztech/zilliz-import-exporter/blob/main/config.example.yaml"
_WRITE_ONE: Final = f"write one ({_EXAMPLE} shows how), or name another with --config.file"
_WHAT_TO_DO: Final = f"{_WRITE_ONE}, or set {_KEY} and {_CLUSTER}; --demo needs no configuration"


class ConfigError(Exception):
    """The configuration cannot be used; each of `errors` says where, what is wrong and what would be right."""

    def __init__(self, errors: tuple[str, ...]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Loaded:
    """A usable configuration, and what the files that it names held when it was loaded.

    `keys` and `listed` go by cluster_id; `listed` are the ids of job_lists without those in `jobs`.
    `list_problems` are files of job_lists that could not be used; `warnings` are all other warnings.
    """

    config: Config
    keys: Mapping[str, Secret | None]
    listed: Mapping[str, tuple[str, ...]]
    warnings: tuple[str, ...] = ()
    list_problems: tuple[str, ...] = ()


class Loader:
    """Loads one configuration again and again. Not thread-safe: one reload at a time."""

    def __init__(self, path: Path | None, environ: Mapping[str, str]) -> None:
        """`path`: the configuration file; None: the environment variables alone are the configuration."""
        self._path = path
        self._environ = environ
        self._mapping: Mapping[str, Any] | None = None
        self._advice = _WRITE_ONE
        self._name = "the configuration" if path is None else str(path)
        self._directory = Path.cwd() if path is None else path.absolute().parent
        self._files = FileReader()
        self._lists = JobLists()
        self._loaded: tuple[Document, int, Config] | None = None
        self._good: tuple[Document, int, Config] | None = None

    @classmethod
    def at_default(cls, path: Path, environ: Mapping[str, str]) -> Loader:
        """Use the file at the default path; if there is none, the environment variables, if they are set."""
        from_environment = not os.path.lexists(path) and any(environ.get(name) for name in (_KEY, _KEY_FILE, _CLUSTER))
        loader = cls(None if from_environment else path, environ)
        loader._advice = _WHAT_TO_DO
        return loader

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Loader:
        """Use a mapping in the shape of the file; relative paths start at the working directory."""
        loader = cls(None, environ or {})
        loader._mapping = mapping
        return loader

    @property
    def origin(self) -> dict[str, str]:
        """Where the configuration comes from, as a field for a log."""
        if self._path is not None:
            return {"file": str(self._path)}
        return {"source": "environment variables" if self._mapping is None else "demo"}

    def load(self) -> Loaded:
        """Read and check everything anew. Raises ConfigError with all errors, and no other exception."""
        self._files = FileReader()
        try:
            return self._load()
        except ConfigError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a file provokes is an error of that file
            raise ConfigError((f"{self._name}: cannot be read: {unexpected(error)}",)) from None

    def _load(self) -> Loaded:
        document, mode = self._document()
        mistakes = [*rules.check(document.data)]
        document = environment.complete(document, self._environ)
        credentials = self._credentials(document, mode)
        problems = [*document.problems]
        problems += outside([*mistakes, *credentials.problems], document.unreadable)
        config = None
        try:
            config = Config.model_validate(document.data, context={"directory": self._directory})
        except ValidationError as error:
            found = from_pydantic(error, Config)
            # The rules report what is wrong with the document as a whole.
            problems += outside((problem for problem in found if problem.location), document.unreadable)
        if problems or config is None:
            raise ConfigError(self._report(problems, document))
        self._loaded = document, mode, config
        return self._gather(document, config, credentials)

    def accept(self) -> None:
        """Remember what was loaded last as the configuration in force, for `load_last_good`."""
        self._good = self._loaded

    def load_last_good(self) -> Loaded | None:
        """Read again the files that the last accepted configuration names, after `load` refused a newer one.

        None if none was accepted, or if one of its keys or certificates cannot be read now.
        """
        if self._good is None:
            return None
        document, mode, config = self._good
        credentials = self._credentials(document, mode)
        return None if credentials.problems else self._gather(document, config, credentials)

    def changed(self) -> bool:
        """Whether the content of any file involved differs from what was last read. Never raises."""
        return self._files.changed()

    def _document(self) -> tuple[Document, int]:
        """Return the document, and the permission bits of its file (0: no file)."""
        if self._mapping is not None:
            return Document(dict(self._mapping)), 0
        if self._path is None:
            return Document(_from_environment(self._environ)), 0
        try:
            content = self._files.read(str(self._path.absolute()), LARGEST)
        except FileError as error:
            text = f"{self._name}: {error}"
            raise ConfigError((f"{text}; {self._advice}" if error.vanished else text,)) from None
        return read_document(content.data), content.mode

    def _credentials(self, document: Document, mode: int) -> Credentials:
        return CredentialReader(self._directory, self._environ, self._files, mode).read(document.data)

    def _gather(self, document: Document, config: Config, credentials: Credentials) -> Loaded:
        patterns = tuple(pattern for cluster in config.clusters for pattern in cluster.job_lists)
        list_problems = self._lists.refresh(patterns, self._files)
        mistakes = [*rules.warn(config, credentials.keys), *environment.unused_proxies(config, self._environ)]
        listed = {}
        for cluster in config.clusters:
            configured = frozenset(cluster.jobs)
            ids = self._lists.ids(cluster.job_lists)
            listed[cluster.cluster_id] = tuple(job_id for job_id in ids if job_id not in configured)
        return Loaded(
            config=config,
            keys=credentials.keys,
            listed=listed,
            warnings=(
                *self._ignored_variables(config),
                *self._report([*credentials.warnings, *mistakes], document),
            ),
            list_problems=list_problems,
        )

    def _ignored_variables(self, config: Config) -> list[str]:
        """Warn of variables that would be the configuration, were there no file."""
        if self._path is None:
            return []
        used = {cluster.api_key_env for cluster in config.clusters}
        ignored = [name for name in _VARIABLES.values() if self._environ.get(name) and name not in used]
        return [f"{', '.join(ignored)}: not used, since {self._name} is the configuration"] if ignored else []

    def _report(self, problems: Iterable[Problem], document: Document) -> tuple[str, ...]:
        written: list[Problem] = []
        of_variables: set[str] = set()  # each once, as a variable serves several clusters
        for problem in problems:
            if variable := document.origins.get(problem.location):
                of_variables.add(f"{variable}: {problem.sentence}")
            else:
                written.append(problem)
        texts = report(written, document.lines, self._name, Config)
        if self._path is None and self._mapping is None:
            texts = tuple(_in_variables(text) for text in texts)
        return (*sorted(of_variables), *texts)


def _from_environment(environ: Mapping[str, str]) -> dict[str, object]:
    """Return the variables in the shape of the file. Raises ConfigError if a required one is missing."""

    def value(name: str) -> str | None:
        return environ.get(name) or None

    key, cluster_id = value(_KEY) or value(_KEY_FILE), value(_CLUSTER)
    if not (key or cluster_id):
        raise ConfigError((f"no configuration: {_WHAT_TO_DO}",))
    if value(_KEY) and value(_KEY_FILE):
        raise ConfigError((f"{_KEY_FILE}: is set in addition to {_KEY}; keep one of them",))
    required = f"without a configuration file, {_KEY} (or {_KEY_FILE}) and {_CLUSTER} are required"
    if not cluster_id:
        raise ConfigError((f"{_CLUSTER}: is not set; {required}",))
    if not key and value(_API) != "milvus":
        raise ConfigError((f"{_KEY}: is not set; {required}",))
    jobs = re.split(r"[,\s]+", environ.get(_JOBS, ""))
    cluster = {
        "cluster_id": cluster_id,
        "api": value(_API),
        "api_key": environ.get(_KEY, "").rstrip("\r\n") or None,
        "api_key_file": value(_KEY_FILE),
        "base_url": value(_URL),
        "jobs": [job_id for job_id in jobs if job_id],
        "proxy_url": value(_PROXY),
        "tls_config": {"ca_file": value(_CA)},
    }
    return {"clusters": [cluster]}


def _in_variables(text: str) -> str:
    # The longest first: one is the beginning of another.
    for place in sorted(_VARIABLES, reverse=True):
        if text.startswith(place):
            return _VARIABLES[place] + text.removeprefix(place)
    return text
