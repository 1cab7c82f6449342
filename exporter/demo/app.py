"""The simulated APIs on loopback: an aiohttp application each, in a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

from aiohttp import web

from exporter.demo.answers import Body, Fields

LATENCY = 0.05
"""Seconds before each reply."""


def application(
    answer: Callable[[str, Fields], Body], *, authorization: str, refusal: tuple[int, Body]
) -> web.Application:
    """An API that answers to an operation and its fields; to another header Authorization it answers `refusal`."""

    async def handle(request: web.Request) -> web.Response:
        await asyncio.sleep(LATENCY)
        if request.headers.get("Authorization") != authorization:
            status, body = refusal
            return web.json_response(body, status=status)
        return web.json_response(answer(request.match_info["operation"], await request.json()))

    app = web.Application()
    app.router.add_post("/v2/vectordb/jobs/import/{operation:list|describe|getProgress}", handle)
    return app


class Servers:
    """Running applications. Thread-safe."""

    def __init__(self, applications: Sequence[web.Application]) -> None:
        """Listen, each on a port of its own; raises OSError where that is not possible."""
        self._runners = [web.AppRunner(each, access_log=None, shutdown_timeout=0.1) for each in applications]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="simulated-api", daemon=True)
        self._thread.start()
        self.urls = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()

    def stop(self) -> None:
        """Close the listeners and every connection."""
        asyncio.run_coroutine_threadsafe(self._cleanup(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> list[str]:
        for runner in self._runners:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
        return [f"http://127.0.0.1:{runner.addresses[0][1]}" for runner in self._runners]

    async def _cleanup(self) -> None:
        for runner in self._runners:
            await runner.cleanup()
