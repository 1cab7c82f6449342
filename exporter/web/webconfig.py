"""`--web.config.file`: TLS, headers, users and rate limit in the file format of Prometheus' exporter-toolkit."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, ValidationError, model_validator

from exporter.config.document import LARGEST, read_document
from exporter.config.duration import parse_duration
from exporter.config.files import FileError, FileReader
from exporter.config.problems import Location, Problem, from_pydantic, report, unexpected
from exporter.web.tls import (
    CURVES,
    SUITES,
    TLS13_SUITES,
    VERSIONS,
    ServerContext,
    TlsError,
    TlsMaterial,
    server_context,
)

_LARGEST_PEM = 1024 * 1024
_READABLE_BY_ALL = 0o004
# Without a colon or a dollar sign: what is mistyped as `{alice:$2b$...}` is a key to YAML, and holds the hash.
_USER_NAME = re.compile(r"[A-Za-z0-9_.@+-]{1,64}")
_HASH = re.compile(r"\$2[abxy]\$(?:0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
_CLIENT_AUTH: Final[Mapping[str, ssl.VerifyMode]] = {
    "": ssl.CERT_NONE,
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_UNVERIFIED = ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert")
_HEADERS: Final[Mapping[str, Sequence[str]]] = {
    "Content-Security-Policy": (),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-Content-Type-Options": ("nosniff",),
    "X-XSS-Protection": (),
    "Strict-Transport-Security": (),
}


class WebConfigError(Exception):
    """The file cannot be used; `errors` are sentences with the path of the key, and hold no value of the file."""

    def __init__(self, errors: Sequence[str]) -> None:
        super().__init__("; ".join(errors))
        self.errors = tuple(errors)


@dataclass(frozen=True, slots=True)
class WebConfig:
    """The file, ready to serve with. `users` maps names to bcrypt hashes; no users, no passwords asked for.

    `rate_limit`: seconds between requests and how many may come at once, None for no limit.
    `warnings`: what works, but should be different.
    """

    tls: ServerContext | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    rate_limit: tuple[float, int] | None = None
    warnings: tuple[str, ...] = ()


class WebConfigFile:
    """Reads the file and those that it names; remembers what it saw, to notice a change. Not thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = FileReader()
        self._again = False

    def load(self) -> WebConfig:
        """Reads everything anew. Raises WebConfigError, and no other exception."""
        self._files = FileReader()
        self._again = False
        try:
            return self._load()
        except WebConfigError:
            raise
        except Exception as error:  # noqa: BLE001 - the boundary: whatever fails, the next reload may work
            self._again = True
            raise WebConfigError([f"{self._path}: cannot be read: {unexpected(error)}"]) from None

    def _load(self) -> WebConfig:
        try:
            content = self._files.read(str(self._path.absolute()), LARGEST)
        except FileError as error:
            raise WebConfigError([f"{self._path}: {error}"]) from None
        document = read_document(content.data)
        problems = list(document.problems)
        parsed: _WebConfig | None = None
        if not document.problems:
            try:
                parsed = _WebConfig.model_validate({} if document.data is None else document.data)
            except ValidationError as error:
                problems += from_pydantic(error, _WebConfig)
        maker = _Maker(self._path.parent.absolute(), self._files, content.mode, problems)
        config = maker.make(parsed) if parsed is not None else None
        self._again = maker.again
        if problems or config is None:
            raise WebConfigError(self._errors(problems, document.lines))
        return config

    def _errors(self, problems: Iterable[Problem], lines: Mapping[Location, int]) -> tuple[str, ...]:
        users = {str(place[1]) for place in lines if len(place) == 2 and place[0] == "basic_auth_users"}
        names = {user for user in users if _USER_NAME.fullmatch(user)} | {*_HEADERS}
        return report(problems, lines, str(self._path), _WebConfig, names)

    def changed(self) -> bool:
        """Whether loading may have another outcome than the last time, be it that the content of a file differs."""
        return self._again or self._files.changed()


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _given(cls, data: object) -> object:
        """A known key without a value is not given. An unknown one stays: `{alice:HASH}` must not open the door."""
        if not isinstance(data, dict):
            return data
        return {key: value for key, value in data.items() if value is not None or key not in cls.model_fields}


class _Tls(_Section):
    cert: StrictStr = ""
    key: StrictStr = Field("", repr=False)
    client_ca: StrictStr = ""
    cert_file: StrictStr = ""
    key_file: StrictStr = ""
    client_ca_file: StrictStr = ""
    client_auth_type: StrictStr = ""
    client_allowed_sans: tuple[StrictStr, ...] | None = None
    min_version: Literal["TLS10", "TLS11", "TLS12", "TLS13"] = "TLS12"
    max_version: Literal["TLS10", "TLS11", "TLS12", "TLS13"] = "TLS13"
    cipher_suites: tuple[StrictStr, ...] = ()
    prefer_server_cipher_suites: StrictBool = True
    curve_preferences: tuple[StrictStr, ...] = ()

    @property
    def enabled(self) -> bool:
        """The toolkit's rule: any of these keys means that TLS is wanted."""
        wanted = (self.cert, self.key, self.client_ca, self.cert_file, self.key_file, self.client_ca_file)
        return any(wanted) or bool(self.client_auth_type)


class _Http(_Section):
    http2: StrictBool = True
    headers: dict[StrictStr, StrictStr | None] = Field(default_factory=dict)


class _RateLimit(_Section):
    interval: StrictStr | StrictInt = 0
    burst: StrictInt = 0


class _WebConfig(_Section):
    tls_server_config: _Tls = _Tls()
    http_server_config: _Http = _Http()
    basic_auth_users: dict[StrictStr, StrictStr | None] = Field(default_factory=dict, repr=False)
    rate_limit: _RateLimit = _RateLimit()


@dataclass(slots=True)
class _Maker:
    """Turns the parsed file into what serves; whatever is wrong is added to `problems`.

    `again`: what was wrong may be right the next time, although no file is changed.
    """

    directory: Path
    files: FileReader
    mode: int
    problems: list[Problem]
    warnings: list[str] = field(default_factory=list)
    again: bool = False

    def make(self, parsed: _WebConfig) -> WebConfig | None:
        before = len(self.problems)
        tls = parsed.tls_server_config
        material = self._material(tls) if tls.enabled else None
        headers = dict(self._headers(parsed.http_server_config.headers))
        users = dict(self._users(parsed.basic_auth_users))
        limit = self._rate_limit(parsed.rate_limit)
        if (tls.key or users) and self.mode & _READABLE_BY_ALL:
            self.warnings.append("the web configuration file can be read by every user of this machine (chmod o-r)")
        context = None
        if material is not None and len(self.problems) == before:
            try:
                context = server_context(material)
            except TlsError as error:
                self.again = error.passing
                self._tls_problem(error.key, str(error))
        if len(self.problems) > before:
            return None
        return WebConfig(
            tls=context,
            headers=headers,
            users=users,
            rate_limit=limit,
            warnings=tuple(self.warnings),
        )

    def _material(self, tls: _Tls) -> TlsMaterial:
        self._check(tls)
        sans = tls.client_allowed_sans
        return TlsMaterial(
            certificate=self._pem(tls, "cert"),
            key=self._pem(tls, "key"),
            client_ca=self._pem(tls, "client_ca"),
            verify=_CLIENT_AUTH.get(tls.client_auth_type, ssl.CERT_NONE),
            client_sans=None if sans is None else frozenset(sans),
            min_version=tls.min_version,
            max_version=tls.max_version,
            suites=tls.cipher_suites,
            prefer_server_suites=tls.prefer_server_cipher_suites,
            curve=tls.curve_preferences[0] if tls.curve_preferences else "",
        )

    def _check(self, tls: _Tls) -> None:
        for name in ("cert", "key"):
            if not getattr(tls, name) and not getattr(tls, name + "_file"):
                self._tls_problem(name + "_file", "is required for TLS")
        for name in ("cert", "key", "client_ca"):
            if getattr(tls, name) and getattr(tls, name + "_file"):
                self._tls_problem(name, f"and {name}_file are both given; keep one")
        self._check_clients(tls)
        self._check_versions(tls)

    def _check_versions(self, tls: _Tls) -> None:
        versions = list(VERSIONS)
        if versions.index(tls.min_version) > versions.index(tls.max_version):
            self._tls_problem("min_version", "must not be above max_version")
        if tls.cipher_suites and TLS13_SUITES.issuperset(tls.cipher_suites) and tls.max_version != "TLS13":
            self._tls_problem("cipher_suites", "holds suites of TLS 1.3 alone, which max_version forbids")
        for index, name in enumerate(tls.cipher_suites):
            if name not in SUITES and name not in TLS13_SUITES:
                self._tls_problem("cipher_suites", f"is not a suite known here; known are {', '.join(SUITES)}", index)
        if len(tls.curve_preferences) > 1:
            self._tls_problem("curve_preferences", "can hold one curve only: Python cannot set an order of several")
        for index, name in enumerate(tls.curve_preferences):
            if name not in CURVES:
                self._tls_problem("curve_preferences", f"must be one of {', '.join(CURVES)}", index)

    def _check_clients(self, tls: _Tls) -> None:
        kind = tls.client_auth_type
        has_ca = bool(tls.client_ca or tls.client_ca_file)
        if kind in _UNVERIFIED:
            self._tls_problem(
                "client_auth_type",
                "asks for certificates without verifying them, which Python cannot do; use RequireAndVerifyClientCert",
            )
        elif kind not in _CLIENT_AUTH:
            known = ", ".join(name for name in _CLIENT_AUTH if name)
            self._tls_problem("client_auth_type", f"must be one of {known}")
        elif _CLIENT_AUTH[kind] is ssl.CERT_NONE and has_ca:
            self._tls_problem("client_ca_file", "has no effect without client_auth_type: RequireAndVerifyClientCert")
        elif _CLIENT_AUTH[kind] is not ssl.CERT_NONE and not has_ca:
            self._tls_problem("client_ca_file", f"is required for client_auth_type: {kind}")
        if tls.client_allowed_sans is not None and kind != "RequireAndVerifyClientCert":
            self._tls_problem("client_allowed_sans", "requires client_auth_type: RequireAndVerifyClientCert")

    def _pem(self, tls: _Tls, name: str) -> bytes:
        if inline := getattr(tls, name):
            return str(inline).encode("utf-8", "replace")
        value = getattr(tls, name + "_file")
        if not value:
            return b""
        try:
            content = self.files.read(str(self.directory / value), _LARGEST_PEM)
        except FileError as error:
            hint = (
                "" if Path(value).is_absolute() else "; relative paths start at the web configuration file's directory"
            )
            self._tls_problem(name + "_file", f"names a file that {error}{hint}")
            return b""
        if name == "key" and content.mode & _READABLE_BY_ALL:
            self.warnings.append("tls_server_config.key_file can be read by every user of this machine (chmod o-r)")
        return content.data

    def _headers(self, headers: Mapping[str, str | None]) -> Iterator[tuple[str, str]]:
        for name, value in headers.items():
            place = ("http_server_config", "headers", name)
            values = _HEADERS.get(name)
            if values is None:
                self.problems.append(Problem(place, f"cannot be set; headers that can are {', '.join(_HEADERS)}"))
            elif not value:
                continue
            elif values and value not in values:
                self.problems.append(Problem(place, f"must be {' or '.join(values)}"))
            elif not value.isprintable() or not value.isascii():
                self.problems.append(Problem(place, "must be printable ASCII"))
            else:
                yield name, value

    def _users(self, users: Mapping[str, str | None]) -> Iterator[tuple[str, bytes]]:
        for user, hashed in users.items():
            place = ("basic_auth_users", user)
            if ":" in user:
                sentence = "has a colon in its name; write the user's name, a colon, a space and the bcrypt hash"
                self.problems.append(Problem(place, sentence))
            elif hashed is None or _HASH.fullmatch(hashed) is None:
                self.problems.append(Problem(place, "is not a bcrypt hash; make one with `htpasswd -nBC 10 ''`"))
            else:
                yield user, hashed.encode()

    def _rate_limit(self, limit: _RateLimit) -> tuple[float, int] | None:
        place = ("rate_limit", "interval")
        try:
            interval = parse_duration(str(limit.interval))
        except ValueError as error:
            self.problems.append(Problem(place, str(error)))
            return None
        if interval > 0 and limit.burst < 1:
            self.problems.append(Problem(("rate_limit", "burst"), "must be 1 or more, or no request is ever answered"))
        return (interval, limit.burst) if interval > 0 else None

    def _tls_problem(self, key: str, sentence: str, index: int | None = None) -> None:
        place: Location = ("tls_server_config", key)
        self.problems.append(Problem(place if index is None else (*place, index), sentence))
