"""What Attentive has been told about a person, so that nothing is said twice. Pure; the scripts remember.

A browser that calls identify on every page load costs one call, not one per page. A call is left out only when the last
one about the same person to the same endpoint said the same and was accepted: what is still waiting, or has died since,
is said again. Consent is remembered for each contact, over both endpoints: an opt-in is left out when the last word
about this phone number or e-mail address was the same opt-in, accepted or still waiting, and not too long ago.
"""

import hashlib
from typing import Any, Final, NamedTuple

import orjson

from app.attentive.endpoints import CUSTOM_ATTRIBUTES, IDENTITY, SUBSCRIBE, UNSUBSCRIBE, USER_ATTRIBUTES

_BYTES: Final = 12
_PARTS: Final = {  # of a body: who it is, what is said
    USER_ATTRIBUTES.name: ("identifiers", "attributes"),
    CUSTOM_ATTRIBUTES.name: ("user", "properties"),
}
_CONSENT_TO: Final = ("signUpSourceId", "locale", "subscriptionType", "subscriptions")


class Said(NamedTuple):
    """What a call says, and about whom."""

    people: tuple[str, ...]  # as digests: under each of them it is remembered
    digest: bytes
    is_consent: bool = False


def said(endpoint: str, body: bytes) -> Said | None:
    """What is remembered of this call; None for calls that say something new each time."""
    if endpoint == IDENTITY.name:
        return Said((_digest(endpoint.encode(), body).hex(),), _digest(body))
    if parts := _PARTS.get(endpoint):
        content: dict[str, Any] = orjson.loads(body)
        person, facts = (orjson.dumps(content.get(part), option=orjson.OPT_SORT_KEYS) for part in parts)
        return Said((_digest(endpoint.encode(), person).hex(),), _digest(facts))
    if endpoint in (SUBSCRIBE.name, UNSUBSCRIBE.name):
        content = orjson.loads(body)
        contacts = tuple(_digest(b"consent", value.encode()).hex() for value in content["user"].values())
        what = {name: content[name] for name in _CONSENT_TO if name in content}
        return Said(contacts, _digest(endpoint.encode(), orjson.dumps(what)), is_consent=True)
    return None


def _digest(*parts: bytes) -> bytes:
    return hashlib.blake2b(b"\0".join(parts), digest_size=_BYTES).digest()
