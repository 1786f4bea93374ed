"""Everything that is known of one event: what happened to it, and where it is now."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from app.delivery.backlog import deliveries_of
from app.delivery.dead_letter import DeadLetterQueue, Filter
from app.delivery.dead_letters import dead_letters
from app.delivery.journal.event_search import calls_of, rows_about
from app.delivery.journal.journal import JournalEntry
from app.delivery.journal.recorded_call import RecordedCall
from app.delivery.journal.refusals import REFUSED_STEP
from app.masking import mask_personal, mask_text
from app.operations.operator import NotFound, Operator
from app.operations.refusals import recent_refusals, refusal_facts
from app.segment.events import internal_message_id
from app.wiring.shared import all_lanes


@dataclass(frozen=True, slots=True)
class Place:
    """Where an event is kept now. The repr does not show the event."""

    what: str  # "Waiting in lane product-view, for attempt 2"
    event: bytes = field(repr=False)  # JSON, not masked

    def shown(self, *, reveal: bool) -> Any:
        """The event, masked unless it is revealed."""
        content = orjson.loads(self.event)
        return content if reveal else mask_personal(content)


@dataclass(frozen=True, slots=True)
class Story:
    """One event: what happened to it, the oldest first, and where it is kept now, if anywhere."""

    message_id: str
    entries: Sequence[JournalEntry]
    places: Sequence[Place] = ()
    calls: Sequence[RecordedCall] = ()  # those of its attempts that are recorded


async def trace(operator: Operator, message_id: str, *, with_places: bool = True) -> Story:
    """Read one event's story. Without `with_places`, the lanes are not searched.

    Raises NotFound where nothing is known of the event.
    """
    known = internal_message_id(message_id.strip())
    rows = await rows_about(operator.redis, operator.destinations, {known, mask_text(known)})
    entries = [JournalEntry(row.at, row.message_id, row.step, row.destination, dict(row.facts)) for row in rows]
    if not any(entry.step == REFUSED_STEP for entry in entries):  # those of unknown senders are in no journal
        entries += await _refusals(operator, known)
    if not entries:
        settings = operator.settings
        raise NotFound(
            f"Nothing is known of {message_id!r}. The journal keeps the last {settings.journal_entries:,} entries of "
            f"each destination, for {settings.journal_hours:g} h, and a sample of what was refused: see "
            "`attentive-gateway refusals list`."
        )
    entries.sort(key=lambda entry: entry.at)
    calls = tuple((await calls_of(operator.redis, rows)).values())
    return Story(known, entries, await _places(operator, known) if with_places else (), calls)


async def _refusals(operator: Operator, message_id: str) -> list[JournalEntry]:
    """Each time that the intake refused the event, as an entry of the journal."""
    shown = mask_text(message_id)
    entries = []
    for refusal in await recent_refusals(operator):
        if shown in refusal.message_ids:
            facts = {name: value for name, value in refusal_facts(refusal).items() if name not in ("at", "message_ids")}
            source = operator.topology.sources.get(refusal.source)
            destination = "" if source is None else source.destination
            entries.append(JournalEntry(refusal.at, message_id, REFUSED_STEP, destination, facts))
    return entries


async def _places(operator: Operator, message_id: str) -> list[Place]:
    found = [
        Place(f"Waiting in lane {delivery.endpoint}, for attempt {delivery.attempt}", delivery.event)
        for delivery in await deliveries_of(operator.redis, all_lanes(operator.topology), message_id)
    ]
    now, wanted = datetime.now(UTC), Filter(message_id=message_id)
    for queue, kept_as in (
        (DeadLetterQueue.DEAD, "Kept as dead letter"),
        (DeadLetterQueue.REVIEW, "In review as call"),
    ):
        kept = dead_letters(operator.redis, operator.destinations, wanted, now=now, queue=queue)
        found += [Place(f"{kept_as} {each.id} ({each.reason})", each.event) async for each in kept]
    return found
