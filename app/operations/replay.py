"""Sending a kept call again. An event that never became a call goes through the mapping as it is now."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from app.attentive.call import Priority
from app.counted import Dropped, DropReason
from app.delivery.accounts.attributes import read_attributes
from app.delivery.dead_letter import DeadLetter
from app.delivery.dead_letters import replay as move
from app.delivery.delivery import Delivery, event_key, to_ms
from app.erasure.requests import Request, ask
from app.ingest.again import decide_again
from app.operations.operator import Operator
from app.operations.trial import whatever_its_age
from app.pipeline import Drop, Erase, Fail, Forward
from app.value import changed
from app.wiring.gateway import plan_for


@dataclass(frozen=True, slots=True)
class SentAgain:
    """Its calls wait in their lanes."""

    endpoints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StillFails:
    """Nothing has changed: the event still cannot become a call."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class AlreadyGone:
    """It was replayed, deleted or evicted meanwhile."""


Replayed = SentAgain | Dropped | StillFails | AlreadyGone


def in_words(replayed: Replayed) -> str:
    """What became of one that was to be sent again."""
    match replayed:
        case SentAgain():
            return "sent again"
        case Dropped(reason=reason):
            return f"dropped by the mapping: {reason}"
        case StillFails(reason=reason, detail=detail):
            return f"kept, still {reason}: {detail}"
        case AlreadyGone():
            return "already replayed, deleted or evicted"


async def replay(
    operator: Operator, dead_letter: DeadLetter, *, ignore_age: bool = False, priority: Priority | None = None
) -> Replayed:
    """Send one call again, with the priority that it had unless another is given."""
    horizon = operator.topology.destinations[dead_letter.destination].delivery.horizon_hours
    deadline = datetime.now(UTC) + timedelta(hours=horizon)
    if dead_letter.endpoint is not None:
        return await _move(operator, dead_letter, (dead_letter.revived(deadline, calls=1),), priority)
    plan = plan_for(operator.topology, dead_letter.destination, dead_letter.source)
    plan = whatever_its_age(plan) if ignore_age else plan
    known = await read_attributes(operator.redis, [dead_letter.destination])
    match await decide_again(operator.redis, dead_letter, plan, known[dead_letter.destination]):
        case Forward(deliveries=mapped):
            deliveries = tuple(changed(delivery, deadline_ms=to_ms(deadline)) for delivery in mapped)
            return await _move(operator, dead_letter, deliveries, priority)
        case Drop(reason=reason):
            return await _end(operator, dead_letter, reason)
        case Fail(reason=reason, detail=detail):
            return StillFails(reason, detail)
        case Erase(subject=subject):  # first of all, and known by the event's id: a second time changes nothing
            key = event_key(dead_letter.source, dead_letter.message_id)
            request = Request(key.hex(), subject, f"event of {dead_letter.source}", dead_letter.message_id)
            await ask(operator.redis, dead_letter.destination, request)
            return await _end(operator, dead_letter, DropReason.ERASURE)


async def _move(
    operator: Operator, dead_letter: DeadLetter, deliveries: tuple[Delivery, ...], priority: Priority | None
) -> Replayed:
    if priority is not None:
        deliveries = tuple(changed(delivery, priority=priority) for delivery in deliveries)
    endpoints = tuple(delivery.endpoint for delivery in deliveries)
    moved = await _replay(operator, dead_letter, {"calls": endpoints}, deliveries=deliveries)
    return SentAgain(endpoints) if moved else AlreadyGone()


async def _end(operator: Operator, dead_letter: DeadLetter, reason: DropReason) -> Replayed:
    """Let the event of a dead letter end as dropped."""
    dropped = Dropped(reason)
    ending = dropped.field
    return dropped if await _replay(operator, dead_letter, {"ending": ending}, ending=ending) else AlreadyGone()


async def _replay(
    operator: Operator,
    dead_letter: DeadLetter,
    facts: dict[str, Any],
    *,
    deliveries: tuple[Delivery, ...] = (),
    ending: str = "",
) -> bool:
    return await move(
        operator.redis,
        dead_letter,
        deliveries=deliveries,
        ending=ending,
        record=orjson.dumps({"dead_letter": dead_letter.id, "reason": dead_letter.reason, **facts}),
        journal_entries=operator.settings.journal_entries,
    )
