"""What can be known of an API token without writing to anybody: whether it works, whose it is, and which scopes it has.

Attentive lists a token's scopes nowhere. A scope shows by a call that can never be acted on: where the token has it,
the call is refused for what it lacks; where not, with 403. Source: Attentive's API reference.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, TypeGuard

import orjson

from app.attentive.client import Reply, Unreachable
from app.attentive.endpoints import CUSTOM_EVENT, ELIGIBILITY, IDENTITY, PRIVACY_DELETE, PRODUCT_VIEW, UNSUBSCRIBE

_NOTHING: Final = b"[]"  # JSON, and no object: no endpoint can act on it


@dataclass(frozen=True, slots=True)
class ScopeProbe:
    """A call that names nobody and says nothing. `refused`: by these the endpoint tells that it would have acted."""

    method: Literal["GET", "POST"]
    path: str
    body: bytes | None = None
    refused: tuple[int, ...] = (400, 422)


def _write(path: str) -> ScopeProbe:
    return ScopeProbe("POST", path, _NOTHING)


PROBES: Final[Mapping[str, ScopeProbe]] = {  # by scope
    "ecommerce:write": _write(PRODUCT_VIEW.path),
    "events:write": _write(CUSTOM_EVENT.path),
    "identity:write": _write(IDENTITY.path),
    "attributes:write": ScopeProbe("GET", "/v1/attributes/custom"),  # of nobody, which is a 400
    "subscriptions:write": _write(UNSUBSCRIBE.path),
    "subscriptions:read": ScopeProbe("GET", ELIGIBILITY.path),
    "privacy_requests:write": _write(PRIVACY_DELETE.path),
    "privacy_requests:read": ScopeProbe("GET", f"{PRIVACY_DELETE.path}/0", refused=(400, 404, 422)),
}


class Held(StrEnum):
    """Whether the token has a scope."""

    YES = "yes"
    NO = "missing"
    UNKNOWN = "unknown"


def held(probe: ScopeProbe, reply: Reply | Unreachable) -> Held:
    """What the answer to a probe says of its scope."""
    match reply:
        case Reply(status=403):
            return Held.NO
        case Reply(status=status) if 200 <= status < 300 or status in probe.refused:
            return Held.YES
        case _:
            return Held.UNKNOWN


def works(reply: Reply | Unreachable) -> TypeGuard[Reply]:
    """Whether the answer to "who am I" says that the token works."""
    return isinstance(reply, Reply) and 200 <= reply.status < 300


def owner(reply: Reply) -> str:
    """Whose token it is, by the same answer: company and app, as people call them.

    The app counts: an event type belongs to the one that sent it first, and starts no journey when another sends it.
    """
    try:
        told = orjson.loads(reply.body)
        company, app = (told.get(field) for field in ("companyName", "applicationName"))
    except (orjson.JSONDecodeError, AttributeError):
        return "an answer that cannot be read"
    return f"{company or 'an unnamed company'}{f', app {app}' if app else ''}"
