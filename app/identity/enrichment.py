"""How a stored profile completes the identity of an event, and how an identify call updates a profile. Pure.

Most trackers send the e-mail address and phone number once, in an identify call. Later events contain an ID alone.
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
# Identifiers that one call names together, which Attentive links for ever: the source, the event's user ID, under which
# the profile is stored, and the identity.
Link = tuple[str, str | None, Identity]
UPDATING: Final = frozenset({"identify", "alias"})  # the calls that update profiles
_ABOUT_NO_PERSON: Final = frozenset({"alias", "group"})  # and those that are never sent about a person
_NAMES: Final = {  # fields of an identity that may come from a profile, as the journal calls them
    "email": "e-mail",
    "phone": "phone",
    "client_user_id": "clientUserId",
    "shopify_id": "shopifyId",
    "klaviyo_id": "klaviyoId",
}
_CUSTOM: Final = "custom."


@dataclass(frozen=True, slots=True)
class ProfileRules:
    """The IDs under which the identifiers of a source's people are stored, and for how long."""

    user_id: bool = True
    anonymous_id: bool = False
    life: timedelta = timedelta(days=30)
    verified: bool = False  # the source is public: its claims are checked against other profiles
    per_visitor: bool = False  # a user ID counts only together with the anonymous ID that it came with
    alias: Literal["none", "anonymous", "any"] = "any"  # IDs that an alias call may name as the previous one
    trusted: tuple[str, ...] = ()  # sources of the destination whose profiles outweigh claims
    most_links: int = 5  # contacts per ID, and IDs per contact; an identifier with more links nothing


class PersonId(NamedTuple):
    """An ID that a tracker uses for a person."""

    kind: Literal["u", "a"]  # user id, anonymous id
    value: str
    visitor: str | None = None  # of a user ID: the anonymous ID that it counts together with


class Identified(NamedTuple):
    """A person's identifiers, as an identify call or an event that links them gives them."""

    ids: tuple[PersonId, ...]  # the user's own first
    facts: Facts
    at: datetime


class Aliased(NamedTuple):
    """The content of an alias call: a person with one of the previous IDs has this ID."""

    previous: tuple[PersonId, ...]
    id: PersonId


def concerns_profile(event: SegmentEvent, found: Extraction, rules: IdentityRules) -> bool:
    """Whether this event may use or update a profile. Most events contain a contact of their person."""
    return event.type in UPDATING or not names_a_contact(found, rules)


def link_in(event: SegmentEvent, identity: Identity, source: str) -> Link | None:
    """The link that a call about this identity makes of its identifiers, if it has several."""
    named = (identity.client_user_id, identity.email, identity.phone, identity.shopify_id, identity.klaviyo_id)
    several = len(named) - named.count(None) + len(identity.custom) > 1
    return (source, event.user_id, identity) if several else None


def names_a_contact(found: Extraction, rules: IdentityRules) -> bool:
    """Whether the event itself contains a contact by which the account can know its person."""
    return found.identity is not None and found.identity.has_contact(rules.primary)


def profile_asked_for(event: SegmentEvent, rules: IdentityRules, profiles: ProfileRules) -> PersonId | None:
    """The ID whose profile this event needs before it is decided. None if a profile has nothing to add.

    A browser's ID counts only if there is no other: on a shared machine it would mix up two people.
    """
    if event.type in _ABOUT_NO_PERSON or names_a_contact(extract_identity(event, rules), rules):
        return None
    if event.user_id is not None:
        return _user(event, profiles)
    if event.anonymous_id is not None and profiles.anonymous_id:
        return PersonId("a", event.anonymous_id)
    return None


def profile_news(
    event: SegmentEvent, rules: IdentityRules, profiles: ProfileRules, received_at: datetime
) -> Identified | Aliased | None:
    """What an identify or alias call adds to the profile of its person."""
    if event.type == "alias":
        user, previous = _user(event, profiles), _previous(event, profiles)
        return None if user is None or not previous else Aliased(previous, user)
    if event.type != "identify" or (identity := extract_identity(event, rules).identity) is None:
        return None
    return _identified(event, identity, rules, _ids(event, identity, profiles), received_at)


def link_news(
    event: SegmentEvent, identity: Identity, rules: IdentityRules, profiles: ProfileRules, received_at: datetime
) -> Identified | None:
    """The link that an event of another kind makes of its person's identifiers. The profile verifies it."""
    if event.type in UPDATING or (linked := linked_by(event, identity, profiles)) is None:
        return None
    return _identified(event, identity, rules, (linked,), received_at)


def _identified(
    event: SegmentEvent, identity: Identity, rules: IdentityRules, ids: tuple[PersonId, ...], received_at: datetime
) -> Identified | None:
    facts = facts_of(identity, None if rules.reads_own_id_elsewhere else event.user_id) if ids else {}
    return Identified(ids, facts, occurred_at(event, received_at, []) or received_at) if facts else None


def _user(event: SegmentEvent, rules: ProfileRules) -> PersonId | None:
    """The user ID of an event as its profile is stored: with the visitor if the source is public."""
    if event.user_id is None or not rules.user_id:
        return None
    if not rules.per_visitor:
        return PersonId("u", event.user_id)
    visitor = event.anonymous_id or (event.previous_id if event.type == "alias" else None)
    return None if visitor is None else PersonId("u", event.user_id, visitor)


def _ids(event: SegmentEvent, identity: Identity, rules: ProfileRules) -> tuple[PersonId, ...]:
    """The IDs under which the profile is stored, the user's own first."""
    user = _user(event, rules) or linked_by(event, identity, rules)
    ids = [] if user is None else [user]
    if rules.anonymous_id and event.anonymous_id is not None:
        ids.append(PersonId("a", event.anonymous_id))
    return tuple(ids)


def linked_by(event: SegmentEvent, identity: Identity, rules: ProfileRules) -> PersonId | None:
    """The ID of the person of whom a call about this identity links identifiers, if it links any.

    Without a user ID, that is the e-mail address, or else the next identifier: two addresses with one phone number are
    two people.
    """
    if event.type in _ABOUT_NO_PERSON or link_in(event, identity, "") is None:
        return None
    if event.user_id is not None:
        return _user(event, rules)
    if not rules.user_id or rules.per_visitor:
        return None
    own = identity.email or identity.phone or next(("=".join(each) for each in identity.custom), None)
    return None if own is None else PersonId("u", own)


def _previous(event: SegmentEvent, rules: ProfileRules) -> tuple[PersonId, ...]:
    """The profiles that an alias call links. Its `previousId` may be a user ID or a browser's ID."""
    if event.previous_id is None or rules.alias == "none":
        return ()
    ids = [PersonId("u", event.previous_id)] if rules.user_id and rules.alias == "any" else []
    if rules.anonymous_id:
        ids.append(PersonId("a", event.previous_id))
    return tuple(ids)


def facts_of(identity: Identity, user_id: str | None) -> dict[str, str]:
    """The facts that are stored: every identifier except the user ID itself, which later events contain.

    Without `user_id`, the client user ID is one in any case: where it is read from other fields than `userId`, the
    records of several user IDs may hold it, and those that do are found by it alone.
    """
    facts = {field: value for field in _NAMES if (value := getattr(identity, field)) is not None}
    if facts.get("client_user_id") == user_id:
        facts.pop("client_user_id", None)
    return facts | {_CUSTOM + name: value for name, value in identity.custom}


def with_profile(found: Extraction, profile: Facts, rules: IdentityRules) -> Extraction:
    """The extraction, completed from the profile. The event's own identifiers take precedence."""
    if not profile:
        return found
    identity = found.identity or Identity()
    added: dict[str, Any] = {
        field: profile[field] for field in _NAMES if field in profile and getattr(identity, field) is None
    }
    notes = [f"{_NAMES[field]} from the profile" for field in added]
    named = {name for name, _ in identity.custom}
    for name, _ in rules.custom:
        if name not in named and (value := profile.get(_CUSTOM + name)) is not None:
            added["custom"] = (*added.get("custom", identity.custom), (name, value))
            notes.append(f"{name} from the profile")
    if not added:
        return found
    if not found.named:
        notes.insert(0, "no identifier, known by anonymousId")
    return Extraction(changed(identity, **added), named=True, notes=(*found.notes, *notes))


def contact_alone(identity: Identity, primary: Primary) -> Identity | None:
    """The person by one contact alone, so that nothing is linked to it: the primary contact, else the e-mail address.

    None if no such contact is known.
    """
    if primary != "phone" and identity.email is not None:
        return Identity(email=identity.email)
    return None if identity.phone is None else Identity(phone=identity.phone)


def unlinked(identity: Identity, primary: Primary) -> Identity | None:
    """The person by one contact, or by the user ID where no contact is known. None where neither can be sent alone."""
    if identity.email is None and identity.phone is None:
        return None if identity.client_user_id is None else Identity(client_user_id=identity.client_user_id)
    return contact_alone(identity, primary)


def one_identifier(identity: Identity, primary: Primary) -> Identity:
    """The person by a single identifier, which links no other: a contact if there is one, else the user ID."""
    alone = contact_alone(identity, primary)
    if alone is not None:
        return alone
    return identity if identity.client_user_id is None else Identity(client_user_id=identity.client_user_id)
