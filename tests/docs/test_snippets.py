"""Every command and every configuration in the documents works as it stands."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import promql_parser
import pytest
import requests
import responses
import yaml

from exporter.config.joblists import parse_job_list
from exporter.config.load import Loader
from exporter.web.webconfig import WebConfigFile
from tests.docs.markdown import ROOT, Fence, all_fences, documents, fences
from tests.docs.terminal import JOB_ID, Terminal
from tests.support.authority import Authority
from tests.support.promtool import binaries, run
from tests.support.rules import GRAFANA, RULES, SCRAPE_JOB

ENVIRONMENT = {"ZILLIZ_API_KEY": "your-key", "MILVUS_USER_PASSWORD": "root:Milvus"}
KINDS = {
    ("bash", ""),
    ("promql", ""),
    ("python", ""),
    ("python", "airflow"),
    ("python", "pymilvus"),
    ("text", ""),
    ("yaml", "exporter"),
    ("yaml", "helm"),
    ("yaml", "prometheus"),
    ("yaml", "web"),
}


def each(language: str, kind: str = "") -> pytest.MarkDecorator:
    """The test is run with each such block of the documents."""
    return pytest.mark.parametrize("fence", all_fences(language, kind), ids=str)


def with_commands() -> list[Path]:
    """The documents that have commands."""
    return [document for document in documents() if any(fence.language == "bash" for fence in fences(document))]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked wheel of this checkout."""
    built = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target=wheel", f"--directory={built}"]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (packed,) = built.glob("*.whl")
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(built / "unpacked")
    return built / "unpacked"


def test_each_block_says_what_it_is() -> None:
    strange = [
        str(fence)
        for document in documents()
        for fence in fences(document)
        if (fence.language, fence.kind) not in KINDS
    ]
    assert strange == []


@pytest.mark.needs("curl")
@pytest.mark.parametrize("document", with_commands(), ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_work_in_the_order_in_which_they_stand(document: Path, wheel: Path, tmp_path: Path) -> None:
    with Terminal(tmp_path, wheel) as terminal:
        terminal.follow(document)
        for handed_over in terminal.home.glob("jobs.d/*.yaml"):
            assert parse_job_list(handed_over.read_bytes()) == (JOB_ID,)
        for rules in terminal.home.glob("*.rules.yml"):
            assert rules.read_text() == RULES.read_text().replace(GRAFANA, "https://grafana.example.com")


def test_a_command_that_fails_is_noticed(wheel: Path, tmp_path: Path) -> None:
    fence = Fence(tmp_path / "page.md", 1, "bash", "", {}, "pip install something-else\n")
    with Terminal(tmp_path, wheel) as terminal, pytest.raises(AssertionError):
        terminal.run([fence])


def test_the_documented_command_is_that_of_the_wheel(wheel: Path, tmp_path: Path) -> None:
    changed = shutil.copytree(wheel, tmp_path / "wheel")
    (changed / "exporter/files/config.example.yaml").write_text("# of the wheel\n")
    command = 'test "$(zilliz-import-exporter --print=config)" = "# of the wheel"\n'
    with Terminal(tmp_path, changed) as terminal:
        terminal.run([Fence(tmp_path / "page.md", 1, "bash", "", {}, command)])


@each("yaml", "exporter")
def test_configurations_are_valid(fence: Fence, tmp_path: Path) -> None:
    for cluster in yaml.safe_load(fence.body)["clusters"]:
        if key_file := cluster.get("api_key_file"):
            path = tmp_path / key_file
            path.write_text("your-key\n")
            path.chmod(0o600)
        for pattern in cluster.get("job_lists", ()):
            (tmp_path / pattern).parent.mkdir(exist_ok=True)
    config = tmp_path / "config.yaml"
    config.write_text(fence.body)
    loaded = Loader(config, {name: value for name, value in ENVIRONMENT.items() if name in fence.body}).load()
    assert loaded.warnings == loaded.list_problems == ()


@pytest.mark.needs("promtool")
@each("yaml", "prometheus")
def test_prometheus_takes_its_configurations(fence: Fence, tmp_path: Path) -> None:
    (tmp_path / "zilliz-import.rules.yml").symlink_to(RULES)
    config = tmp_path / "prometheus.yml"
    config.write_text(fence.body)
    assert {job["job_name"] for job in yaml.safe_load(fence.body).get("scrape_configs", ())} <= {SCRAPE_JOB}
    for promtool in binaries():
        good, said = run("check", "config", config, binary=promtool)
        assert good, said


@each("yaml", "web")
def test_web_configurations_are_valid(fence: Fence, tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path).issue("localhost")
    certificate.rename(tmp_path / "server.crt")
    key.rename(tmp_path / "server.key")
    (tmp_path / "server.key").chmod(0o600)
    config = tmp_path / "web.yml"
    config.write_text(fence.body)
    config.chmod(0o600)
    loaded = WebConfigFile(config).load()
    assert loaded.tls is not None
    assert loaded.users


@each("promql")
def test_queries_can_be_parsed(fence: Fence) -> None:
    promql_parser.parse(fence.body)


@each("python", "airflow")
def test_an_airflow_task_hands_over_its_job(fence: Fence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "airflow", ModuleType("airflow"))
    monkeypatch.setitem(sys.modules, "airflow.sdk", AirflowSdk())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jobs.d").mkdir()
    names: dict[str, Any] = {}
    exec(compile(fence.body, str(fence), "exec"), names)  # the documents' own code
    with responses.RequestsMock() as api:
        api.post(names["API"], json={"code": 0, "data": {"jobId": JOB_ID}})
        assert names["import_articles"]() == JOB_ID
        assert api.calls[0].request.headers["Authorization"] == "Bearer your-key"
    with responses.RequestsMock() as api:
        api.post(names["API"], json={"code": 80001, "message": "The token is illegal"})
        with pytest.raises(RuntimeError, match="illegal"):
            names["import_articles"]()
    assert [path.name for path in (tmp_path / "jobs.d").iterdir()] == [f"{JOB_ID}.yaml"]
    assert parse_job_list((tmp_path / "jobs.d" / f"{JOB_ID}.yaml").read_bytes()) == (JOB_ID,)


@each("python", "pymilvus")
def test_a_pymilvus_script_starts_an_import_and_prints_its_id(
    fence: Fence, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = BulkWriter()
    monkeypatch.setitem(sys.modules, "pymilvus", ModuleType("pymilvus"))
    monkeypatch.setitem(sys.modules, "pymilvus.bulk_writer", writer)
    monkeypatch.setenv("ZILLIZ_API_KEY", "your-key")
    monkeypatch.setenv("ZILLIZ_CLUSTER_ID", "in01-0123456789abcde")
    exec(compile(fence.body, str(fence), "exec"), {})  # the documents' own code
    assert capsys.readouterr().out == f"{JOB_ID}\n"
    assert writer.given["cluster_id"] == "in01-0123456789abcde"
    assert writer.given["api_key"] == "your-key"


class BulkWriter(ModuleType):
    """As much of pymilvus' bulk writer as the documents use, with the parameters of pymilvus 3.0.2."""

    def __init__(self) -> None:
        super().__init__("pymilvus.bulk_writer")
        self.given: dict[str, object] = {}

    def bulk_import(
        self,
        url: str,
        collection_name: str,
        *,
        object_urls: list[list[str]],
        cluster_id: str,
        api_key: str,
        access_key: str,
        secret_key: str,
    ) -> requests.Response:
        """Start no import, and answer as Zilliz Cloud does."""
        self.given = {"url": url, "cluster_id": cluster_id, "api_key": api_key}
        reply = requests.Response()
        reply.status_code = 200
        reply._content = f'{{"code": 0, "data": {{"jobId": "{JOB_ID}"}}}}'.encode()
        return reply


class AirflowSdk(ModuleType):
    """As much of Airflow's task interface as the documents use."""

    def __init__(self) -> None:
        super().__init__("airflow.sdk")
        self.Variable = {"zilliz_api_key": "your-key"}

    def task(self, function: Callable[[], str]) -> Callable[[], str]:
        """A task that is run when it is called."""
        return function
