"""Where the real program listens, and where it says that it is found: several addresses, IPv6, a reverse proxy."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.doors.door import PATIENCE, Door, statuses

pytestmark = pytest.mark.e2e


def test_it_listens_on_several_addresses_of_both_protocols(few_jobs: Path, tmp_path: Path) -> None:
    with Door(few_jobs, tmp_path, "--web.listen-address=[::1]:0", "--web.listen-address=localhost:0") as door:
        found = re.search(r'addresses="([^"]+)"', door.log.read_text())
        assert found is not None
        first, second, third = found[1].split(" ")
        assert second.startswith("[::1]:")
        for address in (first, second, third):
            assert requests.get(f"http://{address}/-/healthy", timeout=PATIENCE).ok
            groups = requests.get(f"http://{address}/sd", timeout=PATIENCE).json()
            assert {target for group in groups for target in group["targets"]} == {address}


@contextmanager
def reverse_proxy(to: tuple[str, int], strips: str) -> Iterator[str]:
    """A proxy that takes `strips` off each path; yields its HOST:PORT. One request a connection."""
    loop = asyncio.new_event_loop()
    listening: list[str] = []
    ready = threading.Event()
    stop = asyncio.Event()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).replace(b" " + strips.encode(), b" ", 1)
        head = re.sub(rb"(?i)connection: [^\r]*\r\n", b"", head).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        upstream_reader, upstream = await asyncio.open_connection(*to)
        upstream.write(head)
        writer.write(await upstream_reader.read())
        for each in (upstream, writer):
            each.close()
            await each.wait_closed()

    async def serve() -> None:
        async with await asyncio.start_server(pass_on, "127.0.0.1", 0) as server:
            host, port = server.sockets[0].getsockname()
            listening.append(f"{host}:{port}")
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(PATIENCE)
    try:
        yield listening[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE)
        loop.close()


def pages(base: str) -> set[str]:
    """All paths that the status page at `base` leads to; each link, but not the target of a form, must be a page."""
    page = requests.get(base + "/", timeout=PATIENCE)
    page.raise_for_status()
    links = set(re.findall(r'(?:href|src)="(/[^"#]*)"', page.text))
    origin = base[: base.index("/", len("http://"))] if "/" in base[len("http://") :] else base
    for link in links:
        assert requests.get(origin + link.replace("&amp;", "&"), timeout=PATIENCE).ok, link
    return links | set(re.findall(r'action="(/[^"#]*)"', page.text))


@pytest.mark.parametrize("strips", [False, True], ids=["proxy passes paths on", "proxy strips the prefix"])
def test_behind_a_reverse_proxy_all_links_and_targets_lead_through_it(
    few_jobs: Path, tmp_path: Path, *, strips: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        where = f"127.0.0.1:{free.getsockname()[1]}"
    flags = ["--web.external-url=http://proxy.example/imports/"] + (["--web.route-prefix=/"] if strips else [])
    prefix = "" if strips else "/imports"
    with (
        Door(few_jobs, tmp_path, *flags, address=where) as door,
        reverse_proxy(door.where, "/imports" if strips else "") as proxy,
    ):
        links = pages(f"http://{proxy}/imports")
        assert links
        assert all(link.startswith("/imports/") for link in links)
        groups = json.loads(requests.get(f"http://{proxy}/imports/sd", timeout=PATIENCE).text)
        for group in groups:
            assert group["targets"] == ["proxy.example"]
            assert group["labels"]["__scheme__"] == "http"
            path = group["labels"]["__metrics_path__"]
            parameters = {
                name.removeprefix("__param_"): value
                for name, value in group["labels"].items()
                if name.startswith("__param_")
            }
            reply = requests.get(f"http://{proxy}{path}", params=parameters, timeout=PATIENCE)
            assert reply.ok
            assert "zilliz_import" in reply.text
        assert door.ask(prefix + "/-/healthy")[0] == 200
        if prefix:
            assert door.ask("/metrics")[0] == 404
            with door.connect() as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                answer = client.recv(10_000)
            assert statuses(answer) == [302]
            assert b"\r\nLocation: /imports/\r\n" in answer
        door.assert_calm()
