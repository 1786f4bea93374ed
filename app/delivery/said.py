"""What Attentive has been told about a person, so that nothing is said twice. Pure; the scripts remember.

A browser that calls identify on every page load costs one call, not one per page. A call is left out only when the last
one about the same person to the same endpoint said the same and was accepted: what is still waiting, or has died since,
is said again.
"""

import hashlib
from typing import Any, Final

import orjson

from app.attentive.endpoints import CUSTOM_ATTRIBUTES, IDENTITY, USER_ATTRIBUTES

_BYTES: Final = 12
_PARTS: Final = {  # of a body: who it is, what is said
    USER_ATTRIBUTES.name: ("identifiers", "attributes"),
    CUSTOM_ATTRIBUTES.name: ("user", "properties"),
}


def said(endpoint: str, body: bytes) -> tuple[str, bytes] | None:
    """Whom this call is about and what it says, as digests; None for calls that say something new each time."""
    if endpoint == IDENTITY.name:
        return _digest(endpoint.encode(), body).hex(), _digest(body)
    if parts := _PARTS.get(endpoint):
        content: dict[str, Any] = orjson.loads(body)
        person, facts = (orjson.dumps(content.get(part), option=orjson.OPT_SORT_KEYS) for part in parts)
        return _digest(endpoint.encode(), person).hex(), _digest(facts)
    return None


def _digest(*parts: bytes) -> bytes:
    return hashlib.blake2b(b"\0".join(parts), digest_size=_BYTES).digest()
