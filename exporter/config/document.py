"""Reads one YAML document strictly, as plain data with line numbers: what YAML tolerates silently is an error here.

Plain scalars are those of YAML 1.2, in decimal: `no`, `1:30` and `2024-01-01` are text, `010` is ten.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml
from yaml.composer import Composer
from yaml.reader import ReaderError
from yaml.resolver import BaseResolver

from exporter.config.problems import Location, Problem

LARGEST: Final = 1024 * 1024
FAST_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST: Final = 24
_MOST_VALUES: Final = 100_000
TAG: Final = "tag:yaml.org,2002:"
_TEXT, _MERGE = TAG + "str", TAG + "merge"
_PLAIN: Final = {  # tag -> pattern, first characters
    TAG + "null": (r"(?:~|null|Null|NULL|)\Z", ["~", "n", "N", ""]),
    TAG + "bool": (r"(?:true|True|TRUE|false|False|FALSE)\Z", list("tTfF")),
    TAG + "int": (r"[-+]?[0-9]+\Z", list("-+0123456789")),
    TAG + "float": (
        r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z",
        list("-+.0123456789"),
    ),
    _MERGE: (r"<<\Z", ["<"]),
}
_VALUES: Final[Mapping[str, Callable[[str], object]]] = {
    _TEXT: str,
    _MERGE: str,
    TAG + "null": lambda text: {"": None, "~": None, "null": None}[text.lower()],
    TAG + "bool": lambda text: {"true": True, "false": False}[text.lower()],
    TAG + "int": int,
    TAG + "float": lambda text: float(re.sub(r"\.(?=[in])", "", text.lower())),
}
_TOO_DEEP: Final = "is nested too deeply for a configuration"
_NOT_ALLOWED: Final = "a character or directive is not allowed here; put a value with special characters in quotes"
_SENTENCES: Final[Mapping[str, str]] = {  # by a pattern for what PyYAML says
    "another document": "it holds more than one document",
    "alias|anchor": "an alias (*) or anchor (&) is not valid; put a value that begins with * or & in quotes",
    "tag": "a tag (!) is unknown; put a value that begins with ! in quotes",
    "cannot start|directive": _NOT_ALLOWED,
}
# PyYAML without libyaml quotes the text at fault, which may be a secret; names of tokens and punctuation are not.
_HARMLESS: Final = re.compile(r"(?:[^'\"]|'<[a-z ]+>'|'[^\w\s]')*")


@dataclass(frozen=True, slots=True)
class Document:
    """What a document holds: dicts, lists, str, int, float, bool and None; and what could not be read of it.

    `origins` are the environment variables from which values come that the document leaves to them.
    """

    data: object
    lines: Mapping[Location, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    unreadable: frozenset[Location] = frozenset()
    origins: Mapping[Location, str] = field(default_factory=dict)


class PlainScalars(BaseResolver):
    """Resolves what a scalar without quotes is; see the head of this module."""


for _tag, (_pattern, _first) in _PLAIN.items():
    PlainScalars.add_implicit_resolver(_tag, re.compile(_pattern), _first)


class _TooMuchError(Exception):
    """The document is larger than any configuration; the text is the sentence to report."""


class _Composer(Composer, PlainScalars):
    """Composes nodes in Python: libyaml's own composer overflows the stack on deep nesting."""

    def __init__(self, text: str) -> None:
        Composer.__init__(self)
        PlainScalars.__init__(self)
        parser = FAST_LOADER(text)
        self.check_event, self.peek_event, self.get_event = parser.check_event, parser.peek_event, parser.get_event
        self._depth = self._count = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._depth += 1
        self._count += 1
        if self._depth > _DEEPEST:
            raise _TooMuchError(_TOO_DEEP)
        if self._count > _MOST_VALUES:
            raise _TooMuchError("holds too many values")
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
    builder = _Builder()
    try:
        node = _Composer(text).get_single_node()
        data = None if node is None else builder.value(node, (), 0)
    except _TooMuchError as error:
        return _nothing(str(error))
    except yaml.YAMLError as error:
        return _nothing(*yaml_problem(error, text))
    return Document(data, builder.lines, tuple(builder.problems), frozenset(builder.unreadable))


def yaml_problem(error: yaml.YAMLError, text: str) -> tuple[str, int | None]:
    """Return a sentence on why `text` is not YAML, without the part that PyYAML quotes, and the line, if known."""
    if isinstance(error, ReaderError):
        line = text.encode().count(b"\n", 0, error.position) + 1
        return "is not valid YAML: it holds a control character", line
    problem, context, mark = (getattr(error, name, None) for name in ("problem", "context", "problem_mark"))
    problem = problem or "it ends unexpectedly"
    if "nesting depth" in problem:
        return _TOO_DEEP, None
    sentence = problem if _HARMLESS.fullmatch(problem) else _NOT_ALLOWED
    for pattern, known in _SENTENCES.items():
        if re.search(pattern, f"{context} {problem}"):
            sentence = known
    if mark is not None and text[mark.index : mark.index + 1] == "\t":
        sentence = "a tab is used where only spaces are allowed"
    return f"is not valid YAML: {sentence}", None if mark is None else mark.line + 1


def _nothing(sentence: str, line: int | None = None) -> Document:
    lines: dict[Location, int] = {} if line is None else {(): line}
    return Document(None, lines, (Problem((), sentence),), frozenset({()}))


class _Builder:
    """Makes data of the nodes of one document; an alias counts like a copy of its anchor's value."""

    def __init__(self) -> None:
        self.lines: dict[Location, int] = {}
        self.problems: list[Problem] = []
        self.unreadable: set[Location] = set()
        self._count = 0

    def value(self, node: yaml.Node, location: Location, depth: int) -> object:
        self._spend(depth)
        self.lines.setdefault(location, _line(node))
        if isinstance(node, yaml.MappingNode) and node.tag == TAG + "map":
            mapping: dict[str, object] = {}
            self._fill(mapping, node, location, depth)
            return mapping
        if isinstance(node, yaml.SequenceNode) and node.tag == TAG + "seq":
            return [self.value(item, (*location, index), depth + 1) for index, item in enumerate(node.value)]
        try:
            return _scalar(node)
        except ValueError as error:
            self.problems.append(Problem(location, str(error)))
            self.unreadable.add(location)
            return None

    def _fill(self, mapping: dict[str, object], node: yaml.MappingNode, location: Location, depth: int) -> None:
        """Add the keys of `node`, then those that it merges (<<), where `mapping` does not have them."""
        lines: dict[str, int] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            self._spend(depth)
            key, line = key_node.value, _line(key_node)
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag not in {_TEXT, _MERGE}:
                self.problems.append(Problem(location, f"has a key on line {line} that is not text"))
            elif key_node.tag == _MERGE:
                merged += value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
            elif key in lines:
                sentence = f"is given twice, on lines {lines[key]} and {line}; keep one"
                self.problems.append(Problem((*location, key), sentence))
            else:
                lines[key] = line
                if key not in mapping:
                    self.lines[*location, key] = line
                    mapping[key] = self.value(value_node, (*location, key), depth + 1)
        for source in merged:
            if isinstance(source, yaml.MappingNode):
                self._fill(mapping, source, location, depth + 1)
            else:
                self.problems.append(Problem(location, "has a merge (<<) of something that is not a mapping"))

    def _spend(self, depth: int) -> None:
        self._count += 1
        if self._count > _MOST_VALUES or depth > _DEEPEST:
            raise _TooMuchError("holds too many values, aliases (*) included")


def _scalar(node: yaml.Node) -> object:
    """Return the value of a scalar. Raises ValueError, whose text is the sentence to report."""
    convert = _VALUES.get(node.tag) if isinstance(node, yaml.ScalarNode) else None
    if convert is None:
        raise ValueError("has an unsupported YAML tag (!); remove it, or use quotes")
    try:
        return convert(node.value)
    except (ValueError, KeyError):  # !!int before something else, or a number of 5000 digits
        raise ValueError("is not a value of the type that YAML takes it for; put it in quotes") from None


def _line(node: yaml.Node) -> int:
    line: int = node.start_mark.line
    return line + 1
