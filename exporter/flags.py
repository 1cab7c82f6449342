"""The command line: Prometheus-style long flags, checked before anything starts."""

from __future__ import annotations

import argparse
import difflib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from exporter import __version__
from exporter.bundled import FILES
from exporter.config.duration import parse_duration
from exporter.output import NAME
from exporter.web.address import parse_listen_address
from exporter.web.urls import Urls, urls_from_flags

DEFAULT_LISTEN = ":10530"
_LOG_LEVELS: Mapping[str, Literal["warn", "error"]] = {"table": "error", "metrics": "warn"}
"""By what `--once` prints, without `--log.level`: the table itself says what failed."""


@dataclass(frozen=True, slots=True)
class Flags:
    """What the command was asked to do. Durations are seconds; `config_file` is None where the flag was not given."""

    config_file: Path | None
    config_check: bool
    auto_reload_interval: float
    demo: bool
    health: bool
    once: Literal["table", "metrics"] | None
    print_file: str | None
    listen: tuple[str, ...]
    urls: Urls
    web_config_file: Path | None
    enable_lifecycle: bool
    max_requests: int
    timeout_offset: float
    log_level: Literal["debug", "info", "warn", "error"]
    log_format: Literal["logfmt", "json"]


def parse(arguments: Sequence[str] | None = None) -> Flags:
    """Read the flags, by default those of this process; exits with 2 and a sentence where one is wrong."""
    parser = _parser()
    given, unknown = parser.parse_known_args(arguments)
    if unknown:
        parser.error(_unknown(unknown, parser))
    if given.demo and given.config_file:
        parser.error("--demo watches a simulated API and reads no configuration: leave out --demo or --config.file")
    try:
        urls = urls_from_flags(given.telemetry_path, given.external_url, given.route_prefix)
    except ValueError as error:
        parser.error(str(error))
    return Flags(
        config_file=given.config_file,
        config_check=given.config_check,
        auto_reload_interval=given.auto_reload,
        demo=given.demo,
        health=given.health,
        once=given.once,
        print_file=given.print_file,
        listen=tuple(given.listen or [DEFAULT_LISTEN]),
        urls=urls,
        web_config_file=given.web_config,
        enable_lifecycle=given.lifecycle,
        max_requests=given.max_requests,
        timeout_offset=given.timeout_offset,
        log_level=given.log_level or _LOG_LEVELS.get(given.once, "info"),
        log_format=given.log_format,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=NAME,
        usage=f"{NAME} [flags]",
        formatter_class=partial(argparse.HelpFormatter, max_help_position=42, width=118),
        description="Prometheus exporter for bulk-import jobs of Zilliz Cloud and Milvus.",
        epilog=(
            "Without a configuration file, ZILLIZ_API_KEY and ZILLIZ_CLUSTER_ID in the environment (and, where wanted, "
            "ZILLIZ_BASE_URL, ZILLIZ_JOB_IDS, ZILLIZ_API, ZILLIZ_API_KEY_FILE, ZILLIZ_PROXY_URL and ZILLIZ_CA_FILE) "
            "are the configuration."
        ),
        allow_abbrev=False,
    )
    add = parser.add_argument
    version = f"{NAME} {__version__} (Python {platform.python_version()})"
    add("--version", action="version", version=version)
    add("--config.file", dest="config_file", type=Path, metavar="FILE", help="configuration (config.yaml)")
    add("--config.check", dest="config_check", action="store_true", help="validate the configuration and exit")
    add(
        "--config.auto-reload-interval",
        dest="auto_reload",
        default="30s",
        type=_duration,
        metavar="DURATION",
        help="how often configuration, secrets and job lists are checked; 0s: only on SIGHUP and /-/reload (30s)",
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
    add(
        "--web.telemetry-path",
        dest="telemetry_path",
        default="/metrics",
        metavar="PATH",
        help="path of the metrics (/metrics)",
    )
    add("--web.external-url", dest="external_url", default="", metavar="URL", help="address at which others reach it")
    add(
        "--web.route-prefix", dest="route_prefix", metavar="PATH", help="prefix of all paths (that of the external URL)"
    )
    add(
        "--web.config.file",
        dest="web_config",
        type=Path,
        metavar="FILE",
        help="TLS and basic auth, in the format of exporter-toolkit",
    )
    add("--web.enable-lifecycle", dest="lifecycle", action="store_true", help="allow POST /-/reload")
    add(
        "--web.max-requests",
        dest="max_requests",
        default=40,
        type=_count,
        metavar="COUNT",
        help="scrapes at the same time, more are answered 503; 0: no limit (40)",
    )
    add(
        "--scrape.timeout-offset",
        dest="timeout_offset",
        default=0.5,
        type=_seconds,
        metavar="SECONDS",
        help="taken off the scrape timeout, be it the scraper's or scrape.timeout (0.5)",
    )
    add(
        "--once",
        nargs="?",
        const="table",
        choices=("table", "metrics"),
        help="read everything once, print it as a table (or =metrics: as text for Prometheus), and exit",
    )
    add(
        "--print",
        dest="print_file",
        choices=tuple(FILES),
        help="print a file that comes with this version, and exit",
    )
    add("--health", action="store_true", help="ask the exporter at its listen address whether it answers, and exit")
    add("--log.level", dest="log_level", choices=("debug", "info", "warn", "error"), help="(info)")
    add("--log.format", dest="log_format", default="logfmt", choices=("logfmt", "json"), help="(logfmt)")
    return parser


def _unknown(arguments: Sequence[str], parser: argparse.ArgumentParser) -> str:
    """Say which argument is wrong. What stands after its name, or without a flag, may be a secret."""
    given = next((argument for argument in arguments if argument.startswith("-")), None)
    if given is None:
        return "an argument without a flag; values follow their flag, such as --config.file=config.yaml"
    name = given.partition("=")[0]
    flags = list(parser._option_string_actions)  # noqa: SLF001 - no public way
    near = [flag for flag in flags if name.lstrip("-") in flag] or difflib.get_close_matches(name, flags)
    return f"unknown flag {name}" + (f"; did you mean {near[0]}?" if near else "; --help lists all flags")


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _listen_address(text: str) -> str:
    try:
        parse_listen_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("--web.listen-address: ")) from None
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
