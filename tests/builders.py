"""Events as trackers send them, and what is decided about them: the words that the tests of the core share."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from app.config.destination import Destination
from app.config.document import Document
from app.delivery.delivery import Delivery, to_ms
from app.delivery.outbox_event import OutboxEvent
from app.pipeline import NOTHING, Decision, Drop, Fail, Forward, Known, Plan, decide, read
from app.segment.events import SegmentEvent, parse_event
from app.wiring.gateway import plan_of

NOW: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)  # when events are received, unless a test says otherwise
WHEN: Final = "2026-03-01T11:59:58.250Z"  # when they happened
EMAIL: Final = "ada@example.com"
PHONE: Final = "+14155550132"
USER_ID: Final = "customer-1042"

Raw = dict[str, Any]


def track(event: str, properties: Mapping[str, Any] | None = None, **fields: Any) -> Raw:
    """A track event by somebody whose e-mail address is known."""
    raw: Raw = {
        "type": "track",
        "event": event,
        "messageId": "message-1",
        "timestamp": WHEN,
        "context": {"traits": {"email": EMAIL}},
        "properties": dict(properties or {}),
    }
    return raw | fields


def page(properties: Mapping[str, Any] | None = None, **fields: Any) -> Raw:
    """A page view by somebody whose e-mail address is known."""
    raw = track("", properties, type="page")
    del raw["event"]
    return raw | fields


def identify(traits: Mapping[str, Any] | None = None, **fields: Any) -> Raw:
    """An identify call; `traits` say who it is."""
    raw: Raw = {"type": "identify", "messageId": "message-1", "timestamp": WHEN, "traits": dict(traits or {})}
    return raw | fields


def about(raw: Mapping[str, Any], *, user_id: str | None = None, **traits: Any) -> Raw:
    """The same event about somebody else: `traits` and `user_id` are all that is known."""
    who: Raw = {"traits": traits} if raw["type"] == "identify" else {"context": {"traits": traits}}
    if user_id is None and not traits:
        who["anonymousId"] = "browser-1"
    return {**raw, **who} | ({"userId": user_id} if user_id is not None else {})


def parsed(raw: object) -> SegmentEvent:
    """The event as the core knows it."""
    return parse_event(raw)


def decided(
    raw: object, *, plan: Plan | None = None, received_at: datetime = NOW, attributes: Mapping[str, str] = NOTHING
) -> Decision:
    """What is decided about an event that arrives now; `attributes` are those that the account has."""
    plan = plan or Plan()
    reading = read(raw, orjson.dumps(raw), plan)
    return decide(reading, plan, source="shop", received_at=received_at, known=Known(attributes))


def forwarded(raw: object, *, plan: Plan | None = None, attributes: Mapping[str, str] = NOTHING) -> Forward:
    """The same for an event that has to become calls."""
    decision = decided(raw, plan=plan, attributes=attributes)
    assert isinstance(decision, Forward), decision
    return decision


def deliveries_of(arrival: OutboxEvent) -> tuple[Delivery, ...]:
    """The calls of an event that has come in, as a worker will read them."""
    return tuple(Delivery.unpacked(call.stored) for call in arrival.calls)


def dropped(raw: object, *, plan: Plan | None = None) -> Drop:
    """The same for an event that has to be dropped."""
    decision = decided(raw, plan=plan)
    assert isinstance(decision, Drop), decision
    return decision


def failed(raw: object, *, plan: Plan | None = None) -> Fail:
    """The same for an event that has to become a dead letter."""
    decision = decided(raw, plan=plan)
    assert isinstance(decision, Fail), decision
    return decision


def calls(raw: object, *, plan: Plan | None = None, attributes: Mapping[str, str] = NOTHING) -> list[tuple[str, Any]]:
    """The calls an event becomes: endpoint names and bodies, in order."""
    forward = forwarded(raw, plan=plan, attributes=attributes)
    return [(each.endpoint, orjson.loads(each.body)) for each in forward.deliveries]


def body_of(raw: object, *, plan: Plan | None = None) -> Any:
    """The body of the one call an event becomes."""
    ((_, body),) = calls(raw, plan=plan)
    return body


def delivery(
    *, received_at: datetime = NOW, deadline: datetime = NOW, fresh_until: datetime | None = None, **changes: Any
) -> Delivery:
    """A custom event waiting for its first attempt."""
    fields: Raw = {
        "message_id": "message-1",
        "source": "shop",
        "endpoint": "custom-event",
        "priority": 1,
        "body": b'{"type":"Coupon Entered","user":{"email":"ada@example.com"}}',
        "event": b'{"type":"track","event":"Coupon Entered","messageId":"message-1"}',
        "received_ms": to_ms(received_at),
        "deadline_ms": to_ms(deadline),
        "fresh_until_ms": fresh_until and to_ms(fresh_until),
    }
    return Delivery(**(fields | changes))


def planned(mapping: str, **settings: Any) -> Plan:
    """What a destination wants whose file has this YAML under `mapping`."""
    content = Document(Path("gateway.yaml"), mapping.encode()).content
    return plan_of(Destination.model_validate({"api_token": "x", "mapping": content, **settings}))
