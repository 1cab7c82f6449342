import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.api.errors import (
    ApiError,
    AuthError,
    CallTimeoutError,
    CodeError,
    HttpError,
    NotFoundError,
    PayloadError,
    RateLimitedError,
)
from exporter.api.verdict import reply_data, seconds_to_wait

DATA = {"jobId": "1"}


def _code(code: object, message: object = "no", **more: object) -> bytes:
    return json.dumps({"code": code, "message": message, **more}).encode()


@pytest.mark.parametrize("code", [0, 200, "0", "200", 0.0])
def test_success_is_a_code_of_the_set_with_a_data_object(code: object) -> None:
    assert reply_data(200, json.dumps({"code": code, "data": DATA}).encode()) == DATA


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, _code(1800), AuthError),
        (403, b"", AuthError),
        (403, _code(65535), AuthError),
        (200, _code(1800), AuthError),
        (200, _code(21119), AuthError),
        (200, _code("21119"), AuthError),
        (200, _code(80001), AuthError),
        (200, _code(80002), AuthError),
        *((200, _code(code), AuthError) for code in (96012, 96013, 96014, 96015, 96016, 96027)),
        (401, _code(1807), AuthError),
        (429, b"slow down", RateLimitedError),
        (429, _code(96026), RateLimitedError),
        (200, _code(1807), RateLimitedError),
        *((status, _code(code), RateLimitedError) for code in (8, "9") for status in (200, 404, 408, 500, 503)),
        (403, _code(8), AuthError),
        (408, _code(10001, "request timeout"), CallTimeoutError),
        *((status, _code(10001), CallTimeoutError) for status in (200, 404, 500, 503)),
        (429, _code(10001), RateLimitedError),
        (408, b"", CallTimeoutError),
        (200, _code(96026), NotFoundError),
        (200, _code(2100, "import job does not exist, jobID=1: importing data failed"), NotFoundError),
        (200, _code(2101, "import job does not exist, jobID=1"), NotFoundError),
        (200, _code(2100, "x" * 500 + " does not exist"), NotFoundError),
        (200, _code(2100, "parse job id failed"), CodeError),
        (200, _code(2100, {"does": "not exist"}), CodeError),
        (200, _code(96018, "cluster does not exist"), CodeError),
        (404, b"404 page not found", HttpError),
        (404, b"404", HttpError),
        (502, b"<html>Bad Gateway</html>", HttpError),
        (502, b'{"error": "bad gateway"}', HttpError),
        (500, b"", HttpError),
        (500, _code(0, data=DATA), HttpError),
        (307, b"", HttpError),
        (302, _code(1), HttpError),
        (500, b'{"code":500}', CodeError),
        (404, _code(1, "unknown route"), CodeError),
        (200, _code(1, "service not ready"), CodeError),
        (200, _code(65535), CodeError),
        (200, _code(99999999), CodeError),
        (200, _code("ECLOUD"), CodeError),
        (200, _code(True, data=DATA), CodeError),
        (200, _code(False, data=DATA), CodeError),
        (200, b'{"code": 1e400, "data": {}}', CodeError),
        (200, b'{"code": NaN, "data": {}}', CodeError),
        (200, b'{"code": ' + b"9" * 5000 + b', "data": {}}', CodeError),
        (200, _code([0], data=DATA), CodeError),
        (200, _code(0), PayloadError),
        (200, _code(0, data=[DATA]), PayloadError),
        (200, _code(0, data=None), PayloadError),
        (200, _code(0, "The token is illegal."), PayloadError),
        (200, b'{"data": {}}', PayloadError),
        (200, b'{"code": null, "data": {}}', PayloadError),
        (200, b"<html>", PayloadError),
        (200, b'{"code": 0, "data": {"jobId": "1', PayloadError),
        (200, b"", PayloadError),
        (200, b"null", PayloadError),
        (200, b"[]", PayloadError),
        (200, b"\x00\xff\xfe\x80junk", PayloadError),
        (200, b"[" * 20_000 + b"]" * 20_000, PayloadError),
        (200, b'{"code":0,"data":' + b'{"a":' * 20_000 + b"1" + b"}" * 20_001, PayloadError),
    ],
)
def test_first_class_that_matches(status: int, body: bytes, error: type[ApiError]) -> None:
    with pytest.raises(ApiError) as raised:
        reply_data(status, body)
    assert type(raised.value) is error


def test_an_integer_that_python_does_not_convert_costs_no_other_value() -> None:
    assert reply_data(200, b'{"code":0,"data":{"jobId":"1","fileSize":' + b"9" * 5000 + b"}}")["jobId"] == "1"


def test_ids_above_two_to_the_53_stay_exact() -> None:
    assert reply_data(200, b'{"code":0,"data":{"jobId":448761313698322011}}')["jobId"] == 448761313698322011


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (404, b"404 page not found", "HTTP 404, no such path there: is `api` right?"),
        (404, b"<html>", "HTTP 404, no such path there: is `api` right?"),
        (404, b'{"status":404,"error":"Not Found"}', "HTTP 404, no such path there: is `api` right?"),
        (400, b"Client sent an HTTP request to an HTTPS server.\n", "HTTP 400; is its URL https?"),
        (400, b"<center>The plain HTTP request was sent to HTTPS port</center>", "HTTP 400; is its URL https?"),
        (400, b"no", "HTTP 400"),
        (404, b'{"code":404,"message":"no such job"}', "HTTP 404, code 404: no such job"),
    ],
)
def test_error_text_names_the_likely_mistake(status: int, body: bytes, sentence: str) -> None:
    with pytest.raises(ApiError) as raised:
        reply_data(status, body)
    assert str(raised.value) == sentence


def test_error_text_names_status_and_code_and_is_one_short_line() -> None:
    with pytest.raises(CodeError) as raised:
        reply_data(200, _code(7, "bad\nthing at https://u:p@h/a?sig=1 " + "x" * 1000))
    assert str(raised.value).startswith("HTTP 200, code 7: bad thing at https://h/a xxx")
    assert len(str(raised.value).encode()) < 250


@pytest.mark.parametrize("code", [8, 9])
def test_a_code_for_too_many_requests_carries_the_wait(code: int) -> None:
    with pytest.raises(RateLimitedError) as raised:
        reply_data(200, _code(code, "quota exceeded"), 7.0)
    assert raised.value.retry_after == 7.0


def test_error_text_masks_what_a_reply_quotes() -> None:
    with pytest.raises(CodeError) as raised:
        reply_data(200, _code("secretKey=Kanarienvogel", "config {secretAccessKeyID:Kanarienvogel} refused"))
    assert str(raised.value) == "HTTP 200, code secretKey=<secret>: config {secretAccessKeyID:<secret> refused"


def test_error_text_of_a_refused_right_is_the_server_s() -> None:
    said = "rpc error: code = PermissionDenied desc = PrivilegeGetImportProgress: no right in the `default` database"
    with pytest.raises(AuthError) as raised:
        reply_data(403, _code(65535, said))
    assert str(raised.value) == f"HTTP 403, code 65535: {said}"


def test_a_reply_of_too_many_objects_is_no_usable_payload() -> None:
    with pytest.raises(PayloadError, match="more than 500,000 objects"):
        reply_data(200, b'{"code":0,"data":{"details":[' + b"{}," * 500_000 + b"{}]}}")


def test_rate_limit_carries_the_wait() -> None:
    with pytest.raises(RateLimitedError) as raised:
        reply_data(429, b"", 12.0)
    assert raised.value.retry_after == 12.0


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("0", 0.0),
        ("12", 12.0),
        (" 12 ", 12.0),
        ("1.5", 1.5),
        ("99999999999999999999", 3600.0),
        ("Sun, 09 Mar 2025 11:42:37 GMT", 30.0),
        ("Sun, 09 Mar 2025 11:00:00 GMT", 0.0),
        ("Sun, 09 Mar 2026 11:42:37 GMT", 3600.0),
        ("-1", None),
        ("inf", None),
        ("nan", None),
        ("", None),
        ("soon", None),
        ("٣", None),
        ("Sun, 99 Mar 2025 11:42:37 GMT", None),
    ],
)
def test_retry_after(header: str | None, expected: float | None) -> None:
    assert seconds_to_wait(header, 1741520527.0) == expected


@given(st.text())
def test_any_retry_after_is_within_an_hour_or_none(header: str) -> None:
    seconds = seconds_to_wait(header, 1741520527.0)
    assert seconds is None or 0 <= seconds <= 3600


@given(st.integers(100, 999), st.binary())
def test_any_bytes_are_an_api_error_or_data(status: int, body: bytes) -> None:
    try:
        assert isinstance(reply_data(status, body), dict)
    except ApiError as error:
        str(error).encode()
