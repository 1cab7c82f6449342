"""Replies that are odd but describe a job: it is up, with exactly what can be read of it, and others stay exact."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from exporter.model import State
from tests.resilience.night import JOBS, MIDNIGHT, VICTIMS, Night
from tests.support.logs import captured_logs
from tests.support.rig import Rig
from tests.support.simulated.faults import Rewrite
from tests.support.strict import Exposed

Change = Callable[[bytes], bytes]
Samples = dict[str, dict[tuple[str, ...], float]]
"""By family, and by the labels that its jobs do not share, in the order of their names."""
NOTHING: dict[tuple[str, ...], float] = {}
SHARED = {"cluster_id", "job_id", "collection_name"}


@dataclass(frozen=True)
class Odd:
    """What is made of the proper reply, and what must be exposed of it; families not named are not looked at."""

    change: Change
    says: Samples


def data(**fields: Any) -> Change:
    """Other values in `data`."""

    def change(body: bytes) -> bytes:
        reply = json.loads(body)
        reply["data"].update(fields)
        return json.dumps(reply).encode()

    return change


def without(*names: str) -> Change:
    """Fields left out of `data`."""

    def change(body: bytes) -> bytes:
        reply = json.loads(body)
        for name in names:
            del reply["data"][name]
        return json.dumps(reply).encode()

    return change


def literal(name: str, value: bytes) -> Change:
    """A value in `data` that Python would not write."""
    return lambda body: data(**{name: "@"})(body).replace(b'"@"', value)


def file(name: Any, **fields: Any) -> dict[str, Any]:
    """One entry of `details`."""
    return {"fileName": name, "fileSize": 10, "state": "Importing", "progress": 50, "completeTime": "", **fields}


def names(*given: Any) -> Change:
    """Files of these names and nothing special otherwise."""
    return data(details=[file(each) for each in given])


def one(value: float) -> dict[tuple[str, ...], float]:
    """The only sample of a family of jobs."""
    return {(): value}


def state(current: State) -> dict[tuple[str, ...], float]:
    """A state family of a job."""
    return {(each,): float(each is current) for each in State}


def sized(*expected: str) -> Samples:
    """Files of these names, 10 bytes each."""
    return {"file_size_bytes": {(name,): 10.0 for name in expected}}


def files_in(**counts: int) -> dict[tuple[str, ...], float]:
    """`job_files`: so many in these states, none in the others."""
    return {(each,): float(counts.get(each, 0)) for each in State}


LONG = "x" * 5000
BAD_NUMBERS = {
    "NaN": literal("progress", b"NaN"),
    "Infinity": literal("progress", b"Infinity"),
    "minus Infinity": literal("progress", b"-Infinity"),
    "1e400": literal("progress", b"1e400"),
    "10^400": literal("progress", b"1" + b"0" * 400),
    "10^5000": literal("progress", b"1" + b"0" * 5000),
    "a word": data(progress="half"),
    "a bool": data(progress=True),
    "an object": data(progress={}),
    "null": data(progress=None),
    "absent": without("progress"),
    "empty": data(progress=""),
}
BAD_AMOUNTS = {
    "NaN": b"NaN",
    "Infinity": b"Infinity",
    "1e400": b"1e400",
    "negative": b"-1",
    "10^400": b"1" + b"0" * 400,
    "10^5000": b"1" + b"0" * 5000,
    "list": b"[1]",
    "words": b'"1 GB"',
}
TIMES = {
    "Zulu": ("2026-05-28T20:26:40Z", MIDNIGHT),
    "offset": ("2026-05-29T04:26:40+08:00", MIDNIGHT),
    "fraction": ("2026-05-28T20:26:40.25Z", MIDNIGHT + 0.25),
    "no zone": ("2026-05-28T20:26:40", MIDNIGHT),
    "epoch": (int(MIDNIGHT), MIDNIGHT),
    "epoch as string": (str(int(MIDNIGHT)), MIDNIGHT),
    "milliseconds": (int(MIDNIGHT) * 1000 + 5, MIDNIGHT + 0.005),
    "nonsense": ("yesterday", None),
    "object": ({"seconds": 1}, None),
    "zero": (0, None),
    "year one": ("0001-01-01T00:00:00Z", None),
    "null": (None, None),
    "bool": (True, None),
    "1e400 as string": ("1e400", None),
}
STATES = {
    "unknown": ("Levitating", State.UNKNOWN),
    "object": ({"a": 1}, State.UNKNOWN),
    "list": (["Importing"], State.UNKNOWN),
    "number": (7, State.UNKNOWN),
    "control characters": ("\x1b[2J\n\x00", State.UNKNOWN),
    "null": (None, State.IMPORTING),
    "empty": ("", State.PENDING),
    "other case": ("IMPORTING", State.IMPORTING),
    "prefixed": ("ImportRunning", State.IMPORTING),
}
ODD: dict[str, Odd] = {
    **{f"progress {name}": Odd(change, {"job_progress_ratio": NOTHING}) for name, change in BAD_NUMBERS.items()},
    "progress negative": Odd(data(progress=-5), {"job_progress_ratio": one(0)}),
    "progress 155": Odd(data(progress=155), {"job_progress_ratio": one(1)}),
    "progress 385": Odd(data(progress=385.5), {"job_progress_ratio": one(1)}),
    "progress as string": Odd(data(progress="57"), {"job_progress_ratio": one(0.57)}),
    "progress with fraction": Odd(data(progress=12.5), {"job_progress_ratio": one(0.125)}),
    "numbers as strings": Odd(
        data(fileSize="123", totalRows="1e3", importedRows=" 7 "),
        {"job_size_bytes": one(123), "job_rows": one(1000), "job_imported_rows": one(7)},
    ),
    **{
        f"{name} {value}": Odd(literal(name, text), {family: NOTHING})
        for value, text in BAD_AMOUNTS.items()
        for name, family in (("fileSize", "job_size_bytes"), ("totalRows", "job_rows"))
    },
    "zeros": Odd(data(fileSize=0, totalRows=-0.0), {"job_size_bytes": one(0), "job_rows": one(0)}),
    **{
        f"time {name}": Odd(
            data(completeTime=written),
            {"job_completed_timestamp_seconds": NOTHING if seconds is None else one(seconds)},
        )
        for name, (written, seconds) in TIMES.items()
    },
    **{f"state {name}": Odd(data(state=word), {"job_state": state(meant)}) for name, (word, meant) in STATES.items()},
    "details null": Odd(data(details=None), {"job_files": NOTHING, "file_state": NOTHING}),
    "details absent": Odd(without("details"), {"job_files": NOTHING, "file_state": NOTHING}),
    "details an object": Odd(data(details={"a": 1}), {"job_files": NOTHING, "file_state": NOTHING}),
    "details empty": Odd(data(details=[]), {"job_files": files_in(), "file_state": NOTHING}),
    "details with junk": Odd(
        data(details=[None, 1, "a", [], file("a"), {}]),
        {"job_files": files_in(Importing=1, Pending=1), "file_size_bytes": {("a",): 10.0}},
    ),
    "10,000 files": Odd(
        names(*(f"{number:05}" for number in range(10_000))),
        {
            "job_files": files_in(Importing=10_000),
            "job_files_omitted": one(9900),
            **sized(*(f"{number:05}" for number in range(100))),
        },
    ),
    "duplicate names": Odd(
        data(details=[file("a"), file("a", fileSize=30, state="Failed", progress=90), file("b")]),
        {
            "job_files": files_in(Importing=2, Failed=1),
            "file_size_bytes": {("a",): 40.0, ("b",): 10.0},
            "file_progress_ratio": {("a",): 0.8, ("b",): 0.5},
            "file_state": {("a", *key): value for key, value in state(State.FAILED).items()}
            | {("b", *key): value for key, value in state(State.IMPORTING).items()},
        },
    ),
    "file numbers": Odd(
        data(details=[file("a", progress=385, fileSize=10**400), file("b", progress=-1, fileSize="7")]),
        {"file_progress_ratio": {("a",): 1.0, ("b",): 0.0}, "file_size_bytes": {("b",): 7.0}},
    ),
    "name with quotes": Odd(names('a"b"\\'), sized('a"b"\\')),
    "name with newlines": Odd(names("a\nb\r\nc\\n"), sized("a\nb\r\nc\\n")),
    "name with NUL and ESC": Odd(names("a\0b\x1b[31m"), sized("a\ufffdb\x1b[31m")),
    "name with emoji": Odd(names("😀 ü\u202e"), sized("😀 ü\u202e")),
    "name with a lone surrogate": Odd(names("a\ud800b"), sized("a\ufffdb")),
    "name null": Odd(names(None), sized("")),
    "name a number": Odd(names(7), sized("7")),
    "name an object": Odd(names({"a": 1}), sized("")),
    "pre-signed URL": Odd(
        names("https://u:p@host/a.parquet?X-Amz-Signature=secret#f"), sized("https://host/a.parquet")
    ),
    "pre-signed path": Odd(names("[bucket/a.parquet?sig=secret]"), sized("bucket/a.parquet")),
    "proto text": Odd(names('id:457000000000000002 paths:"run7/1.parquet" '), sized("run7/1.parquet")),
    "another jobId": Odd(data(jobId="another"), {"job_progress_ratio": one(0.4)}),
    "jobId an object": Odd(data(jobId={}), {"job_progress_ratio": one(0.4)}),
    "reason of 100,000 characters": Odd(
        data(state="Failed", reason="why " * 25_000),
        {"job_failure_info": {("other", ("why " * 64)[:255] + "…" + ("why " * 64)[1:255]): 1.0}},
    ),
    "reason an object": Odd(
        data(state="Failed", reason={"why": ["x"]}), {"job_failure_info": {("other", '{"why": ["x"]}'): 1.0}}
    ),
    "reason with a pre-signed URL": Odd(
        data(state="Failed", reason="no such key: https://u:p@host/a?X-Amz-Signature=secret, giving up"),
        {"job_failure_info": {("storage", "no such key: https://host/a giving up"): 1.0}},
    ),
    "code 200": Odd(lambda body: body.replace(b'"code":0', b'"code":200'), {"job_progress_ratio": one(0.4)}),
    "code 0 as string": Odd(lambda body: body.replace(b'"code":0', b'"code":"0"'), {"job_progress_ratio": one(0.4)}),
    "collection an object": Odd(data(collectionName={}), {"job_progress_ratio": one(0.4)}),
    "unheard-of fields": Odd(data(a=1, b={"c": []}), {"job_progress_ratio": one(0.4)}),
}


def says(exposed: Exposed, job_id: str) -> Samples:
    """What is said of a job, without the labels that all its samples share."""
    return {
        name: {
            tuple(value for label, value in sorted(has) if label not in SHARED): value for has, value in rows.items()
        }
        for name, rows in exposed.about(job_id).items()
    }


def up_with(night: Night, change: Change, headers: tuple[tuple[str, str], ...] = ()) -> tuple[list[Samples], str]:
    """What a scrape says of the victims after that change, the others being exact; and the log."""
    with captured_logs() as log, Rig(night.config()) as rig:
        night.api.faults.inject(Rewrite(change, headers), job_ids=VICTIMS)
        exposed = rig.scrape()
        night.assert_exact(exposed)
        assert all(exposed.value("job_up", job_id=job_id) == 1 for job_id in VICTIMS)
    return [says(exposed, job_id) for job_id in VICTIMS], log.getvalue()


@pytest.mark.parametrize("name", ODD)
def test_what_can_be_read_is_exposed_and_nothing_else(night: Night, name: str) -> None:
    odd = ODD[name]
    found, log = up_with(night, odd.change)
    for said in found:
        assert {family: said.get(family, {}) for family in odd.says} == odd.says
    assert "secret" not in repr(found).replace("<secret>", "") + log
    assert all(line.isprintable() for line in log.splitlines())


def test_names_of_5000_characters_that_differ_in_the_last_stay_two(plain: Night) -> None:
    found, _ = up_with(plain, names(LONG + "a", LONG + "b"))
    for said in found:
        cut = [name for (name,) in said["file_size_bytes"]]
        assert len(set(cut)) == 2
        assert all(len(name) <= 512 for name in cut)


def test_a_cookie_is_not_sent_back(night: Night) -> None:
    with Rig(night.config()) as rig:
        night.api.faults.inject(Rewrite(bytes, (("Set-Cookie", "session=1; Path=/"),)))
        for _ in range(2):
            night.assert_exact(rig.scrape(), JOBS)
        assert len(night.api.requests) > len(JOBS)
        assert not any("cookie" in request.headers for request in night.api.requests)
