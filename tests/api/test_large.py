"""Replies of many megabytes cost a small multiple of that in memory, and no minute of CPU."""

import resource
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from exporter.api.errors import ApiError
from exporter.api.parse import job_from, list_page_from
from exporter.api.verdict import reply_data

SIZE = 30_000_000
TIMES = 12
CPU_SECONDS = 40


def _repeated(unit: str, size: int = SIZE) -> bytes:
    encoded = unit.encode()
    return encoded * (size // len(encoded))


def _in(before: str, unit: str, after: str, size: int = SIZE) -> bytes:
    return before.encode() + _repeated(unit, size) + after.encode()


def _job(name: str, unit: str) -> bytes:
    return _in(f'{{"code":0,"data":{{"state":"Failed","{name}":"', unit, '"}}')


def _details(entry: str) -> bytes:
    return _in('{"code":0,"data":{"state":"Failed","details":[', entry + ",", "{}]}}", SIZE // 3)


def _file(name: str, unit: str) -> bytes:
    return _in(f'{{"code":0,"data":{{"state":"Failed","details":[{{"{name}":"', unit, '"}]}}')


KINDS: Mapping[str, Callable[[], bytes]] = {
    "one name that begins like a proto text": lambda: _in(
        '{"code":0,"data":{"state":"Failed","details":[{"fileName":"paths:\\"', "a", '"}]}}'
    ),
    "one name of many paths": lambda: _file("fileName", 'paths:\\"a\\" '),
    "one name of URLs": lambda: _file("fileName", "s3://u:p@h/?a=b "),
    "names of many paths": lambda: _details('{"fileName":"' + 'paths:\\"aé' * 1400 + '"}'),
    "names": lambda: _details('{"fileName":"part-0.parquet","state":"Importing","progress":5,"reason":""}'),
    "one reason": lambda: _job("reason", "x"),
    "one reason of secrets": lambda: _job("reason", "secretKey='a "),
    "one reason of wide characters": lambda: _job("reason", "\N{GRINNING FACE}"),
    "one reason of a file": lambda: _file("reason", "a=b:c "),
    "reasons of URLs": lambda: _details('{"reason":"' + "s3://u:p@h/?a=b " * 1000 + '"}'),
    "reasons of colons": lambda: _details('{"reason":"' + "://a:@" * 2600 + '"}'),
    "reasons of quotes": lambda: _details('{"reason":"' + "pwd='\\\\" * 2300 + '"}'),
    "reasons of secrets": lambda: _details('{"reason":"' + "sig=a:b.c-" * 1600 + '"}'),
    "reasons of structures": lambda: _details('{"reason":"' + "pwd=(a " * 2300 + "pwd=&b" * 2300 + '"}'),
    "reasons of words": lambda: _details('{"reason":"' + "a.b-" * 4000 + '"}'),
    "collection name": lambda: _job("collectionName", "é"),
    "file name of the job": lambda: _job("fileName", "é?="),
    "state": lambda: _job("state", "_ "),
    "time": lambda: _job("completeTime", "9"),
    "number": lambda: _job("progress", "9"),
    "message": lambda: _in('{"code":2100,"message":"', "secretKey=a ", '"}'),
    "message that is a list": lambda: _in('{"code":2100,"message":[', "1,", "1]}"),
    "code": lambda: _in('{"code":"', "9", '"}'),
    "code that is a number": lambda: _in('{"code":', "9", "}"),
    "job id": lambda: _in('{"code":0,"data":{"records":[{"jobId":"', "é", '"}]}}'),
    "records": lambda: _in(
        '{"code":0,"data":{"records":[', '{"jobId":"1","state":"Importing","collectionName":"products"},', "{}]}}"
    ),
    "empty objects": lambda: _details("{}"),
    "empty lists": lambda: _in('{"code":0,"data":{"records":[', "[],", "1]}}"),
    "nested lists": lambda: _repeated("["),
    "no JSON": lambda: _repeated("x"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_reply_costs_a_small_multiple_of_its_size(kind: str) -> None:
    child = subprocess.run(
        [sys.executable, "-m", "tests.api.test_large", kind],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (child.returncode, child.stderr) == (0, "")


def _main(kind: str) -> None:
    body = KINDS[kind]()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + TIMES * len(body)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    with suppress(ApiError):
        data = reply_data(200, body)
        with suppress(ApiError):
            job_from(data, "1")
        list_page_from(data)


if __name__ == "__main__":
    _main(sys.argv[1])
