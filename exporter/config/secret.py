"""A key or password that never prints: the only type in which secrets travel."""

from __future__ import annotations

import hmac
from typing import NoReturn

SHOWN = "<secret>"


class Secret:
    """Prints as `<secret>` in every way that Python prints; only `reveal()` gives the value."""

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value

    def reveal(self) -> str:
        """Return the value itself, for the one place that sends it."""
        return self.__value

    def __repr__(self) -> str:
        return SHOWN

    def __format__(self, spec: str) -> str:
        return format(SHOWN, spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_octets(self.__value), _octets(other.reveal()))

    def __hash__(self) -> int:
        return hash((Secret, self.__value))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")


def unusable_because(value: str) -> str | None:
    """Say why a key cannot be sent in a header, without showing any of it; None if it can."""
    if not value:
        return "is empty"
    if "\n" in value or "\r" in value:
        return "has more than one line; it must hold the key alone"
    if value != value.strip():
        return "begins or ends with a space; remove it"
    if any(ord(character) > 0xFF or not character.isprintable() for character in value):
        return "holds characters that cannot be sent in an HTTP header; only printable Latin-1 can"
    return None


def _octets(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")
