"""The C library's allocator, told that threads here come and go."""

from __future__ import annotations

import ctypes
import os

_M_ARENA_MAX = -8
_ARENAS = 2


def share_arenas() -> None:
    """Let threads share two arenas of glibc's allocator; without effect on other C libraries.

    Left alone, glibc gives each of the first 8 threads per processor an arena of its own and keeps what each ever
    held: 20 scrapes of 50 MB at once then cost 35 MB more, instead of 5. MALLOC_ARENA_MAX in the environment wins.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and "MALLOC_ARENA_MAX" not in os.environ:
        mallopt(_M_ARENA_MAX, _ARENAS)
