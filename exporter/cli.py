"""The command: wiring and signals. The only module that knows all others."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from exporter import __revision__, __version__, signals
from exporter.api.client import ApiSettings, ImportApi
from exporter.api.errors import ApiError
from exporter.backend import Backend
from exporter.config.load import ConfigError, Loaded, Loader
from exporter.demo import launch
from exporter.flags import Flags
from exporter.journal import LogJournal
from exporter.log import FailureLog, configure, get_logger
from exporter.logwriter import LogWriter
from exporter.output import complain, refuse, say, warn
from exporter.scrape import Fleet
from exporter.selfmetrics import SelfMetrics
from exporter.watch.settings import Clock
from exporter.web.listen import ListenError
from exporter.web.server import Server, ServerSettings
from exporter.web.threads import in_thread, repeat
from exporter.web.webconfig import WebConfigError, WebConfigFile

DEFAULT_CONFIG = "config.yaml"
ANOTHER_PORT = 10531
GRACE = 5.0

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


def serve(flags: Flags, warnings: Sequence[str] = ()) -> int:
    """Log the warnings and serve until a signal comes; return 0, or 1 for a bad configuration or an address in use."""
    errors: Sequence[str] = ()
    with LogWriter(sys.stderr.fileno()) as writer, contextlib.ExitStack() as stack:
        configure(flags.log_level, flags.log_format, writer.write)
        for warning in warnings:
            log.warning(warning)
        try:
            _run(flags, _loader(flags, stack), stack)
        except (ConfigError, WebConfigError) as error:
            errors = error.errors
        except ListenError as error:
            errors = [f"{error}; name another one, such as --web.listen-address=:{ANOTHER_PORT}"]
        except ApiError as error:
            errors = [str(error)]
    return refuse(errors) if errors else 0


def _run(flags: Flags, loader: Loader, stack: contextlib.ExitStack) -> None:
    backend = _backend(flags, loader)
    stack.callback(backend.close)
    asyncio.run(_serve(flags, backend))


def _loader(flags: Flags, stack: contextlib.ExitStack) -> Loader:
    if flags.demo:
        demo = launch.start()
        stack.callback(demo.api.stop)
        return Loader.from_mapping(demo.config)
    if flags.config_file is not None:
        return Loader(flags.config_file, os.environ)
    return Loader.at_default(Path(DEFAULT_CONFIG), os.environ)


def _backend(flags: Flags, loader: Loader) -> Backend:
    own = SelfMetrics(__version__, __revision__)
    clock = Clock(time.monotonic, time.time, random.random)

    def make_api(settings: ApiSettings) -> ImportApi:
        return ImportApi(settings, observe=partial(own.observe, settings.cluster_id))

    def make_fleet(loaded: Loaded) -> Fleet:
        return Fleet(loaded, make_api, clock, LogJournal(FailureLog()))

    return Backend(loader, make_fleet, own, clock, timeout_offset=flags.timeout_offset)


async def _serve(flags: Flags, backend: Backend) -> None:
    settings = ServerSettings(
        listen=flags.listen,
        urls=flags.urls,
        enable_lifecycle=flags.enable_lifecycle,
        max_requests=flags.max_requests,
        web_config_file=flags.web_config_file,
    )
    server = Server(backend, settings)
    await server.start()
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    under_way: set[asyncio.Task[object]] = set()

    def begin(call: Callable[[], object]) -> None:
        task: asyncio.Task[object] = loop.create_task(in_thread(call))
        under_way.add(task)
        task.add_done_callback(under_way.discard)

    interval = flags.auto_reload_interval
    look = partial(in_thread, backend.reload_if_changed)
    what = "Looking for changes of the configuration"
    watching = loop.create_task(repeat(interval, look, what)) if interval else None
    log.info("Listening", version=__version__, addresses=" ".join(server.addresses))
    if flags.demo:
        # There is no Prometheus yet, and a status page shows what scrapes brought.
        begin(partial(backend.metrics, None, "all"))
        _invite(server.addresses[0], settings)
    with signals.handled(loop, reload=partial(begin, backend.reload), stop=stopping.set):
        await stopping.wait()
        log.info("Stopping")
        if watching is not None:
            watching.cancel()
        await server.stop(GRACE)


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
