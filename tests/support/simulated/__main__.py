"""Run the server by itself: `python -m tests.support.simulated --jobs=1000`; its URL is the first line printed."""

from __future__ import annotations

import argparse
import signal
import ssl
import sys

from exporter.demo.launch import DEMO_CLUSTER, DEMO_SPEED
from exporter.demo.library import cloud_cast, milvus_cast
from tests.support.simulated.bulk import bulk_jobs
from tests.support.simulated.clock import ScenarioClock
from tests.support.simulated.server import KEY, MILVUS, SimulatedApi


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.support.simulated", description=__doc__)
    parser.add_argument("--api", choices=("zilliz", "milvus"), default="zilliz", help="whose URL to print first")
    parser.add_argument("--port", type=int, default=0, help="of Zilliz Cloud's API; 0 takes any")
    parser.add_argument("--milvus-port", type=int, default=0, help="of the Milvus; 0 takes any")
    parser.add_argument("--cluster-id", default=DEMO_CLUSTER, help="the Zilliz Cloud cluster that has the jobs")
    parser.add_argument("--key", default=KEY, help="the key that Zilliz Cloud accepts; the Milvus asks for none")
    parser.add_argument("--latency", type=float, default=0.05, help="seconds before each reply")
    parser.add_argument("--speed", type=float, help="scenario seconds per second; 12, or 1 with --jobs")
    parser.add_argument("--jobs", type=int, help="that many jobs, all alike, in place of the demo's")
    parser.add_argument("--files", type=int, default=5, help="files of each of --jobs")
    parser.add_argument("--unfinished", type=float, default=1.0, help="share of --jobs that is under way, 0 to 1")
    parser.add_argument("--tls-cert", help="PEM file; serves https")
    parser.add_argument("--tls-key", help="PEM file")
    return parser.parse_args()


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    arguments = _arguments()
    context = None
    if arguments.tls_cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments.tls_cert, arguments.tls_key)
    bulk = arguments.jobs is not None
    speed = arguments.speed if arguments.speed is not None else 1.0 if bulk else DEMO_SPEED
    api = SimulatedApi(
        clock=ScenarioClock(speed),
        latency=arguments.latency,
        port=arguments.port,
        milvus_port=arguments.milvus_port,
        ssl_context=context,
        keep_requests=1000,
    )
    api.cloud.keys = {arguments.key}
    for cluster, cast in ((arguments.cluster_id, cloud_cast), (MILVUS, milvus_cast)):
        if bulk:
            api.add(*bulk_jobs(arguments.jobs, files=arguments.files, unfinished=arguments.unfinished), cluster=cluster)
        else:
            api.add(*cast(0), cluster=cluster)
    # Blocked before any thread starts, so that every thread leaves them to sigwait.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    with api:
        urls = (api.url, api.milvus_url) if arguments.api == "zilliz" else (api.milvus_url, api.url)
        sys.stdout.write("".join(f"{url}\n" for url in urls))
        sys.stdout.flush()
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
