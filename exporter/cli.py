"""The command: flags, wiring, signals. The only module that knows all others."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import random
import signal
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from exporter import __version__
from exporter.api.client import ApiSettings, ImportApi
from exporter.api.errors import ApiError
from exporter.backend import Backend
from exporter.config.duration import parse_duration
from exporter.config.load import ConfigError, Loaded, Loader
from exporter.demo import launch
from exporter.health import answers
from exporter.journal import LogJournal
from exporter.log import LEVELS, ChangeLog, configure, get_logger
from exporter.scrape import Fleet
from exporter.selfmetrics import SelfMetrics
from exporter.watch.settings import Clock
from exporter.web.listen import ListenError, parse_listen_address
from exporter.web.server import Server, ServerSettings
from exporter.web.threads import in_thread
from exporter.web.urls import urls_from_flags

DEFAULT_CONFIG = "config.yaml"
DEFAULT_LISTEN = ":10530"
GRACE = 5.0

log = get_logger()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0, 1 for a bad configuration or a port in use, 2 for bad flags."""
    parser = _parser()
    flags = parser.parse_args(arguments)
    if flags.health:
        return 0 if any(answers(where) for where in flags.listen or [DEFAULT_LISTEN]) else 1
    configure(flags.log_level, flags.log_format)
    try:
        settings = _server_settings(flags)
    except ValueError as error:
        parser.error(str(error))
    if flags.config_check:
        return _check(_loader(flags))
    with contextlib.ExitStack() as stack:
        try:
            loader = _loader(flags, stack)
            backend = _backend(flags, loader)
        except ConfigError as error:
            return _refuse(error.errors)
        except ApiError as error:
            return _refuse([str(error)])
        stack.callback(backend.close)
        try:
            asyncio.run(_serve(flags, backend, settings))
        except ListenError as error:
            return _refuse([str(error)])
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zilliz-import-exporter",
        description="Prometheus exporter for bulk-import jobs of Zilliz Cloud and Milvus.",
        epilog=(
            "Without a configuration file, ZILLIZ_API_KEY and ZILLIZ_CLUSTER_ID in the environment (and, where wanted, "
            "ZILLIZ_BASE_URL and ZILLIZ_JOB_IDS) are the configuration."
        ),
        allow_abbrev=False,
    )
    add = parser.add_argument
    version = f"zilliz-import-exporter {__version__} (Python {platform.python_version()})"
    add("--version", action="version", version=version)
    add("--config.file", dest="config_file", default=None, metavar="FILE", help="configuration (config.yaml)")
    add("--config.check", dest="config_check", action="store_true", help="validate the configuration and exit")
    add(
        "--config.auto-reload-interval",
        dest="auto_reload",
        default="30s",
        type=_duration,
        metavar="DURATION",
        help="how often configuration, secrets and job lists are looked at; 0s: only on SIGHUP and /-/reload (30s)",
    )
    add("--demo", action="store_true", help="watch the jobs of a simulated import API; needs no configuration")
    add(
        "--web.listen-address",
        dest="listen",
        action="append",
        type=_listen_address,
        metavar="ADDRESS",
        help="where to listen: :PORT, HOST:PORT or [IPv6]:PORT; may be repeated (:10530)",
    )
    add("--web.telemetry-path", dest="telemetry_path", default="/metrics", metavar="PATH", help="(/metrics)")
    add("--web.external-url", dest="external_url", default="", metavar="URL", help="where others reach this exporter")
    add(
        "--web.route-prefix", dest="route_prefix", metavar="PATH", help="prefix of all paths (that of the external URL)"
    )
    add("--web.config.file", dest="web_config", metavar="FILE", help="TLS and basic auth, as of exporter-toolkit")
    add("--web.enable-lifecycle", dest="lifecycle", action="store_true", help="allow POST /-/reload")
    add(
        "--web.max-requests",
        dest="max_requests",
        default=40,
        type=_count,
        metavar="COUNT",
        help="scrapes at once; above it 503; 0: no limit (40)",
    )
    add(
        "--scrape.timeout-offset",
        dest="timeout_offset",
        default=0.5,
        type=_seconds,
        metavar="SECONDS",
        help="taken off Prometheus' scrape timeout (0.5)",
    )
    add("--health", action="store_true", help="ask the exporter at its listen address whether it answers, and exit")
    add("--log.level", dest="log_level", default="info", choices=tuple(LEVELS), help="(info)")
    add("--log.format", dest="log_format", default="logfmt", choices=("logfmt", "json"), help="(logfmt)")
    return parser


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _listen_address(text: str) -> str:
    try:
        parse_listen_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 0")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds of at least 0")
    return seconds


def _server_settings(flags: argparse.Namespace) -> ServerSettings:
    return ServerSettings(
        listen=flags.listen or [DEFAULT_LISTEN],
        urls=urls_from_flags(flags.telemetry_path, flags.external_url, flags.route_prefix),
        enable_lifecycle=flags.lifecycle,
        max_requests=flags.max_requests,
    )


def _loader(flags: argparse.Namespace, stack: contextlib.ExitStack | None = None) -> Loader:
    if flags.demo and stack is not None:
        demo = launch.start()
        stack.callback(demo.api.stop)
        return Loader.from_mapping(demo.config)
    if flags.config_file is not None:
        return Loader(Path(flags.config_file), os.environ)
    return Loader.at_default(Path(DEFAULT_CONFIG), os.environ)


def _check(loader: Loader) -> int:
    try:
        loaded = loader.load()
    except ConfigError as error:
        return _refuse(error.errors)
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)  # noqa: T201 - the command's output
    if loaded.list_problems:
        return _refuse(loaded.list_problems)
    print("OK")  # noqa: T201 - the command's output
    return 0


def _refuse(errors: Sequence[str]) -> int:
    for error in errors:
        print(f"zilliz-import-exporter: {error}", file=sys.stderr)  # noqa: T201 - the command's output
    return 1


def _backend(flags: argparse.Namespace, loader: Loader) -> Backend:
    own = SelfMetrics(__version__)
    clock = Clock(time.monotonic, time.time, random.random)

    def make_api(settings: ApiSettings) -> ImportApi:
        return ImportApi(settings, observe=partial(own.observe, settings.cluster_id))

    def make_fleet(loaded: Loaded) -> Fleet:
        return Fleet(loaded, make_api, clock, LogJournal(ChangeLog()))

    return Backend(loader, make_fleet, own, clock, timeout_offset=flags.timeout_offset)


async def _serve(flags: argparse.Namespace, backend: Backend, settings: ServerSettings) -> None:
    server = Server(backend, settings)
    await server.start()
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    reloads: set[asyncio.Task[object]] = set()

    def reload() -> None:
        task: asyncio.Task[object] = loop.create_task(in_thread(backend.reload))
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    watching = loop.create_task(_reload_when_changed(backend, flags.auto_reload)) if flags.auto_reload else None
    log.info("Listening", version=__version__, addresses=" ".join(server.addresses))
    if flags.demo:
        _invite(server.addresses[0], settings)
    await stopping.wait()
    log.info("Stopping")
    if watching is not None:
        watching.cancel()
    await server.stop(GRACE)


async def _reload_when_changed(backend: Backend, interval: float) -> None:
    while True:
        await asyncio.sleep(interval)
        await in_thread(backend.reload_if_changed)


def _invite(address: str, settings: ServerSettings) -> None:
    port = address.rpartition(":")[2]
    url = f"http://localhost:{port}"
    print(  # noqa: T201 - the command's output
        f"\nThe demo watches the imports of two simulated clusters. Look at\n\n"
        f"  {url}{settings.urls.prefix}/\tstatus page\n"
        f"  {url}{settings.urls.prefix}{settings.urls.telemetry_path}\twhat Prometheus scrapes\n\n"
        f"and stop it with Ctrl-C.\n",
        flush=True,
    )
