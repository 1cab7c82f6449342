"""The keys of the configuration as data, for the documents: path, type, default and description."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from exporter.config.duration import UNITS
from exporter.config.schema import Config
from exporter.config.values import Kind


@dataclass(frozen=True, slots=True)
class Key:
    """One key: its path such as `clusters[].jobs`, its type in words, its default as plain data (None: no default)."""

    path: str
    type: str
    required: bool
    default: object
    description: str


def keys() -> tuple[Key, ...]:
    """Return every key in the order of the schema, a section before its keys."""
    return tuple(_keys(Config, ""))


def _keys(model: type[BaseModel], prefix: str) -> Iterator[Key]:
    for name, field in model.model_fields.items():
        section, repeated = _section(field.annotation)
        path = f"{prefix}{name}{'[]' if repeated else ''}"
        yield Key(path, _type(field), field.is_required(), _default(field), field.description or "")
        if section is not None:
            yield from _keys(section, path + ".")


def _section(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """Return the model behind `Model`, `Model | None` or `tuple[Model, ...]`, and whether it is a list of them."""
    repeated = get_origin(annotation) is tuple
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate, repeated
    return None, False


def _type(field: FieldInfo) -> str:
    section, repeated = _section(field.annotation)
    if section is not None:
        return "list of sections" if repeated else "section"
    return _type_of(field.annotation, field.metadata)


def _type_of(annotation: Any, metadata: list[Any]) -> str:
    for item in metadata:
        if isinstance(item, Kind):
            return item.name
    arguments = get_args(annotation)
    if isinstance(annotation, UnionType) or type(None) in arguments:
        return _type_of(arguments[0], [])
    if get_origin(annotation) is Literal:
        return " or ".join(", ".join(arguments).rsplit(", ", 1))
    if get_origin(annotation) is tuple:
        return f"list, each a {_type_of(arguments[0], [])}"
    if hasattr(annotation, "__metadata__"):
        return _type_of(annotation.__origin__, list(annotation.__metadata__))
    return {bool: "true or false"}.get(annotation, "text")


def _default(field: FieldInfo) -> object:
    default = field.get_default(call_default_factory=False) if not field.is_required() else None
    if isinstance(default, BaseModel):
        return None
    if isinstance(default, tuple):
        return list(default)
    if isinstance(default, float):
        if any(item == Kind("duration") for item in field.metadata):
            return format_duration(default)
        return int(default) if default.is_integer() else default
    return default


def format_duration(seconds: float) -> str:
    """Write seconds (0 or more, to the millisecond) as a duration that `parse_duration` reads back."""
    rest = round(seconds * 1_000)
    if rest == 0:
        return "0s"
    parts = []
    for unit, size in UNITS.items():
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)
