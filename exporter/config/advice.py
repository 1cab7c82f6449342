"""What a configuration may say but hardly means: warnings, each with what is probably meant."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from exporter.config.problems import Location, Problem
from exporter.config.schema import Cluster, Config
from exporter.config.secret import Secret

_VARIABLE: Final = re.compile(r"\$\{.*\}|\$[A-Za-z_][A-Za-z0-9_]*")
_API_PATH: Final = re.compile(r"(?<!/)/v[0-9]+(/vectordb(/.*)?)?$")
_ESCAPED: Final = re.compile(r"\[([*?[])\]")


def advise(config: Config, keys: Mapping[str, Secret | None]) -> Iterator[Problem]:
    """Yield what looks like a mistake; `keys` go by cluster_id."""
    for index, cluster in enumerate(config.clusters):
        location = ("clusters", index)
        key = keys[cluster.cluster_id]
        if key is not None:
            yield from _about_key(key.reveal(), cluster, location)
        if _API_PATH.search(cluster.base_url):
            sentence = "ends in a path of the API, which is added to it; leave out /v1 or /v2 and what follows"
            yield Problem((*location, "base_url"), sentence)
        for number, pattern in enumerate(cluster.job_lists):
            directory = str(Path(pattern).parent)
            if not any(map(os.path.isdir, glob.iglob(directory))):  # noqa: PTH207 - absolute patterns
                where = _ESCAPED.sub(r"\1", directory)
                yield Problem((*location, "job_lists", number), f"matches nothing: there is no directory {where}")


def _about_key(key: str, cluster: Cluster, location: Location) -> Iterator[Problem]:
    (source,) = (name for name in ("api_key_file", "api_key_env", "api_key") if getattr(cluster, name) is not None)
    if key.lower().startswith("bearer "):
        yield Problem((*location, source), 'gives a key that begins with "Bearer", which is added to it; leave it out')
    elif " " in key and cluster.api == "zilliz":
        yield Problem((*location, source), "gives a key with a space in it, which no key of Zilliz Cloud has")
    elif cluster.api_key is not None and _VARIABLE.fullmatch(key):
        sentence = "is taken as it stands, not as the name of a variable; api_key_env takes that"
        yield Problem((*location, source), sentence)
