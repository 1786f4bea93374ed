"""The people a destination delivers to: all, its test people alone, or none. Pure.

Gateways decide by it, and workers check it before each attempt, so that a change also applies to waiting calls.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

_CONTACTS: Final = ("email", "phone")
_USERS: Final = ("user", "identifiers")  # where calls name their person, other than at the top


class Deliver(StrEnum):
    """The people that calls are sent about."""

    ALL = "all"
    TEST_PEOPLE = "test_people"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Recipients:
    """The people that calls may be about. The repr names none of them."""

    deliver: Deliver = Deliver.ALL
    people: frozenset[str] = frozenset()  # the test people: e-mail addresses in lower case, phone numbers in E.164
    are_all: bool = field(init=False)  # whether every call is sent

    def __post_init__(self) -> None:
        object.__setattr__(self, "are_all", self.deliver is Deliver.ALL)

    def __repr__(self) -> str:
        return f"Recipients({self.deliver.value}, {len(self.people)} test contacts)"

    @property
    def limit(self) -> str:
        """Why a call is not delivered, for a note."""
        return "no one" if self.deliver is Deliver.NONE else "test people only"

    def include(self, body: Mapping[str, Any]) -> bool:
        """Whether a call with this body may be sent."""
        return self.are_all or self.include_contacts(_contacts_of(body))

    def include_contacts(self, contacts: Iterable[str]) -> bool:
        """Whether a call about a person with these addresses and numbers may be sent.

        With test people, all contacts must be known: a call with a tester's address and a stranger's number would reach
        the stranger. A person known by an ID alone may be anyone.
        """
        if self.are_all:
            return True
        named = set(contacts)
        return self.deliver is Deliver.TEST_PEOPLE and bool(named) and named <= self.people


EVERYBODY: Final = Recipients()


def _contacts_of(body: Mapping[str, Any]) -> list[str]:
    users = [body, *(user for name in _USERS if isinstance(user := body.get(name), dict))]
    return [str(user[contact]) for user in users for contact in _CONTACTS if user.get(contact)]
