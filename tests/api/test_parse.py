import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from exporter.api import parse
from exporter.api.causes import cause
from exporter.api.errors import ApiError, PayloadError
from exporter.api.parse import job_from, list_page_from
from exporter.api.verdict import reply_data
from exporter.model import JOB_ID, Cause, ErrorClass, File, Job, ListedJob, ListPage, State

REPLIES = Path(__file__).parent / "replies"


def _reply(name: str) -> dict[str, Any]:
    response = json.loads((REPLIES / f"{name}.json").read_text())["response"]
    return reply_data(response["status"], response["body"].encode())


def _job(**data: object) -> Job:
    return job_from({"state": "Pending"} | data, "asked")


def test_documented_sample_of_zilliz_cloud() -> None:
    job = _job(
        jobId="job-02ab4cd6ef81kq7z0example",
        collectionName="product_vectors",
        fileName="catalog/part-0000.parquet",
        fileSize=734003200,
        state="Importing",
        progress=57,
        completeTime="",
        reason="",
        totalRows=1800000,
        importedRows=1020000,
        details=[
            {"fileName": "b", "fileSize": 3, "state": "Importing", "progress": 13, "completeTime": ""},
            {"fileName": "a", "fileSize": 4, "state": "Completed", "progress": 100, "completeTime": 1741520527},
        ],
    )
    assert job == Job(
        job_id="asked",
        collection_name="product_vectors",
        state=State.IMPORTING,
        progress=0.57,
        size=734003200,
        rows=1800000,
        imported_rows=1020000,
        files=(
            File("a", State.COMPLETED, progress=1.0, size=4, completed_at=1741520527),
            File("b", State.IMPORTING, progress=0.13, size=3),
        ),
        file_name="catalog/part-0000.parquet",
        file_states={
            State.PENDING: 0,
            State.IMPORTING: 1,
            State.COMPLETED: 1,
            State.FAILED: 0,
            State.UNCOMMITTED: 0,
            State.UNKNOWN: 0,
        },
    )


@pytest.mark.parametrize(
    ("sent", "state"),
    [
        ("Pending", State.PENDING),
        ("None", State.PENDING),
        ("", State.PENDING),
        ("ImportPending", State.PENDING),
        ("Importing", State.IMPORTING),
        ("importing", State.IMPORTING),
        (" IMPORTING ", State.IMPORTING),
        ("InProgress", State.IMPORTING),
        ("Retry", State.IMPORTING),
        ("ImportRunning", State.IMPORTING),
        ("ImportStarted", State.IMPORTING),
        ("ImportPersisted", State.IMPORTING),
        ("PreImporting", State.IMPORTING),
        ("Sorting", State.IMPORTING),
        ("Stats", State.IMPORTING),
        ("IndexBuilding", State.IMPORTING),
        ("AssigningIDRange", State.IMPORTING),
        ("Resharding", State.IMPORTING),
        ("Planning", State.IMPORTING),
        ("Committing", State.IMPORTING),
        ("ImportJobState_Importing", State.IMPORTING),
        ("ImportTaskStateV2_InProgress", State.IMPORTING),
        ("IMPORT_JOB_STATE_INDEX_BUILDING", State.IMPORTING),
        ("PENDING", State.PENDING),
        ("IN_PROGRESS", State.IMPORTING),
        ("In Progress", State.IMPORTING),
        ("in-progress", State.IMPORTING),
        ("pre_importing", State.IMPORTING),
        ("CANCELING", State.IMPORTING),
        ("Un-Committed", State.UNCOMMITTED),
        ("SUCCESS", State.COMPLETED),
        ("SUCCESSFUL", State.COMPLETED),
        ("CANCELED", State.FAILED),
        ("Cancelled", State.FAILED),
        ("ABORTED", State.FAILED),
        ("Uncommitted", State.UNCOMMITTED),
        ("Completed", State.COMPLETED),
        ("ImportCompleted", State.COMPLETED),
        ("Failed", State.FAILED),
        ("ImportFailed", State.FAILED),
        ("ImportFailedAndCleaned", State.FAILED),
        ("Teleporting", State.UNKNOWN),
        ("Import", State.UNKNOWN),
        ({"name": "Importing"}, State.UNKNOWN),
        ([], State.UNKNOWN),
        (3, State.UNKNOWN),
        (True, State.UNKNOWN),
        ("\ud800", State.UNKNOWN),
        ("x" * 1_000_000, State.UNKNOWN),
    ],
)
def test_states_of_jobs_files_and_records(sent: object, state: State) -> None:
    job = _job(state=sent, details=[{"state": sent}])
    assert job.state is state
    assert job.files is not None
    assert job.files[0].state is state
    assert list_page_from({"records": [{"jobId": "1", "state": sent}]}).jobs[0].state is state


def test_an_unheard_of_state_is_logged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parse, "_unheard_of", set())
    with capture_logs() as logs:
        assert _job(state="secretKey=Kanarienvogel").state is State.UNKNOWN
        for word in ("Levitating", "Levitating", *(f"state-{number}" for number in range(1000))):
            assert _job(state=word).state is State.UNKNOWN
    assert [log["state"] for log in logs].count("Levitating") == 1
    assert len(logs) == 100
    assert "Kanarienvogel" not in str(logs)


@pytest.mark.parametrize(
    ("data", "state"),
    [
        ({"readyPercentage": 40, "completeTime": None, "errorMessage": None}, State.IMPORTING),
        ({"readyPercentage": 0, "completeTime": None, "errorMessage": None}, State.PENDING),
        ({"readyPercentage": 100, "completeTime": "2025-03-09T11:42:07Z", "errorMessage": None}, State.COMPLETED),
        ({"readyPercentage": 40, "completeTime": None, "errorMessage": "no such key"}, State.FAILED),
    ],
)
def test_the_v1_api_leaves_the_state_to_be_derived(data: dict[str, Any], state: State) -> None:
    job = job_from(data, "asked")
    assert job.state is state
    assert job.progress == data["readyPercentage"] / 100
    assert job.reason == (data["errorMessage"] or "")


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"state": None},
        {"jobId": "1", "collectionName": "a", "fileName": "b", "fileSize": 1, "totalRows": 2, "details": []},
        dict.fromkeys(("jobId", "state", "progress", "completeTime", "reason", "errorMessage", "details")),
        {"completeTime": "", "reason": "", "errorMessage": ""},
    ],
)
def test_data_that_does_not_say_how_the_job_stands_is_no_usable_payload(data: dict[str, Any]) -> None:
    with pytest.raises(PayloadError):
        job_from(data, "asked")


@pytest.mark.parametrize(
    ("data", "state"),
    [
        ({"progress": 0}, State.PENDING),
        ({"progress": 57}, State.IMPORTING),
        ({"completeTime": "2025-03-09T11:42:07Z"}, State.COMPLETED),
        ({"errorMessage": "no such key"}, State.FAILED),
        ({"reason": "no such key", "state": None}, State.FAILED),
        ({"state": ""}, State.PENDING),
    ],
)
def test_any_sign_of_how_the_job_stands_is_enough(data: dict[str, Any], state: State) -> None:
    assert job_from(data, "asked").state is state


@pytest.mark.parametrize("word", ["CANCELED", "Cancelled", "aborted"])
def test_the_word_of_a_cancelled_job_is_its_reason_where_none_is_given(word: str) -> None:
    job = _job(state=f" {word} ", reason="", details=[{"fileName": "a", "state": word, "reason": None}])
    assert job.reason == word
    assert job.files == (File("a", State.FAILED, reason=word),)
    assert cause(job.reason) is Cause.ABORTED
    assert _job(state=word, reason="quota exceeded").reason == "quota exceeded"


def test_files_have_reasons_of_their_own() -> None:
    details = [
        {"fileName": "b", "state": "Failed", "reason": "row 17 of https://u:p@h/b?sig=1"},
        {"fileName": "a", "state": "Completed", "reason": ""},
        {"fileName": "c", "state": "Failed", "errorMessage": "x" * 1000},
    ]
    job = _job(state="Failed", reason=None, details=details)
    assert job.files is not None
    assert [file.reason for file in job.files] == ["", "row 17 of https://h/b", "x" * 255 + "…" + "x" * 254]
    assert job.failure_reason == "row 17 of https://h/b"
    assert _job(state="Failed", reason="import timeout", details=details).failure_reason == "import timeout"
    assert _job(state="Failed").failure_reason == ""


@pytest.mark.parametrize("order", [1, -1])
def test_entries_of_one_name_have_the_reason_of_a_failed_one(order: int) -> None:
    entries = [("Failed", "z"), ("Importing", "a"), ("Failed", "y"), ("Failed", "")][::order]
    details = [{"fileName": "f", "state": state, "reason": reason} for state, reason in entries]
    assert _job(details=details).files == (File("f", State.FAILED, reason="y"),)


def test_a_long_reason_is_kept_whole_beside_the_short_one() -> None:
    job = _job(state="Failed", reason="a" * 600)
    assert job.reason == "a" * 255 + "…" + "a" * 254
    assert job.whole_reason == "a" * 600
    assert len(_job(state="Failed", reason="a" * 1_000_000).whole_reason) <= 16 * 1024
    assert _job(state="Failed", reason="import timeout").whole_reason == ""


def test_creation_time_and_file_name_of_the_job() -> None:
    job = _job(createTime="2025-03-09T11:42:07Z", startTime="2026-03-09T11:42:07Z", fileName="[a.parquet]")
    assert (job.created_at, job.file_name) == (1741520527, "a.parquet")
    assert _job(createTime="", startTime=1741520527000).created_at == 1741520527
    records = [{"jobId": "1", "createTime": "2025-03-09T11:42:07Z"}, {"jobId": "2", "startTime": "1741520527"}]
    assert [listed.created_at for listed in list_page_from({"records": records}).jobs] == [1741520527, 1741520527]
    assert (_job().created_at, _job().file_name) == (None, "")


def test_collection_names_are_cut_in_the_middle() -> None:
    sent = "a" + "ü" * 100_000 + "z"
    for shown in (
        _job(collectionName=sent).collection_name,
        list_page_from({"records": [{"jobId": "1", "collectionName": sent}]}).jobs[0].collection_name,
    ):
        assert len(shown.encode()) <= 255
        assert (shown[:2], shown[-2:]) == ("aü", "üz")
    for whole in ("a" * 255, "ü" * 127 + "a", "名" * 85, "a" * 251 + "😀"):
        assert _job(collectionName=whole).collection_name == whole
        one_byte_more = _job(collectionName=whole + "a").collection_name
        assert 248 < len(one_byte_more.encode()) <= 255
        assert one_byte_more != whole + "a"


def test_the_label_is_the_id_that_was_asked_for() -> None:
    assert _job(jobId="another").job_id == "asked"


def test_what_the_api_did_not_give_is_none() -> None:
    assert _job() == Job("asked", "", State.PENDING)


@pytest.mark.parametrize("details", [None, {}, {"fileName": "a"}, "junk", 3, True])
def test_details_that_are_no_list_are_none(details: object) -> None:
    job = _job(details=details)
    assert job.files is None
    assert job.file_states is None


def test_junk_among_details_is_skipped() -> None:
    job = _job(details=[None, 1, "a", [], {"fileName": "a", "state": "Failed"}])
    assert job.files == (File("a", State.FAILED),)
    assert job.file_states is not None
    assert sum(job.file_states.values()) == 1


def test_files_of_one_name_are_one() -> None:
    job = _job(
        details=[
            {
                "fileName": "[a]",
                "fileSize": 100,
                "progress": 100,
                "totalRows": 5,
                "importedRows": 5,
                "state": "Completed",
                "completeTime": 1741520527,
            },
            {"fileName": "b", "fileSize": 1, "progress": 10, "state": "Importing"},
            {
                "fileName": "a",
                "fileSize": 300,
                "progress": 20,
                "totalRows": 7,
                "importedRows": 1,
                "state": "InProgress",
                "completeTime": "",
            },
        ]
    )
    assert job.files == (
        File("a", State.IMPORTING, progress=0.4, size=400, rows=12, imported_rows=6),
        File("b", State.IMPORTING, progress=0.1, size=1),
    )
    assert job.file_states is not None
    assert job.file_states[State.COMPLETED] == 1
    assert job.file_states[State.IMPORTING] == 2


@pytest.mark.parametrize(
    ("sizes", "progress"),
    [((None, None), 0.6), ((0, 0), 0.6), ((10, None), 0.6), ((1, 3), 0.4)],
)
def test_progress_of_merged_files_is_weighted_by_size(
    sizes: tuple[float | None, float | None], progress: float
) -> None:
    files = _job(details=[{"fileSize": sizes[0], "progress": 100}, {"fileSize": sizes[1], "progress": 20}]).files
    assert files is not None
    assert files[0].progress == pytest.approx(progress)


def test_sizes_whose_sum_no_float_holds_are_no_size_but_weigh() -> None:
    files = _job(details=[{"fileSize": 1.7e308, "progress": 100}, {"fileSize": 1.7e308, "progress": 20}]).files
    assert files == (File("", State.IMPORTING, progress=0.6),)


def test_merged_files_finish_with_the_last_of_them() -> None:
    details = [{"completeTime": 1741520527, "state": "Completed"}, {"completeTime": 1741520500, "state": "Completed"}]
    files = _job(details=details).files
    assert files is not None
    assert files[0].completed_at == 1741520527


@pytest.mark.parametrize(
    ("states", "merged"),
    [
        (("Completed", "Failed"), State.FAILED),
        (("Pending", "Odd"), State.UNKNOWN),
        (("Importing", "Pending"), State.PENDING),
        (("Importing", "Uncommitted"), State.IMPORTING),
        (("Completed", "Uncommitted"), State.UNCOMMITTED),
        (("Completed", "Completed"), State.COMPLETED),
    ],
)
def test_state_of_merged_files_is_the_least_finished(states: tuple[str, ...], merged: State) -> None:
    files = _job(details=[{"state": state} for state in states]).files
    assert files is not None
    assert files[0].state is merged


def test_ten_thousand_files_are_ordered_by_name() -> None:
    files = _job(details=[{"fileName": f"[{number * 7919 % 10_000:05}]"} for number in range(10_000)]).files
    assert files is not None
    assert [file.name for file in files] == [f"{number:05}" for number in range(10_000)]


def test_records_are_read_as_sent() -> None:
    records = [
        {"jobId": "job-1", "collectionName": "a", "state": "InProgress"},
        {"jobId": "job-1", "collectionName": "a", "state": "InProgress"},
        {"jobID": 448761313698322011, "state": "Completed"},
    ]
    expected = (
        ListedJob("job-1", "a", State.IMPORTING),
        ListedJob("job-1", "a", State.IMPORTING),
        ListedJob("448761313698322011", "", State.COMPLETED),
    )
    assert list_page_from({"count": 1000, "records": records}) == ListPage(expected)
    assert list_page_from({"tasks": records}) == ListPage(expected)


def test_records_that_name_no_job_are_counted() -> None:
    ids: list[object] = [None, "", "a b", "x" * 129, 4.5e17, True, {}, "ü"]
    records = [None, 3, {"jobId": "1"}, *({"jobId": job_id} for job_id in ids)]
    assert list_page_from({"records": records}) == ListPage((ListedJob("1", "", State.PENDING),), unusable=10)


@pytest.mark.parametrize("data", [{}, {"records": None}, {"records": []}, {"tasks": []}])
def test_no_records_are_an_empty_page(data: dict[str, Any]) -> None:
    assert list_page_from(data) == ListPage(())


@pytest.mark.parametrize("records", [{}, "x", 1])
def test_records_that_are_no_list_are_no_usable_payload(records: object) -> None:
    with pytest.raises(PayloadError):
        list_page_from({"records": records})


@pytest.mark.parametrize(
    ("name", "state", "progress", "rows", "files"),
    [
        ("01-pending", State.PENDING, 0.0, 0, []),
        ("03-preimporting-half", State.IMPORTING, 0.25, 0, []),
        ("05-importing-start", State.IMPORTING, 0.4, 1500000, [State.PENDING] * 3),
        ("08-importing-partial", State.IMPORTING, 0.52, 1500000, [State.IMPORTING] * 3),
        ("08b-importing-node-lost-task-back-to-pending", State.IMPORTING, 0.52, 1500000, [State.PENDING] * 3),
        ("09-importing-tasks-completed", State.IMPORTING, 0.7, 1500000, [State.COMPLETED] * 3),
        ("10-sorting", State.IMPORTING, 0.7, 1500000, [State.COMPLETED] * 3),
        ("12-indexbuilding", State.IMPORTING, 0.8, 1500000, [State.COMPLETED] * 3),
        ("14-completed", State.COMPLETED, 1.0, 1500000, [State.COMPLETED] * 3),
        ("21-failed-preimport-after-tick", State.FAILED, 0.0, 0, []),
        ("23-failed-import-before-tick", State.FAILED, 0.0, 0, [State.IMPORTING] * 2),
        ("24-failed-import-after-tick", State.FAILED, 0.0, 0, [State.FAILED] * 2),
        ("25-completed-zero-rows", State.COMPLETED, 1.0, 0, []),
        ("26-duplicate-and-odd-file-names", State.IMPORTING, 0.65, 28, [State.IMPORTING] * 3),
        ("26b-artificial-worker-reports-too-many-rows", State.IMPORTING, 1.0, 28, [State.IMPORTING] * 3),
        ("28-completed-job-after-timeout-tick", State.FAILED, 0.0, 0, [State.COMPLETED] * 3),
    ],
)
def test_recorded_jobs_of_milvus(name: str, state: State, progress: float, rows: float, files: list[State]) -> None:
    job = job_from(_reply(name), "461000000000000000")
    assert (job.state, job.progress, job.rows, job.collection_name) == (state, progress, rows, "articles")
    assert job.files is not None
    assert [file.state for file in job.files] == files


def test_recorded_names_sizes_times_and_reasons_of_milvus() -> None:
    job = job_from(_reply("14-completed"), "461000000000000000")
    assert job.completed_at == 1795511881
    assert job.files is not None
    assert [file.name for file in job.files] == ["run7/1.parquet", "run7/2.parquet", "set/id.npy set/vec.npy"]
    assert job.files[0] == File(
        "run7/1.parquet", State.COMPLETED, 1.0, 209715200, 500000, imported_rows=500000, completed_at=1795511881
    )
    odd = job_from(_reply("26-duplicate-and-odd-file-names"), "461000000270120263").files
    assert odd is not None
    assert [(file.name, file.size, file.progress) for file in odd] == [
        ("a b/c d.json", 3e9, 0.85),
        ("dup.parquet", 6e9, 0.85),
        ('x/ü"\\.json', 3e9, 0.85),
    ]
    failed = job_from(_reply("21-failed-preimport-after-tick"), "461000000270000190")
    assert failed.reason == "schema not equal, err=field 'lang' not in arrow schema: importing data failed"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("33-list-unknown-collection", ErrorClass.API),
        ("40-jobid-number", ErrorClass.API),
        ("44-unknown-job", ErrorClass.NOT_FOUND),
        ("45-cloud-id", ErrorClass.API),
        ("48-empty-body", ErrorClass.API),
        ("59-getProgress-cloud-path", ErrorClass.HTTP),
        ("59b-trailing-slash", ErrorClass.HTTP),
        ("70-datacoord-not-ready", ErrorClass.API),
        ("72-coordinator-unreachable", ErrorClass.API),
        ("73-panic", ErrorClass.API),
        ("74c-timeout-default", ErrorClass.TIMEOUT),
        ("80-auth-none", ErrorClass.AUTH),
        ("87-auth-user-without-privilege", ErrorClass.AUTH),
        ("93-expired-completed-job", ErrorClass.NOT_FOUND),
    ],
)
def test_recorded_errors_of_milvus(name: str, error: ErrorClass) -> None:
    with pytest.raises(ApiError) as raised:
        _reply(name)
    assert raised.value.error is error


@pytest.mark.parametrize(
    ("name", "length"),
    [
        ("30-list-all", 8),
        ("30-list-all-again", 8),
        ("32-list-collection", 8),
        ("72b-coordinator-unreachable-list", 0),
        ("list-empty", 0),
    ],
)
def test_recorded_lists_of_milvus(name: str, length: int) -> None:
    assert len(list_page_from(_reply(name)).jobs) == length


def test_every_recorded_reply_has_its_case() -> None:
    source = Path(__file__).read_text()
    assert [path.stem for path in REPLIES.glob("*.json") if f'"{path.stem}"' not in source] == []


_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**308, 10**500)
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.sampled_from(["Importing", "Failed", "2025-03-09T11:42:07Z", "[a]", 'paths:"a"', "https://u:p@h/a?b=c", "57"])
)
_json_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_fields = (
    "jobId", "jobID", "collectionName", "fileName", "fileSize", "state", "progress", "readyPercentage", "completeTime",
    "reason", "errorMessage", "totalRows", "importedRows",
)  # fmt: skip
_entries = st.dictionaries(st.sampled_from(_fields), _json_values)
_jobs = st.builds(
    lambda job, details: {**job, "details": details},
    _entries,
    st.lists(_entries | _json_values, max_size=5) | _json_values,
)


def _is_ratio(value: float | None) -> bool:
    return value is None or 0 <= value <= 1


@given(_jobs)
def test_whatever_json_a_job_keeps_its_promises(data: dict[str, Any]) -> None:
    body = json.dumps({"code": 0, "data": data}).encode()
    try:
        job = job_from(reply_data(200, body), "asked")
    except PayloadError:
        assert data.get("state") is None
        return
    assert job.job_id == "asked"
    assert _is_ratio(job.progress)
    assert len(job.reason.encode()) <= 512
    assert len(job.collection_name.encode()) <= 255
    assert (job.files is None) == (job.file_states is None)
    names = [file.name for file in job.files or ()]
    assert names == sorted(set(names))
    for file in job.files or ():
        assert len(file.name.encode()) <= 512
        assert len(file.reason.encode()) <= 512
        assert _is_ratio(file.progress)
    things: list[Job | File] = [job, *(job.files or ())]
    for thing in things:
        for amount in (thing.size, thing.rows, thing.imported_rows, thing.completed_at):
            assert amount is None or 0 <= amount < float("inf")
    details = data["details"]
    if isinstance(details, list):
        assert sum((job.file_states or {}).values()) == sum(isinstance(entry, dict) for entry in details)


@given(_json_values, st.sampled_from([200, 404, 500]))
def test_whatever_json_a_reply_is_a_job_or_an_api_error(reply: object, status: int) -> None:
    try:
        data = reply_data(status, json.dumps(reply).encode())
        job_from(data, "asked")
        list_page_from(data)
    except ApiError:
        pass


_DOCUMENTED: dict[str, Any] = {
    "jobId": "job-02ab4cd6ef81kq7z0example",
    "collectionName": "product_vectors",
    "fileName": "catalog/part-0000.parquet",
    "fileSize": 734003200,
    "state": "Importing",
    "progress": 57,
    "completeTime": "",
    "reason": "",
    "totalRows": 1800000,
    "details": [
        {"fileName": "a", "fileSize": 3, "state": "Importing", "progress": 13, "completeTime": "", "reason": ""}
    ],
}
_spellings = {
    State.PENDING: ("Pending", "PENDING", "ImportPending"),
    State.IMPORTING: ("Importing", "InProgress", "IN_PROGRESS", "in progress"),
    State.COMPLETED: ("Completed", "SUCCESSFUL"),
    State.FAILED: ("Failed", "CANCELED"),
}


@given(st.permutations(list(_DOCUMENTED)), st.sampled_from(State), st.data())
def test_the_documented_job_respelt_is_the_same_job(names: list[str], state: State, data: st.DataObject) -> None:
    word = data.draw(st.sampled_from(_spellings.get(state, (str(state),))))
    respelt = {name: _DOCUMENTED[name] for name in names} | {"state": word}
    aliases = {"progress": "readyPercentage", "reason": "errorMessage", "jobId": "jobID"}
    respelt = {data.draw(st.sampled_from([name, aliases.get(name, name)])): value for name, value in respelt.items()}
    respelt |= {
        name: data.draw(st.sampled_from([respelt[name], str(respelt[name])])) for name in ("fileSize", "totalRows")
    }
    job = job_from(reply_data(200, json.dumps({"code": 0, "data": respelt}).encode()), "asked")
    assert job.state is state
    assert (job.size, job.rows, job.progress, job.file_name) == (734003200, 1800000, 0.57, "catalog/part-0000.parquet")


@given(st.sets(st.sampled_from(list(_DOCUMENTED))), st.booleans())
def test_the_documented_job_in_part_is_a_job_or_an_error(left_out: set[str], null: bool) -> None:
    data = {name: value for name, value in _DOCUMENTED.items() if name not in left_out}
    if null:
        data |= dict.fromkeys(left_out)
    try:
        assert job_from(data, "asked").state is State.IMPORTING
    except PayloadError:
        assert {"state", "progress"} <= left_out


@given(st.integers(0, 400), st.booleans())
def test_the_documented_reply_cut_off_is_an_error(length: int, is_list: bool) -> None:
    body = json.dumps({"code": 0, "data": {"records": [_DOCUMENTED]} if is_list else _DOCUMENTED}).encode()
    with pytest.raises(ApiError):
        reply_data(200, body[: min(length, len(body) - 1)])


@given(st.lists(st.dictionaries(st.sampled_from(_fields), _json_values) | _json_values))
def test_every_record_is_a_job_or_counted(records: list[Any]) -> None:
    page = list_page_from({"records": records})
    assert len(page.jobs) + page.unusable == len(records)
    ids = [record.get("jobId") for record in records if isinstance(record, dict)]
    usable = {job_id for job_id in ids if isinstance(job_id, str) and JOB_ID.fullmatch(job_id)}
    assert usable <= {listed.job_id for listed in page.jobs}
