"""One event a line, readable by machines, harmless in a terminal; a steady failure is logged at a bounded rate."""

import json
import logging
import os
import re
import threading
import warnings
from enum import StrEnum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter import log
from exporter.config.secret import Secret
from tests.support.logs import captured_logs

FORMATS: tuple[log.Format, ...] = ("logfmt", "json")
PAIR = re.compile(r'([\w.-]+)=("(?:[^"\\]|\\.)*"|\S*)(?: |\Z)')


def read(line: str, format_: log.Format) -> dict[str, object]:
    """Read a line as a log collector does: JSON, or logfmt whose quoted values have JSON's escapes."""
    if format_ == "json":
        event: dict[str, object] = json.loads(line)
        return event
    assert "".join(match.group() for match in PAIR.finditer(line)) == line
    return {key: json.loads(value) if value.startswith('"') else value for key, value in PAIR.findall(line)}


@pytest.mark.parametrize("format_", FORMATS)
def test_an_event_has_time_level_message_and_fields_in_this_order(format_: log.Format) -> None:
    with captured_logs("info", format_) as logs:
        log.get_logger().warning("List failed", cluster_id="in01-a", pages=3)
    event = read(logs.getvalue().rstrip("\n"), format_)
    assert list(event) == ["ts", "level", "msg", "cluster_id", "pages"]
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", str(event["ts"]))
    assert (event["level"], event["msg"], str(event["pages"])) == ("warn", "List failed", "3")


@pytest.mark.parametrize("format_", FORMATS)
@given(message=st.text(), value=st.text())
@settings(deadline=None)
def test_any_text_stays_on_its_line_and_is_harmless(format_: log.Format, message: str, value: str) -> None:
    with captured_logs("info", format_) as logs:
        log.get_logger().info(message, value=value)
    text = logs.getvalue()
    assert text.endswith("\n")
    assert text[:-1].isprintable()
    assert list(read(text[:-1], format_)) == ["ts", "level", "msg", "value"]


@pytest.mark.parametrize("format_", FORMATS)
@given(message=st.text(), value=st.text())
@settings(deadline=None)
def test_text_with_blanks_is_read_back_as_it_was(format_: log.Format, message: str, value: str) -> None:
    with captured_logs("info", format_) as logs:
        log.get_logger().info(f"{message} ", value=f" {value}")
    event = read(logs.getvalue()[:-1], format_)
    assert (event["msg"], event["value"]) == (f"{message} ", f" {value}")


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize(
    "character", ["\n", "\r", "\x1b", "\0", "\x7f", "\x9b", "\u2028", "\u202e", "\ud800", "\U000e0001"]
)
def test_what_a_terminal_may_obey_is_escaped(format_: log.Format, character: str) -> None:
    with captured_logs("info", format_) as logs:
        log.get_logger().info(f"a{character}b", field=f"c{character}d")
    assert character not in logs.getvalue()[:-1]
    assert logs.getvalue().count("\\") >= 2


@pytest.mark.parametrize("format_", FORMATS)
def test_values_of_every_type_are_written(format_: log.Format) -> None:
    class Word(StrEnum):
        ONE = "one"

    with captured_logs("info", format_) as logs:
        log.get_logger().info(
            "x", yes=True, none=None, number=1.5, nan=float("nan"), word=Word.ONE, many=[1, "a"], empty="", url="a=b"
        )
    event = read(logs.getvalue()[:-1], format_)
    given_back = [event[key] for key in ("number", "nan", "word", "many", "empty", "url")]
    assert [str(value) for value in given_back] == ["1.5", "nan", "one", "[1, 'a']", "", "a=b"]
    assert (event["yes"], event["none"]) == ((True, None) if format_ == "json" else ("true", ""))


@pytest.mark.parametrize("format_", FORMATS)
def test_a_secret_is_not_written_wherever_it_stands(format_: log.Format) -> None:
    secret = Secret("canary")
    with captured_logs("debug", format_) as logs:
        log.get_logger().info("key", key=secret, inside=[secret], deep={"key": (secret,)}, error=ValueError(secret))
        logging.getLogger("urllib3").debug("key %s", secret)
    assert "canary" not in logs.getvalue()
    assert logs.getvalue().count("<secret>") == 5


@pytest.mark.parametrize("format_", FORMATS)
def test_an_exception_is_one_line_with_the_place_where_it_was_raised(format_: log.Format) -> None:
    with captured_logs("info", format_) as logs:
        try:
            os.stat("/nowhere\n")  # noqa: PTH116 - the failing call itself
        except OSError as error:
            log.get_logger().exception("Reading failed")
            log.get_logger().warning("Reading failed", error=error)
            logging.getLogger("asyncio").exception("Reading\nfailed")
    lines = logs.getvalue().splitlines()
    assert len(lines) == 3
    for line in lines:
        event = read(line, format_)
        assert str(event["error"]).startswith("FileNotFoundError: [Errno 2] No such file")
        assert re.fullmatch(r"test_log\.py:\d+ in test_an_exception_is_one_line\w*", str(event["at"]))
        assert "Traceback" not in line


def test_a_value_that_cannot_be_printed_does_not_cost_the_line() -> None:
    class Rude:
        def __str__(self) -> str:
            raise RuntimeError

    with captured_logs() as logs:
        log.get_logger().info("x", value=Rude())
    assert "value=<Rude>" in logs.getvalue()


def test_a_value_without_end_is_cut() -> None:
    with captured_logs() as logs:
        log.get_logger().info("x", reason="y" * 100_000)
    assert len(logs.getvalue()) < 5000


def test_records_of_libraries_take_the_same_form() -> None:
    with captured_logs("info") as logs:
        logging.getLogger("aiohttp.server").warning("Error from %s", "peer\x1b")
        logging.getLogger("urllib3.connectionpool").debug("below the level")
        logging.getLogger("broken").error("%d", "not a number")
    first, second = logs.getvalue().splitlines()
    assert first.endswith(r'level=warn msg="Error from peer\u001b" logger=aiohttp.server')
    assert second.endswith("level=error msg=%d logger=broken")


def test_warnings_and_errors_that_end_a_thread_take_the_same_form() -> None:
    def fail() -> None:
        raise RuntimeError("went\nwrong")

    with warnings.catch_warnings(), captured_logs("info") as logs:
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        thread = threading.Thread(target=fail, name="worker")
        thread.start()
        thread.join()
    first, second = logs.getvalue().splitlines()
    assert "DeprecationWarning: old" in first
    assert r'thread=worker error="RuntimeError: went\nwrong"' in second


@pytest.mark.parametrize(("level", "lines"), [("debug", 4), ("info", 3), ("warn", 2), ("error", 1)])
def test_events_below_the_level_are_left_out(level: log.Level, lines: int) -> None:
    with captured_logs(level) as logs:
        for method in ("debug", "info", "warning", "error"):
            getattr(log.get_logger(), method)("x")
    assert logs.getvalue().count("\n") == lines


def test_configuring_twice_does_not_log_twice() -> None:
    with captured_logs() as logs:
        log.configure("info", "logfmt", logs.write)
        logging.getLogger("library").warning("once")
    assert logs.getvalue().count("once") == 1


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_steady_failure_is_logged_when_it_begins_and_then_once_per_interval(clock: Clock) -> None:
    with captured_logs() as logs:
        failures = log.FailureLog(interval=600, clock=clock)
        for clock.now in range(0, 1801, 15):
            failures.failing("in01-a", "timeout", "Cluster cannot be read", error="timeout")
    lines = logs.getvalue().splitlines()
    assert len(lines) == 4
    assert "repeats" not in lines[0]
    assert all(line.endswith("error=timeout repeats=39") for line in lines[1:])


def test_a_failure_that_changes_is_logged_at_once(clock: Clock) -> None:
    with captured_logs():
        failures = log.FailureLog(clock=clock)
        logged = [failures.failing("a", state, "x") for state in ("timeout", "timeout", "tls", "tls", "timeout")]
    assert logged == [True, False, True, False, True]


def test_a_recovery_is_logged_once_with_what_was_left_out(clock: Clock) -> None:
    with captured_logs() as logs:
        failures = log.FailureLog(clock=clock)
        assert failures.working("a", "Cluster can be read again") is False
        for _ in range(3):
            failures.failing("a", "timeout", "Cluster cannot be read")
        assert [failures.working("a", "Cluster can be read again") for _ in range(2)] == [True, False]
        assert failures.failing("a", "timeout", "Cluster cannot be read") is True
    assert re.search(r'level=info msg="Cluster can be read again" repeats=2\n', logs.getvalue())


def test_a_failure_that_comes_and_goes_is_logged_at_a_bounded_rate(clock: Clock) -> None:
    with captured_logs() as logs:
        failures = log.FailureLog(interval=600, clock=clock)
        for scrape in range(4 * 60 * 10):
            clock.now = scrape * 15.0
            if scrape % 2:
                failures.working("a", "works")
            else:
                failures.failing("a", scrape, "fails")
    hours = 10
    assert logs.getvalue().count("\n") <= 5 * 6 * hours + 5


def test_failures_of_different_keys_do_not_hide_each_other(clock: Clock) -> None:
    with captured_logs():
        failures = log.FailureLog(clock=clock)
        assert [failures.failing(key, "timeout", "x") for key in ("a", "b", ("a", "b"))] == [True, True, True]


def test_the_memory_of_failures_is_bounded(clock: Clock) -> None:
    with captured_logs():
        failures = log.FailureLog(most_keys=10, clock=clock)
        for key in range(1000):
            failures.failing(key, "timeout", "x")
        assert failures.failing(999, "timeout", "x") is False
        assert failures.failing(0, "timeout", "x") is True
        assert len(failures._known) == 10


def test_a_failure_that_is_not_reported_for_long_is_forgotten(clock: Clock) -> None:
    with captured_logs():
        failures = log.FailureLog(interval=600, clock=clock)
        for key in range(1000):
            clock.now += 60
            failures.failing(key, "timeout", "x")
            failures.failing("steady", "timeout", "x")
        assert len(failures._known) == 62
        clock.now += 600
        assert failures.working("steady", "y") is True
