"""What prometheus-community's json_exporter takes for the same jobs, where its binary is on the PATH.

It answers about one job at a time, so all jobs are probed side by side, as Prometheus would with a target for each.
"""

from __future__ import annotations

import http.client
import socket
import subprocess
import threading
import time
from pathlib import Path
from urllib.parse import urlencode

import yaml

from benchmarks.programs import Api
from exporter.demo.launch import DEMO_CLUSTER
from tests.support.simulated.server import KEY

BINARY = "json_exporter"
_AT_ONCE = 64
_LABELS = {"job_id": "{ .data.jobId }", "collection_name": "{ .data.collectionName }"}
_CONFIG = {
    "modules": {
        "default": {
            "headers": {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
            "body": {
                "content": f'{{"clusterId": "{DEMO_CLUSTER}", "jobId": "{{{{ .job | first }}}}"}}',
                "templatize": True,
            },
            "metrics": [
                {"name": "import_job_progress", "path": "{ .data.progress }", "labels": _LABELS},
                {"name": "import_job_rows", "path": "{ .data.totalRows }", "labels": _LABELS},
                {
                    "name": "import_file",
                    "type": "object",
                    "path": "{ .data.details[*] }",
                    "labels": {"file_name": "{ .fileName }"},
                    "values": {"progress": "{ .progress }", "size_bytes": "{ .fileSize }", "rows": "{ .totalRows }"},
                },
            ],
        }
    }
}


def probe_all(api: Api, directory: Path) -> float:
    """Wall seconds until it has answered about every job, 64 at a time, its connections to the API warm."""
    file = directory / "json_exporter.yml"
    file.write_text(yaml.safe_dump(_CONFIG), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    command = (BINARY, f"--config.file={file}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error")
    with subprocess.Popen(command) as process:
        try:
            _wait_for(port)
            _probe(api, port)
            begun = time.perf_counter()
            _probe(api, port)
            return time.perf_counter() - begun
        finally:
            process.terminate()


def _probe(api: Api, port: int) -> None:
    job_ids = iter(api.job_ids())
    lock = threading.Lock()
    failures: list[str] = []

    def work() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while True:
            with lock:
                job_id = next(job_ids, None)
            if job_id is None or failures:
                connection.close()
                return
            target = f"{api.url}/v2/vectordb/jobs/import/getProgress"
            connection.request("GET", "/probe?" + urlencode({"target": target, "job": job_id}))
            reply = connection.getresponse()
            text = reply.read()
            if reply.status != 200 or b"import_file_progress" not in text:
                failures.append(f"{reply.status} {text[:500]!r}")

    threads = [threading.Thread(target=work) for _ in range(_AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise RuntimeError(f"{BINARY} answered {failures[0]}")


def _wait_for(port: int, seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return
