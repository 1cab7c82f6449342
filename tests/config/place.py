"""A directory with a configuration in it, for the tests of this package."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.config.load import ConfigError, Loaded, Loader
from exporter.config.schema import Cluster


class Place:
    """A directory with a configuration file; the key file is there and good."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "config.yaml"
        self.write("key", "canary\n")

    def write(self, name: str, text: str, mode: int = 0o600) -> Path:
        path = self.directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def configure(self, *clusters: dict[str, Any], **sections: Any) -> Loader:
        self.write("config.yaml", yaml.safe_dump({"clusters": list(clusters), **sections}))
        return Loader(self.path, {})


def cluster(**keys: Any) -> dict[str, Any]:
    return {"cluster_id": "in01-a", "api_key_file": "key", **keys}


def load_cluster(place: Place, **keys: Any) -> Cluster:
    (loaded,) = place.configure(cluster(**keys)).load().config.clusters
    return loaded


def errors(loader: Loader) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        loader.load()
    return caught.value.errors


def listing(place: Place, *patterns: str, jobs: tuple[str, ...] = ()) -> Loader:
    return place.configure(cluster(job_lists=list(patterns), jobs=list(jobs)))


def ids(loaded: Loaded) -> tuple[str, ...]:
    return loaded.listed["in01-a"]
