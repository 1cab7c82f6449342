from __future__ import annotations

import ssl
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.web.webconfig import WebConfig, WebConfigError, WebConfigFile
from tests.support.authority import Authority

HASH = "$2b$04$RmnpPxaJ2G.xr6OjZq23XOAboXKq01uiUO.pCkss.SPBqMkR6NhN."


def load(directory: Path, text: str | bytes) -> WebConfig:
    file = directory / "web.yml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return WebConfigFile(file).load()


def refused(directory: Path, text: str) -> str:
    with pytest.raises(WebConfigError) as caught:
        load(directory, text)
    assert HASH not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A directory that holds server.crt, server.key and ca.pem."""
    certificate, key = Authority(tmp_path).issue("127.0.0.1")
    certificate.rename(tmp_path / "server.crt")
    key.rename(tmp_path / "server.key")
    (tmp_path / "server.key").chmod(0o600)
    return tmp_path


PAIR = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"


def test_the_sample_file_of_the_toolkit_works_unchanged(pair: Path) -> None:
    config = load(
        pair,
        """\
# TLS and basic authentication configuration example.
tls_server_config:
  cert_file: server.crt
  key_file: server.key

basic_auth_users:
  alice: $2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze
  bob: $2y$10$hLqFl9jSjoAAy95Z/zw8Ye8wkdMBM8c5Bn1ptYqP/AXyV0.oy0S8m

rate_limit:
  interval: "1s" # time interval between two requests, set to 0 to disable rate limiter
  burst: 20 # and permits a burst of up to 20 requests.
""",
    )
    assert config.tls is not None
    assert set(config.users) == {"alice", "bob"}
    assert config.rate_limit == (1.0, 20)


def test_the_files_of_the_prometheus_guides_work_unchanged(pair: Path) -> None:
    basic_auth = load(
        pair, "basic_auth_users:\n    admin: $2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay\n"
    )
    assert (set(basic_auth.users), basic_auth.tls) == ({"admin"}, None)
    (pair / "prometheus.crt").write_bytes((pair / "server.crt").read_bytes())
    (pair / "prometheus.key").write_bytes((pair / "server.key").read_bytes())
    tls = load(pair, f"tls_server_config:\n  cert_file: {pair}/prometheus.crt\n  key_file: {pair}/prometheus.key\n")
    assert tls.tls is not None


def test_every_key_of_the_format_is_understood(pair: Path) -> None:
    config = load(
        pair,
        PAIR
        + """\
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.pem
  client_allowed_sans: [prometheus.example, 127.0.0.1]
  min_version: TLS12
  max_version: TLS13
  cipher_suites:
    - TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
    - TLS_AES_128_GCM_SHA256
  prefer_server_cipher_suites: false
  curve_preferences: [CurveP256]
http_server_config:
  http2: true
  headers:
    Content-Security-Policy: default-src 'none'
    X-Frame-Options: deny
    X-Content-Type-Options: nosniff
    X-XSS-Protection: ""
    Strict-Transport-Security: max-age=3600
basic_auth_users:
"""
        + f"  alice: {HASH}\n",
    )
    assert config.tls is not None
    assert config.tls.verify_mode is ssl.CERT_REQUIRED
    assert config.tls.minimum_version is ssl.TLSVersion.TLSv1_2
    assert not config.tls.options & ssl.OP_CIPHER_SERVER_PREFERENCE
    up_to_12 = [cipher["name"] for cipher in config.tls.get_ciphers() if not cipher["name"].startswith("TLS_")]
    assert up_to_12 == ["ECDHE-ECDSA-AES128-GCM-SHA256"]
    assert config.tls.client_sans == frozenset({"prometheus.example", "127.0.0.1"})
    assert config.headers == {
        "Content-Security-Policy": "default-src 'none'",
        "X-Frame-Options": "deny",
        "X-Content-Type-Options": "nosniff",
        "Strict-Transport-Security": "max-age=3600",
    }


def test_certificate_key_and_authority_may_stand_in_the_file(pair: Path) -> None:
    def inline(name: str) -> str:
        return "|\n" + "".join(f"    {line}\n" for line in (pair / name).read_text().splitlines())

    text = (
        "tls_server_config:\n  cert: " + inline("server.crt") + "  key: " + inline("server.key")
        + "  client_ca: " + inline("ca.pem") + "  client_auth_type: VerifyClientCertIfGiven\n"
    )  # fmt: skip
    config = load(pair, text)
    assert config.tls is not None
    assert config.tls.verify_mode is ssl.CERT_OPTIONAL


@pytest.mark.parametrize("text", ["", "{}", "tls_server_config:\n", "tls_server_config: {}\nbasic_auth_users: {}\n"])
def test_an_empty_file_is_an_open_door_without_tls(tmp_path: Path, text: str) -> None:
    config = load(tmp_path, text)
    assert (config.tls, config.users, config.rate_limit) == (None, {}, None)


def test_a_key_without_a_value_is_not_given(pair: Path) -> None:
    assert load(pair, PAIR + "  client_ca_file:\n  client_allowed_sans:\n").tls is not None


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        (PAIR + "  client_auth_type: RequestClientCert\n", "tls_server_config.client_auth_type", "Python cannot"),
        (PAIR + "  client_auth_type: RequireAnyClientCert\n", "tls_server_config.client_auth_type", "Python cannot"),
        (PAIR + "  client_auth_type: Sometimes\n", "tls_server_config.client_auth_type", "must be one of"),
        (PAIR + "  client_ca_file: ca.pem\n", "tls_server_config.client_ca_file", "no effect"),
        (
            PAIR + "  client_auth_type: RequireAndVerifyClientCert\n",
            "tls_server_config.client_ca_file",
            "is required",
        ),
        (
            PAIR + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: server.key\n",
            "tls_server_config.client_ca_file",
            "no certificate",
        ),
        (PAIR + "  client_allowed_sans: [a]\n", "tls_server_config.client_allowed_sans", "requires"),
        (PAIR + "  min_version: SSL30\n", "tls_server_config.min_version", "must be 'TLS10'"),
        (PAIR + "  min_version: TLS13\n  max_version: TLS12\n", "tls_server_config.min_version", "above"),
        (PAIR + "  cipher_suites: [NULL-MD5]\n", "tls_server_config.cipher_suites[0]", "not a suite"),
        (
            PAIR + "  max_version: TLS12\n  cipher_suites: [TLS_AES_128_GCM_SHA256]\n",
            "tls_server_config.cipher_suites",
            "forbids",
        ),
        (PAIR + "  curve_preferences: [X25519, CurveP256]\n", "tls_server_config.curve_preferences", "one curve only"),
        (PAIR + "  curve_preferences: [Curve25519]\n", "tls_server_config.curve_preferences[0]", "must be one of"),
        (PAIR + "  certfile: x\n", "tls_server_config.certfile", 'did you mean "cert_file"'),
        (PAIR + "  cert: x\n", "tls_server_config.cert", "keep one"),
        ("tls_server_config: {key_file: server.key}", "tls_server_config.cert_file", "is required"),
        ("tls_server_config: {cert_file: server.crt}", "tls_server_config.key_file", "is required"),
        ("tls_server_config: {cert_file: a, key_file: server.key}", "tls_server_config.cert_file", "cannot be read"),
        ("tls_server_config: {cert_file: ca.pem, key_file: server.key}", "tls_server_config.cert_file", "not go with"),
        ("tls_server_config: [a]", "tls_server_config", "must be a mapping"),
        ("tls_config: {}", "tls_config", 'did you mean "tls_server_config"'),
        ("http_server_config: {headers: {Server: x}}", "http_server_config.headers", "cannot be set"),
        ("http_server_config: {headers: {X-Frame-Options: allow}}", "X-Frame-Options", "must be deny or sameorigin"),
        (
            'http_server_config: {headers: {X-XSS-Protection: "1\\r\\nSet-Cookie: a"}}',
            "X-XSS-Protection",
            "printable ASCII",
        ),
        ("http_server_config: {http2: maybe}", "http_server_config.http2", "true or false"),
        ("basic_auth_users: {alice: password}", "basic_auth_users.alice", "not a bcrypt hash"),
        ("basic_auth_users: {alice: 123}", "basic_auth_users.alice", "must be text"),
        (f'basic_auth_users: {{"a:b": {HASH}}}', "basic_auth_users.<unknown key>", "colon"),
        (f"basic_auth_users: {{alice:{HASH}}}", "basic_auth_users.<unknown key>", "a colon, a space"),
        ("basic_auth_users:\n  alice:\n", "basic_auth_users.alice", "not a bcrypt hash"),
        ("basic_auth_users: {Alice.Smith@example: a}", "basic_auth_users.Alice.Smith@example", "not a bcrypt hash"),
        (f"basic_auth_users: {{{HASH}: alice}}", "basic_auth_users.<unknown key>", "not a bcrypt hash"),
        ("tls_server_config: {cert_file:a, key_file:b}", "tls_server_config.<unknown key>", "not a known key"),
        ("unheard:\n", "unheard", "not a known key"),
        ("basic_auth_users: [alice]", "basic_auth_users", "must be a mapping"),
        ("rate_limit: {interval: soon, burst: 1}", "rate_limit.interval", "must be a duration"),
        ("rate_limit: {interval: 1s}", "rate_limit.burst", "1 or more"),
        ("- a", "web.yml", "must be a mapping"),
        ("a: [", "web.yml", "not valid YAML"),
        (PAIR + PAIR, "tls_server_config", "given twice"),
    ],
)
def test_what_cannot_work_is_refused_with_its_path_and_a_sentence(pair: Path, text: str, path: str, words: str) -> None:
    error = refused(pair, text)
    assert path in error
    assert words in error


def test_all_errors_come_at_once(pair: Path) -> None:
    error = refused(pair, "unheard: of\nbasic_auth_users: {alice: 1}\nhttp_server_config: {http2: 3}\n")
    assert all(piece in error for piece in ("unheard", "basic_auth_users.alice", "http2: must be"))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WebConfigError, match="cannot be read"):
        WebConfigFile(tmp_path / "nothing.yml").load()


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_password(pair: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key((pair / "server.key").read_bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"password"),
    )
    (pair / "server.key").write_bytes(encrypted)
    assert "unencrypted" in refused(pair, PAIR)


def test_secret_files_that_everybody_can_read_are_warned_of(pair: Path) -> None:
    (pair / "server.key").chmod(0o644)
    (pair / "web.yml").touch(0o644)
    (pair / "web.yml").chmod(0o644)
    config = load(pair, PAIR + f"basic_auth_users: {{alice: {HASH}}}\n")
    assert len(config.warnings) == 2
    (pair / "server.key").chmod(0o640)
    (pair / "web.yml").chmod(0o600)
    assert load(pair, PAIR + f"basic_auth_users: {{alice: {HASH}}}\n").warnings == ()


def test_a_change_in_any_of_the_files_is_noticed(pair: Path) -> None:
    (pair / "web.yml").write_text(PAIR)
    file = WebConfigFile(pair / "web.yml")
    file.load()
    assert not file.changed()
    certificate, key = Authority(pair, "Another").issue("127.0.0.1", valid_for=timedelta(days=2))
    (pair / "server.crt").write_bytes(certificate.read_bytes())
    assert file.changed()
    with pytest.raises(WebConfigError):
        file.load()
    assert not file.changed()
    (pair / "server.key").write_bytes(key.read_bytes())
    assert file.changed()
    file.load()
    (pair / "web.yml").unlink()
    assert file.changed()


def test_what_the_system_lacked_may_work_the_next_time(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (pair / "web.yml").write_text(PAIR)
    file = WebConfigFile(pair / "web.yml")
    with monkeypatch.context() as patch:
        patch.setattr("os.memfd_create", lambda *_: (_ for _ in ()).throw(OSError(24, "Too many open files")))
        with pytest.raises(WebConfigError, match=r"cert_file: cannot be loaded: Too many open files"):
            file.load()
    assert file.changed()
    assert file.load().tls is not None
    assert not file.changed()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_old_versions_only_where_they_are_asked_for(pair: Path) -> None:
    default = load(pair, PAIR).tls
    assert default is not None
    assert default.minimum_version is ssl.TLSVersion.TLSv1_2
    old = load(pair, PAIR + "  min_version: TLS10\n  max_version: TLS11\n").tls
    assert old is not None
    assert (old.minimum_version, old.maximum_version) == (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)


_NAMES = st.sampled_from(
    ["tls_server_config", "http_server_config", "basic_auth_users", "rate_limit", "cert_file", "headers", "a"]
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES | st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    content=st.binary(max_size=200) | st.dictionaries(_NAMES, _VALUES, max_size=4).map(lambda data: repr(data).encode())
)
def test_whatever_the_file_holds_it_is_a_configuration_or_an_error(tmp_path: Path, content: bytes) -> None:
    with suppress(WebConfigError):
        load(tmp_path, content)
