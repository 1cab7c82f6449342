"""Why an import failed, as one of few causes: read from the reason that the API gave."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from exporter.model import Cause

# What Milvus appends to its own errors.
_END: Final = r"(?:: importing data failed)?"
# These two silence an alert, so only the whole text that a server writes for them counts.
_ABORTED = re.compile(rf"(?:(?:import )?(?:job )?aborted by user|cancell?ed|aborted){_END}", re.IGNORECASE)
_DROPPED = re.compile(rf"collection [0-9]{{1,20}} dropped{_END}")

_QUOTED = re.compile(r"(?<!\w)(\\*['\"`])(?:(?!\1).)*+(?:\1(?!\w)|\Z)|\[[^\[\]]*+\]", re.DOTALL)
_WORD = re.compile(r"\S+")
_PLAIN = re.compile(r"[({]*([a-z]+)([)}.,;:!?]*)")
_PATH: Final = "/"
_NAMED: Final = "'"
_OTHER: Final = "#"
_PAUSE: Final = ":"
# Behind these a word is a name: "bucket quota".
_NO_NAME: Final = "".join(
    f"(?<!{noun} )" for noun in ("bucket", "called", "collection", "column", "database", "field", "named", "partition")
)
_PHRASES: Final = tuple(
    (cause, re.compile(rf"\b(?:{'|'.join(phrases)})\b"))
    for cause, phrases in (
        (Cause.TIMEOUT, (rf"{_NO_NAME}timeout", "timed out", "deadline exceeded", "deadlineexceeded")),
        (
            Cause.QUOTA,
            (rf"{_NO_NAME}quota", rf"{_NO_NAME}disk", "quota (?:is )?exceeded", "quotaexceeded", "no space left"),
        ),
        (
            Cause.SCHEMA,
            (
                rf"{_NO_NAME}schema",
                "dim",
                "dimensions?",
                "(?<!content )(?<!file )(?<!media )(?<!storage )types?",
                f"(?:field|column) {_NAMED} (?:cannot|does|has|is|missing|must|not|should|was)",
            ),
        ),
        (
            Cause.STORAGE,
            (
                "no such (?:bucket|file|key|object)",
                "nosuch(?:bucket|key)",
                "access ?denied",
                "permission denied",
                "credentials?",
                "invalidaccesskeyid",
                "signaturedoesnotmatch",
                "expiredtoken",
                "io failure",
                f"(?:blob|bucket|container|file|key|object|path)(?: [{_PATH}{_NAMED}{_OTHER}])* not found",
            ),
        ),
    )
)
_PATH_NOT_FOUND: Final = f"{_PATH} not found"


@lru_cache(maxsize=256)
def cause(reason: str) -> Cause:
    """Return the first cause that fits: in paths, quotes and identifiers nothing counts, in doubt it is OTHER."""
    if _ABORTED.fullmatch(reason):
        return Cause.ABORTED
    if _DROPPED.fullmatch(reason):
        return Cause.DROPPED
    prose = _WORD.sub(_plain, _QUOTED.sub(f" {_NAMED} ", reason.lower()))
    prose = " ".join(prose.split())
    for found, phrases in _PHRASES:
        if phrases.search(prose):
            return found
    return Cause.STORAGE if _PATH_NOT_FOUND in prose else Cause.OTHER


def _plain(word: re.Match[str]) -> str:
    """Return a word of prose and the pause after it; anything else becomes one sign, so that phrases end there."""
    if word[0] == _NAMED:
        return _NAMED
    if "/" in word[0] or "\\" in word[0]:
        return _PATH
    plain = _PLAIN.fullmatch(word[0])
    if not plain:
        return _OTHER
    return f"{plain[1]} {_PAUSE}" if plain[2] else plain[1]
