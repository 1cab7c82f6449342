"""The command: wiring and signals. The only module that knows all others."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import random
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path

from exporter import __revision__, __version__, signals
from exporter.api.client import ApiSettings, ImportApi
from exporter.api.errors import ApiError
from exporter.app import App
from exporter.collector.clock import Clock
from exporter.config.load import ConfigError, Loader
from exporter.demo import launch
from exporter.flags import Flags
from exporter.log import FailureLog, configure, get_logger
from exporter.logwriter import LogWriter
from exporter.metrics.own import OwnMetrics
from exporter.once import Reading, table
from exporter.output import complain, refuse, say, warn
from exporter.repeat import repeat
from exporter.web.listen import ListenError
from exporter.web.server import Server, ServerSettings
from exporter.web.webconfig import WebConfigError, WebConfigFile

DEFAULT_CONFIG = "config.yaml"
ANOTHER_PORT = 10531
GRACE = 5.0
HURRY = 4.0
"""Seconds within which running scrapes end after a signal to stop."""
DEMO_INTERVAL = 5.0
"""Seconds between the scrapes of the demo by itself."""
DEMO_ALONE = 60.0
"""Seconds without another scrape after which the demo scrapes itself."""

_M_ARENA_MAX = -8
# Objects made and still alive between two looks of the garbage collector: those of some hundred answers.
_GARBAGE_THRESHOLD = 50_000

log = get_logger()


def check(flags: Flags, warnings: Sequence[str] = ()) -> int:
    """Validate all that the flags name, and say so or what is wrong; return 0 or 1. `warnings` are written first."""
    configure(flags.log_level, flags.log_format, complain)
    warn(warnings)
    errors: list[str] = []
    with contextlib.ExitStack() as stack:
        try:
            loaded = _loader(flags, stack).load()
        except ConfigError as error:
            errors += error.errors
        else:
            errors += loaded.list_problems
            warn(loaded.warnings)
    if flags.web_config_file is not None:
        try:
            WebConfigFile(flags.web_config_file).load()
        except WebConfigError as error:
            errors += error.errors
    return refuse(errors) if errors else say("OK\n")


def once(flags: Flags, warnings: Sequence[str] = ()) -> int:
    """Read everything once, print it, and return 0 if every cluster and job could be read, else 1."""
    configure(flags.log_level, flags.log_format, complain)
    warn(warnings)
    with contextlib.ExitStack() as stack:
        try:
            return asyncio.run(_once(flags, _loader(flags, stack)))
        except ConfigError as error:
            return refuse(error.errors)
        except ApiError as error:
            return refuse([str(error)])


async def _once(flags: Flags, loader: Loader) -> int:
    app = _app(flags, loader)
    await app.start()
    loaded = app.collector.active.loaded
    if flags.once == "table":
        warn((*loaded.warnings, *loaded.list_problems))
    snapshot, body = await app.once()
    app.close()
    readings = [
        Reading(each.jobs.settings.cluster, view, each.last_error_class, each.last_error)
        for each, view in zip(app.collector.active.clusters.values(), snapshot.clusters, strict=True)
    ]
    if flags.once == "table":
        unwritten = say(table(readings, now=time.time(), colour=_in_colour()))
    else:
        unwritten = say(b"".join(body.chunks(openmetrics=False, gzip=False)).decode())
    complete = all(reading.complete for reading in readings) and not loaded.list_problems
    return unwritten if complete else 1


def _in_colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def serve(flags: Flags, warnings: Sequence[str] = ()) -> int:
    """Log the warnings and serve until a signal comes; return 0, or 1 for a bad configuration or an address in use."""
    errors: Sequence[str] = ()
    _share_arenas()
    _collect_garbage_rarely()
    with LogWriter(sys.stderr.fileno()) as writer, contextlib.ExitStack() as stack:
        configure(flags.log_level, flags.log_format, writer.write)
        for warning in warnings:
            log.warning(warning)
        try:
            asyncio.run(_serve(flags, _loader(flags, stack)))
        except (ConfigError, WebConfigError) as error:
            errors = error.errors
        except ListenError as error:
            errors = [f"{error}; name another one, such as --web.listen-address=:{ANOTHER_PORT}"]
        except ApiError as error:
            errors = [str(error)]
    return refuse(errors) if errors else 0


def _share_arenas() -> None:
    """Let threads share two arenas of glibc's allocator, unless MALLOC_ARENA_MAX is set.

    Each arena keeps what its threads ever held: 20 clients that read slowly cost 30 MB with one arena per thread.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and "MALLOC_ARENA_MAX" not in os.environ:
        mallopt(_M_ARENA_MAX, 2)


def _collect_garbage_rarely() -> None:
    """Keep Python's garbage collector from looking at the same live objects again and again.

    What was imported lives as long as the process, and answers become no garbage that only the collector would find.
    Each look holds up all threads: with the defaults, for 14 to 60 ms in a scrape of 1,000 jobs.
    """
    gc.freeze()
    gc.set_threshold(_GARBAGE_THRESHOLD, *gc.get_threshold()[1:])


def _loader(flags: Flags, stack: contextlib.ExitStack) -> Loader:
    if flags.demo:
        demo = launch.start()
        stack.callback(demo.api.stop)
        return Loader.from_mapping(demo.config)
    if flags.config_file is not None:
        return Loader(flags.config_file, os.environ)
    return Loader.at_default(Path(DEFAULT_CONFIG), os.environ)


def _app(flags: Flags, loader: Loader) -> App:
    own = OwnMetrics(__version__, __revision__)
    clock = Clock(time.monotonic, time.time, random.random)

    def make_api(settings: ApiSettings) -> ImportApi:
        return ImportApi(settings, observe=partial(own.observe, settings.cluster_id))

    return App(loader, own, make_api, clock, FailureLog(), timeout_offset=flags.timeout_offset)


async def _serve(flags: Flags, loader: Loader) -> None:
    app = _app(flags, loader)
    await app.start()
    settings = ServerSettings(
        listen=flags.listen,
        urls=flags.urls,
        enable_lifecycle=flags.enable_lifecycle,
        max_requests=flags.max_requests,
        web_config_file=flags.web_config_file,
    )
    server = Server(app, settings)
    await server.start()
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    under_way: set[asyncio.Task[object]] = set()

    def begin(call: Callable[[], Coroutine[None, None, object]]) -> None:
        task: asyncio.Task[object] = loop.create_task(call())
        under_way.add(task)
        task.add_done_callback(under_way.discard)

    interval = flags.auto_reload_interval
    what = "Looking for changes of the configuration"
    watching = loop.create_task(repeat(interval, app.reload_if_changed, what)) if interval else None
    log.info("Listening", version=__version__, addresses=" ".join(server.addresses))
    if flags.demo:
        # There is no Prometheus yet, and a status page shows what scrapes returned.
        begin(app.scrape)
        alone = partial(app.scrape_unless_scraped, DEMO_ALONE)
        begin(partial(repeat, DEMO_INTERVAL, alone, "Scraping the demo"))
        _invite(server.addresses[0], settings)
    with signals.handled(loop, reload=partial(begin, app.reload), stop=stopping.set):
        await stopping.wait()
        log.info("Stopping")
        if watching is not None:
            watching.cancel()
        app.hurry(HURRY)
        await server.stop(GRACE)
    app.close()


def _invite(address: str, settings: ServerSettings) -> None:
    file = settings.web_config_file
    scheme = "http" if file is None or WebConfigFile(file).load().tls is None else "https"
    url = f"{scheme}://localhost:{address.rpartition(':')[2]}"
    say(  # if nobody reads it, the demo serves all the same
        f"\nThe demo watches the imports of two simulated clusters. Look at\n\n"
        f"  {url}{settings.urls.prefix}/\tstatus page\n"
        f"  {url}{settings.urls.prefix}{settings.urls.telemetry_path}\twhat Prometheus scrapes\n\n"
        f"and stop it with Ctrl-C.\n\n"
    )
