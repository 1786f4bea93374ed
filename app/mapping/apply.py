"""One rule applied to one event: the call, with what all calls to that kind of endpoint share."""

from datetime import datetime
from typing import Any

from app.attentive.call import AttentiveCall
from app.attentive.endpoints import CUSTOM_ATTRIBUTES, IDENTITY, USER_ATTRIBUTES
from app.identity.identity import Identity
from app.mapping.attributes import AttributeGuard, custom_attributes, user_attributes
from app.mapping.catalogue import Rule
from app.mapping.fields import ABSENT, Scope
from app.mapping.users import attribute_identifiers, event_user, identity_link
from app.segment.events import SegmentEvent
from app.segment.times import to_wire


def apply_rule(
    rule: Rule,
    event: SegmentEvent,
    identity: Identity,
    occurred_at: datetime,
    guard: AttributeGuard,
    notes: list[str],
) -> AttentiveCall | None:
    """The call that `rule` makes of `event`, or None when it would say nothing.

    What was left out or mended is appended to `notes`. Raises Unmappable.
    """
    match rule.endpoint.name:
        case IDENTITY.name:
            body = identity_link(identity)
        case USER_ATTRIBUTES.name:
            body = _user_attributes_body(event, identity, guard, notes)
        case CUSTOM_ATTRIBUTES.name:
            body = _custom_attributes_body(event, identity, guard, notes)
        case _:
            body = _event_body(rule, event, identity, occurred_at, notes)
    return None if body is None else AttentiveCall(rule.endpoint, body, rule.priority)


def _event_body(
    rule: Rule, event: SegmentEvent, identity: Identity, occurred_at: datetime, notes: list[str]
) -> dict[str, Any] | None:
    if not (user := event_user(identity)):
        return None
    scope = Scope(event, identity, event.properties, "properties.", notes)
    body: dict[str, Any] = {"user": user, "occurredAt": to_wire(occurred_at)}
    for key, word in rule.body.items():
        value = word.read(scope)
        if value is not ABSENT:
            body[key] = value
    return body


def _user_attributes_body(
    event: SegmentEvent, identity: Identity, guard: AttributeGuard, notes: list[str]
) -> dict[str, Any] | None:
    attributes = user_attributes(event.traits, guard, notes)
    return None if attributes is None else {"identifiers": attribute_identifiers(identity), "attributes": attributes}


def _custom_attributes_body(
    event: SegmentEvent, identity: Identity, guard: AttributeGuard, notes: list[str]
) -> dict[str, Any] | None:
    if not (user := event_user(identity)):
        return None
    properties = custom_attributes(event.traits, guard, notes)
    return None if properties is None else {"user": user, "properties": properties}
