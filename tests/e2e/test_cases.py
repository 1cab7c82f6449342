"""What users reported of bulk imports, as small inputs to the real command: nothing that the API says gets lost."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.exporter import Exporter, Samples
from tests.support.hostile import reply
from tests.support.standin import StandIn, at, denied, file, job

pytestmark = pytest.mark.e2e

CLOUD = "in01-00000000000000c"
MILVUS = "milvus-c"
CHANGE = "job_last_change_timestamp_seconds"
FORBIDDEN = reply({"code": 80001, "message": "The token is illegal."}, "403 Forbidden")


@pytest.fixture
def api() -> Iterator[StandIn]:
    with StandIn() as running:
        yield running


class Case:
    """The exporter in front of a stand-in: it asks about everything at each scrape."""

    def __init__(self, api: StandIn, directory: Path) -> None:
        self._api = api
        self._directory = directory
        self._runs = 0

    def cloud(self, *jobs: str, **keys: Any) -> Exporter:
        """Start it on a cluster of Zilliz Cloud."""
        return self._start(jobs, {"cluster_id": CLOUD, "api_key": "key-of-a-case", **keys})

    def milvus(self, *jobs: str, **keys: Any) -> Exporter:
        """Start it on a Milvus."""
        return self._start(jobs, {"cluster_id": MILVUS, "api": "milvus", "api_key": "reader:pass-of-a-case", **keys})

    def _start(self, jobs: tuple[str, ...], keys: dict[str, Any]) -> Exporter:
        self._runs += 1
        discovery = {"refresh_interval": "0s", **keys.pop("discovery", {})}
        sections = {name: keys.pop(name) for name in ("files",) if name in keys}
        cluster = {"base_url": self._api.url, "requests_per_second": 0, "discovery": discovery, **keys}
        config = {
            "clusters": [cluster | ({"jobs": list(jobs)} if jobs else {})],
            "scrape": {"fresh_for": "0s"},
            **sections,
        }
        return Exporter(config, self._directory / str(self._runs), "--config.auto-reload-interval=0s")


@pytest.fixture
def case(api: StandIn, tmp_path: Path) -> Case:
    return Case(api, tmp_path)


def reasons(shown: Samples, job_id: str) -> list[tuple[str, str]]:
    return [(has["cause"], has["reason"]) for has, _ in shown.all("job_failure_info", job_id=job_id)]


def listed(shown: Samples) -> dict[str, float]:
    """What the lists name, by state, without zeros."""
    return {has["state"]: value for has, value in shown.all("cluster_listed_jobs") if value}


def finished(shown: Samples) -> dict[str, float]:
    """The jobs that were seen to finish, by state, without zeros."""
    return {has["state"]: value for has, value in shown.all("jobs_finished_total") if value}


def watched(shown: Samples) -> set[str]:
    return {has["job_id"] for has, _ in shown.all("job_info")}


def import_failed(exporter: Exporter) -> dict[str, str]:
    """The lines of the log about imports that failed, by job."""
    lines = [line for line in exporter.log.read_text().splitlines() if "Import failed" in line]
    found = {re.search(r"job_id=\"?([\w-]+)", line): line for line in lines}
    return {match[1]: line for match, line in found.items() if match}


DIMENSION = "field 'embedding' has dimension 256, expected 1024"


def test_a_job_that_fails_while_the_exporter_is_down_is_shown_with_its_reason(api: StandIn, case: Case) -> None:
    now = time.time()
    api.names("InProgress", *(job(f"job-{name}") for name in ("bare", "files", "null", "old", "done")))
    with case.cloud() as exporter:
        assert {exporter.scrape().state(job_id) for job_id in api.jobs} == {"Importing"}
    failed: dict[str, dict[str, object]] = {
        # Nothing says when it ended.
        "job-bare": job("job-bare", "Failed", reason=DIMENSION),
        # Only its files do.
        "job-files": job(
            "job-files",
            "Failed",
            reason=DIMENSION,
            completeTime=None,
            details=[file("a", completeTime=at(now - 7200)), file("b", "Failed", completeTime=at(now - 3600))],
        ),
        "job-null": {"jobId": "job-null", "state": "FAILED", "errorMessage": "import timeout", "details": None},
        "job-old": job("job-old", "Failed", reason=DIMENSION, completeTime=at(now - 90_000)),
        "job-done": job("job-done", "Completed"),
    }
    api.names("Failed", *failed.values())
    with case.cloud() as exporter:
        for _ in range(3):
            shown = exporter.scrape()
        for job_id in ("job-bare", "job-files", "job-null"):
            assert (shown.state(job_id), shown.value("job_up", job_id=job_id)) == ("Failed", 1)
        assert reasons(shown, "job-bare") == reasons(shown, "job-files") == [("schema", DIMENSION)]
        assert reasons(shown, "job-null") == [("timeout", "import timeout")]
        assert shown.value(CHANGE, job_id="job-bare") is None
        assert shown.value(CHANGE, job_id="job-files", state="Failed") == pytest.approx(now - 3600, abs=1)
        # Its end is too long ago; and of a Completed job of unknown age nothing is to be done.
        assert watched(shown) == {"job-bare", "job-files", "job-null"}
        assert import_failed(exporter).keys() == {"job-bare", "job-files", "job-null"}
        assert DIMENSION in import_failed(exporter)["job-bare"]
        assert finished(shown) == {}
    assert api.asked[-3:].count("job-bare") <= 1


@pytest.mark.parametrize(
    ("first", "is_new"), [("empty", True), ("refused, then empty", True), ("refused, and never empty", False)]
)
def test_the_first_import_of_a_cluster_that_ends_before_the_next_list_is_shown(
    api: StandIn, case: Case, first: str, is_new: bool
) -> None:
    api.lists[""] = () if first == "empty" else FORBIDDEN
    with case.cloud() as exporter:
        exporter.scrape()
        exporter.scrape()
        if first == "refused, then empty":
            api.lists[""] = ()
            exporter.scrape()
        began = time.time()
        api.names("Failed", job("job-first", "Failed", reason="no such object"))
        shown = exporter.scrape()
        assert shown.state("job-first") == "Failed"
        assert reasons(shown, "job-first") == [("storage", "no such object")]
        assert import_failed(exporter).keys() == {"job-first"}
        change = shown.value(CHANGE, job_id="job-first")
        assert change == (pytest.approx(began, abs=10) if is_new else None)
        assert finished(shown) == ({"Failed": 1} if is_new else {})
        api.names("Completed", job("job-second", "Completed"))
        shown = exporter.scrape()
        assert (shown.state("job-second"), shown.state("job-first")) == ("Completed", "Failed")
        assert finished(shown) == {"Completed": 1} | ({"Failed": 1} if is_new else {})


def backlog(states: Mapping[int, str], jobs: int = 120) -> list[dict[str, object]]:
    return [job(str(459_000_000_000_000_000 + number), states.get(number, "Pending")) for number in range(jobs)]


def test_a_long_queue_crowds_out_neither_what_runs_nor_what_fails(api: StandIn, case: Case) -> None:
    def goes_on(states: Mapping[int, str]) -> None:
        jobs = backlog(states)
        api.jobs = {str(each["jobId"]): each for each in jobs}
        api.lists[""] = [{"jobId": each["jobId"], "collectionName": "orders", "state": each["state"]} for each in jobs]

    # The oldest run, one of the youngest waits for its commit, one is in a state that nobody has heard of.
    running = dict.fromkeys(range(12), "Importing")
    goes_on({**running, 100: "Uncommitted", 101: "Defragmenting"})
    with case.milvus(discovery={"max_jobs": 40}) as exporter:
        shown = exporter.scrape()
        states = [shown.state(str(459_000_000_000_000_000 + number)) for number in (*range(12), 100, 101)]
        assert states == ["Importing"] * 12 + ["Uncommitted", "Unknown"]
        # The next in the queue are those that wait longest.
        waiting = sorted(job_id for job_id in watched(shown) if shown.state(job_id) == "Pending")
        assert waiting == [str(459_000_000_000_000_000 + number) for number in range(12, 38)]
        assert shown.value("cluster_jobs_omitted") == 80
        assert listed(shown) == {"Importing": 12, "Pending": 106, "Uncommitted": 1, "Unknown": 1}
        # Some of those that ran have failed, the next ones run, and one fails that was never watched.
        failed = dict.fromkeys((*range(5), 90), "Failed")
        goes_on({**running, **dict.fromkeys(range(12, 18), "Importing"), **failed})
        exporter.scrape()
        shown = exporter.scrape()
        states = [shown.state(str(459_000_000_000_000_000 + number)) for number in (*range(5, 18), 90)]
        assert states == ["Importing"] * 13 + ["Failed"]
        assert listed(shown) == {"Failed": 6, "Importing": 13, "Pending": 101}
        assert finished(shown) == {"Failed": 6}
        assert len(import_failed(exporter)) == 6
        # There is room for five of the six that failed, and which they are does not change.
        shows = [
            {job_id for job_id in watched(shown) if shown.state(job_id) == "Failed"}
            for shown in (exporter.scrape(), exporter.scrape(), exporter.scrape())
        ]
        assert [len(each) for each in shows] == [5, 5, 5]
        assert finished(exporter.scrape()) == {"Failed": 6}


def test_as_many_jobs_as_milvus_allows_unfinished_are_nearly_all_watched(api: StandIn, case: Case) -> None:
    states = dict.fromkeys(range(16), "Importing")
    everything = backlog(states, 1024)
    api.jobs = {str(each["jobId"]): each for each in everything}
    api.lists[""] = [{"jobId": each["jobId"], "state": each["state"]} for each in everything]
    with case.milvus() as exporter:
        shown = exporter.scrape(timeout="60")
        assert shown.value("cluster_jobs", source="discovery") == 1000
        assert shown.value("cluster_jobs_omitted") == 24
        assert listed(shown) == {"Importing": 16, "Pending": 1008}
        assert sum(value for _, value in shown.all("job_state", state="Importing")) == 16


def test_what_only_a_file_says_is_the_reason_of_its_job(api: StandIn, case: Case) -> None:
    price = "parse row 40: value of field 'price' is not a float"
    api.names(
        "Failed",
        job("job-1", "Failed", details=[file("lake/a"), file("lake/b", "Failed", reason=price)]),
        job(
            "job-2",
            "Failed",
            reason=None,
            details=[
                file("lake/z", "Failed", reason="disk quota exceeded"),
                file("lake/y", "Failed", errorMessage="no such object", reason=None),
                file("lake/x", "Failed"),
            ],
        ),
        job("job-3", "Failed", reason="2 files failed", details=[file("lake/c", "Failed", reason=price)]),
        job("job-4", "Failed", reason=price, details=[file("lake/d", "Failed", reason=price)]),
    )
    with case.cloud() as exporter:
        shown = exporter.scrape()
        assert reasons(shown, "job-1") == [("schema", price)] or reasons(shown, "job-1") == [("other", price)]
        assert reasons(shown, "job-2") == [("storage", "no such object")]
        assert [reason for _, reason in reasons(shown, "job-3")] == ["2 files failed"]
        of_files = {(has["job_id"], has["file_name"]): has["reason"] for has, _ in shown.all("file_failure_info")}
        assert of_files == {
            ("job-1", "lake/b"): price,
            ("job-2", "lake/y"): "no such object",
            ("job-2", "lake/z"): "disk quota exceeded",
            ("job-3", "lake/c"): price,
        }
        assert import_failed(exporter).keys() == {"job-1", "job-2", "job-3", "job-4"}
        assert "value of field" in import_failed(exporter)["job-1"]


def numbered(files: int, **states: str) -> list[dict[str, object]]:
    """Files `day/000` and so on; `f17="Failed"` gives the state of one that is not Completed."""
    return [
        file(
            f"day/{number:03}",
            states.get(f"f{number}", "Completed"),
            reason=f"file {number}" * (f"f{number}" in states),
        )
        for number in range(files)
    ]


def test_a_failed_file_is_listed_however_many_come_before_it(api: StandIn, case: Case) -> None:
    api.names(
        "InProgress",
        job("job-1", "Failed", reason="1 file failed", details=numbered(400, f390="Failed")),
        job("job-2", "Importing", details=numbered(300, f250="Importing", f260="Failed")),
        job("job-3", "Completed", details=numbered(90), completeTime=at(time.time() - 60)),
    )
    # Room for the failed and the running job; the youngest, which is Completed, gets what is left.
    with case.cloud(files={"max_total": 210}) as exporter:
        shown = exporter.scrape()
        assert shown.state("job-1", "file_state", file_name="day/390") == "Failed"
        assert shown.state("job-2", "file_state", file_name="day/250") == "Importing"
        assert shown.state("job-2", "file_state", file_name="day/260") == "Failed"
        omitted = [shown.value("job_files_omitted", job_id=job_id) for job_id in ("job-1", "job-2", "job-3")]
        assert omitted == [300, 200, 80]
        assert shown.value("job_files", job_id="job-1", state="Failed") == 1
        assert shown.all("file_failure_info", file_name="day/390")[0][0]["reason"] == "file 390"


PATH = "/".join(f"partition={number:04}" for number in range(60))
LONG_REASONS = {
    "459000000000000001": (
        f"read parquet failed: open object bucket/{PATH}/part-00003.parquet: "
        "column 'vector' has 96 entries in row 12, expected 128: importing data failed"
    ),
    "459000000000000002": "导入失败 " + "目录" * 300 + " 字段 'lang' 不在 schema 中",
    "459000000000000003": "stack trace: " + "frame at importer.go; " * 100 + "caused by: disk quota exceeded",
}


def test_a_long_reason_keeps_its_end_and_is_logged_whole(api: StandIn, case: Case) -> None:
    api.names("Failed", *(job(job_id, "Failed", reason=reason) for job_id, reason in LONG_REASONS.items()))
    api.jobs["459000000000000003"] = job(
        "459000000000000003", "Failed", details=[file("a", "Failed", reason=LONG_REASONS["459000000000000003"])]
    )
    with case.milvus() as exporter:
        shown = exporter.scrape()
        for job_id, reason in LONG_REASONS.items():
            ((_, exposed),) = reasons(shown, job_id)
            assert len(exposed.encode()) <= 512 < len(reason.encode())
            assert exposed[:20] == reason[:20]
            assert exposed[-20:] == reason[-20:]
        logged = import_failed(exporter)
        assert PATH in logged["459000000000000001"]
        assert "目录" * 300 in logged["459000000000000002"]
        exporter.scrape()
        assert exporter.log.read_text().count("Import failed") == len(LONG_REASONS)


def test_the_name_that_only_the_job_gives_is_shown(api: StandIn, case: Case) -> None:
    api.names(
        "Pending",
        job("job-1", "Pending", fileName="lake/orders/part-7.parquet"),
        job("job-2", "Failed", fileName="[lake/orders/part-8.parquet]", reason="no such object"),
        job("job-3", "Importing", fileName="https://bucket.example/part-9.parquet?sig=s3cr3t-of-a-case"),
        job("job-4", "Importing", fileName=None, details=[file("lake/a")]),
    )
    with case.cloud() as exporter:
        shown = exporter.scrape()
        names = {has["job_id"]: has["file_name"] for has, _ in shown.all("job_info")}
        assert names == {
            "job-1": "lake/orders/part-7.parquet",
            "job-2": "lake/orders/part-8.parquet",
            "job-3": "https://bucket.example/part-9.parquet",
            "job-4": "",
        }
        # What could be read once is known by its name also when it cannot be read.
        api.jobs["job-1"] = FORBIDDEN
        shown = exporter.scrape()
        assert shown.value("job_up", job_id="job-1") == 0
        assert shown.value("job_info", job_id="job-1", file_name="lake/orders/part-7.parquet") == 1
        assert "s3cr3t" not in shown.text + exporter.log.read_text()


WORDS = {
    "PENDING": "Pending",
    "IN_PROGRESS": "Importing",
    "In Progress": "Importing",
    "in-progress": "Importing",
    "SUCCESSFUL": "Completed",
    "success": "Completed",
    "FAILED": "Failed",
    "CANCELING": "Importing",
    "CANCELED": "Failed",
    "Cancelled": "Failed",
    "ABORTED": "Failed",
    "ARCHIVING": "Unknown",
}


def test_states_are_known_in_whatever_words(api: StandIn, case: Case) -> None:
    ids = {f"job-{number:02}": word for number, word in enumerate(WORDS)}
    api.jobs = {job_id: job(job_id, word, progress=35, completeTime="") for job_id, word in ids.items()}
    api.lists[""] = [{"jobId": job_id, "state": word} for job_id, word in ids.items()]
    # A Completed job of unknown age would not be watched.
    api.jobs |= {
        job_id: job(job_id, word, progress="100", completeTime=at(time.time() - 30))
        for job_id, word in ids.items()
        if WORDS[word] == "Completed"
    }
    with case.cloud() as exporter:
        shown = exporter.scrape()
        assert {word: shown.state(job_id) for job_id, word in ids.items()} == WORDS
        by_word = {word: reasons(shown, job_id) for job_id, word in ids.items()}
        assert by_word["CANCELED"] == [("aborted", "CANCELED")]
        assert by_word["Cancelled"] == [("aborted", "Cancelled")]
        assert by_word["ABORTED"] == [("aborted", "ABORTED")]
        assert by_word["FAILED"] == []
        assert listed(shown) == {"Pending": 1, "Importing": 4, "Completed": 2, "Failed": 4, "Unknown": 1}
        assert "ARCHIVING" in exporter.log.read_text()
        # What is over is asked no more.
        api.asked.clear()
        exporter.scrape()
        assert {WORDS[ids[job_id]] for job_id in api.asked if job_id != "list"} == {"Pending", "Importing", "Unknown"}


EMPTY: dict[str, tuple[object, str | None]] = {
    "job-0": ({}, "payload"),
    "job-1": (dict.fromkeys(job("job-1")), "payload"),
    "job-2": ({"jobId": "job-2", "collectionName": "orders", "fileName": "a", "fileSize": 5}, "payload"),
    "job-3": (None, "payload"),
    "job-4": ([], "payload"),
    # What the older API gives: a state follows from each.
    "job-5": ({"progress": 0}, None),
    "job-6": ({"errorMessage": "no such object"}, None),
}


def test_a_reply_without_content_is_no_job_that_waits(api: StandIn, case: Case) -> None:
    api.jobs = {job_id: reply({"code": 0, "data": data}) for job_id, (data, _) in EMPTY.items()}
    with case.cloud(*EMPTY, "job-7") as exporter:
        api.jobs["job-7"] = job("job-other", "Importing")
        shown = exporter.scrape()
        for job_id, (_, error) in EMPTY.items():
            assert (job_id, shown.error(job_id)) == (job_id, error)
            assert shown.value("job_up", job_id=job_id) == (error is None)
        assert (shown.state("job-5"), shown.state("job-6")) == ("Pending", "Failed")
        # Whatever id the reply gives: it is that of the job that was asked about.
        assert (shown.state("job-7"), shown.state("job-other")) == ("Importing", None)


def test_no_database_is_claimed_for_the_jobs_of_an_unfiltered_list(api: StandIn, case: Case) -> None:
    api.names("Importing", job("459000000000000001"), job("459000000000000002"))
    api.rights = {"459000000000000002": "sales"}
    with case.milvus("459000000000000003", db_name="archive") as exporter:
        api.jobs["459000000000000003"] = job("459000000000000003")
        shown = exporter.scrape()
        databases = {has["job_id"]: has["db_name"] for has, _ in shown.all("job_info")}
        assert databases == {"459000000000000001": "", "459000000000000002": "", "459000000000000003": "archive"}
        # Rights follow the database, and that of this job is not known.
        assert shown.error("459000000000000002") == "auth"
        assert shown.all("job_error", job_id="459000000000000002")[0][0]["db_name"] == ""
        assert shown.value("cluster_up") == 1
        assert "may belong to another database than db_name: archive" in exporter.log.read_text()
    # Two jobs that cannot be read are not a refused key of the cluster: both are asked about at each scrape.
    api.rights["459000000000000001"] = "sales"
    with case.milvus(db_name="archive") as exporter:
        exporter.scrape()
        api.asked.clear()
        exporter.scrape()
        assert sorted(api.asked) == ["459000000000000001", "459000000000000002", "list"]
        api.rights.clear()
        assert {exporter.scrape().state(job_id) for job_id in api.jobs if job_id[-1] != "3"} == {"Importing"}


def test_jobs_of_a_list_of_one_database_belong_to_it(api: StandIn, case: Case) -> None:
    api.lists = {"": (), "sales": [{"jobId": "459000000000000001", "state": "Importing"}]}
    api.jobs = {"459000000000000001": job("459000000000000001")}
    api.rights = {"459000000000000001": "sales"}
    lists = {"databases": ["sales", "archive"], "collections": ["orders"]}
    with case.milvus(discovery=lists, db_name="archive") as exporter:
        shown = exporter.scrape()
        assert shown.state("459000000000000001") == "Importing"
        assert shown.value("job_info", job_id="459000000000000001", db_name="sales") == 1


def test_a_cluster_of_zilliz_cloud_lists_the_jobs_of_the_configured_database(api: StandIn, case: Case) -> None:
    api.names("InProgress", job("job-1"))
    with case.cloud(db_name="archive") as exporter:
        assert exporter.scrape().value("job_info", job_id="job-1", db_name="archive") == 1


@pytest.mark.parametrize(
    "refusal",
    [
        denied(),
        reply({"code": 1800, "message": "user hasn't authenticated: PrivilegeGetImportProgress"}),
        reply({"code": 80002, "message": "no right to PrivilegeGetImportProgress"}, "401 Unauthorized"),
    ],
    ids=["403", "code under 200", "401"],
)
def test_where_every_job_is_refused_the_list_still_counts(api: StandIn, case: Case, refusal: bytes) -> None:
    api.lists[""] = [
        {"jobId": "459000000000000001", "collectionName": "orders", "state": "Failed", "reason": "disk quota exceeded"},
        {"jobId": "459000000000000002", "collectionName": "orders", "state": "Importing", "progress": 62},
        {"jobId": "459000000000000003", "collectionName": "stock", "state": "Completed"},
    ]
    api.jobs = dict.fromkeys(("459000000000000001", "459000000000000002", "459000000000000003"), refusal)
    with case.milvus() as exporter:
        for _ in range(3):
            shown = exporter.scrape()
        assert listed(shown) == {"Failed": 1, "Importing": 1, "Completed": 1}
        assert {job_id: shown.error(job_id) for job_id in api.jobs} == dict.fromkeys(api.jobs, "auth")
        error = {has["job_id"]: has["collection_name"] for has, _ in shown.all("job_error")}
        assert error == {
            "459000000000000001": "orders",
            "459000000000000002": "orders",
            "459000000000000003": "stock",
        }
        assert shown.value("cluster_up") == 0
        assert "PrivilegeGetImportProgress" in exporter.log.read_text()
