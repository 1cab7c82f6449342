"""Reads and checks the keys and certificates that the configuration names, without ever showing them.

They are looked up in the document as it was read, so that a bad key file is reported in one run with other errors.
"""

from __future__ import annotations

import functools
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from exporter.config.files import FileError, FileReader
from exporter.config.problems import Location, Problem
from exporter.config.schema import given
from exporter.config.secret import Secret, unusable_because

_LARGEST_KEY: Final = 16 * 1024
_LARGEST_PEM: Final = 4 * 1024 * 1024
_READABLE_BY_ALL: Final = 0o004


@dataclass(slots=True)
class Credentials:
    """The keys by cluster_id (None: no key), and the errors and warnings about them."""

    keys: dict[str, Secret | None] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CredentialReader:
    """Reads the credentials of one document.

    `directory` is where relative paths start, `mode` the permission bits of the document's file (0: no file).
    """

    directory: Path
    environ: Mapping[str, str]
    files: FileReader
    mode: int = 0

    def read(self, data: object) -> Credentials:
        """Read the credentials of every cluster of the document; values of a wrong type are left to the schema."""
        found = Credentials()
        clusters = data.get("clusters") if isinstance(data, dict) else None
        for index, cluster in enumerate(clusters if isinstance(clusters, list) else []):
            if isinstance(cluster, dict):
                self._read_cluster(given(cluster), ("clusters", index), found)
        return found

    def _read_cluster(self, cluster: dict[Any, Any], location: Location, found: Credentials) -> None:
        key = None
        file, variable, inline = (cluster.get(name) for name in ("api_key_file", "api_key_env", "api_key"))
        if isinstance(file, str) and file and "\0" not in file:
            key = self._from_file(file, (*location, "api_key_file"), found)
        if isinstance(variable, str) and variable and "=" not in variable:
            key = self._from_environment(variable, (*location, "api_key_env"), found)
        if isinstance(inline, str | Secret):
            key = inline if isinstance(inline, Secret) else Secret(inline)
            if self.mode & _READABLE_BY_ALL:
                found.warnings.append(_readable_by_all((*location, "api_key"), "is in"))
        cluster_id = cluster.get("cluster_id")
        if isinstance(cluster_id, str):
            found.keys[cluster_id] = key
        tls = cluster.get("tls_config")
        if isinstance(tls, dict):
            found.problems += self._check_tls(given(tls), (*location, "tls_config"))

    def _from_file(self, value: str, location: Location, found: Credentials) -> Secret | None:
        try:
            content = self.files.read(str(self.directory / value), _LARGEST_KEY)
            text = content.data.decode("utf-8-sig")
        except FileError as error:
            found.problems.append(_file_problem(location, value, error, self.directory))
            return None
        except UnicodeDecodeError:
            found.problems.append(Problem(location, "names a file that is not UTF-8 text"))
            return None
        if content.mode & _READABLE_BY_ALL:
            found.warnings.append(_readable_by_all(location, "names"))
        return _checked(text, location, "names a file that", found)

    def _from_environment(self, value: str, location: Location, found: Credentials) -> Secret | None:
        text = self.environ.get(value)
        if text is None:
            found.problems.append(Problem(location, "names an environment variable that is not set"))
            return None
        return _checked(text, location, "names an environment variable whose value", found)

    def _check_tls(self, tls: dict[Any, Any], location: Location) -> Iterator[Problem]:
        readable = {}
        for name in ("ca_file", "cert_file", "key_file"):
            value = tls.get(name)
            if not isinstance(value, str) or not value or "\0" in value:
                continue
            try:
                readable[name] = self.files.read(str(self.directory / value), _LARGEST_PEM).data
            except FileError as error:
                yield _file_problem((*location, name), value, error, self.directory)
        if "ca_file" in readable and not _holds_certificates(readable["ca_file"]):
            yield Problem((*location, "ca_file"), "names a file without a certificate in PEM form")
        if "cert_file" in readable and "key_file" in readable:
            problem = _pair_problem(str(self.directory / tls["cert_file"]), str(self.directory / tls["key_file"]))
            if problem is not None:
                yield Problem((*location, "cert_file"), problem)


def _checked(text: str, location: Location, subject: str, found: Credentials) -> Secret | None:
    key = text.rstrip("\r\n")
    problem = unusable_because(key)
    if problem is None:
        return Secret(key)
    found.problems.append(Problem(location, f"{subject} {problem}"))
    return None


def _file_problem(location: Location, value: str, error: FileError, directory: Path) -> Problem:
    # The path itself is not shown: a key that was written in its place would be.
    hint = "" if Path(value).is_absolute() else f"; relative paths start at {directory}"
    return Problem(location, f"names a file that {error}{hint}")


def _readable_by_all(location: Location, verb: str) -> Problem:
    return Problem(
        location, f"{verb} a file that every user of this machine can read; remove that permission (chmod o-r)"
    )


@functools.lru_cache(maxsize=4)  # of many authorities takes 50 ms, and many clusters may trust the same
def _holds_certificates(pem: bytes) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        # ssl accepts ASCII only; anything else is a comment.
        context.load_verify_locations(cadata=pem.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError):
        return False
    return True


def _pair_problem(cert_file: str, key_file: str) -> str | None:
    """Load the pair into a context of its own. An encrypted key is refused: OpenSSL would prompt for its password."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_cert_chain(cert_file, key_file, password="")
    except (OSError, ValueError):
        return "does not match key_file; they must be a certificate and its unencrypted key in PEM form"
    return None
