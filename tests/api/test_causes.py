import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.api.causes import cause
from exporter.demo.world import ABORTED, MILVUS_JOBS, ZILLIZ_JOBS
from exporter.model import Cause


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (ABORTED, Cause.ABORTED),
        ("aborted by user: importing data failed", Cause.ABORTED),
        ("import job aborted by user", Cause.ABORTED),
        ("CANCELED", Cause.ABORTED),
        ("cancelled", Cause.ABORTED),
        ("Aborted", Cause.ABORTED),
        ("collection 460882331905327105 dropped", Cause.DROPPED),
        ("collection 460882331905327105 dropped: importing data failed", Cause.DROPPED),
        ("import timeout", Cause.TIMEOUT),
        ("context deadline exceeded", Cause.TIMEOUT),
        ("rpc error: code = DeadlineExceeded desc = stream ended", Cause.TIMEOUT),
        ("write to node: request timed out.", Cause.TIMEOUT),
        ("disk quota exceeded: importing data failed", Cause.QUOTA),
        ("quota exceeded[reason=disk quota exceeded]", Cause.QUOTA),
        ("import into bucket: quota reached", Cause.QUOTA),
        ("write failed: no space left on device", Cause.QUOTA),
        ("schema not equal, err=field 'lang' not in arrow schema: importing data failed", Cause.SCHEMA),
        ("field 'embedding' has dimension 512, expected 768", Cause.SCHEMA),
        ("the dim of field 'v' is 512, not 768", Cause.SCHEMA),
        ("expected data type Int64, got Utf8", Cause.SCHEMA),
        ("parse row 17: value of field 'price' is not a float", Cause.SCHEMA),
        ("read failed: column 'embedding' has 512 entries in row 88, expected 768", Cause.SCHEMA),
        ("io failure: no such key", Cause.STORAGE),
        ("api error NoSuchKey: The specified key does not exist.", Cause.STORAGE),
        ("api error AccessDenied: Access Denied", Cause.STORAGE),
        ("no credentials for the bucket", Cause.STORAGE),
        ("open lake/a.parquet: object not found", Cause.STORAGE),
        ("lake/a.parquet not found", Cause.STORAGE),
        ("", Cause.OTHER),
        ("import failed", Cause.OTHER),
        ("node 12 is unavailable", Cause.OTHER),
    ],
)
def test_reasons_of_servers_have_a_cause(reason: str, expected: Cause) -> None:
    assert cause(reason) is expected


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("import failed: CANCELED", Cause.OTHER),
        ("aborted by user of node 7", Cause.OTHER),
        ("open lake/aborted by user/a.parquet: access denied", Cause.STORAGE),
        ("file 'aborted by user' is empty", Cause.OTHER),
        ("collection 1 dropped after quota exceeded", Cause.QUOTA),
        ("collection articles dropped", Cause.OTHER),
        ("Collection 1 dropped", Cause.OTHER),
        ("index of collection 1 dropped", Cause.OTHER),
        ("bucket quota-dropped: no such key", Cause.STORAGE),
        ("bucket quota is unreachable", Cause.OTHER),
        ("bucket 'quota' is unreachable", Cause.OTHER),
        ("s3://quota/timeout/a.parquet is empty", Cause.OTHER),
        ("read C:\\disk quota\\timeout: empty", Cause.OTHER),
        ("cannot read column 'timeout'", Cause.OTHER),
        ("column timeout: row 3 is null", Cause.OTHER),
        ("column 'timeout' is missing in the file", Cause.SCHEMA),
        ('open "user\'s timeout.parquet": access denied', Cause.STORAGE),
        (r"say \"no such key\" again", Cause.OTHER),
        ("files [quota timeout] are empty", Cause.OTHER),
        ("cannot decode: open 'import timeout", Cause.OTHER),
        ("the server's import timeout was reached, don't retry", Cause.TIMEOUT),
        ("schema_v2.parquet is empty", Cause.OTHER),
        ("unexpected content type", Cause.OTHER),
        ("collection not found", Cause.OTHER),
        ("reached the dimmed schematic", Cause.OTHER),
    ],
)
def test_names_paths_and_quotes_are_no_cause(reason: str, expected: Cause) -> None:
    assert cause(reason) is expected


def test_the_first_cause_that_fits_counts() -> None:
    assert cause("schema check: timeout, access denied") is Cause.TIMEOUT
    assert cause("access denied while the schema was read") is Cause.SCHEMA


def test_the_demo_shows_every_cause() -> None:
    reasons = {job.script.reason for job in (*ZILLIZ_JOBS, *MILVUS_JOBS) if job.script.reason}
    assert {cause(reason) for reason in reasons} >= {Cause.ABORTED, Cause.DROPPED, Cause.SCHEMA, Cause.STORAGE}


@given(st.text(st.characters()), st.sampled_from(["aborted by user", "collection 1 dropped", "CANCELED"]))
def test_what_silences_an_alert_is_never_part_of_another_text(other: str, fixed: str) -> None:
    for reason in (f"{other}x {fixed}", f"{fixed} x{other}"):
        assert cause(reason) not in (Cause.ABORTED, Cause.DROPPED)
