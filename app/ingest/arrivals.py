"""From a decision to what the outbox stores: the deliveries or the ending, and the journal's masked record."""

from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import orjson

from app.delivery.arrival import Arrival, Call, calls_of
from app.delivery.dead_letters import DeadLetter
from app.delivery.deletions import Request
from app.delivery.delivery import event_key
from app.delivery.marks import mark
from app.masking import mask_email, mask_id, mask_phone, mask_text
from app.pipeline import Bury, Decision, Drop, Forget, Forward
from app.segment.events import SegmentEvent

MOST_NOTES: Final = 40  # of one event, in the journal


def arrival_of(
    event: SegmentEvent, decision: Decision, *, original: bytes, source: str, received_at: datetime
) -> Arrival:
    """What one decided event becomes in Redis. `original` is its JSON."""
    facts = _facts(event, source)
    key = event_key(source, event.message_id)
    ending = ""
    calls: tuple[Call, ...] = ()
    dead_letter = attributes = deletion = None
    match decision:
        case Forward():
            calls, attributes = calls_of(decision.deliveries), decision.attributes
            facts["decision"] = "forward"
            facts["calls"] = [call.endpoint for call in calls]
        case Drop(reason=reason):
            facts |= {"decision": "drop", "reason": reason.value}
            ending = f"dropped:{reason.value}"
        case Bury(reason=reason, detail=detail):
            facts |= {"decision": "dead letter", "reason": reason, "detail": detail}
            ending = f"dead:{reason}"
            dead_letter = DeadLetter(
                message_id=event.message_id,
                source=source,
                reason=reason,
                detail=detail,
                event=original,
                received_at=received_at,
            ).to_json()
        case Forget(subject=subject):
            request = Request(key.hex(), subject, f"event of {source}", event.message_id)
            facts |= {"decision": "deletion", "deletion": request.id}
            ending, deletion = "dropped:deletion", request.to_json()
    if decision.notes:
        facts["notes"] = [mask_text(note) for note in decision.notes[:MOST_NOTES]]
        if (more := len(decision.notes) - MOST_NOTES) > 0:
            facts["notes"].append(f"and {more} more")
    record = orjson.dumps(facts)
    return Arrival(
        key, event.message_id, record, ending, calls, dead_letter, decision.counts, attributes, deletion=deletion
    )


def _facts(event: SegmentEvent, source: str) -> dict[str, Any]:
    facts: dict[str, Any] = {"source": source, "type": event.type}
    if event.name is not None:
        facts["event"] = _masked_name(event.name)
    email, phone = event.traits.get("email"), event.traits.get("phone")
    facts["who"], facts["marks"] = _person(
        email if isinstance(email, str) else None,
        phone if isinstance(phone, str) else None,
        event.user_id,
        event.anonymous_id,
    )
    return facts


@lru_cache(maxsize=8192)  # one person's events repeat the same few, and 3 µs
def _person(
    email: str | None, phone: str | None, user_id: str | None, anonymous_id: str | None
) -> tuple[orjson.Fragment, orjson.Fragment]:
    """Who it is, masked, and the marks by which a deletion finds the record again; both as JSON."""
    who: dict[str, str] = {}
    marks: list[int] = []
    if email:
        who["email"] = mask_email(email)
        marks.append(mark("emails", email))
    if phone:
        who["phone"] = mask_phone(phone)
        marks.append(mark("phones", phone))
    if user_id is not None:
        who["userId"] = mask_id(user_id)
        marks.append(mark("user_ids", user_id))
    if anonymous_id is not None:
        marks.append(mark("anonymous_ids", anonymous_id))
    return orjson.Fragment(orjson.dumps(who)), orjson.Fragment(orjson.dumps(marks))


@lru_cache(maxsize=1024)
def _masked_name(name: str) -> str:
    return mask_text(name)[:200]
