"""What Attentive has been told about a person, so that nothing is said twice. Pure; the scripts remember.

A browser that calls identify on every page load costs one call, not one per page. A call is left out only when the last
one about the same person to the same endpoint said the same and was accepted: what is still waiting, or has died since,
is said again. Consent is remembered for each contact, over both endpoints: an opt-in is left out when the last word
about this phone number or e-mail address was the same opt-in, accepted or still waiting, and not too long ago.

By each identifier that a call names a person by, what it said can be found, so that it can be forgotten.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson

from app.attentive.endpoints import CUSTOM_ATTRIBUTES, IDENTITY, SUBSCRIBE, UNSUBSCRIBE, USER_ATTRIBUTES

_BYTES: Final = 12
_WHO_BYTES: Final = 6  # of one identifier: two people who share a digest would also have to say the same
_PARTS: Final = {  # of a body: who it is, what is said
    USER_ATTRIBUTES.name: ("identifiers", "attributes"),
    CUSTOM_ATTRIBUTES.name: ("user", "properties"),
}
_CONSENT_TO: Final = ("signUpSourceId", "locale", "subscriptionType", "subscriptions")


class Said(NamedTuple):
    """What a call says, and about whom."""

    people: tuple[str, ...]  # by digests: under each of these it is remembered
    digest: bytes
    is_consent: bool = False


def said(endpoint: str, body: bytes) -> Said | None:
    """What is remembered of this call; None for calls that say something new each time."""
    if endpoint == IDENTITY.name:
        return Said((_person(endpoint, orjson.loads(body)),), _digest(body, _BYTES))
    if parts := _PARTS.get(endpoint):
        content: dict[str, Any] = orjson.loads(body)
        person, facts = (content.get(part) for part in parts)
        digest = _digest(orjson.dumps(facts, option=orjson.OPT_SORT_KEYS), _BYTES)
        return Said((_person(endpoint, person or {}),), digest)
    if endpoint in (SUBSCRIBE.name, UNSUBSCRIBE.name):
        content = orjson.loads(body)
        contacts = tuple(f"consent:{who(kind, value)}" for kind, value in content["user"].items())
        what = {name: content[name] for name in _CONSENT_TO if name in content}
        return Said(contacts, _digest(orjson.dumps([endpoint, what]), _BYTES), is_consent=True)
    return None


def who(kind: str, value: Any) -> str:
    """One identifier as a part of the name under which it is remembered what was said."""
    return _digest(orjson.dumps([kind, value], option=orjson.OPT_SORT_KEYS), _WHO_BYTES).hex()


def _person(endpoint: str, identifiers: Mapping[str, Any]) -> str:
    flat = {**identifiers, **identifiers.get("externalIdentifiers", {})}
    flat.pop("externalIdentifiers", None)
    return ":".join((endpoint, *sorted(who(kind, value) for kind, value in flat.items())))


def _digest(content: bytes, size: int) -> bytes:
    return hashlib.blake2b(content, digest_size=size).digest()
