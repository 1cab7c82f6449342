"""An action at intervals, for as long as the process runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from exporter.log import get_logger

log = get_logger()


async def repeat(interval: float, action: Callable[[], Awaitable[None]], what: str) -> None:
    """Does something every `interval` seconds until cancelled; an exception is logged and ends nothing."""
    while True:
        await asyncio.sleep(interval)
        try:
            await action()
        except Exception:
            log.exception(f"{what} failed")
