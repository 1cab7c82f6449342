"""Run the server by itself: `python -m tests.support.simulated --jobs=1000`; its URL is the first line printed."""

from __future__ import annotations

import argparse
import signal
import ssl
import sys

from exporter.demo.launch import DEMO_CLUSTER
from tests.support.simulated.bulk import bulk_jobs
from tests.support.simulated.clock import ScenarioClock
from tests.support.simulated.server import MILVUS, SimulatedApi


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.support.simulated", description=__doc__)
    parser.add_argument("--api", choices=("zilliz", "milvus"), default="zilliz", help="whose URL to print first")
    parser.add_argument("--latency", type=float, default=0.05, help="seconds before each reply")
    parser.add_argument("--speed", type=float, default=1.0, help="scenario seconds per second")
    parser.add_argument("--jobs", type=int, default=1000, help="how many jobs each API has, all alike")
    parser.add_argument("--files", type=int, default=5, help="files of each job")
    parser.add_argument("--unfinished", type=float, default=1.0, help="share of the jobs that is under way, 0 to 1")
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
    clock = ScenarioClock(arguments.speed)
    api = SimulatedApi(clock=clock, latency=arguments.latency, ssl_context=context, keep_requests=1000)
    jobs = tuple(bulk_jobs(arguments.jobs, files=arguments.files, unfinished=arguments.unfinished))
    for cluster in (DEMO_CLUSTER, MILVUS):
        api.add(*jobs, cluster=cluster)
    # Blocked before any thread starts, so that every thread leaves them to sigwait.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    with api:
        urls = (api.url, api.milvus_url) if arguments.api == "zilliz" else (api.milvus_url, api.url)
        sys.stdout.write("".join(f"{url}\n" for url in urls))
        sys.stdout.flush()
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
