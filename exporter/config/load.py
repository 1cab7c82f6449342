"""Loads a configuration from a file, the environment or a mapping, together with the files that it names."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from exporter.config import rules
from exporter.config.credentials import CredentialReader, Credentials
from exporter.config.document import LARGEST, Document, read_document
from exporter.config.files import FileError, FileReader
from exporter.config.joblists import JobLists
from exporter.config.problems import Problem, from_pydantic, outside, report
from exporter.config.schema import Config
from exporter.config.secret import Secret

_KEY, _CLUSTER, _URL, _JOBS = "ZILLIZ_API_KEY", "ZILLIZ_CLUSTER_ID", "ZILLIZ_BASE_URL", "ZILLIZ_JOB_IDS"
_VARIABLES: Final = {
    "clusters[0].api_key": _KEY,
    "clusters[0].cluster_id": _CLUSTER,
    "clusters[0].base_url": _URL,
    "clusters[0].jobs": _JOBS,
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
        from_environment = not os.path.lexists(path) and bool(environ.get(_KEY) or environ.get(_CLUSTER))
        loader = cls(None if from_environment else path, environ)
        loader._advice = _WHAT_TO_DO
        return loader

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Loader:
        """Use a mapping in the shape of the file; relative paths start at the working directory."""
        loader = cls(None, environ or {})
        loader._mapping = mapping
        return loader

    def load(self) -> Loaded:
        """Read and check everything anew. Raises ConfigError with all errors, and no other exception."""
        self._files = FileReader()
        try:
            return self._load()
        except ConfigError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a file provokes is an error of that file
            # Neither the exception's text nor its traceback is shown: they may hold a secret.
            raise ConfigError((f"{self._name}: cannot be read: {_unexpected(error)}",)) from None

    def _load(self) -> Loaded:
        document, mode = self._document()
        credentials = self._credentials(document, mode)
        problems = [*document.problems]
        problems += outside([*rules.check(document.data), *credentials.problems], document.unreadable)
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
        mistakes = rules.warn(config, credentials.keys)
        listed = {}
        for cluster in config.clusters:
            configured = frozenset(cluster.jobs)
            ids = self._lists.ids(cluster.job_lists)
            listed[cluster.cluster_id] = tuple(job_id for job_id in ids if job_id not in configured)
        return Loaded(
            config=config,
            keys=credentials.keys,
            listed=listed,
            warnings=self._report([*credentials.warnings, *mistakes], document),
            list_problems=list_problems,
        )

    def _report(self, problems: Iterable[Problem], document: Document) -> tuple[str, ...]:
        texts = report(problems, document.lines, self._name, Config)
        if self._path is None and self._mapping is None:
            return tuple(_in_variables(text) for text in texts)
        return texts


def _from_environment(environ: Mapping[str, str]) -> dict[str, object]:
    """Return the variables in the shape of the file. Raises ConfigError if a required one is missing."""
    missing = [name for name in (_KEY, _CLUSTER) if not environ.get(name)]
    if len(missing) == 2:
        raise ConfigError((f"no configuration: {_WHAT_TO_DO}",))
    if missing:
        raise ConfigError(
            (f"{missing[0]}: is not set; without a configuration file, {_KEY} and {_CLUSTER} are required",)
        )
    jobs = [job_id.strip() for job_id in environ.get(_JOBS, "").split(",")]
    cluster = {
        "cluster_id": environ[_CLUSTER],
        "api_key": environ[_KEY].rstrip("\r\n"),
        "base_url": environ.get(_URL) or None,
        "jobs": [job_id for job_id in jobs if job_id],
    }
    return {"clusters": [cluster]}


def _in_variables(text: str) -> str:
    for place, variable in _VARIABLES.items():
        if text.startswith(place):
            return variable + text.removeprefix(place)
    return text


def _unexpected(error: Exception) -> str:
    place = traceback.extract_tb(error.__traceback__)[-1]
    at = f"{Path(place.filename).name}, line {place.lineno}"
    return f"unexpected {type(error).__name__} ({at}); this is a fault of the exporter, please report it"
