"""The query of the status page: which jobs it shows, and whether it reloads itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urlencode

OFF = "off"


@dataclass(frozen=True, slots=True)
class Filter:
    """Jobs whose names have all the words of `text` in them, whatever the case, and that are in this state.

    `state` is the slug of a state as the page shows it; "" for all. `reloads`: whether the page reloads itself.
    """

    text: str = ""
    state: str = ""
    reloads: bool = True

    @property
    def active(self) -> bool:
        """Whether some jobs may be left out."""
        return bool(self.state or self.text.strip())

    @property
    def query(self) -> str:
        """The query string, with its question mark; "" for the page as it is without one."""
        given = {"q": self.text, "state": self.state, "refresh": "" if self.reloads else OFF}
        fields = {name: value for name, value in given.items() if value}
        return "?" + urlencode(fields, errors="replace") if fields else ""

    @property
    def everything(self) -> Filter:
        """The same page with all jobs."""
        return replace(self, text="", state="")

    @property
    def toggled(self) -> Filter:
        """The same page with its reloading switched on or off."""
        return replace(self, reloads=not self.reloads)

    def in_state(self, state: str) -> Filter:
        """The same page with the jobs in one state."""
        return replace(self, state=state)

    def matches(self, state: str, *names: str) -> bool:
        """Whether a job in a state (a slug) and with these names is shown."""
        if self.state not in ("", state):
            return False
        searched = "\n".join(names).casefold()
        return all(word in searched for word in self.text.casefold().split())
