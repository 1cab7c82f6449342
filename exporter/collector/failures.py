"""What the log says of one cluster: calls that fail and work again, imports that failed, lists that are odd."""

from __future__ import annotations

from collections.abc import Callable

from exporter.api.causes import cause
from exporter.api.errors import ApiError
from exporter.collector.breaker import DOWN, Operation
from exporter.collector.record import Polling, Record
from exporter.collector.scrape import Scrape
from exporter.log import FailureLog, get_logger
from exporter.model import ErrorClass, Job, ListPage, State

log = get_logger()

JobFinished = Callable[[str, str, State | None], None]
"""Takes the cluster id, the collection and the state of a job that this process saw finish, None while it is not.


A counter starts at 0 with the latter, so that the first job to finish is an increase.
"""


class ClusterLog:
    """Logs what happens to one cluster: failures of all of it once, of calls by class, of jobs and lists each."""

    def __init__(self, cluster_id: str, failures: FailureLog, finished: JobFinished) -> None:
        self._cluster_id = cluster_id
        self._failures = failures
        self._finished = finished
        # The jobs and lists of which a failure was logged.
        self._failing: set[tuple[Operation, str]] = set()
        self._answers = False

    def job_answered(self, before: Record | None, after: Record | None, job: Job) -> None:
        """Log an import that is first seen as Failed, with its whole reason, and count one that was seen to finish.

        `after` is None for a job that finished too long ago to be watched.
        """
        if before is None:
            return
        name, known = job.collection_name or before.collection_name, before.state.answer
        if not job.state.finished:
            if not isinstance(before.state, Polling):
                self._finished(self._cluster_id, name, None)
            return
        seen = before.seen_unfinished or before.new_in_list
        if job.state is State.FAILED and (known is None or known.job.state is not State.FAILED) and (after or seen):
            log.warning(
                "Import failed",
                cluster_id=self._cluster_id,
                job_id=before.job_id,
                collection_name=name,
                cause=cause(job.whole_reason or job.failure_reason),
                reason=job.whole_reason or job.failure_reason or "the API gave none",
            )
        if seen and not before.seen_finished:
            self._finished(self._cluster_id, name, job.state)

    def first_answer(self, jobs: int) -> None:
        """Log, once, that the API gives usable answers; `jobs` is the number of watched jobs."""
        if not self._answers:
            self._answers = True
            log.info("First usable answer of the import API", cluster_id=self._cluster_id, jobs=jobs)

    def page_read(self, subject: str, page: ListPage) -> None:
        """Log records of a list that name no job."""
        if page.unusable:
            key, fields = (self._cluster_id, subject, "records"), {"cluster_id": self._cluster_id, "request": subject}
            message = "The list has records without a usable job id"
            self._failures.failing(key, None, message, **fields, records=page.unusable)

    def scrape_ended(self, scrape: Scrape, *, down: bool) -> None:
        """Log failures and recoveries. `down`: all calls failed alike, so that the cluster is at fault."""
        by_class: dict[ErrorClass, list[tuple[dict[str, str], ApiError]]] = {}
        for operation, subject, error in scrape.outcomes:
            name = {"job_id": subject} if operation == "progress" else {"request": subject}
            if error is None:
                if (operation, subject) in self._failing:
                    self._failing.discard((operation, subject))
                    self._recovered(subject, "Import API answers again", **name)
            elif error.error in DOWN and not error.of_one_job:
                by_class.setdefault(error.error, []).append((name, error))
            else:
                self._failing.add((operation, subject))
                self._failed(subject, error, "Import API gave no usable answer", **name)
        if down and by_class:
            self._failed("", next(iter(by_class.values()))[-1][1], "Import API cannot be read")
            return
        for error_class in DOWN:
            if failed := by_class.get(error_class):
                name, error = failed[0]
                self._failed(error_class, error, "Import API failed for some calls", **name, calls=len(failed))
            elif scrape.outcomes:
                self._recovered(error_class, "Import API answers again", error=error_class)
        if not DOWN.issuperset(scrape.errors("progress", "list")):
            self._recovered("", "Import API can be read again")
        self._failing = {each for each in self._failing if each[0] == "list" or each[1] in scrape.jobs}

    def lists_read(self, jobs: int, *, cut_off: bool) -> None:
        """Log that the lists are longer than is read, or that they were read to their ends again."""
        key, fields = (self._cluster_id, "lists read"), {"cluster_id": self._cluster_id, "jobs": jobs}
        if cut_off:
            self._failures.failing(key, None, "Lists are too long, the jobs beyond are not found", **fields)
        else:
            self._failures.working(key, "Lists are read to their ends again", **fields)

    def _failed(self, subject: str, error: ApiError, message: str, **more: object) -> None:
        key, fields = (self._cluster_id, subject), {"cluster_id": self._cluster_id, **more}
        self._failures.failing(key, error.error, message, **fields, error=error.error, detail=str(error))

    def _recovered(self, subject: str, message: str, **more: object) -> None:
        self._failures.working((self._cluster_id, subject), message, cluster_id=self._cluster_id, **more)
