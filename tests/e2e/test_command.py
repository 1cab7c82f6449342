"""The command as a person and an init system meet it: exit codes, sentences, signals."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest
import requests

from tests.doors.site import Site, users
from tests.support.exporter import Exporter
from tests.support.program import wait_for
from tests.support.simulated import CLUSTER, KEY, JobScript, SimulatedApi
from tests.support.simulated.faults import Hang

pytestmark = pytest.mark.e2e

JOB = "448761313698322011"


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
    assert len(ended.stderr.splitlines()) == 1
    assert str(port) in ended.stderr
    assert "such as --web.listen-address=:10531" in ended.stderr


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
