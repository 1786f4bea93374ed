"""People as memory keeps them: the names of records, what is in one, and the steps that an event takes in memory. Pure.

A record has a name, `shop:u3f…`: the source, `u` for a user id or `a` for an anonymous id, and a digest of that id.
What is kept in it are facts: kinds of identifiers ("email", "phone", "custom.username") and their values, nothing else.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import orjson

from app.delivery.keys import DestinationKeys

CONTACTS: Final = ("email", "phone")  # the facts by which two people are known to be one
IdKind = Literal["u", "a"]
Joins = Literal["send", "hold"]
Facts = Mapping[str, tuple[str, int]]  # kind of identifier → its value, and when that was said (epoch ms)
VERSION: Final = 1
_DIGEST_BYTES: Final = 12


def record_name(source: str, kind: IdKind, value: str) -> str:
    """The name of what is known under one id of one source. The id itself is not in it."""
    return f"{source}:{kind}{_digest(value)}"


def contact_digest(what: str, value: str) -> str:
    """A normalised e-mail address or phone number, as the list of the records that hold it is keyed."""
    return _digest(f"{what}\0{value}")


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).hexdigest()


@dataclass(frozen=True, slots=True)
class Remembered:
    """What memory knows of one person."""

    facts: Facts = field(repr=False)
    seen_ms: int  # when it was last written: its life is counted from here
    contacts: tuple[str, ...] = ()  # digests of the contacts in whose lists it stands
    was: tuple[str, ...] = ()  # names that an alias joined to it


def read_record(stored: bytes | None) -> Remembered | str | None:
    """What Redis holds under one name: a person, the name to ask instead, or nothing of use."""
    try:
        record = orjson.loads(stored or b"null")
        if record["v"] != VERSION:
            return None
        if "to" in record:
            return str(record["to"])
        facts = {str(what): (str(value), int(at)) for what, (value, at) in record["facts"].items()}
        return Remembered(facts, int(record["seen"]), tuple(record.get("listed", ())), tuple(record.get("was", ())))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


@dataclass(frozen=True, slots=True)
class Step:
    """What one event does in memory.

    `learn`: facts about the person of these names. `alias`: the people of `previous` are the one of the name. `see`:
    what is known was of use, and lives on.
    """

    do: Literal["learn", "alias", "see"]
    names: tuple[str, ...]
    life_s: int  # how long it is remembered from now on
    facts: Mapping[str, str] = field(default_factory=dict, repr=False)
    at_ms: int = 0  # when the facts were said
    previous: tuple[str, ...] = ()
    contacts: tuple[str, ...] = ()  # of `see`: digests of the contacts whose lists live on too
    joins: Joins | None = None  # of `learn`: what is done where it names two people; None: it cannot join any

    def to_json(
        self, keys: DestinationKeys, place: Callable[[str], int], *, now_s: float, calls: int = 0, ending: str = ""
    ) -> bytes:
        """The form that memory.lua takes. `place` gives a key's index among the script's, adding it where it is new.

        `calls` is how many of the event's entries are those of a step that is not held, `ending` the event's if it is.
        """
        for name in (*self.names, *self.previous):
            place(keys.memory(name))
        source = self.names[0].partition(":")[0]
        content: dict[str, Any] = {
            "do": self.do,
            "names": self.names,
            "life": self.life_s,
            "now": int(now_s * 1000),
            "people": place(keys.people(source, self.life_s, now_s)[0]),
            "contacts": {what: place(keys.contact(digest)) for what, digest in self._contacts().items()},
        }
        match self.do:
            case "learn":
                content |= {"facts": self.facts, "at": self.at_ms}
                if self.joins is not None:
                    content |= {"joins": self.joins, "calls": calls, "ending": ending}
            case "alias":
                content["previous"] = self.previous
        return orjson.dumps(content)

    def _contacts(self) -> dict[str, str]:
        if self.do == "learn":
            return {what: contact_digest(what, self.facts[what]) for what in CONTACTS if what in self.facts}
        return {digest: digest for digest in self.contacts}
