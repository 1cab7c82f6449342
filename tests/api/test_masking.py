import json
import string
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from exporter.api.masking import without_credentials
from exporter.api.values import reason, whole_reason
from exporter.config.secret import SHOWN


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("s3://bucket/a@b/c.json", "s3://bucket/a@b/c.json"),
        ("https://u@x:p@host/a", "https://host/a"),
        ("https://proxy/https://u:p@host/a?b", "https://proxy/https://host/a"),
        ("https://h/a?x=1 https://h/b?x=2", "https://h/a https://h/b"),
        ("https://h?x=1", "https://h"),
        ("s3://AKIA:abc/def@bucket/x", "s3://bucket/x"),
        ("s3://b/x,s3://AK:se/cret@c/y", "s3://b/x,s3://c/y"),
        ("file://C:/data/x/a@b.parquet", "file://C:/data/x/a@b.parquet"),
        ("hdfs://nn1:8020,nn2:8020/day=1/a@b", "hdfs://nn1:8020,nn2:8020/day=1/a@b"),
        ("gs://proj:bucket/a@b.json", "gs://proj:bucket/a@b.json"),
        ("postgres://u:p#w?x@h/db", "postgres://h/db"),
        ("https://h:9000/a@b/c", "https://h:9000/a@b/c"),
        ("https://[::1]:9000/a@b", "https://[::1]:9000/a@b"),
        ('open "https://h/a?x=1": denied', 'open "https://h/a": denied'),
        ("why?", "why?"),
    ],
)
def test_urls_lose_user_info_query_and_fragment(value: str, expected: str) -> None:
    assert without_credentials(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("{accessKeyID:A secretAccessKeyID:x/y+z= b:c}", "{accessKeyID:<secret> secretAccessKeyID:<secret> b:c}"),
        ('access_keyID:"a" secret_access_keyID:"b" x:"c"', 'access_keyID:<secret> secret_access_keyID:<secret> x:"c"'),
        ('{"sessionToken":"a\\"b","bucket":"c"}', '{"sessionToken":<secret>,"bucket":"c"}'),
        (r'{\"secretKey\":\"a\\\"b\",\"bucket\":\"c\"}', r'{\"secretKey\":<secret>,\"bucket\":\"c\"}'),
        ("secretAccessKeyID: accessKeyID: minioadmin", "secretAccessKeyID: <secret>"),
        ("map[Authorization:[Bearer abc] Host:[h]]", "map[Authorization:<secret> Host:[h]]"),
        ("AWS4-HMAC-SHA256 Credential=a, Signature=b", "AWS4-HMAC-SHA256 Credential=<secret> Signature=<secret>"),
        ("AccountName=a;AccountKey=b==;EndpointSuffix=c failed", "AccountName=a;AccountKey=<secret> failed"),
        ("container?sv=2022&sig=abc%3D denied", "container denied"),
        ("sv=2022&sig=abc%3D denied", "sv=2022&sig=<secret> denied"),
        ("fs.s3a.secret.key = abc", "fs.s3a.secret.key = <secret>"),
        ("X-Amz-Security-Token%3Dabc end", "X-Amz-Security-Token%3D<secret> end"),
        ("key AKIAIOSFODNN7EXAMPLE is unknown", "key <secret> is unknown"),
        ('"private_key": "-----BEGIN PRIVATE KEY-----\\nMII", "x": 1', '"private_key": <secret>, "x": 1'),
        ("-----BEGIN RSA PRIVATE KEY----- MII -----END RSA PRIVATE KEY----- refused", "<secret> refused"),
    ],
)  # fmt: skip
def test_credentials_of_object_stores_are_replaced(value: str, expected: str) -> None:
    assert without_credentials(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "api error InvalidAccessKeyId: The AWS Access Key Id you provided does not exist in our records",
        "ExpiredToken: the provided token has expired",
        "SignatureDoesNotMatch: the request signature does not match",
        "unexpected token: '}' at line 3",
        "no credentials: access denied",
        "schema not equal, err=field 'lang' not in arrow schema: importing data failed",
        "primary key: id, partition key: day, Key: lake/a.parquet",
        "failed to import from Kansas: https://h/a",
        "collection tokens: 5 rows, password is missing",
        "AccountName=acme, sharedKeys=3",
    ],
)
def test_ordinary_words_stay(value: str) -> None:
    assert without_credentials(value) == value


_SECRETS = st.text(string.ascii_letters + string.digits + "/+=_-.~!#$^*()[]{}:;,@&%?<>|", min_size=8, max_size=60)
_NAMES = st.sampled_from((
    "accessKeyID", "secretAccessKeyID", "sessionToken", "secret_access_key", "aws_session_token", "AccountKey",
    "sas_token", "SharedAccessSignature", "private_key", "gcpCredentialJSON", "X-Amz-Signature", "sig",
    "minio.secretAccessKey",
))  # fmt: skip
_FORMS: list[Callable[[str, str], str]] = [
    lambda name, secret: f"config {{address:h {name}:{secret} region:r}}: refused",
    lambda name, secret: f"map[{name}:{secret} region:r]",
    lambda name, secret: f'address:"h"  {name}:{json.dumps(secret)} bucket:"b"',
    lambda name, secret: json.dumps({"a": 1, name: secret, "b": [2]}),
    lambda name, secret: json.dumps({"a": 1, name: secret}, separators=(",", ":")),
    lambda name, secret: json.dumps({"message": json.dumps({name: secret, "b": 2})}),
    lambda name, secret: json.dumps(json.dumps({"message": json.dumps({name: secret})})),
    lambda name, secret: f"&{{Name:x {name}:{json.dumps(secret)}}} failed",
    lambda name, secret: f"{{'{name}': '{secret}', 'b': 2}}",
    lambda name, secret: f"https://h/a?x=1&{name}={quote(secret, safe='')}&y=2 denied",
    lambda name, secret: f"https://h/a?{name}={quote(secret)} denied",
    lambda name, secret: f"x=1&{name}={quote(secret, safe='')}&y=2",
    lambda name, secret: f"DefaultEndpointsProtocol=https;{name}={secret};EndpointSuffix=e",
    lambda name, secret: f"env {name}={secret} PATH=/bin",
]


@given(
    _NAMES, _SECRETS, st.sampled_from(_FORMS), st.sampled_from([0, 0, 300, 8_000, 12_000, 50_000]), st.integers(0, 400)
)
def test_no_secret_survives_in_any_form(
    name: str, secret: str, form: Callable[[str, str], str], before: int, more: int
) -> None:
    text = form(name, secret)
    shown = "word " * (before // 5) + "x" * more + " " + text + " y" * before
    forms = {secret, quote(secret, safe=""), json.dumps(secret)[1:-1]}
    # What the form says in other words is no trace of it.
    assume(not any(part in form(name, SHOWN) for part in forms))
    for masked in (without_credentials(text), reason(shown), whole_reason(shown)):
        assert not any(part in masked for part in forms)
        # Of any secret, no half survives either.
        half = secret[len(secret) // 2 :]
        assert len(half) < 8 or half in form(name, SHOWN) or half not in masked
