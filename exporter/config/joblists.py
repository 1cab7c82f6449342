"""Files that hold a YAML list of job ids, written by other programs, perhaps while they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import yaml

from exporter.config.document import yaml_problem
from exporter.config.files import FileError, FileReader
from exporter.config.schema import job_id_problem

_TAG = "tag:yaml.org,2002:"
_resolve: Callable[[type[yaml.Node], str, tuple[bool, bool]], str] = yaml.resolver.Resolver().resolve
_FAST: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class JobLists:
    """The job ids of each file, as last read well."""

    def __init__(self) -> None:
        self._good: dict[str, tuple[str, ...]] = {}
        self._matched: dict[str, tuple[str, ...]] = {}

    def refresh(self, patterns: Iterable[str], files: FileReader) -> tuple[str, ...]:
        """Read every file that matches, once, and say what is wrong with those that cannot be used.

        Such a file keeps what it last held; one that is gone, or is no longer asked for, holds nothing.
        """
        self._matched = {pattern: files.match(pattern) for pattern in patterns}
        good: dict[str, tuple[str, ...]] = {}
        problems = []
        for path in sorted({path for paths in self._matched.values() for path in paths}):
            try:
                good[path] = parse_job_list(files.read(path).data)
            except FileError as error:
                if error.vanished:
                    continue
                consequence = "its jobs are not watched"
                if path in self._good:
                    good[path] = self._good[path]
                    consequence = "the jobs that it held before stay watched"
                problems.append(f"job list {path}: {error}; {consequence}")
        self._good = good
        return tuple(problems)

    def ids(self, patterns: Iterable[str]) -> tuple[str, ...]:
        """Return the ids in the files of these patterns, each once, in the order of patterns and of file names."""
        paths = (path for pattern in patterns for path in self._matched[pattern])
        return tuple(dict.fromkeys(job_id for path in paths for job_id in self._good.get(path, ())))


def parse_job_list(raw: bytes) -> tuple[str, ...]:
    """Return the ids of a YAML list in their order, each once. Raises FileError."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FileError("is not UTF-8 text") from None
    try:
        return tuple(dict.fromkeys(_ids(text)))
    except yaml.MarkedYAMLError as error:
        line = f" on line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise FileError(f"is not valid YAML{line}: {yaml_problem(error)}") from None
    except yaml.YAMLError:
        raise FileError("is not valid YAML: it holds a control character") from None


def _ids(text: str) -> Iterator[str]:
    """Read events, not values: a list of 16 MiB costs no tree, and aliases and nesting have no place in it."""
    inside = done = False
    for event in yaml.parse(text, Loader=_FAST):
        match event:
            case yaml.SequenceStartEvent() if not inside and not done:
                inside = True
            case yaml.SequenceEndEvent():
                inside, done = False, True
            case yaml.ScalarEvent() if inside:
                yield _id(event)
            case yaml.NodeEvent():
                raise FileError(f"must be a plain YAML list of job ids; there is something else{_line(event)}")
            case yaml.DocumentStartEvent() if done:
                raise FileError("must be one YAML list, and no second document")
    if not done:
        raise FileError("is empty; for no jobs write []")


def _id(event: yaml.ScalarEvent) -> str:
    tag = event.tag or _resolve(yaml.ScalarNode, event.value, event.implicit)
    as_read: Mapping[str, object] = {"int": 0, "float": 0.0, "str": event.value, "timestamp": event.value}
    problem = job_id_problem(as_read.get(tag.removeprefix(_TAG)))
    if problem is not None:
        raise FileError(f"cannot be used: the job id{_line(event)} {problem}")
    return event.value


def _line(event: yaml.Event) -> str:
    return f" on line {event.start_mark.line + 1}" if event.start_mark else ""
