"""How a call to an import API can go wrong: one exception per class of the `error` label."""

from __future__ import annotations

from typing import ClassVar

from exporter.model import ErrorClass


class ApiError(Exception):
    """A call that gave no usable answer; its text is one sentence for a log, without secrets.

    `retry_after`: seconds, at least 0, from the Retry-After header; None where there was none.
    `of_one_job`: it concerns one job alone, and says nothing about the others, whatever its class.
    """

    error: ClassVar[ErrorClass]

    def __init__(self, message: str, retry_after: float | None = None, *, of_one_job: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.of_one_job = of_one_job


class CallTimeoutError(ApiError):
    """The answer was not complete at the deadline, or the server said HTTP 408 or code 10001."""

    error = ErrorClass.TIMEOUT


class ConnectError(ApiError):
    """No connection, no name resolution, or a connection that broke before the reply was complete."""

    error = ErrorClass.CONNECT


class TlsError(ApiError):
    """The TLS handshake failed: unknown authority, expired certificate, wrong host name."""

    error = ErrorClass.TLS


class AuthError(ApiError):
    """The API refused the key or its rights: HTTP 401, 403 or one of the API's own codes."""

    error = ErrorClass.AUTH


class NotFoundError(ApiError):
    """The API does not know the job (any more)."""

    error = ErrorClass.NOT_FOUND


class RateLimitedError(ApiError):
    """The API asked to slow down: HTTP 429 or code 8, 9 or 1807."""

    error = ErrorClass.RATE_LIMITED


class HttpError(ApiError):
    """A status without the API's JSON: 404 text, redirects, 5xx, or not HTTP at all."""

    error = ErrorClass.HTTP


class CodeError(ApiError):
    """Any other code in the body."""

    error = ErrorClass.API


class PayloadError(ApiError):
    """A reply that is not usable: no JSON object, no `data` object, or larger than the cap."""

    error = ErrorClass.PAYLOAD
