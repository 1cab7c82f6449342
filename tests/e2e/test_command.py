"""The command as a person and an init system meet it: exit codes, sentences, signals."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.doors.site import Site, users
from tests.support.exporter import Exporter, Samples
from tests.support.program import wait_for
from tests.support.simulated import CLUSTER, KEY, JobScript, SimulatedApi
from tests.support.simulated.faults import Hang

pytestmark = pytest.mark.e2e

JOB = "448761313698322011"
OTHER = "448761313698322012"
TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"
SLOW_RESOLVER = """
import pathlib, socket, threading

def getaddrinfo(host, *args, known=socket.getaddrinfo, **kw):
    if host != "api.example":
        return known(host, *args, **kw)
    pathlib.Path(__file__).with_name("resolving").touch()
    threading.Event().wait()

socket.getaddrinfo = getaddrinfo
"""


def run(
    *arguments: str, cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), **(env or {})}
    return subprocess.run(
        [sys.executable, "-m", "exporter", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def connections(exporter: Exporter) -> int:
    """Established connections to the exporter's port, on its side."""
    port = f"{int(exporter.host.rpartition(':')[2]):04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port}") and row[3] == "01" for row in rows)


def config(api: SimulatedApi, **more: object) -> dict[str, object]:
    return {"clusters": [{"cluster_id": CLUSTER, "base_url": api.url, "api_key": KEY, "jobs": [JOB], **more}]}


def test_config_check_says_ok_or_every_error(tmp_path: Path) -> None:
    good = tmp_path / "good.yaml"
    good.write_text('clusters: [{cluster_id: in01-x, api_key: k, jobs: ["1"]}]\n')
    ended = run("--config.check", f"--config.file={good}")
    assert (ended.returncode, ended.stdout) == (0, "OK\n")
    bad = tmp_path / "bad.yaml"
    bad.write_text("clusters: [{cluster_id: in01-x, api_key_file: missing, jobs: [1, 1]}]\nscrap: {}\n")
    ended = run("--config.check", f"--config.file={bad}")
    assert ended.returncode == 1
    for place in ("clusters[0].api_key_file", "clusters[0].jobs[0]", "clusters[0].jobs[1]", "scrap"):
        assert place in ended.stderr
    assert "Traceback" not in ended.stderr


def test_config_check_covers_job_lists_and_the_web_configuration(tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text("{not: a list}\n")
    (tmp_path / "web.yaml").write_text("tls_server_config: {cert_file: missing.pem}\n")
    (tmp_path / "config.yaml").write_text("clusters: [{cluster_id: in01-x, api_key: k, job_lists: [list.yaml]}]\n")
    ended = run("--config.check", "--web.config.file=web.yaml", cwd=tmp_path)
    assert ended.returncode == 1
    assert "list.yaml" in ended.stderr
    assert "missing.pem" in ended.stderr or "tls_server_config" in ended.stderr


def test_once_prints_a_table_and_ends_with_0_if_everything_could_be_read(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    with SimulatedApi() as api:
        api.add(JobScript(JOB, collection_name="events"))
        path.write_text(yaml.safe_dump(config(api)))
        path.chmod(0o600)
        ended = run("--once", f"--config.file={path}")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"{CLUSTER}  up  zilliz at {api.url}\n  1 job: 1 ")
    assert re.search(rf"^  {JOB}  events ", ended.stdout, re.MULTILINE)
    assert "\x1b" not in ended.stdout


def test_once_with_a_wrong_key_says_so_and_ends_with_1(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    with SimulatedApi() as api:
        path.write_text(yaml.safe_dump(config(api, api_key="Bearer canary-canary")))
        ended = run("--once", f"--config.file={path}")
    assert ended.returncode == 1
    assert f"{CLUSTER}  down  zilliz at" in ended.stdout
    assert "  the API refuses the key, or what it may do: HTTP 200, code " in ended.stdout
    warning = 'warning: clusters[0].api_key: gives a key that begins with "Bearer", which is added automatically'
    assert warning in ended.stderr
    assert "ts=" not in ended.stderr
    assert "canary" not in ended.stdout + ended.stderr


@pytest.mark.parametrize(("variable", "coloured"), [("", True), ("1", False)])
def test_once_uses_colours_on_a_terminal_only_and_not_where_no_color_is_set(variable: str, coloured: bool) -> None:
    reader, terminal = pty.openpty()
    command = (sys.executable, "-m", "exporter", "--demo", "--once")
    environment = {**os.environ, "NO_COLOR": variable, "TERM": "xterm"}
    subprocess.run(command, stdout=terminal, stderr=subprocess.DEVNULL, env=environment, timeout=60, check=True)
    os.close(terminal)
    shown = os.read(reader, 65536)
    os.close(reader)
    assert (b"\x1b[32mup\x1b[0m" in shown) == coloured
    assert (b"\x1b" in shown) == coloured


def test_once_as_metrics_is_text_for_node_exporter_without_its_own_process_metrics(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    with SimulatedApi() as api:
        api.add(JobScript(JOB))
        path.write_text(yaml.safe_dump(config(api)))
        ended = run("--once=metrics", f"--config.file={path}")
    names = {family.name for family in text_string_to_metric_families(ended.stdout)}
    assert ended.returncode == 0
    assert {"zilliz_import_job_up", "zilliz_import_cluster_up", "zilliz_import_api_requests"} <= names
    assert {name for name in names if not name.startswith("zilliz_import_")} == set()
    assert "zilliz_import_exporter_build_info" not in names
    assert f'zilliz_import_api_requests_total{{cluster_id="{CLUSTER}",operation="progress"}} 1.0\n' in ended.stdout


def test_once_without_a_server_is_a_sentence_with_its_address(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    with SimulatedApi() as api:
        path.write_text(yaml.safe_dump(config(api)))
    ended = run("--once=metrics", f"--config.file={path}")
    assert ended.returncode == 1
    assert f"Connection refused, while connecting to {api.url.partition('://')[2]}" in ended.stderr
    assert f'zilliz_import_job_up{{cluster_id="{CLUSTER}",job_id="{JOB}"}} 0.0\n' in ended.stdout


def test_print_needs_no_configuration_and_no_checkout(tmp_path: Path) -> None:
    ended = run("--print=rules", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert yaml.safe_load(ended.stdout)["groups"]


def test_the_log_says_what_is_watched_what_answered_and_who_scraped_first(tmp_path: Path) -> None:
    with SimulatedApi() as api:
        api.add(JobScript(JOB))
        with Exporter(config(api), directory=tmp_path) as exporter:
            for agent in ("Prometheus/3.5.0", "curl/8"):
                requests.get(f"{exporter.url}/metrics", headers={"User-Agent": agent}, timeout=30)
    log = exporter.log.read_text()
    assert re.search(r'msg="Configuration loaded" file=\S+\.yaml clusters=1\n', log)
    assert f'msg="First usable answer of the import API" cluster_id={CLUSTER} jobs=1\n' in log
    assert [line.partition(" msg=")[2] for line in log.splitlines() if "First scrape" in line] == [
        '"First scrape" path=/metrics user_agent=Prometheus/3.5.0'
    ]


def test_without_any_configuration_one_line_says_what_to_do(tmp_path: Path) -> None:
    ended = run(cwd=tmp_path, env={"ZILLIZ_API_KEY": "", "ZILLIZ_CLUSTER_ID": ""})
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert "ZILLIZ_API_KEY" in ended.stderr


def test_a_port_in_use_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        env = {"ZILLIZ_API_KEY": "k", "ZILLIZ_CLUSTER_ID": "in01-x", "ZILLIZ_BASE_URL": "http://127.0.0.1:1"}
        ended = run(f"--web.listen-address=127.0.0.1:{port}", cwd=tmp_path, env=env)
    assert ended.returncode == 1
    (sentence,) = [line for line in ended.stderr.splitlines() if not line.startswith("ts=")]
    assert str(port) in sentence
    assert "such as --web.listen-address=:10531" in sentence


def test_the_demo_needs_no_configuration_to_be_checked(tmp_path: Path) -> None:
    ended = run("--demo", "--config.check", cwd=tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "OK\n", "")
    (tmp_path / "web.yaml").write_text("tls_server_config: {cert_file: missing.pem}\n")
    assert run("--demo", "--config.check", "--web.config.file=web.yaml", cwd=tmp_path).returncode == 1


@pytest.mark.parametrize("protection", ["none", "passwords", "tls"])
def test_the_demo_names_its_pages_as_they_are_served(protection: str, tmp_path: Path) -> None:
    site = Site(tmp_path)
    if protection != "tls":
        (tmp_path / "web.yml").write_text(users() if protection == "passwords" else "")
    command = [sys.executable, "-m", "exporter", "--demo", "--web.listen-address=127.0.0.1:0", site.flag]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as demo:
        assert demo.stdout is not None
        said = "".join(iter(demo.stdout.readline, "and stop it with Ctrl-C.\n"))
        demo.terminate()
    scheme = "https" if protection == "tls" else "http"
    assert re.findall(r"(\w+)://localhost:[0-9]+/", said) == [scheme, scheme]


def test_the_status_page_of_the_demo_fills_without_a_prometheus(tmp_path: Path) -> None:
    with Exporter(None, tmp_path, "--demo") as exporter:
        page = partial(requests.get, exporter.url, timeout=10)
        wait_for("progress on the page", lambda: "<progress" in page().text)


def test_the_environment_alone_is_a_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with SimulatedApi() as api:
        api.add(JobScript(JOB))
        api.clock.set(60)
        monkeypatch.setenv("ZILLIZ_API_KEY", KEY)
        monkeypatch.setenv("ZILLIZ_CLUSTER_ID", CLUSTER)
        monkeypatch.setenv("ZILLIZ_BASE_URL", api.url)
        monkeypatch.setenv("ZILLIZ_JOB_IDS", f"{JOB},")
        monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
        monkeypatch.chdir(tmp_path)
        with Exporter(None, tmp_path) as exporter:
            assert exporter.scrape().state(JOB) == "Importing"


def test_sigterm_in_the_middle_of_a_scrape_answers_it_and_exits_with_0(tmp_path: Path) -> None:
    with SimulatedApi() as api:
        api.add(JobScript(JOB))
        hang = Hang()
        api.faults.inject(hang)
        with Exporter(config(api), tmp_path) as exporter:
            answers: list[str | None] = []
            scrape = threading.Thread(target=lambda: answers.append(exporter.scrape().state(JOB)))
            scrape.start()
            api.wait_for_requests(1)
            assert requests.get(f"{exporter.url}/-/healthy", timeout=10).ok
            exporter.send(signal.SIGTERM)
            hang.release()
            scrape.join(30)
            assert exporter.wait() == 0
    assert answers == ["Pending"]


def test_sigterm_answers_scrapes_that_wait_for_a_job_with_what_is_known(tmp_path: Path) -> None:
    with SimulatedApi() as api, ThreadPoolExecutor(2) as pool:
        for job_id in (JOB, OTHER):
            api.add(JobScript(job_id))
        api.faults.inject(Hang(), job_ids={JOB})
        with Exporter(config(api, jobs=[JOB, OTHER]), tmp_path) as exporter:
            scrapes = [pool.submit(exporter.scrape, path, "60") for path in ("/metrics", f"/probe?target={CLUSTER}")]
            wait_for("both scrapes", lambda: connections(exporter) == 2)
            api.wait_for_requests(2)
            exporter.send(signal.SIGTERM)
            began = time.monotonic()
            for scrape in scrapes:
                samples = scrape.result(5 - (time.monotonic() - began))
                assert samples.error(JOB) == "timeout"
                assert samples.state(OTHER) == "Pending"
            assert exporter.wait() == 0
        assert "Requests were still under way" not in exporter.log.read_text()


def test_sigterm_answers_a_probe_of_one_job(tmp_path: Path) -> None:
    with SimulatedApi() as api, ThreadPoolExecutor(1) as pool:
        api.faults.inject(Hang())
        with Exporter(config(api), tmp_path) as exporter:
            probe = pool.submit(exporter.scrape, f"/probe?target={CLUSTER}&job_id={JOB}", "60")
            api.wait_for_requests(1)
            exporter.send(signal.SIGTERM)
            assert probe.result(5).error(JOB) == "timeout"
            assert exporter.wait() == 0


def test_a_scrape_after_sigterm_is_refused_or_answered_in_time(tmp_path: Path) -> None:
    with SimulatedApi() as api, ThreadPoolExecutor(1) as pool:
        api.faults.inject(Hang())
        with Exporter(config(api), tmp_path) as exporter, requests.Session() as kept_alive:
            assert kept_alive.get(f"{exporter.url}/-/healthy", timeout=10).ok
            first = pool.submit(exporter.scrape, "/metrics", "60")
            api.wait_for_requests(1)
            exporter.send(signal.SIGTERM)
            wait_for("the signal", lambda: "msg=Stopping" in exporter.log.read_text())
            began = time.monotonic()
            with suppress(requests.ConnectionError):
                late = kept_alive.get(f"{exporter.url}/metrics", headers={TIMEOUT_HEADER: "60"}, timeout=10)
                assert Samples(late.text).error(JOB) == "timeout"
            assert first.result(10).error(JOB) == "timeout"
            assert exporter.wait() == 0
            assert time.monotonic() - began < 5.5


def test_a_job_that_waits_for_name_resolution_does_not_hold_up_the_exit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SLOW_RESOLVER)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path.cwd()}")
    cluster = {"cluster_id": CLUSTER, "base_url": "http://api.example", "api_key": KEY, "jobs": [JOB]}
    with Exporter({"clusters": [cluster]}, tmp_path) as exporter, ThreadPoolExecutor(1) as pool:
        scrape = pool.submit(exporter.scrape, "/metrics", "60")
        wait_for("the resolver", (tmp_path / "resolving").exists)
        exporter.send(signal.SIGTERM)
        began = time.monotonic()
        assert scrape.result(5).error(JOB) == "timeout"
        assert exporter.wait() == 0
        assert time.monotonic() - began < 5.5


@pytest.mark.parametrize("header", [None, "2.5"])
def test_a_client_that_gives_up_after_the_timeout_gets_its_answer_before(tmp_path: Path, header: str | None) -> None:
    """As Datadog does after 10 s; here in a quarter of the time."""
    with SimulatedApi() as api:
        for job_id in (JOB, OTHER):
            api.add(JobScript(job_id))
        api.faults.inject(Hang(), job_ids={JOB})
        hanging = config(api, jobs=[JOB, OTHER])
        timing = {} if header else {"scrape": {"timeout": "2500ms"}}
        headers = {TIMEOUT_HEADER: header} if header else {}
        with Exporter({**hanging, **timing}, tmp_path) as exporter:
            answer = requests.get(f"{exporter.url}/metrics", headers=headers, timeout=2.5)
    samples = Samples(answer.text)
    assert (samples.error(JOB), samples.state(OTHER)) == ("timeout", "Pending")


def test_sigterm_with_an_api_that_hangs_for_ever_still_exits_with_0(tmp_path: Path) -> None:
    with SimulatedApi() as api:
        api.faults.inject(Hang())
        with (
            Exporter(config(api), tmp_path) as exporter,
            socket.create_connection(("127.0.0.1", int(exporter.host.rpartition(":")[2]))) as client,
        ):
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            api.wait_for_requests(1)
            exporter.send(signal.SIGTERM)
            assert exporter.wait() == 0


def test_health_is_the_exit_code_of_whether_it_answers_and_says_why_not(tmp_path: Path) -> None:
    with SimulatedApi() as api, Exporter(config(api), tmp_path) as exporter:
        assert run("--health", f"--web.listen-address={exporter.host}").returncode == 0
        gone = exporter.host
    ended = run("--health", f"--web.listen-address={gone}")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"zilliz-import-exporter: no answer at {gone}: Connection refused\n"
