"""What is fuzzed: each function takes any bytes, and raises where the program broke a promise."""

from __future__ import annotations

import asyncio
import atexit
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from exporter.api.causes import cause
from exporter.api.errors import ApiError
from exporter.api.parse import job_from, list_page_from
from exporter.api.verdict import reply_data
from exporter.collector.collector import budget
from exporter.config.files import FileError
from exporter.config.joblists import parse_job_list
from exporter.config.load import ConfigError, Loader
from exporter.config.schema import Files, Scrape
from exporter.metrics.exposition import job_body
from exporter.model import JOB_ID, Source
from exporter.web.negotiate import accepts_gzip, choose_format
from exporter.web.routes import Routes
from exporter.web.urls import Urls
from exporter.web.webconfig import WebConfigError, WebConfigFile
from tests.support.snapshots import known
from tests.support.strict import Exposed
from tests.web.backend import FakeBackend

ROOT: Final = Path(__file__).parents[2]
DIRECTORY: Final = Path(tempfile.mkdtemp(prefix="fuzz-"))
atexit.register(shutil.rmtree, DIRECTORY, ignore_errors=True)
CANARY: Final = "Kanarienvogel"


@dataclass(frozen=True)
class Target:
    """`check` is called with any bytes; `seeds` are proper ones to begin with, `words` what they are made of."""

    check: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    words: tuple[str, ...] = ()


def reply(data: bytes) -> None:
    """Any body is a job or an error of the API, and what is exposed of a job is valid in both formats."""
    for status in (200, 500):
        try:
            said = reply_data(status, data)
        except ApiError:
            continue
        with suppress(ApiError):
            list_page_from(said)
        try:
            job = job_from(said, "1")
        except ApiError:
            continue
        cause(job.failure_reason)
        for text, longest in ((job.reason, 512), (job.file_name, 512), (job.collection_name, 255)):
            assert len(text.encode()) <= longest
        record = known("in01-a", "1", Source.CONFIG, job.collection_name, "", 0.0, up=True, job=job, refreshed=1.0)
        Exposed(job_body(record, Files()))


def configuration(data: bytes) -> None:
    """Any file is a configuration, or is refused in sentences of one line."""
    path = DIRECTORY / "config.yaml"
    path.write_bytes(data)
    try:
        Loader(path, {"CANARY": CANARY}).load()
    except ConfigError as error:
        _sentences(error.errors)


def job_list(data: bytes) -> None:
    """Any file is a list of job ids, each once, or is refused."""
    try:
        job_ids = parse_job_list(data)
    except FileError as error:
        _sentences([str(error)])
        return
    assert len(job_ids) == len(set(job_ids))
    assert all(JOB_ID.fullmatch(job_id) for job_id in job_ids)


def web_configuration(data: bytes) -> None:
    """Any file is a web configuration, or is refused in sentences of one line that hold no hash."""
    path = DIRECTORY / "web.yml"
    path.write_bytes(data)
    try:
        config = WebConfigFile(path).load()
    except WebConfigError as error:
        _sentences(error.errors)
        return
    assert all(hashed.startswith(b"$2") for hashed in config.users.values())
    assert "$2" not in repr(config)


def negotiation(data: bytes) -> None:
    """Any header chooses a format and a coding, and any timeout header a time to scrape in."""
    header = data.decode("latin-1")
    choose_format(header)
    accepts_gzip(header)
    seconds = budget(header, 0.5, Scrape())
    assert math.isfinite(seconds)
    assert 0 < seconds <= 300


def request(data: bytes) -> None:
    """Any request target, with any Host and Accept header, has an answer that is no failure of the server."""
    target, _, headers = data.decode("latin-1").partition("\n")
    host, _, accept = headers.partition("\n")
    try:
        asked = make_mocked_request("GET", target, {"Host": host, "Accept": accept})
    except ValueError:
        return  # refused by the parser

    async def answer() -> web.StreamResponse:
        backend = FakeBackend()
        app = web.Application()
        app.add_routes(Routes(backend, Urls(), enable_lifecycle=True).table())
        try:
            answered = await app._handle(asked)
        except web.HTTPException as error:
            answered = error
        for call, *arguments in backend.asked:
            assert call in ("metrics", "probe", "debug")
            assert call == "metrics" or arguments[0] in backend.clusters
        return answered

    answered = asyncio.run(answer())
    assert answered.status in (200, 400, 404, 405)
    for name, value in answered.headers.items():
        assert (name + value).isprintable()
    if answered.content_type == "application/json":
        assert isinstance(answered, web.Response)
        assert isinstance(answered.body, bytes)
        json.loads(answered.body)


def _sentences(errors: Iterable[str]) -> None:
    for error in errors:
        assert error
        assert error.isprintable(), error
        assert CANARY not in error
        assert "$2y$" not in error


def _replies() -> Iterable[bytes]:
    for path in sorted((ROOT / "tests/api/replies").glob("*.json")):
        yield json.loads(path.read_text())["response"]["body"].encode()


def _files(*patterns: str) -> Iterable[bytes]:
    for pattern in patterns:
        yield from (path.read_bytes() for path in sorted(ROOT.glob(pattern)))


_HASH = "$2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze"
_TLS = """\
tls_server_config:
  cert_file: a
  key_file: b
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: c
  client_allowed_sans: [a]
  min_version: TLS12
  cipher_suites: [TLS_AES_128_GCM_SHA256]
"""
_WEB = (
    f"basic_auth_users:\n  alice: {_HASH}\n  bob: {_HASH}\n".encode(),
    _TLS.encode(),
    b"http_server_config: {http2: true, headers: {X-Frame-Options: deny}}\nrate_limit: {interval: 1s, burst: 20}\n",
)
_ACCEPT = (
    b"application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1", b"gzip;q=1.0, *;q=0",
    b"9.5",
)  # fmt: skip
_REQUESTS = (
    b"/probe?target=in01-a&job_id=448761313698322011&debug=true\nlocalhost:10530\ntext/plain",
    b"/metrics?scope=exporter\n[::1]:10530\n*/*", b"/sd\nexporter.example\n", b"/\n\n", b"/-/reload\na\n",
)  # fmt: skip

_REPLY_WORDS = (
    "details", "fileName", "state", "progress", "completeTime", "1e400", "\\ud800", "reason", "createTime", "CANCELED",
    "IN_PROGRESS", "paths:", "secretKey=", "AccountKey", "sig=", "\\\"", "://",
)  # fmt: skip

TARGETS: Final[Mapping[str, Target]] = {
    "reply": Target(reply, _replies, _REPLY_WORDS),
    "configuration": Target(
        configuration, lambda: _files("config.example.yaml", "tests/config/invalid/*"), ("&a ", "*a", "<<: ", "!!")
    ),
    "job_list": Target(job_list, lambda: [b"- '1'\n- \"448761313698322011\"\n"], ("- ", "&a ", "*a", "!!")),
    "web_configuration": Target(web_configuration, lambda: _WEB, (_HASH, "&a ", "*a", "<<: ", "cert: ", "key: ")),
    "negotiation": Target(negotiation, lambda: _ACCEPT, ("application/openmetrics-text", "version=", "q=", "nan")),
    "request": Target(request, lambda: _REQUESTS, ("/probe?", "target=", "&job_id=", "&debug=true", "%00", "/sd")),
}
