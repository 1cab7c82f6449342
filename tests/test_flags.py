"""The command line as Prometheus' users expect it."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.flags import parse


def test_the_defaults_are_those_of_the_documentation() -> None:
    flags = parse([])
    assert flags.config_file is None
    assert flags.auto_reload_interval == 30
    assert flags.listen == (":10530",)
    assert flags.urls.telemetry_path == "/metrics"
    assert (flags.max_requests, flags.timeout_offset) == (40, 0.5)
    assert (flags.log_level, flags.log_format) == ("info", "logfmt")
    assert [flags.demo, flags.config_check, flags.health, flags.enable_lifecycle] == [False] * 4


def test_flags_take_their_values_after_an_equals_sign_or_a_space() -> None:
    arguments = (
        "--config.file=a.yaml --config.auto-reload-interval 1m30s --web.listen-address=127.0.0.1:1 "
        "--web.listen-address=[::1]:2 --web.max-requests=0 --scrape.timeout-offset=0.25 "
        "--web.external-url=https://example.com/imports --log.format=json"
    )
    flags = parse(arguments.split())
    assert flags.config_file == Path("a.yaml")
    assert flags.auto_reload_interval == 90
    assert flags.listen == ("127.0.0.1:1", "[::1]:2")
    assert (flags.max_requests, flags.timeout_offset, flags.log_format) == (0, 0.25, "json")
    assert flags.urls.prefix == "/imports"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--config.fil=x"], "unknown flag --config.fil; did you mean --config.file?"),
        (["-config.file=x"], "unknown flag -config.file; did you mean --config.file?"),
        (["--listen-address=:1"], "unknown flag --listen-address; did you mean --web.listen-address?"),
        (["--log.lvl=debug"], "unknown flag --log.lvl; did you mean --log.level?"),
        (["--zzz"], "unknown flag --zzz; --help lists all flags"),
        (["--once=json"], "--once: invalid choice"),
        (["--print=all"], "--print: invalid choice"),
        (["--print"], "--print: expected one argument"),
        (["--web.listen-address=10530"], "write :PORT, HOST:PORT or [IPv6]:PORT"),
        (["--web.telemetry-path=metrics"], "--web.telemetry-path"),
        (["--web.telemetry-path=/probe"], "is taken"),
        (["--config.auto-reload-interval=30"], "duration"),
        (["--web.max-requests=-1"], "not a whole number"),
        (["--scrape.timeout-offset=nan"], "not a number of seconds"),
        (["--log.level=verbose"], "invalid choice"),
        (["--demo", "--config.file=config.yaml"], "--demo watches a simulated API and reads no configuration"),
        (["stray"], "an argument without a flag; values follow their flag, such as --config.file=config.yaml"),
    ],
)
def test_a_wrong_flag_is_one_sentence_and_exit_code_2(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(arguments)
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "usage: zilliz-import-exporter [flags]"
    assert len(lines) == 2
    assert says in lines[1]


@pytest.mark.parametrize("arguments", [["--apikey=canary"], ["--apikey", "canary"], ["canary"]])
def test_a_wrong_argument_is_not_shown_since_it_may_be_a_key(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(arguments)
    assert "canary" not in capsys.readouterr().err


def test_the_log_of_once_is_quiet_unless_a_level_is_given() -> None:
    assert (parse(["--once"]).once, parse(["--once"]).log_level) == ("table", "error")
    assert (parse(["--once=metrics"]).once, parse(["--once=metrics"]).log_level) == ("metrics", "warn")
    assert parse(["--once", "--log.level=debug"]).log_level == "debug"


def test_the_version_names_program_and_python(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("zilliz-import-exporter ")
