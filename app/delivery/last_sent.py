"""What Attentive already has about a person, so that no call repeats it. Pure; the scripts store it.

A browser that calls identify on every page load costs one call, not one per page. A call is skipped only if the last
call about the person to that endpoint had equal content and was accepted. Queued and dead-lettered calls do not count,
so their content is sent again. Consent is stored per contact, over both endpoints: an opt-in is skipped if the latest
call about this phone number or e-mail address was an equal opt-in, accepted or queued, and recent.

An opt-out is remembered beside that, for years: no row of a sync opts the contact in again, and no opt-in that was
queued before the opt-out is sent after it.

Each identifier in a call leads to its fingerprint, so that an erasure can remove it.

A fingerprint takes 30 bytes in a hash that others share. Consent has keys of its own, because each has its own expiry.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

import orjson

from app.attentive.endpoints import CUSTOM_ATTRIBUTES, IDENTITY, SUBSCRIBE, UNSUBSCRIBE, USER_ATTRIBUTES

_BYTES: Final = 12
_WHO_BYTES: Final = 6  # per identifier; two people who share a digest would also have to send equal content
_PARTS: Final = {  # the parts of a body: the person, the content
    USER_ATTRIBUTES.name: ("identifiers", "attributes"),
    CUSTOM_ATTRIBUTES.name: ("user", "properties"),
}
_REPEATED: Final = frozenset({IDENTITY.name, *_PARTS, SUBSCRIBE.name, UNSUBSCRIBE.name})
_LETTERS: Final = {IDENTITY.name: b"i", USER_ATTRIBUTES.name: b"u", CUSTOM_ATTRIBUTES.name: b"c"}  # begin stored names
_LONGEST_NAME: Final = 64  # Redis keeps a hash with a longer field in a form that takes more memory
_CONSENT, _OPTED_OUT = "consent:", "opted_out:"
_CONSENT_TO: Final = ("signUpSourceId", "locale", "subscriptionType", "subscriptions")


class Fingerprint(NamedTuple):
    """The content of a call, and the person that it is about."""

    people: tuple[str, ...]  # digests; the fingerprint is stored under each of these
    digest: bytes
    consent: Literal["", "in", "out"] = ""

    @property
    def name(self) -> bytes:
        """The person and the endpoint in short: the field of the hash. Empty for what has keys of its own."""
        if self.consent:
            return b""
        endpoint, *identifiers = self.people[0].split(":")
        name = _LETTERS[endpoint] + bytes.fromhex("".join(identifiers))
        return name if len(name) <= _LONGEST_NAME else b""

    @property
    def opt_outs(self) -> tuple[str, ...]:
        """The names under which opt-outs of these people are remembered."""
        return tuple(person.replace(_CONSENT, _OPTED_OUT, 1) for person in self.people) if self.consent else ()


def fingerprint_of(endpoint: str, body: bytes) -> Fingerprint | None:
    """The fingerprint of this call. None for calls whose content is new each time."""
    if endpoint not in _REPEATED:
        return None
    content: dict[str, Any]
    if endpoint == IDENTITY.name:
        return Fingerprint((_person(endpoint, orjson.loads(body)),), _digest(body, _BYTES))
    if parts := _PARTS.get(endpoint):
        content = orjson.loads(body)
        person, facts = (content.get(part) for part in parts)
        digest = _digest(orjson.dumps(facts, option=orjson.OPT_SORT_KEYS), _BYTES)
        return Fingerprint((_person(endpoint, person or {}),), digest)
    content = orjson.loads(body)
    contacts = tuple(_CONSENT + who(kind, value) for kind, value in content["user"].items())
    what = {name: content[name] for name in _CONSENT_TO if name in content}
    digest = _digest(orjson.dumps([endpoint, what]), _BYTES)
    return Fingerprint(contacts, digest, "in" if endpoint == SUBSCRIBE.name else "out")


def identifiers_in(name: bytes) -> set[bytes]:
    """The digests of the identifiers in the name of a fingerprint."""
    return {name[start : start + _WHO_BYTES] for start in range(1, len(name), _WHO_BYTES)}


def opt_out_name(kind: str, value: str) -> str:
    """The name under which an opt-out of this phone number or e-mail address is remembered."""
    return _OPTED_OUT + who(kind, value)


def who(kind: str, value: Any) -> str:
    """One identifier as a part of the key under which a fingerprint is stored."""
    return _digest(orjson.dumps([kind, value], option=orjson.OPT_SORT_KEYS), _WHO_BYTES).hex()


def _person(endpoint: str, identifiers: Mapping[str, Any]) -> str:
    flat = {**identifiers, **identifiers.get("externalIdentifiers", {})}
    flat.pop("externalIdentifiers", None)
    return ":".join((endpoint, *sorted(who(kind, value) for kind, value in flat.items())))


def _digest(content: bytes, size: int) -> bytes:
    return hashlib.blake2b(content, digest_size=size).digest()
