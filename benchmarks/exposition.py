"""What an exposition costs against prometheus_client's `generate_latest` on the same samples.

Run it alone with `python -m benchmarks.exposition`.

The jobs look like Zilliz Cloud's replies, ten files each. A baseline is `generate_latest` over metric families that
are there already, so it leaves out what an exporter pays for making them; with gzip it is followed by zlib, level 1.
Times are CPU seconds of this process, the best of several runs. Nothing is asked of an API.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from benchmarks.programs import resident_bytes
from benchmarks.table import Row, print_rows
from exporter.collector.record import Record
from exporter.collector.snapshot import ClusterSnapshot
from exporter.config.schema import Files
from exporter.metrics.exposition import Exposition
from exporter.metrics.families import CLUSTER_FAMILIES, JOB_FAMILIES
from exporter.metrics.files import series_of
from exporter.metrics.own import OwnMetrics
from exporter.model import File, Job, Source, State
from tests.support.snapshots import known

CLUSTER_ID = "in01-0123456789abcde"
FILES = 10
REPEATS = 5
SIZES = {"100,000": 917, "600,000": 5500}
"""Jobs for about so many samples."""


UNLIMITED = Files(max_per_job=1000, max_total=10**9)

Jobs = dict[str, Record]
"""By id, as a snapshot has them."""


@dataclass
class Made:
    """Metric families that are there already."""

    families: list[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.families


def job(number: int, step: int | None = None) -> Record:
    """A completed job, or one under way at `step`, of which each changes the progress of job and files and the rows."""
    progress = 1.0 if step is None else (step * 37 + number) % 997 / 1000
    state = State.COMPLETED if step is None else State.IMPORTING
    done_at = 1741520527.0 + number if step is None else None
    job_id = f"4487613136{number:08d}"
    files = tuple(
        File(
            f"warehouse/2025-03/{number:05d}/part-{part:04d}.parquet",
            state,
            progress,
            3e8 + number * part,
            completed_at=done_at,
        )
        for part in range(FILES)
    )
    counts = {each: FILES if each is state else 0 for each in State}
    data = Job(
        job_id, "product_vectors", state, progress, 3e9 + number, 9e6, progress * 9e6, done_at, "", files, counts
    )
    refreshed = 1741530000.5 + (step or 0)
    return known(
        CLUSTER_ID, job_id, Source.DISCOVERY, "product_vectors", "default", 1741520000.25, True, None, refreshed, data
    )


def cluster(jobs: Mapping[str, Record]) -> ClusterSnapshot:
    return ClusterSnapshot(
        CLUSTER_ID,
        up=True,
        counts={Source.DISCOVERY: len(jobs)},
        waiting=0,
        omitted=0,
        scrape_duration=0.125,
        jobs=jobs,
    )


def by_id(jobs: Iterable[Record]) -> Jobs:
    return {each.job_id: each for each in jobs}


def families_of(snapshot: ClusterSnapshot, own: OwnMetrics) -> Made:
    """All the families of a plain collector."""
    jobs = [series_of(each, UNLIMITED) for each in snapshot.jobs.values()]
    made: list[Metric] = []
    for family in JOB_FAMILIES:
        metric = GaugeMetricFamily(family.name, family.help, labels=family.labels)
        for labels, value in (row for each in jobs for row in family.rows(each)):
            metric.add_metric(labels, value)
        made.append(metric)
    for about_cluster in CLUSTER_FAMILIES:
        metric = GaugeMetricFamily(about_cluster.name, about_cluster.help, labels=about_cluster.labels)
        for labels, value in about_cluster.rows(snapshot):
            metric.add_metric(labels, value)
        made.append(metric)
    return Made([*made, *own.collect()])


def cpu(work: Callable[[Jobs], object], prepare: Callable[[], Jobs] = dict) -> float:
    """CPU seconds of `work`, the best of several runs, each on what was prepared for it."""
    runs = []
    for _ in range(REPEATS):
        prepared = prepare()
        gc.collect()
        start = time.process_time()
        work(prepared)
        runs.append(time.process_time() - start)
    return min(runs)


class Bench:
    """An exposition of so many jobs, one in a hundred of them unfinished, and its baselines."""

    def __init__(self, jobs: int) -> None:
        self.unfinished = range(0, jobs, 100)
        self.own = OwnMetrics()
        self.own.add_cluster(CLUSTER_ID)
        self.steps = itertools.count(1)
        self.jobs = by_id(job(number, 0 if number in self.unfinished else None) for number in range(jobs))
        made = families_of(cluster(self.jobs), self.own)
        text = generate_latest(made)
        self.samples = sum(len(family.samples) for family in made.families)
        self.generated = cpu(lambda _: generate_latest(made))
        self.compressed = self.generated + cpu(lambda _: zlib.compress(text, 1))
        self.exposition = Exposition()
        self.scrape(dict(self.jobs), gzip=True)

    def scrape(self, jobs: Jobs, *, gzip: bool) -> None:
        body = self.exposition.body([cluster(jobs)], UNLIMITED, self.own.collect())
        sum(map(len, body.chunks(openmetrics=False, gzip=gzip)))

    def unchanged(self) -> Jobs:
        return dict(self.jobs)

    def one_in_a_hundred(self) -> Jobs:
        step = next(self.steps)
        self.jobs |= by_id(job(number, step) for number in self.unfinished)
        return dict(self.jobs)

    def one_expired(self) -> Jobs:
        del self.jobs[next(key for key, each in self.jobs.items() if each.job and each.job.state.finished)]
        return dict(self.jobs)

    def one_finished(self) -> Jobs:
        self.jobs |= by_id([job(10**6 + next(self.steps))])
        return dict(self.jobs)

    def everything(self) -> Jobs:
        self.exposition = Exposition()
        return by_id(job(number, next(self.steps)) for number in range(len(self.jobs)))

    def rows(self) -> Iterator[Row]:
        """All comparisons. "Everything changed" comes last, since it replaces what was shown."""
        # With fewer samples the exporter's own metrics, made anew at each scrape, weigh more.
        large = len(self.jobs) == max(SIZES.values())
        cases: list[tuple[str, Callable[[], Jobs], float | None]] = [
            ("one finished job expired", self.one_expired, None),
            ("one more finished job", self.one_finished, None),
            ("nothing changed", self.unchanged, 1 / 500 if large else None),
            ("1 % of jobs changed", self.one_in_a_hundred, 1 / 100 if large else None),
            ("everything changed", self.everything, 1.2),
        ]
        part = f"Expositions of about {round(self.samples, -5):,} samples, CPU"
        library, with_gzip = "generate_latest", "generate_latest and zlib 1"
        for case, prepare, limit in cases:
            compressed = cpu(lambda jobs: self.scrape(jobs, gzip=True), prepare)
            if case == "nothing changed":
                # The figure to reach compares with gzip to a baseline without.
                yield Row(part, f"{case}, gzip", compressed, "s", library, self.generated, limit)
            else:
                yield Row(part, f"{case}, gzip", compressed, "s", with_gzip, self.compressed, limit)
            plain = cpu(lambda jobs: self.scrape(jobs, gzip=False), prepare)
            yield Row(part, f"{case}, plain", plain, "s", library, self.generated)

    @property
    def generating_cpu(self) -> float:
        """CPU seconds of `generate_latest` with zlib, level 1, for each sample."""
        return self.compressed / self.samples


def memory(jobs: int) -> dict[str, int]:
    """Resident memory that finished jobs and their text add to a process, and the length of the text."""
    exposition = Exposition()
    exposition.body([cluster({})], UNLIMITED).size(openmetrics=False, gzip=True)
    before = resident_bytes(os.getpid())
    body = exposition.body([cluster(by_id(job(number) for number in range(jobs)))], UNLIMITED)
    text = sum(map(len, body.chunks(openmetrics=False, gzip=False)))
    sum(map(len, body.chunks(openmetrics=False, gzip=True)))
    return {"resident": resident_bytes(os.getpid()) - before, "text": text}


def memory_of_a_new_process(jobs: int) -> dict[str, int]:
    command = [sys.executable, "-m", "benchmarks.exposition", "--memory", str(jobs)]
    result: dict[str, int] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return result


def memory_row(jobs: int) -> Row:
    used = memory_of_a_new_process(jobs)
    part = "Expositions of finished jobs, memory"
    return Row(
        part, f"{jobs:,} jobs of {FILES} files", used["resident"], "bytes", "length of the text", used["text"], 0.5
    )


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--memory", type=int, metavar="JOBS", help="only print the memory that so many finished jobs take"
    )
    jobs = parser.parse_args().memory
    if jobs is not None:
        print(json.dumps(memory(jobs)))
        return
    rows = itertools.chain.from_iterable(Bench(jobs).rows() for jobs in SIZES.values())
    for _ in print_rows(itertools.chain(rows, [memory_row(max(SIZES.values()))]), {}):
        pass


if __name__ == "__main__":
    _main()
