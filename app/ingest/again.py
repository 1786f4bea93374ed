"""A dead letter's event, decided once more: with the settings as they are now, and with what memory knows now."""

from collections.abc import Mapping

import orjson
from redis.asyncio import Redis

from app.delivery.attributes import Types
from app.delivery.dead_letters import DeadLetter
from app.delivery.memory import find_people, remember
from app.ingest.memory import Conversation
from app.pipeline import Bury, Decision, Drop, DropReason, Forward, Plan, decide
from app.segment.events import InvalidEvent, parse_event
from app.value import changed


async def decide_again(redis: Redis, letter: DeadLetter, plan: Plan, attributes: Types) -> Decision:
    """What is decided about its event now. What that tells of a person is remembered, however often it is done.

    Raises RedisError.
    """
    inspected = plan.guard.inspect(orjson.loads(letter.event), letter.event)
    try:
        event = parse_event(inspected.event, plan.identity.names_somebody)
    except InvalidEvent as invalid:
        return Bury(letter.reason, str(invalid))
    event = changed(event, message_id=letter.message_id)

    def decided(remembered: Mapping[str, str], apart: bool) -> Decision:
        return decide(
            event,
            plan,
            original=inspected.json,
            source=letter.source,
            received_at=letter.received_at,
            findings=inspected.findings,
            attributes=attributes,
            remembered=remembered,
            apart=apart,
        )

    talk = Conversation([event], plan, letter.source)
    if talk.names:
        talk.hear((await find_people(redis, {letter.destination: talk.names}))[letter.destination])
    decision, steps, instead = talk.decide(0, event, decided, letter.received_at)
    if steps and "hold" in await remember(redis, letter.destination, steps):
        return Forward(instead) if instead else Drop(DropReason.JOIN_HELD)
    return decision
