"""Structured logs: one event a line, logfmt or JSON, harmless in a terminal whatever the network sends."""

from __future__ import annotations

import logging
import math
import re
import sys
import threading
import time
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Mapping
from enum import Enum
from pathlib import Path
from typing import Final, Literal

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

Level = Literal["debug", "info", "warn", "error"]
Format = Literal["logfmt", "json"]

LEVELS: Final[Mapping[str, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
_LONGEST_VALUE: Final = 4096
_Scalar = str | int | float | bool | None


def get_logger() -> FilteringBoundLogger:
    """Return the logger of this program; `log.info("Jobs found", cluster_id=..., count=3)`."""
    logger: FilteringBoundLogger = structlog.get_logger()
    return logger


def configure(level: Level, format: Format, write: Callable[[str], object]) -> None:  # noqa: A002 - the flag's name
    """Send all logs, those of libraries and Python's warnings included, to `write`, a line with its end at a time.

    `write` is called on whatever thread logs. It must not raise.
    """
    structlog.configure(
        processors=[
            structlog.processors.TimeStamper("%Y-%m-%dT%H:%M:%S.%fZ", utc=True, key="ts"),
            _plain_event,
            structlog.processors.LogfmtRenderer(bool_as_flag=False)
            if format == "logfmt"
            else structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: _Output(write),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, _Bridge):
            root.removeHandler(handler)
    root.addHandler(_Bridge())
    root.setLevel(LEVELS[level])
    logging.captureWarnings(True)
    threading.excepthook = _thread_failed


class FailureLog:
    """Logs a steady failure when it begins or changes, and then at a bounded rate, with a count of what was left out.

    For one thread or event loop. A failure that is not reported for 6 intervals is forgotten; where there are more than
    `most_keys`, those go first that were reported longest ago.
    """

    _BURST = 5
    _REMEMBERED = 6

    def __init__(
        self,
        logger: FilteringBoundLogger | None = None,
        *,
        interval: float = 600.0,
        most_keys: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`interval`: seconds between two lines about one unchanged failure; within it at most 5 changes are logged."""
        self._logger = logger if logger is not None else get_logger()
        self._interval = interval
        self._most_keys = most_keys
        self._clock = clock
        self._known: OrderedDict[Hashable, _Failure] = OrderedDict()

    def failing(self, key: Hashable, state: Hashable, message: str, **fields: object) -> bool:
        """Report that what `key` names fails in the way that `state` names; return whether a line was logged."""
        return self._report(key, (state,), self._logger.warning, message, fields)

    def working(self, key: Hashable, message: str, **fields: object) -> bool:
        """Report that what `key` names works; return whether a line was logged, which takes a failure before."""
        return key in self._known and self._report(key, None, self._logger.info, message, fields)

    def _report(
        self,
        key: Hashable,
        state: tuple[Hashable] | None,
        write: Callable[..., object],
        message: str,
        fields: Mapping[str, object],
    ) -> bool:
        now = self._clock()
        failure = self._known.setdefault(key, _Failure(deque(maxlen=self._BURST)))
        failure.reported_at = now
        self._known.move_to_end(key)
        self._forget(now)
        if not failure.is_due(state, now, self._interval):
            return False
        left_out = failure.logged(state, now)
        write(message, **fields, **({"repeats": left_out} if left_out else {}))
        return True

    def _forget(self, now: float) -> None:
        oldest = next(iter(self._known.values()))
        while len(self._known) > self._most_keys or now - oldest.reported_at > self._REMEMBERED * self._interval:
            self._known.popitem(last=False)
            oldest = next(iter(self._known.values()))


class _Failure:
    """What was logged about one key: when, the state then (None: it works), and how often since it was left out."""

    __slots__ = ("_left_out", "_state", "_times", "reported_at")

    def __init__(self, times: deque[float]) -> None:
        self.reported_at = 0.0
        self._times = times
        self._state: tuple[Hashable] | None = None
        self._left_out = 0

    def is_due(self, state: tuple[Hashable] | None, now: float, interval: float) -> bool:
        if state == self._state:
            due = state is not None and now - self._times[-1] >= interval
        else:
            due = len(self._times) < (self._times.maxlen or 0) or now - self._times[0] >= interval
        if not due and state is not None:
            self._left_out += 1
        return due

    def logged(self, state: tuple[Hashable] | None, now: float) -> int:
        left_out, self._left_out = self._left_out, 0
        self._state = state
        self._times.append(now)
        return left_out


class _Output:
    """Takes rendered events from structlog."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    def log(self, event: str) -> None:
        self._write(_harmless(event) + "\n")

    debug = info = warning = error = critical = log


class _Bridge(logging.Handler):
    """Brings the records of libraries (aiohttp, urllib3, asyncio, warnings) into the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = str(record.msg)
        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)
        get_logger().log(level, message, logger=record.name, exc_info=record.exc_info)


def _plain_event(_: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Put `ts`, `level` and `msg` first; make keys and values plain, and exceptions `error` and `at`."""
    level = {"warning": "warn", "critical": "error"}.get(method, method)
    plain: EventDict = {"ts": event.pop("ts"), "level": level, "msg": _plain(event.pop("event"))}
    exception = _exception(event.pop("exc_info", None))
    if exception is not None:
        event.setdefault("error", exception)
    for key, value in event.items():
        plain[re.sub(r"[^\w.-]", "_", key)] = _plain(value)
        if isinstance(value, BaseException) and value.__traceback__ is not None:
            plain.setdefault("at", _place(value))
    return plain


def _exception(exc_info: object) -> BaseException | None:
    if exc_info is True:
        exc_info = sys.exc_info()
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1]
    return exc_info if isinstance(exc_info, BaseException) else None


def _place(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}"


def _plain(value: object) -> _Scalar:
    if isinstance(value, Enum):
        value = value.value
    # NaN and the infinities have no form in JSON.
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    try:
        text = f"{type(value).__name__}: {value}" if isinstance(value, BaseException) else str(value)
    except Exception:  # noqa: BLE001 - a value that cannot be printed must not cost the line, nor the scrape
        return f"<{type(value).__name__}>"
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"


def _harmless(line: str) -> str:
    r"""Write as \uXXXX what the renderers leave but a terminal may obey, such as ESC, U+009B and U+202E."""
    if line.isprintable():
        return line
    return "".join(character if character.isprintable() else _escape(character) for character in line)


def _escape(character: str) -> str:
    return re.sub("(....)", r"\\u\1", character.encode("utf-16-be", "surrogatepass").hex())


def _thread_failed(arguments: threading.ExceptHookArgs) -> None:
    name = arguments.thread.name if arguments.thread else ""
    get_logger().error("Thread ended by an error", thread=name, exc_info=arguments.exc_value)
