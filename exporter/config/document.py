"""YAML text -> plain data, with the line of each value, strictly: what YAML lets slip is an error here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import yaml

from exporter.config.problems import Location, Problem

LARGEST: Final = 1024 * 1024
_DEEPEST = 24
_MOST_VALUES = 100_000
_TAG = "tag:yaml.org,2002:"
_TEXT = frozenset({"str", "timestamp", "value", "merge"})  # a date is a date to YAML 1.1 alone
# PyYAML quotes what it stumbled over, which may be a secret; tokens and single marks are not.
_HARMLESS = re.compile(r"(?:[^'\"]|'<[a-z ]+>'|'[^\w\s]')*")


@dataclass(frozen=True, slots=True)
class Document:
    """What a document holds: dicts, lists, str, int, float, bool and None; and what could not be read of it."""

    data: object
    lines: Mapping[Location, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    unreadable: frozenset[Location] = frozenset()


class _TooMuchError(Exception):
    pass


class _Composer(yaml.SafeLoader):
    """Composes nodes; refuses nesting that would exhaust the stack."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _TooMuchError("is nested too deeply for a configuration")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def read_document(raw: bytes) -> Document:
    """Read one YAML document of at most `LARGEST` bytes. Never raises: what is wrong is in `problems`."""
    if len(raw) > LARGEST:
        return _nothing(f"is larger than {LARGEST // 1024} KiB")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return _nothing("is not UTF-8 text", raw.count(b"\n", 0, error.start) + 1)
    reader = _Reader()
    try:
        node = _compose(text)
        data = None if node is None else reader.value(node, (), 0)
    except _TooMuchError as error:
        return _nothing(str(error))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return _nothing(f"is not valid YAML: {yaml_problem(error)}", None if mark is None else mark.line + 1)
    except yaml.YAMLError as error:
        position = getattr(error, "position", 0)
        return _nothing("is not valid YAML: it holds a control character", text.count("\n", 0, position) + 1)
    return Document(data, reader.lines, tuple(reader.problems), frozenset(reader.unreadable))


def yaml_problem(error: yaml.MarkedYAMLError) -> str:
    """Say what PyYAML stumbled over, without the piece of text that it quotes."""
    problem = error.problem or error.context or "it breaks off"
    if "another document" in problem:
        return "it holds more than one document"
    if "\\t" in problem:
        return "a tab stands where only spaces may"
    if "alias" in problem or "anchor" in problem:
        return "an alias (*) or anchor (&) is not right; a value that begins with * or & belongs in quotes"
    if "tag" in problem:
        return "a tag (!) is not known; a value that begins with ! belongs in quotes"
    if _HARMLESS.fullmatch(problem):
        return problem
    return "a character or directive is out of place; a value with special characters belongs in quotes"


def _compose(text: str) -> yaml.Node | None:
    loader = _Composer(text)
    try:
        node: yaml.Node | None = loader.get_single_node()
        return node
    finally:
        loader.dispose()


def _nothing(sentence: str, line: int | None = None) -> Document:
    lines: dict[Location, int] = {} if line is None else {(): line}
    return Document(None, lines, (Problem((), sentence),), frozenset({()}))


class _Reader:
    """Walks the nodes of one document. Aliases are walked again wherever they stand, within a bound."""

    def __init__(self) -> None:
        self.lines: dict[Location, int] = {}
        self.problems: list[Problem] = []
        self.unreadable: set[Location] = set()
        self._count = 0
        scalars = yaml.constructor.SafeConstructor()
        self._constructors: Mapping[str, Callable[[yaml.ScalarNode], object]] = {
            "int": scalars.construct_yaml_int,
            "float": scalars.construct_yaml_float,
            "bool": scalars.construct_yaml_bool,
            "null": scalars.construct_yaml_null,
        }

    def value(self, node: yaml.Node, location: Location, depth: int) -> object:
        self._count += 1
        if self._count > _MOST_VALUES or depth > _DEEPEST:
            raise _TooMuchError("holds too many values, aliases (*) included")
        self.lines.setdefault(location, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, location, depth)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self.value(item, (*location, index), depth + 1) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, location)
        self._unreadable(location, "has a YAML tag (!) that means nothing here; remove it")
        return None

    def _scalar(self, node: yaml.ScalarNode, location: Location) -> object:
        kind = node.tag.removeprefix(_TAG)
        if kind in _TEXT:
            return node.value
        construct = self._constructors.get(kind)
        if construct is None:
            self._unreadable(location, "has a YAML tag (!) that means nothing here; remove it, or use quotes")
            return None
        try:
            return construct(node)
        except (ValueError, KeyError, yaml.YAMLError):  # !!int before something else, or a number of 5000 digits
            self._unreadable(location, "is not what YAML takes it for; put it in quotes")
            return None

    def _mapping(self, node: yaml.MappingNode, location: Location, depth: int) -> dict[str, object]:
        result: dict[str, object] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == _TAG + "merge":
                merged.append(value_node)
                continue
            key = self._key(key_node, location)
            if key is None:
                continue
            place = (*location, key)
            if key in result:
                first = self.lines[place]
                self.problems.append(Problem(place, f"is given twice, on lines {first} and {line}; keep one"))
                continue
            self.lines.setdefault(place, line)
            result[key] = self.value(value_node, place, depth + 1)
        for source in merged:
            for other in source.value if isinstance(source, yaml.SequenceNode) else [source]:
                self._merge(other, result, location, depth)
        return result

    def _merge(self, source: yaml.Node, result: dict[str, object], location: Location, depth: int) -> None:
        """Add the keys of `<<: *source` that the mapping does not give itself."""
        if not isinstance(source, yaml.MappingNode):
            self.problems.append(Problem(location, "has a merge (<<) of something that is not a mapping"))
            return
        if depth > _DEEPEST:
            raise _TooMuchError("is nested too deeply for a configuration")
        # Lines of a merged value would replace those of the value that overrides it.
        other = _Reader()
        other._count = self._count
        data = other._mapping(source, location, depth + 1)
        self._count = other._count
        for key, value in data.items():
            if key in result:
                continue
            result[key] = value
            place = (*location, key)
            size = len(place)
            self.lines.update((where, line) for where, line in other.lines.items() if where[:size] == place)
            self.problems += (problem for problem in other.problems if problem.location[:size] == place)
            self.unreadable |= {where for where in other.unreadable if where[:size] == place}

    def _key(self, node: yaml.Node, location: Location) -> str | None:
        if isinstance(node, yaml.ScalarNode) and node.tag.removeprefix(_TAG) in _TEXT:
            text: str = node.value
            return text
        line = node.start_mark.line + 1
        self.problems.append(Problem(location, f"has a key on line {line} that is not text"))
        return None

    def _unreadable(self, location: Location, sentence: str) -> None:
        self.problems.append(Problem(location, sentence))
        self.unreadable.add(location)
