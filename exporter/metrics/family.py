"""What a metric family is: its name, labels and HELP, and how its samples are read from a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Generic, TypeVar

from exporter.collector.record import Record
from exporter.collector.snapshot import ClusterSnapshot
from exporter.metrics.files import JobSeries
from exporter.model import File, Job

CLUSTER = ("cluster_id",)
JOB_IDENTITY = ("cluster_id", "job_id")
JOB = ("cluster_id", "collection_name", "job_id")
"""Sets of labels; each label is a field of the snapshot."""

Row = tuple[tuple[str, ...], float]
"""One sample: the values of its family's labels, in the order of `Family.labels`, and the value."""

Rows = tuple[Row, ...]

Subject = TypeVar("Subject", JobSeries, ClusterSnapshot)
Item = TypeVar("Item")

Samples = Callable[[Item], Sequence[Row]]
"""Reads the samples of an item: for each the values of the family's `extra` labels, and the value."""


@dataclass(frozen=True, slots=True)
class Family(Generic[Subject]):
    """One metric family. `field` is the API field behind it, empty where this exporter itself is the source.

    `labels` are those of `identity`, whose values all samples of a subject share, and then those of `samples`. The
    latter returns none where there is nothing to say: a value that the API did not give is no sample.
    """

    name: str
    labels: tuple[str, ...]
    help: str
    field: str
    identity: Callable[[Subject], tuple[str, ...]]
    samples: Samples[Subject]
    kind: str = "gauge"

    def rows(self, subject: Subject) -> Rows:
        """The samples of a subject, with the values of all labels."""
        shared = self.identity(subject)
        return tuple([(shared + more, number) for more, number in self.samples(subject)])

    def differs(self, one: Subject, other: Subject) -> bool:
        """Whether two subjects have different samples; cheaper than their rows."""
        return self.samples(one) != self.samples(other) or self.identity(one) != self.identity(other)


JobFamily = Family[JobSeries]
ClusterFamily = Family[ClusterSnapshot]


def value(read: Callable[[Item], float | None]) -> Samples[Item]:
    """At most one sample, without `extra` labels: none where `read` returns None."""

    def samples(item: Item) -> Rows:
        number = read(item)
        return () if number is None else (((), float(number)),)

    return samples


def watch_gauge(
    name: str,
    documentation: str,
    field: str,
    samples: Samples[JobSeries],
    *,
    labels: tuple[str, ...] = JOB_IDENTITY,
    extra: tuple[str, ...] = (),
) -> JobFamily:
    """A family about a watched job, whether or not it could be read; `labels` are two or more of its fields."""
    label_values: Callable[[Record], tuple[str, ...]] = attrgetter(*labels)
    return Family(name, (*labels, *extra), documentation, field, lambda series: label_values(series.record), samples)


def job_gauge(
    name: str,
    documentation: str,
    field: str,
    samples: Samples[Job],
    *,
    labels: tuple[str, ...] = JOB,
    extra: tuple[str, ...] = (),
) -> JobFamily:
    """A family about what the API said of a job, while that is current; `labels` as for `watch_gauge`."""

    def current(series: JobSeries) -> Sequence[Row]:
        job = series.record.job
        return () if job is None else samples(job)

    return watch_gauge(name, documentation, field, current, labels=labels, extra=extra)


def file_gauge(
    name: str, documentation: str, field: str, samples: Samples[File], *, extra: tuple[str, ...] = ()
) -> JobFamily:
    """A family about each file of a job that has series of its own."""

    def of_files(series: JobSeries) -> Sequence[Row]:
        return [((file.name, *more), number) for file in series.files for more, number in samples(file)]

    return watch_gauge(name, documentation, field, of_files, labels=JOB, extra=("file_name", *extra))


def cluster_gauge(
    name: str, documentation: str, field: str, samples: Samples[ClusterSnapshot], *, extra: tuple[str, ...] = ()
) -> ClusterFamily:
    """A family about a cluster."""
    return Family(name, (*CLUSTER, *extra), documentation, field, lambda cluster: (cluster.cluster_id,), samples)
