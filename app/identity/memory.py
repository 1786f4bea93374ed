"""What memory adds to the identity of an event, and what an identify call leaves in it.

Most trackers tell e-mail address and phone number once, when they identify somebody; later events carry an id alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

from app.identity.extract import Extraction, IdentityRules, extract_identity
from app.identity.identity import Identity, Primary
from app.segment.events import SegmentEvent
from app.segment.times import occurred_at
from app.value import changed

Facts = Mapping[str, str]  # kind of identifier, such as "email" or "custom.username" → its value, as it is sent
_TELLING: Final = frozenset({"identify", "alias"})  # the calls by which memory learns
_ABOUT_NOBODY: Final = frozenset({"alias", "group"})  # and those that are never sent about a person
_NAMES: Final = {  # fields of an identity that may come from memory, as the journal calls them
    "email": "e-mail",
    "phone": "phone",
    "client_user_id": "clientUserId",
    "shopify_id": "shopifyId",
    "klaviyo_id": "klaviyoId",
}
_CUSTOM: Final = "custom."


@dataclass(frozen=True, slots=True)
class MemoryRules:
    """Under which ids of its people a source's identifiers are remembered, and how long."""

    user_id: bool = True
    anonymous_id: bool = False
    life: timedelta = timedelta(days=30)


class PersonId(NamedTuple):
    """An id that a tracker calls somebody by."""

    kind: Literal["u", "a"]  # user id, anonymous id
    value: str


class Told(NamedTuple):
    """What an identify call says of its person."""

    ids: tuple[PersonId, ...]  # the user's own first
    facts: Facts
    at: datetime


class Renamed(NamedTuple):
    """What an alias call says: whoever had one of the previous ids has this one."""

    previous: tuple[PersonId, ...]
    id: PersonId


def concerns_memory(event: SegmentEvent, found: Extraction, rules: IdentityRules) -> bool:
    """Whether memory may add to this event or learn from it. Most events say themselves whom they are about."""
    return event.type in _TELLING or not says_whom(found, rules)


def says_whom(found: Extraction, rules: IdentityRules) -> bool:
    """Whether the event itself says by which e-mail address or phone number the account can know its person."""
    return found.identity is not None and found.identity.has_contact(rules.primary)


def asked_by(event: SegmentEvent, rules: IdentityRules, memory: MemoryRules) -> PersonId | None:
    """Under which id memory has to be asked before this event is decided; None where it has nothing to add.

    The browser's, only where there is no other: on a shared machine it would bring two people together.
    """
    if event.type in _ABOUT_NOBODY or says_whom(extract_identity(event, rules), rules):
        return None
    if event.user_id is not None:
        return PersonId("u", event.user_id) if memory.user_id else None
    if event.anonymous_id is not None and memory.anonymous_id:
        return PersonId("a", event.anonymous_id)
    return None


def told_by(
    event: SegmentEvent, rules: IdentityRules, memory: MemoryRules, received_at: datetime
) -> Told | Renamed | None:
    """What this event has to say about somebody who may be met again."""
    if event.type == "alias":
        previous = _ids(event.previous_id, event.previous_id, memory)  # a user's or a browser's: nobody says which
        if event.user_id is None or not memory.user_id or not previous:
            return None
        return Renamed(previous, PersonId("u", event.user_id))
    ids = _ids(event.user_id, event.anonymous_id, memory) if event.type == "identify" else ()
    if not ids or (identity := extract_identity(event, rules).identity) is None:
        return None
    facts = facts_of(identity, event.user_id)
    return Told(ids, facts, occurred_at(event, received_at, [])) if facts else None


def _ids(user_id: str | None, anonymous_id: str | None, rules: MemoryRules) -> tuple[PersonId, ...]:
    """The ids under which somebody is remembered, the user's own first."""
    ids = [PersonId("u", user_id)] if rules.user_id and user_id is not None else []
    if rules.anonymous_id and anonymous_id is not None:
        ids.append(PersonId("a", anonymous_id))
    return tuple(ids)


def facts_of(identity: Identity, user_id: str | None) -> dict[str, str]:
    """What is worth remembering of somebody: every identifier but the user id itself, which later events carry."""
    facts = {field: value for field in _NAMES if (value := getattr(identity, field)) is not None}
    if facts.get("client_user_id") == user_id:
        facts.pop("client_user_id", None)
    return facts | {_CUSTOM + name: value for name, value in identity.custom}


def with_memory(found: Extraction, remembered: Facts, rules: IdentityRules) -> Extraction:
    """The same with what memory knows and the event does not say; what the event says itself counts."""
    if not remembered:
        return found
    identity = found.identity or Identity()
    added: dict[str, Any] = {
        field: remembered[field] for field in _NAMES if field in remembered and getattr(identity, field) is None
    }
    notes = [f"{_NAMES[field]} from memory" for field in added]
    said = {name for name, _ in identity.custom}
    for name, _ in rules.custom:
        if name not in said and (value := remembered.get(_CUSTOM + name)) is not None:
            added["custom"] = (*added.get("custom", identity.custom), (name, value))
            notes.append(f"{name} from memory")
    if not added:
        return found
    if not found.named:
        notes.insert(0, "nobody named: known by anonymousId")
    return Extraction(changed(identity, **added), named=True, notes=(*found.notes, *notes))


def contact_alone(identity: Identity, primary: Primary) -> Identity | None:
    """The person by one contact, and by nothing that could tie it to another: the primary one, or else the address.

    None where no such contact is known.
    """
    if primary != "phone" and identity.email is not None:
        return Identity(email=identity.email)
    return None if identity.phone is None else Identity(phone=identity.phone)
