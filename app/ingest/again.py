"""A dead letter's event, decided once more: with the current settings and the profiles that are stored now."""

from collections.abc import Mapping

import orjson

from app.counted import DropReason
from app.delivery.accounts.attributes import Types
from app.delivery.dead_letter import DeadLetter
from app.ingest.profile_session import ProfileSession
from app.pipeline import Decision, Drop, Fail, Forward, Known, Plan, decide, read
from app.profiles.lookup import find_people
from app.profiles.updates import update_profiles
from app.segment.events import InvalidEvent
from app.store.connection import Redis
from app.value import changed


async def decide_again(redis: Redis, dead_letter: DeadLetter, plan: Plan, attributes: Types) -> Decision:
    """Decide its event now, and update the stored profiles. Repeating this changes nothing.

    Raises StoreError.
    """
    try:
        reading = read(orjson.loads(dead_letter.event), dead_letter.event, plan)
    except InvalidEvent as invalid:
        return Fail(dead_letter.reason, str(invalid))
    event = changed(reading.event, message_id=dead_letter.message_id)
    reading = changed(reading, event=event)

    def decided(profile: Mapping[str, str], unlinked: bool | None) -> Decision:
        known = Known(attributes, profile, unlinked)
        return decide(reading, plan, source=dead_letter.source, received_at=dead_letter.received_at, known=known)

    session = ProfileSession([event], plan, dead_letter.source)
    if session.names:
        session.load((await find_people(redis, {dead_letter.destination: session.names}))[dead_letter.destination])
    decision, updates, instead = session.decide(0, event, decided, dead_letter.received_at)
    if updates and "block" in await update_profiles(redis, dead_letter.destination, updates):
        return Forward(instead) if instead else Drop(DropReason.MERGE_BLOCKED)
    return decision
