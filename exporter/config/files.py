"""Reads files, and notices later that one of them changed."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field

LARGEST = 16 * 1024 * 1024


class FileError(Exception):
    """A file cannot be read; the text is the end of a sentence about it, without its path."""

    def __init__(self, sentence: str, *, vanished: bool = False) -> None:
        super().__init__(sentence)
        self.vanished = vanished


@dataclass(frozen=True, slots=True)
class FileContent:
    """What a file contains, and its permission bits."""

    data: bytes
    mode: int


@dataclass(slots=True)
class FileReader:
    """Reads files by name, so that a swapped symlink counts as changed content; remembers what it saw."""

    _seen: dict[tuple[str, int], object] = field(default_factory=dict)
    _matched: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def read(self, path: str, largest: int = LARGEST) -> FileContent:
        """Return the file's content. Raises FileError; a file larger than `largest` bytes is one."""
        try:
            content = _read(path, largest)
        except FileError as error:
            self._seen[path, largest] = str(error)
            raise
        self._seen[path, largest] = hashlib.sha256(content.data).digest()
        return content

    def match(self, pattern: str) -> tuple[str, ...]:
        """Return the paths that match a pattern, in order; hidden files only where the pattern names the dot."""
        self._matched[pattern] = names = tuple(sorted(glob.glob(pattern)))  # noqa: PTH207 - absolute patterns
        return names

    def changed(self) -> bool:
        """Whether any of the files, read now, differs from what was seen."""
        now = FileReader()
        for pattern in self._matched:
            now.match(pattern)
        if now._matched != self._matched:
            return True
        for (path, largest), before in self._seen.items():
            with suppress(FileError):  # it is remembered as what was seen
                now.read(path, largest)
            if now._seen[path, largest] != before:
                return True
        return False


def _read(path: str, largest: int) -> FileContent:
    try:
        with open(path, "rb", opener=_open) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise FileError("is not a regular file")
            data = file.read(largest + 1)
    except OSError as error:
        vanished = error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ESTALE}
        raise FileError(f"cannot be read: {os.strerror(error.errno or 0)}", vanished=vanished) from None
    except ValueError:  # a NUL or a lone surrogate
        raise FileError("cannot be read: its name is not usable") from None
    if len(data) > largest:
        raise FileError(f"is larger than {largest // 1024} KiB")
    return FileContent(data, stat.S_IMODE(status.st_mode))


def _open(path: str, flags: int) -> int:
    """Open without blocking: a FIFO without a writer would otherwise block a reload without end."""
    return os.open(path, flags | os.O_NONBLOCK)
