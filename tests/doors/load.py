"""Clients that scrape as fast as they are answered, in a process of their own: `python -m tests.doors.load`.

Arguments: host, port, number of clients, seconds. Prints as JSON how often each status came (0: none), the slowest
answer of /-/healthy in seconds, and how many of those were not 200.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter

SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: exporter\r\nAccept-Encoding: gzip\r\n\r\n"
HEALTHY = b"GET /-/healthy HTTP/1.1\r\nHost: exporter\r\n\r\n"


class Client:
    """One keep-alive connection, opened again where it was closed."""

    def __init__(self, host: str, port: int) -> None:
        self._where = (host, port)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> int:
        """The status of the answer, read to its end; 0 where there was none."""
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(*self._where)
            reader, writer = self._streams
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r\n")[0]))
        except (OSError, EOFError, ValueError):
            self.close()
            return 0
        if b"connection: close" in head:
            self.close()
        return int(head.split(b" ")[1])

    def close(self) -> None:
        """End the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def scrape(client: Client, until: float, seen: Counter[int]) -> None:
    """Scrape again and again; refused, wait as Retry-After says."""
    while time.monotonic() < until:
        status = await client.ask(SCRAPE)
        seen[status] += 1
        if status == 503:
            await asyncio.sleep(1)


async def look(host: str, port: int, until: float, seen: Counter[int]) -> float:
    """Ask for its health ten times a second, each time as a newcomer; return the slowest answer in seconds."""
    slowest = 0.0
    while time.monotonic() < until:
        client = Client(host, port)
        begun = time.monotonic()
        seen[await client.ask(HEALTHY)] += 1
        slowest = max(slowest, time.monotonic() - begun)
        client.close()
        await asyncio.sleep(0.1)
    return slowest


async def main(host: str, port: int, clients: int, seconds: float) -> None:
    """Run all clients at once."""
    until = time.monotonic() + seconds
    scrapes: Counter[int] = Counter()
    health: Counter[int] = Counter()
    async with asyncio.TaskGroup() as group:
        slowest = group.create_task(look(host, port, until, health))
        for _ in range(clients):
            group.create_task(scrape(Client(host, port), until, scrapes))
    unhealthy = health.total() - health[200]
    report = {"scrapes": scrapes, "slowest": slowest.result(), "looks": health.total(), "unhealthy": unhealthy}
    print(json.dumps(report))  # noqa: T201 - what the test reads


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
