"""What Attentive has been told about a person, so that nothing is said twice. Pure; the scripts remember.

A browser that calls identify on every page load costs one call, not one per page. A call is left out only when the last
one about the same person to the same endpoint said the same and was accepted: what is still waiting, or has died since,
is said again.
"""

import hashlib
from typing import Any, Final

import orjson

from app.attentive.endpoints import IDENTITY, USER_ATTRIBUTES

_BYTES: Final = 12


def said(endpoint: str, body: bytes) -> tuple[str, bytes] | None:
    """Whom this call is about and what it says, as digests; None for calls that say something new each time."""
    if endpoint == IDENTITY.name:
        return _digest(endpoint.encode(), body).hex(), _digest(body)
    if endpoint == USER_ATTRIBUTES.name:
        content: dict[str, Any] = orjson.loads(body)
        person = orjson.dumps(content.get("identifiers"), option=orjson.OPT_SORT_KEYS)
        facts = orjson.dumps(content.get("attributes"), option=orjson.OPT_SORT_KEYS)
        return _digest(endpoint.encode(), person).hex(), _digest(facts)
    return None


def _digest(*parts: bytes) -> bytes:
    return hashlib.blake2b(b"\0".join(parts), digest_size=_BYTES).digest()
