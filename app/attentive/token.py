"""What can be learnt about an API token without messaging any person: whether it works, its account, and its scopes.

Attentive has no call that lists a token's scopes. A call that can never take effect shows one: with the scope, the
call is refused for its content, without it, with 403. Source: Attentive's API reference.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal, TypeGuard

import orjson

from app.attentive.answers import Reply, Unreachable
from app.attentive.endpoints import (
    CUSTOM_EVENT,
    ELIGIBILITY,
    IDENTITY,
    PRIVACY_DELETE,
    PRODUCT_VIEW,
    SEGMENT_MEMBERS,
    SEGMENTS_PATH,
    SEGMENTS_READ,
    UNSUBSCRIBE,
)

_NOTHING: Final = b"[]"  # JSON but not an object: no endpoint can process it


@dataclass(frozen=True, slots=True)
class ScopeProbe:
    """A call without person and content. `refused`: the statuses which show that the token has the scope."""

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
    "attributes:write": ScopeProbe("GET", "/v1/attributes/custom"),  # without a person, which is a 400
    "subscriptions:write": _write(UNSUBSCRIBE.path),
    "subscriptions:read": ScopeProbe("GET", ELIGIBILITY.path),
    SEGMENTS_READ: ScopeProbe("GET", f"{SEGMENTS_PATH}/external/-", refused=(400, 404, 422)),
    SEGMENT_MEMBERS.scope: _write(SEGMENTS_PATH),
    "privacy_requests:write": _write(PRIVACY_DELETE.path),
    "privacy_requests:read": ScopeProbe("GET", f"{PRIVACY_DELETE.path}/0", refused=(400, 404, 422)),
}


class Held(StrEnum):
    """Whether the token has a scope."""

    YES = "yes"
    NO = "missing"
    UNKNOWN = "unknown"


def held(probe: ScopeProbe, reply: Reply | Unreachable) -> Held:
    """What the answer to a probe shows about its scope."""
    match reply:
        case Reply(status=403):
            return Held.NO
        case Reply(status=status) if 200 <= status < 300 or status in probe.refused:
            return Held.YES
        case _:
            return Held.UNKNOWN


def works(reply: Reply | Unreachable) -> TypeGuard[Reply]:
    """Whether the answer to "who am I" shows that the token works."""
    return isinstance(reply, Reply) and 200 <= reply.status < 300


def named_by(reply: Reply | Unreachable) -> dict[str, Any]:
    """Company and app in that answer. Empty if the token does not work, or the answer cannot be read."""
    if not works(reply):
        return {}
    try:
        named = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return {}
    return named if isinstance(named, dict) else {}


def app_of(reply: Reply | Unreachable) -> str | None:
    """The name of the app that a working token belongs to, by that answer."""
    app = named_by(reply).get("applicationName")
    return str(app)[:200] if app else None


def owner(reply: Reply) -> str:
    """The owner of the token, by that answer: company and app, for people to read.

    The app matters: an event type belongs to the app that sent it first, and starts no journey if another app sends it.
    """
    try:
        facts = orjson.loads(reply.body)
        company, app = (facts.get(field) for field in ("companyName", "applicationName"))
    except (orjson.JSONDecodeError, AttributeError):
        return "an answer that cannot be read"
    return f"{company or 'an unnamed company'}{f', app {app}' if app else ''}"
