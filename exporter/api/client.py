"""One cluster's import API: a job's progress, pages of the list of jobs, and one exchange explained."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar
from urllib.parse import quote

from exporter.api.attempt import Attempt
from exporter.api.dialects import LIST_TARGET, Dialect, Target, progress_target
from exporter.api.errors import ApiError
from exporter.api.masking import without_credentials
from exporter.api.parse import job_from, list_page_from
from exporter.api.route import TlsSettings, proxy_secrets
from exporter.api.transport import ClosedBeforeReplyError, Reply, Transport
from exporter.api.values import encodable
from exporter.api.verdict import reply_data, seconds_to_wait
from exporter.config.secret import SHOWN, Secret
from exporter.model import ErrorClass, Job, ListPage

Observe = Callable[[str, float, ErrorClass | None], None]

_Answer = TypeVar("_Answer")

# Replacing a shorter secret in a reply would hit other words more often than the secret.
_SHORTEST_SECRET_TO_HIDE: Final = 8
# Authorization, Proxy-Authorization, WWW-Authenticate, Set-Cookie, X-Auth-Token, X-Api-Key and their like.
_SECRET_HEADER: Final = re.compile("auth|cookie|credential|key|password|secret|session|token", re.IGNORECASE)
_LONGEST_EXPLAINED_REPLY: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """One cluster's API and how to reach it; names as in the configuration file.

    `tls_files` stands for what the TLS files hold: settings that differ in it need a client of their own.
    """

    cluster_id: str
    dialect: Dialect
    base_url: str
    key: Secret | None = None
    db_name: str | None = None
    project_id: str | None = None
    region_id: str | None = None
    progress_path: str = "getProgress"
    concurrency: int = 16
    proxy_url: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    server_name: str | None = None
    insecure_skip_verify: bool = False
    tls_files: str = ""


@dataclass(frozen=True, slots=True)
class Exchange:
    """The request, the reply and what was read from it, for a person; the key is `<secret>` throughout.

    `sent`: whether the request got on its way. `status` is None and the reply empty where there was no complete reply;
    `reply_left_out` are the bytes of it beyond what is shown.
    """

    request_line: str
    request_headers: tuple[tuple[str, str], ...]
    request_body: str
    sent: bool
    status: int | None
    reply_headers: tuple[tuple[str, str], ...]
    reply_text: str
    reply_left_out: int
    outcome: Job | ListPage | ApiError


class ImportApi:
    """The import jobs of one cluster; thread-safe. Every call raises ApiError, and nothing else.

    `observe` is called for each request: its operation (`progress` or `list`), its seconds, and its error if any.
    """

    def __init__(self, settings: ApiSettings, *, observe: Observe) -> None:
        """Open no connection yet. Raises TlsError if the TLS files cannot be used."""
        self._observe = observe
        self._base_url = settings.base_url
        self._key = settings.key
        self._target = Target(
            dialect=settings.dialect,
            cluster_id=settings.cluster_id,
            project_id=settings.project_id,
            region_id=settings.region_id,
            db_name=settings.db_name,
        )
        self._headers = self._target.headers(settings.key)
        self._progress_path = progress_target(settings.progress_path)
        self._secret_forms = _forms(settings.key.reveal() if settings.key else "")
        if settings.proxy_url is not None:
            for secret in proxy_secrets(settings.proxy_url):
                self._secret_forms += _forms(secret)
        self._transport = Transport(
            settings.base_url,
            connections=settings.concurrency,
            proxy_url=settings.proxy_url,
            tls=TlsSettings(
                ca_file=settings.ca_file,
                cert_file=settings.cert_file,
                key_file=settings.key_file,
                server_name=settings.server_name,
                insecure_skip_verify=settings.insecure_skip_verify,
                files=settings.tls_files,
            ),
        )

    def progress(self, job_id: str, attempt: Attempt, *, database: str = "") -> Job:
        """Read one job, in that database where its list had one."""
        request = self._progress_request(job_id, database)
        return self._answer(request, attempt, lambda reply: job_from(_data(reply), job_id))

    def list_page(self, page: int, attempt: Attempt, *, collection: str = "", database: str = "") -> ListPage:
        """Read one page of jobs, counted from 1, as sent: duplicates are left in. Milvus sends all at any page."""
        request = self._list_request(page, collection, database)
        return self._answer(request, attempt, lambda reply: list_page_from(_data(reply)))

    def explain(self, job_id: str, attempt: Attempt, *, database: str = "") -> Exchange:
        """Read one job and return the whole exchange; does not raise, an error is the outcome."""
        request = self._progress_request(job_id, database)
        return self._explained(request, attempt, lambda reply: job_from(_data(reply), job_id))

    def explain_list(self, attempt: Attempt, *, collection: str = "", database: str = "") -> Exchange:
        """Read the first page of jobs and return the whole exchange; does not raise, an error is the outcome."""
        request = self._list_request(1, collection, database)
        return self._explained(request, attempt, lambda reply: list_page_from(_data(reply)))

    def close(self) -> None:
        """Close the kept connections and keep no more; calls under way, and later ones, end as they would."""
        self._transport.close()

    def _progress_request(self, job_id: str, database: str) -> _Request:
        return _Request(
            "progress", self._progress_path, self._headers_for(database), self._target.progress_body(job_id)
        )

    def _list_request(self, page: int, collection: str, database: str) -> _Request:
        body = self._target.list_body(page, collection, database)
        return _Request("list", LIST_TARGET, self._headers_for(database), body)

    def _headers_for(self, database: str) -> dict[str, str]:
        return self._target.headers(self._key, database) if database else self._headers

    def _explained(self, request: _Request, attempt: Attempt, read: Callable[[Reply], Job | ListPage]) -> Exchange:
        replies: list[Reply] = []

        def note(reply: Reply) -> Job | ListPage:
            replies.append(reply)
            return read(reply)

        outcome: Job | ListPage | ApiError
        try:
            outcome = self._answer(request, attempt, note)
        except ApiError as error:
            outcome = error
        reply = replies[-1] if replies else None
        return Exchange(
            request_line=f"POST {self._base_url}{request.path}",
            request_headers=tuple(
                (name, f"Bearer {SHOWN}" if name == "Authorization" else value)
                for name, value in request.headers.items()
            ),
            request_body=request.body.decode(),
            sent=attempt.was_sent,
            status=reply.status if reply else None,
            reply_headers=tuple((name, self._shown(name, value)) for name, value in reply.headers.items())
            if reply
            else (),
            reply_text=_excerpt(reply.body) if reply else "",
            reply_left_out=max(0, len(reply.body) - _LONGEST_EXPLAINED_REPLY) if reply else 0,
            outcome=outcome,
        )

    def _answer(self, request: _Request, attempt: Attempt, read: Callable[[Reply], _Answer]) -> _Answer:
        try:
            return self._send(request, attempt, read, fresh=False)
        except ClosedBeforeReplyError:
            # The one retry: the server had closed the kept connection, so it cannot have seen the request.
            return self._send(request, attempt, read, fresh=True)

    def _send(self, request: _Request, attempt: Attempt, read: Callable[[Reply], _Answer], *, fresh: bool) -> _Answer:
        began = time.monotonic()
        error_class: ErrorClass | None = None
        try:
            reply = self._transport.post(request.path, request.headers, request.body, attempt, fresh=fresh)
            answer = read(self._without_secrets(reply))
            attempt.enter("done")
        except ApiError as error:
            error_class = error.error
            raise
        finally:
            self._observe(request.operation, time.monotonic() - began, error_class)
        return answer

    def _without_secrets(self, reply: Reply) -> Reply:
        """Hide the key and the proxy's password where a reply repeats them: they get into no label, log or page."""
        body = self._hide_secrets(reply.body)
        return reply if body is reply.body else replace(reply, body=body)

    def _shown(self, name: str, value: str) -> str:
        if _SECRET_HEADER.search(name):
            return SHOWN
        # Headers are read as Latin-1, whatever they are.
        octets = value.encode("latin-1", "replace")
        return without_credentials(self._hide_secrets(octets).decode("latin-1"))

    def _hide_secrets(self, octets: bytes) -> bytes:
        for form in self._secret_forms:
            octets = octets.replace(form, SHOWN.encode())
        return octets


@dataclass(frozen=True, slots=True)
class _Request:
    operation: str
    path: str
    headers: dict[str, str]
    body: bytes


def _data(reply: Reply) -> dict[str, Any]:
    return reply_data(reply.status, reply.body, seconds_to_wait(reply.headers.get("Retry-After"), time.time()))


def _forms(value: str) -> tuple[bytes, ...]:
    """Return how a reply may write a secret: plainly, as a JSON string, and as part of a URL."""
    if len(value) < _SHORTEST_SECRET_TO_HIDE:
        return ()
    written = {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    forms = written | {quote(value), quote(value, safe="")}
    return tuple(form.encode() for form in sorted(forms))


def _excerpt(body: bytes) -> str:
    # JSON may write a slash with a backslash before it.
    text = body[:_LONGEST_EXPLAINED_REPLY].decode(errors="replace").replace("\\/", "/")
    return without_credentials(encodable(text))
