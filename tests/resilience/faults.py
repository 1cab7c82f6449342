"""The fault matrix: replies that no job can be read from, with the class that each must get."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.model import ErrorClass as Is
from tests.support.simulated.faults import Cut, Raw, Respond, Rewrite
from tests.support.simulated.wire import JSON_TYPE, Behaviour

RECORDED = Path(__file__).parents[1] / "api" / "replies"
DATA = {"jobId": "1", "collectionName": "victims", "state": "Importing", "progress": 50, "details": []}


@dataclass(frozen=True)
class Fault:
    """What is done instead of the proper reply, and the class that its job must get."""

    behaviour: Behaviour
    error: Is


def code(value: object, message: object = "no", status: int = 200, **more: object) -> Respond:
    return Respond(status, json.dumps({"code": value, "message": message, **more}).encode())


def body(content: bytes, content_type: str = JSON_TYPE) -> Respond:
    return Respond(200, content, content_type=content_type)


NOT_FOUND = "import job does not exist, jobID=1: importing data failed"
JUNK = random.Random(4).randbytes(3000)

FAULTS: dict[str, Fault] = {
    "401": Fault(Respond(401), Is.AUTH),
    "401 code 1800": Fault(code(1800, "user hasn't authenticated", 401), Is.AUTH),
    "403": Fault(Respond(403, b"Forbidden", content_type="text/plain"), Is.AUTH),
    "403 code 65535": Fault(code(65535, "permission deny", 403), Is.AUTH),
    "404 text": Fault(Respond(404, b"404 page not found", content_type="text/plain"), Is.HTTP),
    "408 code 10001": Fault(code(10001, "request timeout", 408), Is.TIMEOUT),
    "429": Fault(Respond(429), Is.RATE_LIMITED),
    "429 Retry-After": Fault(Respond(429, headers=(("Retry-After", "1"),)), Is.RATE_LIMITED),
    "429 Retry-After in nonsense": Fault(Respond(429, headers=(("Retry-After", "soon"),)), Is.RATE_LIMITED),
    "500 without message": Fault(Respond(500, b'{"code":500}'), Is.API),
    "500 empty": Fault(Respond(500), Is.HTTP),
    "502 HTML": Fault(Respond(502, b"<html>Bad Gateway</html>", content_type="text/html"), Is.HTTP),
    "code 21119": Fault(code(21119, "The API key is illegal."), Is.AUTH),
    "code 80001": Fault(code(80001, "The token is illegal."), Is.AUTH),
    "code 1800": Fault(code(1800), Is.AUTH),
    "code 1807": Fault(code(1807), Is.RATE_LIMITED),
    "code 96018": Fault(code(96018, "The cluster does not exist"), Is.API),
    "code 96026": Fault(code(96026), Is.NOT_FOUND),
    "code 2100 unknown job": Fault(code(2100, NOT_FOUND), Is.NOT_FOUND),
    "code 2100 other": Fault(code(2100, "parse job id failed"), Is.API),
    "code 2101 unknown job": Fault(code(2101, NOT_FOUND), Is.NOT_FOUND),
    "code 2101 other": Fault(code(2101), Is.API),
    "code 1": Fault(code(1, "service not ready[=0]: Initializing"), Is.API),
    "code 65535": Fault(code(65535, "rpc error: code = Unavailable"), Is.API),
    "code unheard of": Fault(code(424242, data=DATA), Is.API),
    "code as string": Fault(code("21119"), Is.AUTH),
    "code as word": Fault(code("ECLOUD", data=DATA), Is.API),
    "code as bool": Fault(code(False, data=DATA), Is.API),
    "code 1e400": Fault(body(b'{"code":1e400,"data":{}}'), Is.API),
    "code as list": Fault(code([0], data=DATA), Is.API),
    "code as object": Fault(code({"0": 0}, data=DATA), Is.API),
    "code of 5,000 digits": Fault(body(b'{"code":' + b"9" * 5000 + b',"data":{}}'), Is.API),
    "message with control characters": Fault(code(5, "a\x1b[31m\nb\x00c\u202e\x9b" + "x" * 100_000), Is.API),
    "message as object": Fault(code(5, {"a": ["b"]}), Is.API),
    "code 0 without data": Fault(code(0), Is.PAYLOAD),
    "code 0 data null": Fault(code(0, data=None), Is.PAYLOAD),
    "code 0 data a list": Fault(code(0, data=[DATA]), Is.PAYLOAD),
    "no code": Fault(body(json.dumps({"data": DATA}).encode()), Is.PAYLOAD),
    "HTML": Fault(body(b"<!doctype html><title>Sign in</title>", "text/html"), Is.PAYLOAD),
    "truncated JSON": Fault(Rewrite(lambda proper: proper[:-20]), Is.PAYLOAD),
    "empty": Fault(body(b""), Is.PAYLOAD),
    "null": Fault(body(b"null"), Is.PAYLOAD),
    "a list": Fault(body(b"[0]"), Is.PAYLOAD),
    "a number": Fault(body(b"0"), Is.PAYLOAD),
    "nesting 20,000 deep": Fault(body(b"[" * 20_000 + b"]" * 20_000), Is.PAYLOAD),
    "data nested 20,000 deep": Fault(body(b'{"code":0,"data":' + b'{"a":' * 20_000 + b"0" + b"}" * 20_001), Is.PAYLOAD),
    "binary junk": Fault(body(JUNK, "application/octet-stream"), Is.PAYLOAD),
    "gzip that is none": Fault(Respond(200, JUNK, (("Content-Encoding", "gzip"),)), Is.PAYLOAD),
    "not HTTP": Fault(Raw(b"SSH-2.0-OpenSSH_9.6\r\n"), Is.HTTP),
    "binary junk instead of HTTP": Fault(Raw(JUNK), Is.HTTP),
    "closed before the reply": Fault(Cut(), Is.CONNECT),
    "reset before the reply": Fault(Cut(reset=True), Is.CONNECT),
    "closed in mid-body": Fault(Cut(after=30), Is.CONNECT),
    "reset in mid-body": Fault(Cut(after=30, reset=True), Is.CONNECT),
}


def recorded() -> dict[str, tuple[Respond, dict[str, Any] | None]]:
    """Each recorded reply about one job, and its data where it describes one."""
    found = {}
    for path in sorted(RECORDED.glob("*.json")):
        exchange = json.loads(path.read_text())
        reply = exchange["response"]
        if exchange["request"]["path"].endswith("/list"):
            continue
        headers = tuple((name, value) for name, value in reply["headers"].items() if name != "Content-Type")
        respond = Respond(reply["status"], reply["body"].encode(), headers, reply["headers"].get("Content-Type", ""))
        said = json.loads(reply["body"]) if reply["body"].startswith("{") else {}
        found[path.stem] = respond, said.get("data")
    return found


RECORDED_ERRORS = {
    "40-jobid-number": Is.API,
    "44-unknown-job": Is.NOT_FOUND,
    "45-cloud-id": Is.API,
    "48-empty-body": Is.API,
    "59-getProgress-cloud-path": Is.HTTP,
    "59b-trailing-slash": Is.HTTP,
    "70-datacoord-not-ready": Is.API,
    "72-coordinator-unreachable": Is.API,
    "73-panic": Is.API,
    "74c-timeout-default": Is.TIMEOUT,
    "80-auth-none": Is.AUTH,
    "87-auth-user-without-privilege": Is.AUTH,
    "93-expired-completed-job": Is.NOT_FOUND,
}
