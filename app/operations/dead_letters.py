"""Kept calls: finding them, showing them, and deleting them for good.

Dead letters and calls in review are kept in the same form, on two queues.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from app.delivery.dead_letter import DeadLetter, DeadLetterQueue, Filter
from app.delivery.dead_letters import dead_letters, discard
from app.masking import mask_personal, mask_text
from app.operations.operator import BadRequest, NotFound, Operator

NAMES: Final[Mapping[DeadLetterQueue, str]] = {
    DeadLetterQueue.DEAD: "dead letter",
    DeadLetterQueue.REVIEW: "call in review",
}
PLURALS: Final[Mapping[DeadLetterQueue, str]] = {
    DeadLetterQueue.DEAD: "dead letters",
    DeadLetterQueue.REVIEW: "calls in review",
}


async def matching(operator: Operator, wanted: Filter, queue: DeadLetterQueue) -> AsyncIterator[DeadLetter]:
    """The calls on a queue that a filter means, oldest first, as they were when this began."""
    destinations, now = operator.chosen(wanted.destination), datetime.now(UTC)
    async for dead_letter in dead_letters(operator.redis, destinations, wanted, now=now, queue=queue):
        yield dead_letter


@dataclass(frozen=True, slots=True)
class Listing:
    """The first of the calls that match, and the number of all of them by reason."""

    first: Sequence[DeadLetter]
    reasons: Counter[str]


async def listing(operator: Operator, wanted: Filter, queue: DeadLetterQueue, limit: int) -> Listing:
    """Read a queue whole, and keep the `limit` oldest of what matches."""
    first: list[DeadLetter] = []
    reasons: Counter[str] = Counter()
    async for dead_letter in matching(operator, wanted, queue):
        reasons[dead_letter.reason] += 1
        if len(first) < limit:
            first.append(dead_letter)
    return Listing(first, reasons)


@dataclass(frozen=True, slots=True)
class Selection:
    """The calls that an operator means by ids or by a filter. At least one."""

    queue: DeadLetterQueue
    filters: Sequence[Filter]
    count: int

    async def dead_letters(self, operator: Operator) -> AsyncIterator[DeadLetter]:
        """Each of them."""
        for wanted in self.filters:
            async for dead_letter in matching(operator, wanted, self.queue):
                yield dead_letter


async def select(
    operator: Operator, queue: DeadLetterQueue, wanted: Filter, ids: Sequence[str] | None, *, everything: bool
) -> Selection:
    """What ids or a filter mean. Raises BadRequest without either, unless `everything` is meant, and NotFound."""
    if ids is None and wanted == Filter() and not everything:
        raise BadRequest("Nothing is selected. Give IDs, a filter such as --endpoint, or --all.")
    filters = [wanted] if ids is None else [replace(wanted, id=one) for one in dict.fromkeys(ids)]
    counts = [len([1 async for _ in matching(operator, one, queue)]) for one in filters]
    if ids is not None and (missing := [one.id for one, count in zip(filters, counts, strict=True) if not count]):
        raise NotFound(f"There is no {NAMES[queue]} {', '.join(map(str, missing))}.")
    if not sum(counts):
        raise NotFound(f"No {NAMES[queue]}s match.")
    return Selection(queue, filters, sum(counts))


async def find(
    operator: Operator, dead_letter_id: str, destination: str | None, queue: DeadLetterQueue = DeadLetterQueue.DEAD
) -> DeadLetter:
    """The call with this id. Raises NotFound, and BadRequest where several destinations have one."""
    dead_letters = [
        dead_letter async for dead_letter in matching(operator, Filter(destination, id=dead_letter_id), queue)
    ]
    if not dead_letters:
        raise NotFound(f"There is no {NAMES[queue]} {dead_letter_id}.")
    if len(dead_letters) > 1:
        owners = " and ".join(dead_letter.destination for dead_letter in dead_letters)
        raise BadRequest(f"{owners} each have a {NAMES[queue]} {dead_letter_id}. Add --destination.")
    return dead_letters[0]


async def delete(operator: Operator, dead_letter: DeadLetter) -> bool:
    """Delete a call for good. False when it was gone already."""
    return await discard(operator.redis, dead_letter, journal_entries=operator.settings.journal_entries)


async def paced(
    dead_letters: AsyncIterator[DeadLetter], rate: float | None, stopping: asyncio.Event
) -> AsyncIterator[DeadLetter]:
    """The same calls, at most `rate` each second, until `stopping` is set."""
    started, number = time.monotonic(), 0
    async for dead_letter in dead_letters:
        if rate is not None and (early := started + number / rate - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), early)
        if stopping.is_set():
            return
        yield dead_letter
        number += 1


def summary(dead_letter: DeadLetter) -> dict[str, Any]:
    """What may be shown of a call: no personal data."""
    return {
        "id": dead_letter.id,
        "died_at": dead_letter.died_at.isoformat(),
        "received_at": dead_letter.received_at.isoformat(),
        "destination": dead_letter.destination,
        "source": dead_letter.source,
        "endpoint": dead_letter.endpoint,
        "event": mask_text(dead_letter.event_name),
        "message_id": dead_letter.message_id,
        "reason": dead_letter.reason,
        "detail": dead_letter.detail,
        "attempts": dead_letter.attempts,
        "last_answer": dead_letter.last_answer,
    }


def details(dead_letter: DeadLetter, *, reveal: bool) -> dict[str, Any]:
    """All of a call: its summary, its body and the original event, masked unless revealed."""
    call = None if dead_letter.body is None else orjson.loads(dead_letter.body)
    original = orjson.loads(dead_letter.event)
    if not reveal:
        call, original = masked(dead_letter, call), mask_personal(original)
    return summary(dead_letter) | {"call": call, "original": original}


def masked(dead_letter: DeadLetter, content: Any) -> Any:
    """What a call holds, or would hold after a change, with personal data masked."""
    (shown,) = mask_personal({dead_letter.endpoint or "event": content}).values()
    return shown
