"""Structured logs to stderr: one event a line, logfmt or JSON, harmless in a terminal whatever the network sends."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Final, Literal, TextIO

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


def configure(level: Level = "info", format: Format = "logfmt", stream: TextIO | None = None) -> None:  # noqa: A002 - the flag's name
    """Send all logs, those of libraries and Python's warnings included, to `stream` (None: stderr, as it is then)."""
    sink = _Sink(stream, _logfmt if format == "logfmt" else _json)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, _for_the_sink],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: sink,
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, _Bridge):
            root.removeHandler(handler)
    root.addHandler(_Bridge(sink))
    root.setLevel(LEVELS[level])
    logging.captureWarnings(True)
    threading.excepthook = _thread_ended


class ChangeLog:
    """Logs a steady failure when it begins or changes, and then only so often, with a count of what was left out.

    Thread-safe. A failure unheard of for 6 intervals is forgotten; of more than `most_keys` those longest unheard of.
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
        self._lock = threading.Lock()
        self._known: OrderedDict[Hashable, _Failure] = OrderedDict()

    def failing(self, key: Hashable, state: Hashable, message: str, **fields: object) -> bool:
        """Say that what `key` names fails in the way that `state` names; return whether a line was logged."""
        return self._tell(key, (state,), message, fields, self._logger.warning)

    def working(self, key: Hashable, message: str, **fields: object) -> bool:
        """Say that what `key` names works; return whether a line was logged, which takes a failure before."""
        with self._lock:
            if key not in self._known:
                return False
        return self._tell(key, None, message, fields, self._logger.info)

    def _tell(
        self,
        key: Hashable,
        state: tuple[Hashable] | None,
        message: str,
        fields: Mapping[str, object],
        write: Callable[..., object],
    ) -> bool:
        now = self._clock()
        with self._lock:
            failure = self._known.setdefault(key, _Failure(deque(maxlen=self._BURST)))
            failure.heard_at = now
            self._known.move_to_end(key)
            self._forget(now)
            if not failure.is_due(state, now, self._interval):
                return False
            left_out = failure.logged(state, now)
        write(message, **fields, **({"repeats": left_out} if left_out else {}))
        return True

    def _forget(self, now: float) -> None:
        oldest = next(iter(self._known.values()))
        while len(self._known) > self._most_keys or now - oldest.heard_at > self._REMEMBERED * self._interval:
            self._known.popitem(last=False)
            oldest = next(iter(self._known.values()))


class _Failure:
    """What was logged about one key: when, the state then (None: it works), and how often since it was left out."""

    __slots__ = ("_left_out", "_state", "_times", "heard_at")

    def __init__(self, times: deque[float]) -> None:
        self.heard_at = 0.0
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


class _Sink:
    """Writes one line per event, and never raises: where there is no stderr any more nobody can be told."""

    def __init__(self, stream: TextIO | None, render: Callable[[Mapping[str, _Scalar]], str]) -> None:
        self._stream = stream
        self._render = render
        self._lock = threading.Lock()

    def write(self, event: Mapping[str, _Scalar]) -> None:
        stream = self._stream if self._stream is not None else sys.stderr
        if stream is None:
            return
        line = self._render(event) + "\n"
        encoding = getattr(stream, "encoding", None) or "utf-8"
        try:
            with self._lock:
                stream.write(line.encode(encoding, "backslashreplace").decode(encoding))
                stream.flush()
        except (OSError, ValueError):  # a broken pipe, a full disk, a closed stream
            self._give_up(stream)

    debug = info = warning = error = critical = write

    @staticmethod
    def _give_up(stream: TextIO) -> None:
        """Let what is stuck in the buffer of a broken stderr go, or Python would exit with 120 for it."""
        if stream is not sys.__stderr__:
            return
        try:
            target = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            os.dup2(target, stream.fileno())
            os.close(target)
        except (OSError, ValueError):
            sys.stderr = None


class _Bridge(logging.Handler):
    """Brings the records of libraries (aiohttp, urllib3, asyncio, warnings) into the same form."""

    def __init__(self, sink: _Sink) -> None:
        super().__init__()
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = str(record.msg)
        event: EventDict = {"event": message, "logger": record.name, "exc_info": record.exc_info}
        self._sink.write(_flatten(record.levelname.lower(), event))


def _for_the_sink(
    _: WrappedLogger, method: str, event: EventDict
) -> tuple[tuple[dict[str, _Scalar]], dict[str, object]]:
    return (_flatten(method, event),), {}


def _flatten(method: str, event: EventDict) -> dict[str, _Scalar]:
    """Turn an event into `ts`, `level`, `msg` and fields of plain values; exceptions into `error` and `at`."""
    level = {"warning": "warn", "critical": "error", "exception": "error"}.get(method, method)
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    flat: dict[str, _Scalar] = {"ts": now, "level": level, "msg": _plain(event.pop("event", ""))}
    exception = _exception(event.pop("exc_info", None))
    if exception is not None:
        event.setdefault("error", exception)
    for key, value in event.items():
        flat[_key(key)] = _plain(value)
        if isinstance(value, BaseException) and value.__traceback__ is not None:
            flat.setdefault("at", _place(value))
    return flat


def _exception(exc_info: object) -> BaseException | None:
    if exc_info is True:
        exc_info = sys.exc_info()
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1]
    return exc_info if isinstance(exc_info, BaseException) else None


def _place(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}"


def _key(key: str) -> str:
    return "".join(character if character.isalnum() or character in "_.-" else "_" for character in key) or "_"


def _plain(value: object) -> _Scalar:
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, bool | int | float):
        return value
    try:
        text = f"{type(value).__name__}: {value}" if isinstance(value, BaseException) else str(value)
    except Exception:  # noqa: BLE001 - a value that cannot be printed must not cost the line, nor the scrape
        return f"<{type(value).__name__}>"
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"


def _json(event: Mapping[str, _Scalar]) -> str:
    return _escaped(json.dumps({key: _finite(value) for key, value in event.items()}, ensure_ascii=False))


def _finite(value: _Scalar) -> _Scalar:
    """NaN and the infinities have no form in JSON."""
    return str(value) if isinstance(value, float) and value - value != 0 else value


def _logfmt(event: Mapping[str, _Scalar]) -> str:
    return " ".join(f"{key}={_logfmt_value(value)}" for key, value in event.items())


def _logfmt_value(value: _Scalar) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if text and text.isprintable() and not any(character in ' ="\\' for character in text):
        return text
    return _escaped(json.dumps(text, ensure_ascii=False))


def _escaped(quoted: str) -> str:
    r"""Write what JSON leaves as it is but a terminal may obey, such as U+009B and U+202E, as \uXXXX too."""
    return quoted if quoted.isprintable() else "".join(_escapes(quoted))


def _escapes(quoted: str) -> Iterator[str]:
    for character in quoted:
        if character.isprintable():
            yield character
        else:
            units = character.encode("utf-16-be", "surrogatepass")
            yield from (f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def _thread_ended(arguments: threading.ExceptHookArgs) -> None:
    name = arguments.thread.name if arguments.thread else ""
    get_logger().error("Thread ended by an error", thread=name, exc_info=arguments.exc_value)
