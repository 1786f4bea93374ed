"""From a decision to what the outbox stores: the deliveries or the ending, and the journal's masked record."""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final

import orjson

from app.counted import DeadLettered, Dropped, DropReason
from app.delivery.dead_letter import DeadLetter
from app.delivery.delivery import event_key
from app.delivery.journal.event_rows import RowOutcome
from app.delivery.journal.recording import shown_name
from app.delivery.journal.row_index import identifier_heads, row_head, rows_of
from app.delivery.journal.search_hashes import search_hash
from app.delivery.outbox_event import OutboxEvent, PackedCall, calls_of
from app.erasure.requests import Request
from app.identity.recent import forget_recent, recent
from app.masking import mask_email, mask_id, mask_phone, mask_text
from app.pipeline import Decision, Drop, Erase, Fail, Forward
from app.segment.events import SegmentEvent

_ENDPOINT: Final = attrgetter("endpoint")
MOST_NOTES: Final = 40  # of one event, in the journal
_DECISIONS: Final = {
    RowOutcome.ACCEPTED: "forward",
    RowOutcome.DROPPED: "drop",
    RowOutcome.DEAD_LETTER: "dead letter",
    RowOutcome.ERASURE: "erasure",
}


def outbox_event_of(
    event: SegmentEvent, decision: Decision, *, original: bytes, source: str, received_at: datetime
) -> OutboxEvent:
    """What one decided event becomes in Redis. `original` is its JSON."""
    key = event_key(source, event.message_id)
    person, identifiers = _person_of(event)  # first: an erasure then forgets it
    ending = ""
    calls: tuple[PackedCall, ...] = ()
    endpoints: tuple[str, ...] = ()
    outcome = RowOutcome.ACCEPTED
    dead_letter = attributes = erasure = None
    facts: dict[str, Any] = {}  # those that few events have
    match decision:
        case Forward():
            calls, attributes = calls_of(decision.deliveries), decision.attributes
            endpoints = tuple(map(_ENDPOINT, calls))
        case Drop(reason=reason):
            outcome = RowOutcome.DROPPED
            facts["reason"] = reason.value
            ending = Dropped(reason).field
        case Fail(reason=reason, detail=detail):
            outcome = RowOutcome.DEAD_LETTER
            facts |= {"reason": reason, "detail": detail}
            ending = DeadLettered(reason).field
            dead_letter = DeadLetter(
                message_id=event.message_id,
                source=source,
                reason=reason,
                detail=detail,
                event=original,
                received_at=received_at,
            ).packed()
        case Erase(subject=subject):
            forget_recent()
            request = Request(key.hex(), subject, f"event of {source}", event.message_id)
            outcome = RowOutcome.ERASURE
            facts["erasure"] = request.id
            ending, erasure = Dropped(DropReason.ERASURE).field, request.to_json()
    if decision.notes:
        facts["notes"] = [mask_text(note) for note in decision.notes[:MOST_NOTES]]
        if (more := len(decision.notes) - MOST_NOTES) > 0:
            facts["notes"].append(f"and {more} more")
    if order_hashes := _order_hashes(event.properties):
        facts["order_hashes"] = order_hashes
        identifiers += identifier_heads(order_hashes)
    begins, head = _kind(outcome, source, event.type, event.name and shown_name(event.name), endpoints)
    return OutboxEvent(
        key,
        event.message_id,
        begins + person + (b"," + orjson.dumps(facts)[1:] if facts else b"}"),
        ending,
        calls,
        dead_letter,
        decision.counts,
        attributes,
        erasure=erasure,
        source=source,
        rows=rows_of(event.message_id, head, identifiers),
    )


@lru_cache(maxsize=4096)  # few kinds of events and calls make up nearly all
def _kind(
    outcome: RowOutcome, source: str, type_: str, name: str | None, endpoints: tuple[str, ...]
) -> tuple[bytes, bytes]:
    """What the journal has of all such events: the JSON with which their records begin, and the head of their row."""
    facts: dict[str, Any] = {"source": source, "type": type_}
    if name is not None:
        facts["event"] = name
    facts["decision"] = _DECISIONS[outcome]
    if outcome is RowOutcome.ACCEPTED:
        facts["calls"] = endpoints
    return orjson.dumps(facts)[:-1] + b",", row_head(outcome, source, type_ if name is None else name, endpoints)


def _person_of(event: SegmentEvent) -> tuple[bytes, tuple[bytes, ...]]:
    """The event's person in its record, and the heads of the rows that find the event: see `_person`."""
    email, phone = event.traits.get("email"), event.traits.get("phone")
    return _person(
        email if type(email) is str else None,
        phone if type(phone) is str else None,
        event.user_id,
        event.anonymous_id,
    )


def _order_hashes(properties: Mapping[str, Any]) -> list[int]:
    order_id = properties.get("order_id", properties.get("orderId"))
    if order_id is None or not isinstance(order_id, str | int):
        return []
    return [search_hash("order_ids", str(order_id))]


@recent
def _person(
    email: str | None, phone: str | None, user_id: str | None, anonymous_id: str | None
) -> tuple[bytes, tuple[bytes, ...]]:
    """The person, masked, and the search hashes by which an erasure finds the record, as two fields of JSON.

    The other part is for the index: every identifier except the anonymous ID, which is not searched for.
    """
    who: dict[str, str] = {}
    search_hashes: list[int] = []
    if email:
        who["email"] = mask_email(email)
        search_hashes.append(search_hash("emails", email))
    if phone:
        who["phone"] = mask_phone(phone)
        search_hashes.append(search_hash("phones", phone))
    if user_id is not None:
        who["userId"] = mask_id(user_id)
        search_hashes.append(search_hash("user_ids", user_id))
    identifiers = identifier_heads(search_hashes)
    if anonymous_id is not None:
        search_hashes.append(search_hash("anonymous_ids", anonymous_id))
    return orjson.dumps({"who": who, "search_hashes": search_hashes})[1:-1], identifiers
