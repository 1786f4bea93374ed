"""The pages of the console, as its menu lists them. Pure."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Item:
    """One page. `key` opens it after `g`."""

    name: str
    href: str
    icon: str
    key: str = ""

    def here(self, path: str) -> bool:
        """Whether a path belongs to this page."""
        return path == self.href or (self.href != "/" and path.startswith(self.href + "/"))


WATCH: Final = (
    Item("Overview", "/", "flow", "o"),
    Item("Live", "/live", "live", "l"),
    Item("Events", "/events", "search", "e"),
    Item("Lanes", "/lanes", "lanes", "n"),
    Item("Syncs", "/syncs", "sync", "y"),
    Item("Alerts", "/alerts", "bell", "w"),
)
ACT: Final = (
    Item("Dead letters", "/dead-letters", "dead", "d"),
    Item("Unknown outcomes", "/unknown-outcomes", "unknown", "u"),
    Item("Replays", "/jobs", "replay", "r"),
)
KNOW: Final = (
    Item("Mapping", "/mapping", "map", "m"),
    Item("People", "/people", "people", "p"),
    Item("Destinations", "/destinations", "out", "t"),
    Item("Sources", "/sources", "in", "s"),
)
OVERSEE: Final = (
    Item("Audit log", "/audit", "audit", "a"),
    Item("Sessions", "/sessions", "key"),
)


def menu(*, oversees: bool) -> tuple[tuple[Item, ...], ...]:
    """The groups of pages that a user may open."""
    return (WATCH, ACT, KNOW, OVERSEE) if oversees else (WATCH, ACT, KNOW)
