"""What one value of the configuration may be: types with their checks, and the sentences where they refuse it."""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import SplitResult, urlsplit, urlunsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, StrictInt, StrictStr, ValidationInfo
from pydantic_core import PydanticCustomError

from exporter.config.duration import parse_duration
from exporter.config.secret import Secret, unusable_because
from exporter.model import JOB_ID

ZILLIZ_URL: Final = "https://api.cloud.zilliz.com"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a value is called in the documentation, where the Python type says too little."""

    name: str


def job_id_problem(value: object) -> str | None:
    """Say what is wrong with a job id; None if nothing is."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return 'is a YAML number; put it in quotes, such as "448761313698322011"'
    if not isinstance(value, str):
        return 'must be a job id in quotes, such as "448761313698322011"'
    if '"' in value or "'" in value:
        return "has quotes in it; leave them out"
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


def _secret(value: object) -> Secret:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str):
        raise PydanticCustomError("string_type", "")
    problem = unusable_because(value)
    if problem is not None:
        raise _wrong(problem)
    return Secret(value)


def _printable(value: str) -> str:
    if not value.isprintable() or value != value.strip():
        raise _wrong("must be printable, without leading or trailing spaces")
    return value


def _matches(pattern: str, sentence: str) -> AfterValidator:
    """Refuse texts that do not match as a whole; a sentence of ours says more than a pattern."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if compiled.fullmatch(value) is None:
            raise _wrong(sentence)
        return value

    return AfterValidator(check)


def _http_url(value: str, example: str) -> SplitResult:
    if value.startswith(('"', "'")):
        raise _wrong(f"has quotes around it; leave them out, such as {example}")
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


def _absolute(value: str, info: ValidationInfo) -> str:
    return str(_directory(info) / value)


def _absolute_pattern(value: str, info: ValidationInfo) -> str:
    return str(Path(glob.escape(str(_directory(info)))) / value)


def _directory(info: ValidationInfo) -> Path:
    return Path((info.context or {}).get("directory", ""))


Duration = Annotated[float, BeforeValidator(_duration), Kind("duration")]
Count = Annotated[StrictInt, Field(ge=1), Kind("whole number")]
Name = Annotated[StrictStr, Field(min_length=1, max_length=255), AfterValidator(_printable)]
ClusterId = Annotated[StrictStr, Field(min_length=1, max_length=128), AfterValidator(_printable)]
DbName = Annotated[Name, _matches("[ -~]+", "must be ASCII, since it is sent in an HTTP header")]
JobId = Annotated[StrictStr, BeforeValidator(_job_id), Kind("job id")]
PathSegment = Annotated[
    StrictStr,
    _matches(
        "[A-Za-z0-9_-]{1,64}",
        "must be only the last part of the path, such as getProgress, describe or get_progress",
    ),
]
VariableName = Annotated[
    StrictStr,
    _matches("[^=\0]+", "must be the name of an environment variable, such as ZILLIZ_API_KEY"),
]
_Path = Annotated[StrictStr, _matches("[^\0\ud800-\udfff]+", "must be the path of a file")]
FilePath = Annotated[_Path, AfterValidator(_absolute), Kind("file")]
FilePattern = Annotated[_Path, AfterValidator(_absolute_pattern), Kind("file pattern")]
ApiKey = Annotated[Secret, PlainValidator(_secret)]
BaseUrl = Annotated[StrictStr, AfterValidator(_base_url), Kind("URL")]
ProxyUrl = Annotated[StrictStr, AfterValidator(_proxy_url), Kind("URL")]
