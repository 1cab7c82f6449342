"""A canary key is in no log, page, error, traceback, repr or process argument, and goes to one origin only."""

from __future__ import annotations

import base64
import json
import os
import threading
import traceback
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import pytest
import requests
import yaml

from exporter import cli
from exporter.api.attempt import Attempt
from exporter.api.errors import ApiError
from exporter.config.load import ConfigError, Loader
from exporter.flags import parse
from tests.resilience.night import JOBS, VICTIMS, Night
from tests.resilience.test_origin import closed_port
from tests.support.exporter import Exporter
from tests.support.hostile import Hostile, always, reply
from tests.support.logs import captured_logs
from tests.support.rig import Rig
from tests.support.simulated import CLUSTER
from tests.support.simulated.faults import Cut, Raw, Respond, Rewrite
from tests.support.simulated.wire import Behaviour

# With characters that JSON, YAML, URLs and headers write differently.
CANARY = "canary/ké+y\"7b1e94'\\x"
PLAIN_CANARY = "canary-9f3c-key"


def forms(key: str) -> set[str]:
    """The ways in which a key may be written by mistake; also a part of it that no escaping changes."""
    octets = key.encode()
    return {
        key,
        quote(key),
        quote(key, safe=""),
        json.dumps(key)[1:-1],
        json.dumps(key, ensure_ascii=False)[1:-1],
        repr(key)[1:-1],
        octets.decode("latin-1"),
        base64.b64encode(octets).decode(),
        base64.b64encode(f"user:{key}".encode()).decode(),
        "7b1e94",
        "9f3c-key",
    }


def assert_silent(text: str, *keys: str) -> None:
    for key in keys or (CANARY, PLAIN_CANARY):
        assert not [form for form in forms(key) if form in text]


def echo(body: bytes) -> bytes:
    """Write the key wherever the API may write text."""
    said = json.loads(body)
    files = [{"fileName": f"https://h/{CANARY}", "state": CANARY, "fileSize": 1, "reason": CANARY}, CANARY]
    said["data"].update(collectionName=f"of {CANARY}", state="Failed", reason=f"bad key {CANARY}", details=files)
    return json.dumps(said).encode()


def echo_as_written(body: bytes) -> bytes:
    return json.dumps(json.loads(echo(body)), ensure_ascii=False).encode()


FAILURES: dict[str, Behaviour] = {
    "key in a refusal": Respond(401, json.dumps({"code": 1800, "message": f"bad key {CANARY}"}).encode()),
    "key in a code": Respond(200, json.dumps({"code": CANARY, "message": f"Bearer {CANARY}"}).encode()),
    "key in HTML": Respond(502, f"<html>{CANARY}</html>".encode()),
    "key in an answer": Rewrite(echo),
    "key in an answer, as written": Rewrite(echo_as_written, (("X-Echo", CANARY.encode().decode("latin-1")),)),
    "key in the state": Rewrite(lambda body: body.replace(b'"Importing"', json.dumps(CANARY).encode())),
    "key instead of HTTP": Raw(CANARY.encode() + b"\r\n\r\n"),
    "reset": Cut(reset=True),
    "cut": Cut(after=10),
    "redirect": Respond(302, headers=(("Location", f"http://elsewhere.example/{quote(CANARY)}"),)),
}
PAGES = (
    "/metrics",
    "/",
    "/sd",
    f"/probe?target={CLUSTER}",
    "/nothing",
    "/probe?target=nobody",
    "/metrics?scope=exporter",
)


def visit(exporter: Exporter) -> Iterator[str]:
    """Every page, and those about a victim, headers included."""
    about = f"/probe?target={CLUSTER}&job_id={VICTIMS[0]}"
    for path in (*PAGES, about, f"{about}&debug=true", f"/probe?target={CLUSTER}&debug=true"):
        for accept in ("text/plain", "application/openmetrics-text;version=1.0.0"):
            answer = requests.get(exporter.url + path, headers={"Accept": accept}, timeout=60)
            yield f"{answer.headers}\n{answer.text}"


@pytest.mark.e2e
@pytest.mark.parametrize("log_format", ["logfmt", "json"])
@pytest.mark.parametrize("where", ["api_key", "api_key_file", "api_key_env"])
def test_a_run_with_failures_shows_the_key_nowhere(
    plain: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, log_format: str
) -> None:
    (tmp_path / "key").write_text(CANARY + "\n")
    monkeypatch.setenv("THE_KEY", CANARY)
    values = {"api_key": CANARY, "api_key_file": str(tmp_path / "key"), "api_key_env": "THE_KEY"}
    cluster = {name: value for name, value in plain.cluster(JOBS[:7]).items() if name != "api_key"}
    config = plain.config({**cluster, where: values[where]}, timeout="5s")
    flags = ("--log.level=debug", f"--log.format={log_format}", "--web.enable-lifecycle")
    plain.api.cloud.keys = {CANARY.encode().decode("latin-1")}
    with Exporter(config, tmp_path / "exporter", *flags, "--config.auto-reload-interval=0s") as exporter:
        assert {value for _, value in exporter.scrape().all("job_up")} == {1.0}
        for behaviour in FAILURES.values():
            plain.api.faults.inject(behaviour, job_ids=VICTIMS)
            for text in visit(exporter):
                assert_silent(text)
            plain.api.faults.clear()
        exporter.write({"clusters": [{**cluster, "apikey": CANARY, "api_key": [CANARY], CANARY: CANARY}]})
        refused = requests.post(f"{exporter.url}/-/reload", timeout=10)
        assert refused.status_code == 500
        assert "clusters[0].apikey" in refused.text
        assert_silent(refused.text)
        assert_silent(Path(f"/proc/{exporter.pid}/cmdline").read_text())
    # Only then is all of it written.
    log = exporter.log.read_text()
    assert "Reload failed" in log
    assert "level" in log
    assert_silent(log)
    assert "Traceback" not in log


@pytest.mark.e2e
def test_the_password_of_a_proxy_is_shown_nowhere_and_the_key_not_to_the_proxy(plain: Night, tmp_path: Path) -> None:
    with Hostile(always(reply(b"", "407 Proxy Authentication Required"))) as proxy:
        proxy_url = proxy.url.replace("//", f"//user:{PLAIN_CANARY}@")
        config = plain.config(plain.cluster(JOBS[:7], base_url="https://api.example", proxy_url=proxy_url))
        flags = ("--log.level=debug", "--web.enable-lifecycle")
        with Exporter(config, tmp_path, *flags) as exporter:
            assert exporter.scrape().error(VICTIMS[0]) == "connect"
            for text in visit(exporter):
                assert_silent(text)
            exporter.write({"clusters": [{**config["clusters"][0], "proxy_url": f"{proxy_url}/path?query"}]})
            assert_silent(requests.post(f"{exporter.url}/-/reload", timeout=10).text)
        assert_silent(exporter.log.read_text())
    credentials = base64.b64encode(f"user:{PLAIN_CANARY}".encode())
    assert proxy.requests
    assert all(request.startswith(b"CONNECT api.example:443 ") for request in proxy.requests)
    assert all(b"authorization: Basic " + credentials in request for request in proxy.requests)
    assert not any(b"\nauthorization" in request.lower() for request in proxy.requests)


SPELLINGS = {
    "misspelt": "apikey: {canary}",
    "misspelt with a dash": "api-key: {canary}",
    "far from any key": "tokn: {canary}",
    "the key as a key": "{canary}: x",
    "a list": "api_key: [{canary}]",
    "an object": "api_key: {{a: {canary}}}",
    "twice": "api_key: {canary}\n    api_key: {canary}",
    "two of three": "api_key: {canary}\n    api_key_env: {canary}",
    "as a file's name": "api_key_file: {canary}",
    "as a variable's name": "api_key_env: {canary}",
    "with a space": 'api_key: " {canary}"',
    "with a newline": 'api_key: "{canary}\\nx"',
    "in base_url": "api_key: x\n    base_url: https://user:{canary}@api.example",
    "in a query": "api_key: x\n    base_url: https://api.example?key={canary}",
    "as proxy_url": "api_key: x\n    proxy_url: {canary}",
    "in proxy_url": "api_key: x\n    proxy_url: ftp://user:{canary}@proxy",
    "unterminated": 'api_key: "{canary}',
    "as an alias": "api_key: *{canary}",
    "as a tag": "api_key: !{canary} x",
    "as an anchor": "api_key: &{canary} [",
    "reserved": "api_key: @{canary}",
    "percent": "api_key: %{canary}",
    "colon": "api_key: a: {canary}: b",
    "under discovery": "api_key: x\n    discovery: {canary}",
    "as a job": "api_key: x\n    jobs: {canary}",
    "as a duration": "api_key: x\n    discovery: {{refresh_interval: {canary}}}",
    "as tls_config": "api_key: x\n    tls_config: {{key_file: {canary}, cert_file: {canary}}}",
    "binary": "api_key: {canary}\0",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_check_of_a_wrong_configuration_shows_no_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spelling: str
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"clusters:\n  - cluster_id: c\n    {SPELLINGS[spelling].format(canary=PLAIN_CANARY)}\n")
    assert cli.check(parse([f"--config.file={path}", "--log.level=debug"])) == 1
    output = capsys.readouterr()
    assert output.err.startswith("zilliz-import-exporter: ")
    assert_silent(output.out + output.err)
    with pytest.raises(ConfigError) as raised:
        Loader(path, dict(os.environ)).load()
    assert_silent("".join(traceback.format_exception(raised.value)))


def test_neither_representations_nor_tracebacks_hold_the_key(plain: Night) -> None:
    config = plain.config(plain.cluster(api_key=CANARY, proxy_url=f"http://user:{PLAIN_CANARY}@127.0.0.1:1"))
    loaded = Loader.from_mapping(config).load()
    assert_silent(f"{loaded!r} {loaded}")
    with ExitStack() as stack:
        log = stack.enter_context(captured_logs())
        rig = stack.enter_context(Rig(config))
        rig.scrape("5")
        jobs = rig.backend.jobs(CLUSTER)
        assert_silent(f"{jobs.settings!r} {jobs.endpoint!r} {rig.backend.status()!r}")
        with pytest.raises(ApiError) as raised:
            jobs.endpoint.api.progress(VICTIMS[0], Attempt())
        assert raised.value.__context__ is None
        assert_silent("".join(traceback.format_exception(raised.value)))
    assert_silent(log.getvalue())


@pytest.mark.parametrize("behaviour", FAILURES.values(), ids=FAILURES)
def test_no_exception_of_a_call_holds_the_key(night: Night, behaviour: Behaviour) -> None:
    night.api.cloud.keys = {CANARY.encode().decode("latin-1")}
    night.api.faults.inject(behaviour)
    with Rig(night.config(night.cluster(api_key=CANARY))) as rig:
        attempt = Attempt()
        timer = threading.Timer(20, attempt.abort)
        timer.start()
        outcome = rig.backend.jobs(CLUSTER).endpoint.api.explain(VICTIMS[0], attempt)
        timer.cancel()
        assert_silent(repr(outcome))
        if isinstance(outcome.outcome, ApiError):
            assert outcome.outcome.__context__ is None
            assert_silent("".join(traceback.format_exception(outcome.outcome)))


def test_proxies_and_passwords_of_the_environment_are_not_used(
    night: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for variable in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(variable, f"http://127.0.0.1:{closed_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    with Rig(night.config()) as rig:
        night.assert_exact(rig.scrape(), JOBS)


def test_a_changed_origin_gets_the_key_and_the_old_one_hears_no_more(plain: Night, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    with Hostile(always(reply(b'{"code":1}'))) as old:
        path.write_text(yaml.safe_dump(plain.config(plain.cluster(base_url=old.url))))
        with Rig(Loader(path, {})) as rig:
            rig.scrape()
            heard = len(old.requests)
            assert heard > 0
            path.write_text(yaml.safe_dump(plain.config()))
            rig.backend.reload()
            plain.assert_exact(rig.scrape(), JOBS)
            assert len(old.requests) == heard
