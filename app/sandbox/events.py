"""The event endpoints: product view, add to cart, purchase and custom events.

A 200 promises little here. Events of the wrong age, of an unknown person or of another app's type are accepted and
lost, and notes in the ledger record that. Source: Attentive's eCommerce and custom events APIs.
"""

from collections.abc import Iterator
from typing import Any

from app.sandbox.account import EventType, Visit
from app.sandbox.answers import EMPTY_200, Answer, Refused
from app.sandbox.ledger import Effect
from app.sandbox.people import identifiers_in
from app.sandbox.repeats import IdKind
from app.sandbox.times import parse_iso8601, parse_rfc3339

PROPERTY_KEYS_MAX = 200  # per event type; journeys and message macros do not see further ones


def item_event(visit: Visit) -> tuple[Answer, Effect]:
    """Accept a product view or an add to cart."""
    occurred_at = visit.body.get("occurredAt")
    return EMPTY_200, _take(visit, None if occurred_at is None else parse_iso8601(occurred_at))


def purchase(visit: Visit) -> tuple[Answer, Effect]:
    """Accept a purchase. A repeated order ID is detected per app."""
    occurred_at = visit.body.get("occurredAt")
    order_id = visit.body.get("orderId") or None
    return EMPTY_200, _take(
        visit,
        None if occurred_at is None else parse_iso8601(occurred_at),
        order_id=order_id,
        repeat_mark=None if order_id is None else ("orderId", visit.key.app, order_id),
    )


def custom_event(visit: Visit) -> tuple[Answer, Effect]:
    """Accept a custom event. Its type belongs to the app that sent it first."""
    body, app = visit.body, visit.key.app
    kind = visit.account.event_types.get(body["type"])
    if kind is None:
        kind = _new_type(visit, body["type"])
    notes: tuple[str, ...] = () if kind.app == app else ("type_of_another_app",)
    if _grows_beyond_limit(kind, body.get("properties", {})):
        notes += ("truncated_keys",)
    occurred_at, message_id = body.get("occurredAt"), body.get("externalEventId")
    return EMPTY_200, _take(
        visit,
        None if occurred_at is None else parse_rfc3339(occurred_at),
        message_id=message_id,
        repeat_mark=None if message_id is None else ("externalEventId", app, body["type"], message_id),
        notes=notes,
    )


def _take(
    visit: Visit,
    occurred_at: float | None,
    *,
    message_id: str | None = None,
    order_id: str | None = None,
    repeat_mark: tuple[IdKind, *tuple[str, ...]] | None = None,
    notes: tuple[str, ...] = (),
) -> Effect:
    config = visit.config
    occurred_at = visit.now if occurred_at is None else occurred_at
    notes += _notes_on_age(visit, visit.now - occurred_at)
    person = visit.account.people.resolve(identifiers_in(visit.body))
    if person is None:
        if config.unlinked == "reject":
            raise Refused(404, "user: no such user; an external identifier must be linked to a phone or email first")
        notes += ("unlinked", "discarded")
    if repeat_mark is not None and visit.repeats.seen_before(*repeat_mark):
        notes += ("duplicate", "deduplicated") if config.duplicates == "dedupe" else ("duplicate",)
    return Effect(
        person=None if person is None else person.id,
        journey=STOPS_JOURNEY.isdisjoint(notes),
        occurred_at=occurred_at,
        message_id=message_id,
        order_id=order_id,
        notes=notes,
    )


STOPS_JOURNEY = frozenset({"no_journey", "discarded", "deduplicated", "type_of_another_app"})


def _notes_on_age(visit: Visit, age_s: float) -> tuple[str, ...]:
    config = visit.config
    if -config.future_skew_s <= age_s <= config.no_journey_after_s:
        return ()
    if -config.future_skew_s <= age_s <= config.discard_after_s:
        return ("no_journey",)
    fault = "too_old" if age_s > 0 else "in_future"
    match config.untimely:
        case "reject":
            reason = f"more than {config.discard_after_s:g} s old" if age_s > 0 else "in the future"
            raise Refused(400, f"occurredAt: must not be {reason}")
        case "discard":
            return (fault, "discarded")
        case "keep":
            return (fault, "no_journey")


def _new_type(visit: Visit, name: str) -> EventType:
    owner = visit.config.event_types.get(name)
    if owner is None and visit.config.unknown_types == "reject":
        raise Refused(404, f"type: there is no custom event type {name}; types are case-sensitive")
    kind = visit.account.event_types[name] = EventType(owner or visit.key.app)
    return kind


def _grows_beyond_limit(kind: EventType, properties: dict[str, Any]) -> bool:
    known = kind.property_keys
    truncated = False
    for path in _key_paths(properties):
        if path in known:
            continue
        if len(known) >= PROPERTY_KEYS_MAX:
            truncated = True
        else:
            known.add(path)
    return truncated


def _key_paths(value: Any, above: str = "") -> Iterator[str]:
    if type(value) is dict:
        for name, inner in value.items():
            yield above + name
            if type(inner) in (dict, list):
                yield from _key_paths(inner, f"{above}{name}.")
    elif type(value) is list:
        for inner in value:
            yield from _key_paths(inner, above)
