"""Applies one rule to one event: builds the call, with the parts that all calls to such an endpoint share."""

from datetime import datetime
from typing import Any

from app.attentive.call import AttentiveCall
from app.attentive.endpoints import CUSTOM_ATTRIBUTES, IDENTITY, USER_ATTRIBUTES
from app.identity.identity import Identity
from app.mapping.attributes import AttributeGuard, custom_attributes, user_attributes
from app.mapping.catalogue import Rule
from app.mapping.expressions import ABSENT, Evaluation
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
    """The call that `rule` makes of `event`. None if it would have no content.

    Notes on what was left out or coerced are appended to `notes`. Raises Unmappable.
    """
    match rule.endpoint.name:
        case IDENTITY.name:
            body = identity_link(identity)
        case USER_ATTRIBUTES.name:
            attributes = user_attributes(rule.traits, _evaluation(event, identity, notes), guard)
            body = {"identifiers": attribute_identifiers(identity)}
            if attributes is not None:
                body["attributes"] = attributes
            elif not rule.links or identity_link(identity) is None:
                body = None
        case CUSTOM_ATTRIBUTES.name:
            user = event_user(identity)
            properties = custom_attributes(rule.traits, _evaluation(event, identity, notes), guard) if user else None
            body = None if properties is None else {"user": user, "properties": properties}
        case _:
            body = _event_body(rule, event, identity, occurred_at, notes)
    return None if body is None else AttentiveCall(rule.endpoint, body, rule.priority)


def _event_body(
    rule: Rule, event: SegmentEvent, identity: Identity, occurred_at: datetime, notes: list[str]
) -> dict[str, Any] | None:
    if not (user := event_user(identity)):
        return None
    evaluation = Evaluation(event, identity, event.properties, "properties.", notes, occurred_at)
    body: dict[str, Any] = {"user": user, "occurredAt": to_wire(occurred_at)}
    for key, expression in rule.body.items():
        value = expression.read(evaluation)
        if value is not ABSENT:
            body[key] = value
    return body


def _evaluation(event: SegmentEvent, identity: Identity, notes: list[str]) -> Evaluation:
    return Evaluation(event, identity, event.properties, "properties.", notes)
