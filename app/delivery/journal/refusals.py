"""Recent refusals of the intake, by source: a bounded, masked record for `trace` and for operators.

There is one stream per source, and one for requests whose source is unknown, so that one sender's refusals displace
none of another's. An entry holds `d`, the JSON of a Refusal. Only gateways write it, in the background. A refused
event with a message ID also has an entry in the journal of its destination, which all searches read.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from redis.asyncio import Redis

from app.delivery.delivery import from_ms, to_ms
from app.delivery.journal.call_record import note
from app.delivery.journal.event_rows import RowOutcome
from app.delivery.journal.row_index import row_head, rows_of
from app.store.keys import refusals_key

MOST_PER_SOURCE: Final = 500  # entries of at most about 2 KB
UNKNOWN_SOURCE: Final = ""
REFUSED_STEP: Final = "refused"  # of the journal


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refused request, or one refused event of a batch. All text is masked and truncated."""

    at: datetime
    source: str  # UNKNOWN_SOURCE if the request named none that exists
    path: str
    status: int
    code: str
    message: str
    field: str | None = None
    message_ids: tuple[str, ...] = ()  # of the first events of the request, masked
    others: int = 0  # > 0: this many more were refused with this code within a minute, and only counted


async def store_refusals(
    redis: Redis,
    refusals: Sequence[Refusal],
    *,
    keep: timedelta,
    destinations: Callable[[], Mapping[str, str]],
    journal_entries: int,
) -> None:
    """Append to the record, which expires once nothing was refused for `keep`. Raises RedisError.

    `destinations` are the destinations of the sources. `journal_entries` bounds each journal.
    """
    of_source = destinations()
    async with redis.pipeline(transaction=False) as pipeline:
        for refusal in refusals:
            facts: dict[str, Any] = asdict(refusal) | {"at": to_ms(refusal.at)}
            entry = {"d": orjson.dumps(facts)}
            pipeline.xadd(refusals_key(refusal.source), entry, maxlen=MOST_PER_SOURCE, approximate=False)  # type: ignore[arg-type]
            if (destination := of_source.get(refusal.source)) is not None:
                record = _record(refusal)
                head = row_head(RowOutcome.REFUSED, refusal.source)
                for message_id in refusal.message_ids:
                    rows = rows_of(message_id, head)
                    await note(redis, destination, message_id, REFUSED_STEP, record, rows, entries=journal_entries)
        for source in {refusal.source for refusal in refusals}:
            pipeline.expire(refusals_key(source), keep)
        await pipeline.execute()


def _record(refusal: Refusal) -> bytes:
    """The refusal as the journal records it."""
    facts = {
        "source": refusal.source,
        "reason": refusal.code,
        "field": refusal.field,
        "detail": refusal.message,
        "path": refusal.path,
        "answered": refusal.status,
    }
    return orjson.dumps({name: value for name, value in facts.items() if value is not None})


async def read_refusals(redis: Redis, sources: Sequence[str]) -> list[Refusal]:
    """All recorded refusals of these sources, oldest first. Raises RedisError."""
    async with redis.pipeline(transaction=False) as pipeline:
        for source in sources:
            pipeline.xrange(refusals_key(source))
        pages = await pipeline.execute()
    refusals = [_refusal(fields[b"d"]) for page in pages for _, fields in page]
    return sorted(refusals, key=lambda refusal: refusal.at)


def _refusal(stored: bytes) -> Refusal:
    facts = orjson.loads(stored)
    return Refusal(**facts | {"at": from_ms(facts["at"]), "message_ids": tuple(facts["message_ids"])})
