"""A person's profile: the names of its records, its contents, and the updates that an event makes. Pure.

A record has a name, `shop:u3f…`: the source, `u` for a user ID or `a` for an anonymous ID, and a digest of that ID. It
holds facts: kinds of identifiers ("email", "phone", "custom.username") and their values, nothing else.
"""

import hashlib
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import orjson

from app.counted import Merge
from app.store.keys import DestinationKeys

CONTACTS: Final = ("email", "phone")  # the facts that can show two people to be one
_OTHER_IDS: Final = ("custom.", "shopify_id", "klaviyo_id", "client_user_id")  # and those that begin so
IdKind = Literal["u", "a"]
OnMerge = Literal["send", "block"]  # a call that would merge two known people
Facts = Mapping[str, tuple[str, int]]  # kind of identifier → its value, and the time of the event with it (epoch ms)
VERSION: Final = 1
_PACKED_VERSION: Final = 2
_HEAD: Final = struct.Struct(">B6sB")  # version, when it was written, number of facts
_FACT: Final = struct.Struct(">BH6s")  # lengths of kind and value, time
_LONG_KINDS: Final = {"e": "email", "p": "phone"}
PROFILE_PARTS: Final = ("shared_hash", "contacts", "records", "profiles")  # of the scripts that update profiles
DIGEST_BYTES: Final = 12  # of a record's ID, a visitor, and a contact


def record_name(source: str, kind: IdKind, value: str, visitor: str | None = None) -> str:
    """The name of the record for one ID of one source. It does not contain the ID.

    With a `visitor`, it names what that visitor of a public source claims about the ID: `shop:u3f….9a…`.
    """
    claim = "" if visitor is None else f".{_digest(visitor)}"
    return f"{source}:{kind}{_digest(value)}{claim}"


def record_names(sources: Iterable[str], user_ids: Iterable[str], anonymous_ids: Iterable[str]) -> set[str]:
    """The names of the records for these IDs in each of these sources."""
    ids: list[tuple[IdKind, str]] = [("u", each) for each in user_ids]
    ids += [("a", each) for each in anonymous_ids]
    return {record_name(source, kind, value) for source in sources for kind, value in ids}


def source_in(name: str) -> str:
    """The source in the name of a record."""
    return name.partition(":")[0]


def is_linking(what: str) -> bool:
    """Whether two people who share a fact of this kind would become one person at Attentive."""
    return what in CONTACTS or what.startswith(_OTHER_IDS)


def contact_digest(what: str, value: str) -> str:
    """The digest of a normalised e-mail address or phone number: the key of the list of records that hold it."""
    return _digest(f"{what}\0{value}")


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()


@dataclass(frozen=True, slots=True)
class Profile:
    """The identifiers that are stored about one person."""

    facts: Facts = field(repr=False)
    seen_ms: int  # when it was last written, which starts its expiry
    contacts: tuple[str, ...] = ()  # digests of the contacts whose lists contain it
    was: tuple[str, ...] = ()  # names of aliases that led to it


def read_record(stored: bytes | None) -> Profile | str | None:
    """The value stored under one name: a person, the name to look up instead, or None if it is unusable."""
    try:
        if stored is not None and stored[0] == _PACKED_VERSION:
            return _unpack_record(stored)
        record = orjson.loads(stored or b"null")
        if record["v"] != VERSION:
            return None
        if "to" in record:
            return str(record["to"])
        facts = {str(what): (str(value), int(at)) for what, (value, at) in record["facts"].items()}
        return Profile(facts, int(record["seen"]), tuple(record.get("listed", ())), tuple(record.get("was", ())))
    except (ValueError, TypeError, LookupError, AttributeError, struct.error):
        return None


def _unpack_record(stored: bytes) -> Profile:
    """A record in the form of scripts/records.lua. Raises ValueError, IndexError or struct.error if it is cut off."""
    _, seen, number = _HEAD.unpack_from(stored)
    at = _HEAD.size
    facts = {}
    for _ in range(number):
        kind_bytes, value_bytes, time = _FACT.unpack_from(stored, at)
        start = at + _FACT.size + kind_bytes
        kind = stored[at + _FACT.size : start].decode()
        at = start + value_bytes
        facts[_LONG_KINDS.get(kind, kind)] = (stored[start:at].decode(), int.from_bytes(time, signed=True))
    contacts, at = _unpack_digests(stored, at)
    _, at = _unpack_digests(stored, at)
    was = []
    for _ in range(stored[at]):
        at += 1
        was.append(stored[at + 1 : at + 1 + stored[at]].decode())
        at += stored[at]
    if at != len(stored) - 1:
        raise ValueError("the record does not end where it should")
    return Profile(facts, int.from_bytes(seen, signed=True), contacts, tuple(was))


def _unpack_digests(stored: bytes, at: int) -> tuple[tuple[str, ...], int]:
    """Digests behind their number, and where they end."""
    end = at + 1 + DIGEST_BYTES * stored[at]
    return tuple(stored[start : start + DIGEST_BYTES].hex() for start in range(at + 1, end, DIGEST_BYTES)), end


@dataclass(frozen=True, slots=True)
class ProfileUpdate:
    """One change that an event makes to stored profiles.

    `upsert`: facts about the person of these names. `alias`: the people of `previous` are the person of the name.
    `touch`: the profile was used, so its expiry is refreshed.
    """

    action: Literal["upsert", "alias", "touch"]
    names: tuple[str, ...]
    life_s: int  # until the profile expires, from now
    facts: Mapping[str, str] = field(default_factory=dict, repr=False)
    at_ms: int = 0  # the time of the event with the facts
    previous: tuple[str, ...] = ()
    contacts: tuple[str, ...] = ()  # of `touch`: digests of the contacts whose lists are refreshed, too
    merges: OnMerge | None = None  # of `upsert`: what happens if it names two people; None: it cannot merge any
    most_links: int = 0  # of `upsert`: contacts per ID, and IDs per contact, beyond which it links nothing; 0: any
    labels: Mapping[str, str] = field(default_factory=dict)  # masked identifiers, for the list of suspicious ones
    claim: bool = False  # made by a public source: it is stored separately
    verified: bool = False  # of a claim: blocked if it contradicts other profiles
    user: str = ""  # of a claim: digest of the user ID, under which the claims about it are listed
    elsewhere: tuple[str, ...] = ()  # of a claim: names of the user's records in trusted sources

    @property
    def may_be_blocked(self) -> bool:
        """Whether the event needs alternative calls that link nothing, in case the link is blocked."""
        return self.merges is not None and (self.merges == "block" or self.most_links > 0)

    def to_json(
        self, keys: DestinationKeys, place: Callable[..., int], *, now_s: float, calls: int = 0, ending: str = ""
    ) -> bytes:
        """The form that profiles.lua takes. `place` is that of KeyPlaces.

        `calls` is the number of the event's entries that count unless a merge is blocked, `ending` the event's ending
        if it is blocked.
        """
        for name in (*self.names, *self.previous, *self.elsewhere):
            place(keys.profile(name))
        lists = (keys.claim, keys.claims) if self.claim else (keys.contact, keys.contacts)
        source = self.names[0].partition(":")[0]
        content: dict[str, Any] = {
            "do": self.action,
            "names": self.names,
            "life": self.life_s,
            "now": int(now_s * 1000),
            "people": place(keys.people(source, self.life_s, now_s)[0]),
            "contacts": {what: place(*(each(digest) for each in lists)) for what, digest in self._contacts().items()},
        }
        match self.action:
            case "upsert":
                content |= {"facts": self.facts, "at": self.at_ms}
                if self.merges is not None:
                    counter = Merge(self.merges, source).field
                    content |= {"merges": self.merges, "calls": calls, "ending": ending, "counter": counter}
                if self.merges is not None and self.most_links:
                    content |= {
                        "most": self.most_links,
                        "labels": self.labels,
                        "suspicious": place(keys.suspicious),
                        "shared": Merge("shared", source).field,
                    }
                if self.claim:
                    content |= {
                        "claim": True,
                        "verified": self.verified,
                        "trusted": [
                            place(keys.contact(digest), keys.contacts(digest)) for digest in self._contacts().values()
                        ],
                        "user": place(keys.claim(self.user), keys.claims(self.user)) if self.user else 0,
                        "elsewhere": self.elsewhere,
                    }
            case "alias":
                content["previous"] = self.previous
        return orjson.dumps(content)

    def _contacts(self) -> dict[str, str]:
        if self.action == "upsert":
            return {what: contact_digest(what, value) for what, value in self.facts.items() if is_linking(what)}
        return {digest: digest for digest in self.contacts}
