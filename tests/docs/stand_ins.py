"""Stands in, on the PATH of a documented command, for programs that would reach out of the test; see terminal.py."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml

ANSWERS_AND_ENDS = frozenset({"--version", "--config.check", "--help", "--once", "--print"})


def setting(name: str) -> str:
    """What the terminal says about this run."""
    return os.environ[f"STAND_IN_{name}"]


def state(name: str) -> Path:
    """A file that the stand-ins share."""
    return Path(setting("STATE")) / name


def exporter(arguments: list[str]) -> int:
    """The exporter of the wheel on a free port and in the background, with the simulated API for the real ones."""
    os.environ["PYTHONPATH"] = setting("WHEEL")
    if {argument.partition("=")[0] for argument in arguments} & ANSWERS_AND_ENDS:
        command = [sys.executable, "-m", "exporter", *map(_simulated, arguments)]
        return subprocess.run(command, check=False).returncode
    if "--health" in arguments:
        arguments = [f"--web.listen-address={state('address').read_text()}", "--health"]
        return subprocess.run([sys.executable, "-m", "exporter", *arguments], check=False).returncode
    log = state("exporter.log")
    command = [sys.executable, "-m", "exporter", *map(_simulated, arguments), "--web.listen-address=127.0.0.1:0"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    with state("pids").open("a") as pids:
        pids.write(f"{process.pid}\n")
    while process.poll() is None:
        found = re.search(r"msg=Listening .*addresses=(\S+)", log.read_text())
        if found:
            state("address").write_text(found[1])
            return 0
        time.sleep(0.05)
    sys.stderr.write(log.read_text())
    return process.returncode or 1


def _simulated(argument: str) -> str:
    """A copy of the configuration, beside it, in which every API is the simulated one."""
    flag, _, name = argument.partition("=")
    if flag != "--config.file":
        return argument
    path = Path(name)
    config = yaml.safe_load(path.read_text())
    for cluster in config["clusters"]:
        cluster["base_url"] = setting("MILVUS" if cluster.get("api") == "milvus" else "CLOUD")
    copy = path.with_name(f".simulated-{path.name}")
    copy.write_text(yaml.safe_dump(config))
    return f"{flag}={copy}"


def curl(arguments: list[str]) -> int:
    """The real curl, led to the exporter under test; it fails on any error."""
    address = state("address").read_text()
    led = [argument.replace("localhost:10530", address) for argument in arguments]
    return subprocess.run([setting("CURL"), "--fail-with-body", *led], check=False).returncode


def make(arguments: list[str]) -> int:
    """Every target exists; nothing is made."""
    command = [setting("MAKE"), "--dry-run", *arguments]
    return subprocess.run(command, cwd=setting("ROOT"), stdout=subprocess.DEVNULL, check=False).returncode


def installer(arguments: list[str]) -> int:
    """An installation of the checkout, which the release check carries out; here only its words are read."""
    rest = [argument for argument in arguments if argument not in ("install", "--upgrade")]
    return 0 if rest == ["."] else 2


def docker(arguments: list[str]) -> int:
    """A docker that has everything: files that a command names exist."""
    for flag in ("-f", "--file"):
        if flag in arguments:
            file = Path(arguments[arguments.index(flag) + 1])
            if not file.is_file():
                sys.stderr.write(f"no such file: {file}\n")
                return 1
    return 0


def helm(arguments: list[str]) -> int:
    """A helm that installs everything: the chart exists and has every value that is set; `make chart-check` renders."""
    (chart,) = (Path(argument) for argument in arguments if argument.startswith("deploy/"))
    known = yaml.safe_load((chart / "values.yaml").read_text()).keys()
    pairs = list(itertools.pairwise(arguments))
    given = {value.partition("=")[0].partition(".")[0] for flag, value in pairs if flag == "--set"}
    for name in (value for flag, value in pairs if flag == "--values"):
        given |= yaml.safe_load(Path(name).read_text()).keys()
    sys.stderr.writelines(f"no such value: {name}\n" for name in given - known)
    return len(given - known)


def as_root(arguments: list[str]) -> int:
    """Nothing is done as root: what is copied exists, and that is all."""
    sources = [Path(word) for word in arguments[1:] if word.startswith(("deploy/", "prometheus/", "grafana/"))]
    missing = [str(source) for source in sources if not source.exists()]
    sys.stderr.writelines(f"no such file: {name}\n" for name in missing)
    return len(missing)


PROGRAMS: Mapping[str, Callable[[list[str]], int]] = {
    "zilliz-import-exporter": exporter,
    "curl": curl,
    "make": make,
    "pip": installer,
    "pipx": installer,
    "uvx": installer,
    "docker": docker,
    "helm": helm,
    "kubectl": lambda _arguments: 0,
    "sudo": as_root,
}

if __name__ == "__main__":
    sys.exit(PROGRAMS[sys.argv[1]](sys.argv[2:]))
