"""What a user of the console may do, and for which destinations. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from app.config.console import Console, ConsoleGrant, Role


class Right(StrEnum):
    """What a page or an action of the console requires."""

    SEE = "see"  # masked
    OPERATE = "operate"  # edit, replay, resume, resolve
    REVEAL = "reveal"  # see personal data
    ADMINISTER = "administer"  # delete, erase, discard


_OF_ROLE: Final[Mapping[Role, frozenset[Right]]] = {
    Role.VIEWER: frozenset({Right.SEE}),
    Role.OPERATOR: frozenset({Right.SEE, Right.OPERATE}),
    Role.ADMIN: frozenset({Right.SEE, Right.OPERATE, Right.ADMINISTER}),
}


@dataclass(frozen=True, slots=True)
class Grant:
    """Some rights, for some destinations (None: for all)."""

    rights: frozenset[Right]
    destinations: frozenset[str] | None = None

    @classmethod
    def of(cls, given: ConsoleGrant) -> "Grant":
        """The grant that the configuration describes."""
        rights = _OF_ROLE[given.role] | ({Right.REVEAL} if given.reveal else set())
        return cls(rights, None if given.destinations is None else frozenset(given.destinations))


@dataclass(frozen=True, slots=True)
class Access:
    """The sum of all grants that a user has. Without any, nothing may be seen."""

    grants: tuple[Grant, ...] = ()

    def may(self, right: Right, destination: str) -> bool:
        """Whether a right is granted for one destination."""
        return any(
            right in grant.rights and (grant.destinations is None or destination in grant.destinations)
            for grant in self.grants
        )

    def everywhere(self, right: Right) -> bool:
        """Whether a right is granted for all destinations, including future ones."""
        return any(right in grant.rights and grant.destinations is None for grant in self.grants)

    def among(self, right: Right, destinations: Iterable[str]) -> list[str]:
        """Those of some destinations for which a right is granted."""
        return [name for name in destinations if self.may(right, name)]

    @property
    def title(self) -> str:
        """The rights in words: "admin, reveal"."""
        rights = {right for grant in self.grants for right in grant.rights}
        role = next((role for role in reversed(Role) if _OF_ROLE[role] <= rights), None)
        words = [role.value if role else "no rights", *(["reveal"] if Right.REVEAL in rights else [])]
        return ", ".join(words)


EVERYTHING: Final = Access((Grant(frozenset(Right)),))


def access_of(console: Console | None, user: str, groups: Iterable[str]) -> Access:
    """The access of a user that has signed in, by name and by groups."""
    if console is None:
        return Access()
    given: list[ConsoleGrant] = [console.users[user]] if user in console.users else []
    given += [console.groups[group] for group in groups if group in console.groups]
    return Access(tuple(map(Grant.of, given)))
