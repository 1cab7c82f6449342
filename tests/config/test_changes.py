"""What happens when files change under way."""

import os
import time

import pytest
import yaml

from exporter.config.load import Loader
from exporter.config.secret import Secret
from tests.config.place import Place, cluster, errors, ids, listing


def test_nothing_has_changed_after_a_load(place: Place) -> None:
    place.write("list", '["1"]')
    loader = listing(place, "lis*")
    loader.load()
    os.utime(place.path, (time.time(), 1))
    assert loader.changed() is False


@pytest.mark.parametrize("name", ["config.yaml", "key", "list", "lists/new", "ca.pem"])
def test_a_change_of_any_file_involved_is_noticed(place: Place, pair: tuple[bytes, bytes], name: str) -> None:
    place.write("list", '["1"]')
    place.write("ca.pem", pair[0].decode())
    loader = place.configure(cluster(job_lists=["list", "lists/*"], tls_config={"ca_file": "ca.pem"}))
    loader.load()
    path = place.directory / name
    place.write(name, (path.read_text() if path.exists() else "[]") + "\n")
    assert loader.changed() is True
    loader.load()
    assert loader.changed() is False


@pytest.mark.parametrize("name", ["config.yaml", "key", "list"])
def test_a_file_that_vanishes_is_noticed(place: Place, name: str) -> None:
    place.write("list", '["1"]')
    loader = listing(place, "list")
    loader.load()
    (place.directory / name).unlink()
    assert loader.changed() is True


def test_the_swap_of_a_config_map_through_its_links_is_noticed(place: Place) -> None:
    for version, key in (("v1", "old"), ("v2", "new")):
        place.write(f"..{version}/key", key)
        place.write(f"..{version}/config.yaml", yaml.safe_dump({"clusters": [cluster()]}))
    mount = place.directory / "mount"
    mount.mkdir()
    (mount / "..data").symlink_to("../..v1")
    for name in ("config.yaml", "key"):
        (mount / name).symlink_to(f"..data/{name}")
    loader = Loader(mount / "config.yaml", {})
    assert loader.load().keys == {"in01-a": Secret("old")}
    (mount / "..tmp").symlink_to("../..v2")
    (mount / "..tmp").rename(mount / "..data")
    assert loader.changed() is True
    assert loader.load().keys == {"in01-a": Secret("new")}


def test_going_back_to_the_old_file_heals(place: Place) -> None:
    loader = place.configure(cluster())
    good = loader.load()
    place.write("config.yaml", "clusters: [")
    assert loader.changed() is True
    errors(loader)
    assert loader.changed() is False
    place.configure(cluster())
    assert loader.changed() is True
    assert loader.load() == good


def test_beside_a_bad_file_the_last_good_configuration_follows_its_keys_and_lists(place: Place) -> None:
    place.write("list", '["1"]')
    loader = listing(place, "list")
    loader.load()
    loader.accept()
    place.write("config.yaml", "clusters: [")
    errors(loader)
    place.write("key", "rotated")
    place.write("list", '["2"]')
    kept = loader.load_last_good()
    assert kept is not None
    assert (kept.keys, ids(kept)) == ({"in01-a": Secret("rotated")}, ("2",))
    assert loader.changed() is False
    place.write("key", "rotated again")
    assert loader.changed() is True


def test_there_is_no_last_good_configuration_before_the_first_or_without_its_key(place: Place) -> None:
    loader = place.configure(cluster())
    assert loader.load_last_good() is None
    loader.load()
    assert loader.load_last_good() is None
    loader.accept()
    (place.directory / "key").unlink()
    assert loader.load_last_good() is None
