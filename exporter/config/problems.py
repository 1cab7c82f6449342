"""Errors and warnings for a reader: where, what is wrong and what would be right, but never a value."""

from __future__ import annotations

import difflib
import re
import traceback
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from pydantic import BaseModel, ValidationError

Location = tuple[str | int, ...]

MOST: Final = 100
# A key is shown only if it looks like one: in `{api_key:abc}` the key, as YAML reads it, holds the secret.
_LOOKS_LIKE_A_KEY = re.compile(r"[a-z][a-z_.-]{0,31}")
_UNKNOWN = "<unknown key>"
_REQUIRED: Final[Mapping[str, str]] = {
    "clusters": "is required; list at least one cluster",
    "cluster_id": "is required; Zilliz Cloud shows it in its console, such as in01-0123456789abcde",
}
_SENTENCES: Final[Mapping[str, str]] = {
    "string_type": "must be text; put it in quotes",
    "tuple_type": "must be a list",
    "model_type": "must be a mapping of keys to values",
    "dict_type": "must be a mapping of keys to values",
    "int_type": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "string_too_short": "is empty; write a value",
    "string_too_long": "is longer than {max_length} characters",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be {ge:g} or more",
    "less_than_equal": "must be {le:g} or less",
    "literal_error": "must be {expected}",
    "rule": "{sentence}",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, at one place of the document."""

    location: Location
    sentence: str


def from_pydantic(error: ValidationError, root: type[BaseModel]) -> Iterator[Problem]:
    """Put what pydantic found in a document of model `root` into sentences of our own.

    Only locations and types of pydantic's errors are used, as its texts contain values.
    """
    sections = _sections(root)
    unknown = 0
    for item in error.errors(include_url=False, include_input=False):
        location = tuple(item["loc"])
        if item["type"] == "extra_forbidden":
            unknown += 1  # finding a similar key takes time, and at most `MOST` are reported
            sentence = _unknown_key(location, sections) if unknown <= MOST else "is not a known key"
            yield Problem(location, sentence)
        elif item["type"] == "missing":
            yield Problem(location, _REQUIRED[str(location[-1])])
        else:
            # Where a union failed, pydantic's location also has the name of the alternative.
            location = tuple(part for part in location if part not in ("str", "int"))
            yield Problem(location, _SENTENCES.get(item["type"], "is not valid").format(**item.get("ctx", {})))


def report(
    problems: Iterable[Problem],
    lines: Mapping[Location, int],
    document: str,
    root: type[BaseModel],
    names: Collection[str] = (),
) -> tuple[str, ...]:
    """Return one line per problem, in the order of the document, at most `MOST` and a line that counts the rest.

    `document` is the name of the file, `root` its model; `names` are more keys that are safe to show.
    """
    known = {name for model in _sections(root).values() for name in model.model_fields} | {*names}

    def order(problem: Problem) -> tuple[int, list[str], str]:
        return _line(problem.location, lines) or 0, [str(part) for part in problem.location], problem.sentence

    found = sorted(set(problems), key=order)
    texts = []
    for problem in found[:MOST]:
        line = _line(problem.location, lines)
        path = _path(problem.location, known)
        place = (f"{document}, line {line}" if path else f"line {line}") if line else ""
        texts.append(f"{path or document}: {problem.sentence}" + (f" ({place})" if place else ""))
    if len(found) > MOST:
        texts.append(f"and {len(found) - MOST} more errors")
    return tuple(texts)


def unexpected(error: Exception) -> str:
    """Say what was raised and where. Neither its text nor its traceback is shown: they may hold a secret."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    at = f"{Path(place.filename).name}, line {place.lineno}"
    return f"unexpected {type(error).__name__} ({at}); this is a fault of the exporter, please report it"


def _path(location: Location, known: Collection[str]) -> str:
    """Return a location as `clusters[1].jobs[0]`; a key that is neither known nor looks like one is not shown."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _is_shown(part, known) else _UNKNOWN)
    return text


def _is_shown(key: str, known: Collection[str]) -> bool:
    if key in known or _LOOKS_LIKE_A_KEY.fullmatch(key) is not None:
        return True
    return ":" not in key and key.isprintable() and bool(_near(key, known))


def _near(key: str, known: Iterable[str]) -> list[str]:
    return difflib.get_close_matches(key.lower().replace("-", "_"), known, n=1, cutoff=0.7)


def _line(location: Location, lines: Mapping[Location, int]) -> int | None:
    for end in range(len(location), -1, -1):
        line = lines.get(location[:end])
        if line is not None:
            return line
    return None


def _sections(model: type[BaseModel], name: str = "") -> dict[str, type[BaseModel]]:
    """The models that a document consists of, by the key of their section."""
    found = {name: model}
    for key, field in model.model_fields.items():
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                found |= _sections(part, key)
    return found


def _unknown_key(location: Location, sections: Mapping[str, type[BaseModel]]) -> str:
    names = [part for part in location if isinstance(part, str)]
    key, section = names[-1], names[-2] if len(names) > 1 else ""
    known = [*sections[section].model_fields]
    near = _near(key, known)
    if near:
        return f'is not a known key; did you mean "{near[0]}"?'
    homes = [name for name, model in sections.items() if key in model.model_fields]
    if homes:
        return f"does not belong here; it belongs in {_place(homes[0])}"
    return f"is not a known key; known here are {', '.join(known)}"


def _place(section: str) -> str:
    return f'"{section}"' if section else "the top level"


def outside(problems: Iterable[Problem], unreadable: Collection[Location]) -> Iterator[Problem]:
    """Leave out problems at places that could not be read: they are only consequences."""
    for problem in problems:
        if not any(problem.location[:end] in unreadable for end in range(len(problem.location) + 1)):
            yield problem
