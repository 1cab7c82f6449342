"""Keys and certificates that a configuration names."""

import os

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from exporter.config.load import Loader
from exporter.config.secret import Secret
from tests.config.place import Place, cluster, errors, load_cluster


@pytest.mark.parametrize("text", ["canary", "canary\n", "canary\r\n", "\ufeffcanary\n", "canary\n\n"])
def test_a_key_file_holds_the_key_and_perhaps_the_end_of_its_line(place: Place, text: str) -> None:
    place.write("key", text)
    assert place.configure(cluster()).load().keys["in01-a"] == Secret("canary")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        ("\n", "is empty"),
        ("canary\ncanary\n", "has more than one line"),
        (" canary", "begins or ends with a space"),
        ("can\tary", "holds characters that cannot be sent"),
        ("canary\u20ac", "holds characters that cannot be sent"),
        ("x" * 20_000, "is larger than 16 KiB"),
    ],
)
def test_a_file_without_a_usable_key_is_an_error(place: Place, text: str, problem: str) -> None:
    place.write("key", text)
    (error,) = errors(place.configure(cluster()))
    assert error.startswith(f"clusters[0].api_key_file: names a file that {problem}")
    assert "canary" not in error


def test_a_fifo_in_the_place_of_a_key_does_not_hang_the_load(place: Place) -> None:
    (place.directory / "key").unlink()
    os.mkfifo(place.directory / "key")
    (error,) = errors(place.configure(cluster()))
    assert "is not a regular file" in error


def test_a_key_comes_from_the_environment(place: Place) -> None:
    place.configure({"cluster_id": "in01-a", "api_key_env": "KEY"})
    assert Loader(place.path, {"KEY": "canary"}).load().keys == {"in01-a": Secret("canary")}


def test_a_key_file_that_everybody_can_read_is_a_warning(place: Place) -> None:
    loader = place.configure(cluster())
    (place.directory / "key").chmod(0o644)
    (warning,) = loader.load().warnings
    assert warning.startswith("clusters[0].api_key_file: names a file that every user of this machine can read")


def test_an_inline_key_in_a_file_that_everybody_can_read_is_a_warning(place: Place) -> None:
    loader = place.configure({"cluster_id": "in01-a", "api_key": "canary"})
    assert loader.load().warnings == ()
    place.path.chmod(0o604)
    (warning,) = loader.load().warnings
    assert warning.startswith("clusters[0].api_key: is in a file that every user of this machine can read")


def test_paths_are_relative_to_the_configuration_file(place: Place, pair: tuple[bytes, bytes]) -> None:
    certificate, key = pair
    (place.directory / "ca.pem").write_bytes("# Zertifikat für München\n".encode() + certificate)
    (place.directory / "key.pem").write_bytes(key)
    tls = {"ca_file": "ca.pem", "cert_file": str(place.directory / "ca.pem"), "key_file": "./key.pem"}
    loaded = load_cluster(place, tls_config=tls)
    assert loaded.api_key_file == str(place.directory / "key")
    assert loaded.tls_config.ca_file == str(place.directory / "ca.pem")
    assert loaded.tls_config.key_file == str(place.directory / "key.pem")


@pytest.mark.parametrize("password", [None, b"password"])
def test_a_client_certificate_needs_its_own_unencrypted_key(
    place: Place, pair: tuple[bytes, bytes], password: bytes | None
) -> None:
    certificate, own_key = pair
    key = ec.generate_private_key(ec.SECP256R1()) if password is None else load_pem_private_key(own_key, None)
    encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
    (place.directory / "cert.pem").write_bytes(certificate)
    (place.directory / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    (error,) = errors(place.configure(cluster(tls_config={"cert_file": "cert.pem", "key_file": "key.pem"})))
    assert error.startswith("clusters[0].tls_config.cert_file: does not match key_file")
