"""Reads the files of `job_lists`, which other programs write, perhaps at the same time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from exporter.config.document import FAST_LOADER, TAG, PlainScalars, yaml_problem
from exporter.config.files import FileError, FileReader
from exporter.config.values import job_id_problem

_RESOLVER: Any = PlainScalars()


class JobLists:
    """The job ids of each file, as of the last time that it could be read."""

    def __init__(self) -> None:
        self._good: dict[str, tuple[str, ...]] = {}
        self._matched: dict[str, tuple[str, ...]] = {}

    def refresh(self, patterns: Iterable[str], files: FileReader) -> tuple[str, ...]:
        """Read every file that matches, once, and return what is wrong with those that cannot be used.

        Such a file keeps its last ids; a file that is gone, or that no pattern matches, has none.
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
    except yaml.YAMLError as error:
        sentence, line = yaml_problem(error, text)
        raise FileError(f"{sentence} (line {line})" if line else sentence) from None


def _ids(text: str) -> Iterator[str]:
    """Read events, not values: a list of 16 MiB needs no tree in memory, and aliases and nesting are refused."""
    inside = done = False
    for event in yaml.parse(text, Loader=FAST_LOADER):
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
    tag = event.tag or _RESOLVER.resolve(yaml.ScalarNode, event.value, event.implicit)
    problem = job_id_problem({TAG + "str": event.value, TAG + "int": 0, TAG + "float": 0}.get(tag))
    if problem is not None:
        raise FileError(f"cannot be used: the job id{_line(event)} {problem}")
    return event.value


def _line(event: yaml.Event) -> str:
    return f" on line {event.start_mark.line + 1}" if event.start_mark else ""
