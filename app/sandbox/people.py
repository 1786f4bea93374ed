"""The people of one account: their identifiers, data and consent.

Events find a person by the first identifier that is known, in the order phone, e-mail, external id; only the Identity,
subscribe and v2 user calls link identifiers, and a link between two people merges them permanently.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

SINGLE_KINDS = ("phone", "email", "clientUserId", "shopifyId", "klaviyoId")
CONTACT_KINDS = frozenset({"phone", "email"})


class Identifier(NamedTuple):
    """One value that identifies a person. `kind` is Attentive's key for it, or "custom:" and the identifier's name."""

    kind: str
    value: str

    @classmethod
    def of(cls, kind: str, value: str) -> "Identifier":
        """An identifier in the form in which people are found: e-mail addresses in lower case."""
        return cls(kind, value.lower() if kind == "email" else value)


class Subscription(NamedTuple):
    """Consent belongs to one phone or e-mail, not to the person. `type` is "MARKETING", "TRANSACTIONAL", …"""

    contact: Identifier
    type: str

    @property
    def channel(self) -> str:
        """The channel of this contact: "TEXT" or "EMAIL"."""
        return "TEXT" if self.contact.kind == "phone" else "EMAIL"


@dataclass(slots=True)
class Person:
    """One shopper, as far as this account knows."""

    number: int  # the lower, the older
    identifiers: list[Identifier] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)
    subscriptions: dict[Subscription, bool] = field(default_factory=dict)  # False: unsubscribed
    texts: int = 0  # messages that the real API would have sent to the phone
    merged: list[str] = field(default_factory=list)  # ids of the people who became part of this one

    @property
    def id(self) -> str:
        """The person's name in the ledger: "person-7"."""
        return f"person-{self.number}"

    @property
    def reachable(self) -> bool:
        """Whether a phone or an e-mail is known."""
        return any(identifier.kind in CONTACT_KINDS for identifier in self.identifiers)

    def to_json(self) -> dict[str, Any]:
        """How the control endpoints show a person."""
        return {
            "id": self.id,
            "identifiers": [{"kind": kind, "value": value} for kind, value in self.identifiers],
            "attributes": self.attributes,
            "subscriptions": [
                {
                    "contact": subscription.contact.value,
                    "channel": subscription.channel,
                    "type": subscription.type,
                    "subscribed": subscribed,
                }
                for subscription, subscribed in self.subscriptions.items()
            ],
            "texts": self.texts,
            "merged": self.merged,
        }


def identifiers_in(body: Any) -> list[Identifier]:
    """Every identifier in a request body of any of the four shapes, most trusted first. Tolerates any JSON."""
    found: list[Identifier] = []
    if type(body) is not dict:
        return found
    user = body.get("user")
    nested = user.get("externalIdentifiers") if type(user) is dict else None
    for part in (body, user, nested, body.get("externalIdentifiers"), body.get("identifiers")):
        if type(part) is not dict:
            continue
        for kind in SINGLE_KINDS:
            if type(value := part.get(kind)) is str:
                found.append(Identifier.of(kind, value))  # noqa: PERF401  # a plain loop is the fastest here
        if type(pairs := part.get("customIdentifiers")) is list:
            found.extend(_custom(pairs))
    return found


def _custom(pairs: list[Any]) -> Iterator[Identifier]:
    for pair in pairs:
        if type(pair) is dict:
            name, value = pair.get("name", pair.get("key")), pair.get("value")
            if type(name) is str and type(value) is str:
                yield Identifier(f"custom:{name}", value)


class People:
    """All people of one account, by identifier. Beyond `most`, the oldest are removed."""

    def __init__(self, most: int) -> None:
        """Start empty."""
        self._most = most
        self._numbers = count(1)
        self._people: dict[int, Person] = {}
        self._by_identifier: dict[Identifier, Person] = {}
        self.merges = 0

    def __iter__(self) -> Iterator[Person]:
        """Everyone, the oldest first."""
        return iter(self._people.values())

    def __len__(self) -> int:
        """How many there are."""
        return len(self._people)

    def find(self, identifier: Identifier) -> Person | None:
        """The person with this identifier."""
        return self._by_identifier.get(identifier)

    def resolve(self, identifiers: list[Identifier]) -> Person | None:
        """The person that an event or attribute call is about. None if only unlinked external IDs are given.

        An unknown phone or e-mail creates a person or is added to the one found. Two known people are not merged here.
        """
        by_identifier = self._by_identifier
        person: Person | None = None
        for identifier in identifiers:
            if (person := by_identifier.get(identifier)) is not None:
                break
        contacts = [identifier for identifier in identifiers if identifier.kind in CONTACT_KINDS]
        if person is None and contacts:
            person = self._new()
        if person is None or not (contacts or person.reachable):
            return None
        for contact in contacts:
            if contact not in by_identifier:
                self._give(person, contact)
        return person

    def link(self, identifiers: list[Identifier]) -> tuple[Person, list[str]]:
        """Link these identifiers to one person, the oldest of those found. Also returns the IDs of the others."""
        known = {found.number: found for each in identifiers if (found := self._by_identifier.get(each)) is not None}
        person, *others = [known[number] for number in sorted(known)] or [self._new()]
        for other in others:
            self._merge(other, into=person)
        for identifier in identifiers:
            if identifier not in self._by_identifier:
                self._give(person, identifier)
        return person, [other.id for other in others]

    def forget(self, person: Person) -> None:
        """Erase a person and every identifier."""
        self._people.pop(person.number, None)
        for identifier in person.identifiers:
            self._by_identifier.pop(identifier, None)

    def _new(self) -> Person:
        if len(self._people) >= self._most:
            self.forget(next(iter(self._people.values())))
        person = Person(next(self._numbers))
        self._people[person.number] = person
        return person

    def _give(self, person: Person, identifier: Identifier) -> None:
        person.identifiers.append(identifier)
        self._by_identifier[identifier] = person

    def _merge(self, other: Person, *, into: Person) -> None:
        self.forget(other)
        for identifier in other.identifiers:
            self._give(into, identifier)
        into.attributes = other.attributes | into.attributes
        into.subscriptions = other.subscriptions | into.subscriptions
        into.texts += other.texts
        into.merged += [other.id, *other.merged]
        self.merges += 1
