"""The journal: what happened to recent events, step by step, for operators. Bounded in number and age, masked.

One stream per destination. An entry holds `m` (message id), `s` (step) and `d` (JSON, already masked).
"""

import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import orjson
from redis.asyncio import Redis

from app.attentive.answers import Reply, Unreachable
from app.counted import JournalTrim
from app.delivery.consent import Learned
from app.delivery.delivery import Delivery
from app.delivery.journal.event_rows import RowOutcome
from app.delivery.outcome import Delivered, Hold, Outcome, RetryLater, RetryWithout, Undeliverable, Unknown
from app.masking import mask_answer
from app.store.keys import DestinationKeys

ANSWER_CHARS: Final = 500
_PAGE: Final = 2000
_TRIM_TO: Final = 0.9  # of the bytes that a journal may have, so that not every check has to trim it
_SAMPLE: Final = 500  # newest entries that show which source fills a journal


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One thing that happened to one event."""

    at: datetime
    message_id: str
    step: str  # received | repeat | join | unchanged | attempt | replayed | edited | discarded
    destination: str
    facts: dict[str, Any] = field(default_factory=dict)


def reported(outcome: Outcome) -> tuple[RowOutcome, str]:
    """The row outcome of an attempt, and the reason if it was not delivered."""
    match outcome:
        case Delivered():
            return RowOutcome.DELIVERED, ""
        case RetryLater(reason=reason) | RetryWithout(reason=reason):
            return RowOutcome.RETRY, reason
        case Hold(reason=reason):
            return RowOutcome.HELD, reason
        case Unknown(reason=reason):
            return RowOutcome.UNKNOWN, reason
        case Undeliverable(reason=reason):
            return RowOutcome.DEAD_LETTER, reason


def attempt_record(delivery: Delivery, event: str, reply: Reply | Unreachable, outcome: Outcome, **more: Any) -> bytes:
    """The journal's record of one attempt: the call, its destination, the answer, what follows. `event` is its name."""
    facts: dict[str, Any] = {
        "source": delivery.source,
        "event": event,
        "endpoint": delivery.endpoint,
        "attempt": delivery.attempt,
        **more,
        **answer_facts(reply),
    }
    match outcome:
        case Delivered():
            facts["outcome"] = "delivered"
        case RetryLater(wait=wait, reason=reason, ambiguous=ambiguous):
            facts |= {"outcome": "retry", "wait_s": round(wait.total_seconds(), 1), "reason": reason}
            if ambiguous:
                facts["ambiguous"] = True
        case RetryWithout(attributes=names, reason=reason):
            facts |= {"outcome": "retry", "wait_s": 0.0, "reason": f"{reason}, without {', '.join(map(repr, names))}"}
        case Hold(reason=reason, wait=wait):
            facts |= {"outcome": "held", "wait_s": wait.total_seconds(), "reason": reason}
        case Unknown(policy=policy, reason=reason):
            facts |= {"outcome": "unknown", "then": policy.value, "reason": reason}
        case Undeliverable(reason=reason, detail=detail):
            facts |= {"outcome": "dead letter", "reason": reason, "detail": detail}
    return orjson.dumps(facts)


def with_trace(record: bytes, trace_id: str) -> bytes:
    """A record, which has facts already, with the ID of the trace that shows what it records."""
    return record[:-1] + b',"trace_id":"' + trace_id.encode() + b'"}'


def check_record(
    delivery: Delivery, event: str, contact: str, reply: Reply | Unreachable, found: Learned | Outcome
) -> bytes:
    """The journal's record of a question about a call in doubt."""
    if not isinstance(found, Learned):
        return attempt_record(delivery, event, reply, found, asked_about=contact)
    what = "delivered: it is so already" if found.left is None else "asked"
    facts: dict[str, Any] = {"source": delivery.source, "event": event}
    facts |= {"endpoint": delivery.endpoint, "attempt": delivery.attempt, "asked_about": contact}
    return orjson.dumps(facts | answer_facts(reply) | {"is_so_already": found.is_so, "outcome": what})


def answer_facts(reply: Reply | Unreachable) -> dict[str, Any]:
    """Status, masked excerpt and duration of an answer."""
    facts: dict[str, Any] = {"took_ms": round(reply.took.total_seconds() * 1000, 1)}
    match reply:
        case Reply(status=status, body=body):
            facts["status"] = status
            if text := mask_answer(body, ANSWER_CHARS):
                facts["answer"] = text
        case Unreachable(reason=reason):
            facts["unreachable"] = reason
    return facts


async def entries_of(redis: Redis, destination: str) -> AsyncIterator[JournalEntry]:
    """All journal entries of a destination, oldest first. Raises RedisError."""
    after = "-"
    while page := await redis.xrange(DestinationKeys(destination).journal, min=after, count=_PAGE):
        for entry_id, fields in page:
            facts = orjson.loads(fields.get(b"d") or b"{}")
            facts.pop("search_hashes", None)  # of no use to people, see search_hashes.py
            yield JournalEntry(
                at=datetime.fromtimestamp(int(entry_id.split(b"-")[0]) / 1000, UTC),
                message_id=fields[b"m"].decode(),
                step=fields[b"s"].decode(),
                destination=destination,
                facts=facts,
            )
        after = "(" + page[-1][0].decode()


@dataclass(frozen=True, slots=True)
class Trimmed:
    """The oldest entries of a journal were deleted, because it took too much memory."""

    destination: str
    source: str  # that most of the newest entries are about, by bytes
    entries: int


async def bound_journals(redis: Redis, destinations: Sequence[str], most_bytes: int) -> list[Trimmed]:
    """Remove the oldest entries of journals that take more memory than this, and count them.

    The memory is Redis's own estimate. Raises RedisError.
    """
    journals = [DestinationKeys(destination).journal for destination in destinations]
    async with redis.pipeline(transaction=False) as pipeline:
        for journal in journals:
            pipeline.memory_usage(journal)
            pipeline.xlen(journal)
        answers = await pipeline.execute()
    return [
        await _trim(redis, destination, keep=int(entries * most_bytes / taken * _TRIM_TO))
        for destination, taken, entries in zip(destinations, answers[::2], answers[1::2], strict=True)
        if taken and taken > most_bytes
    ]


async def _trim(redis: Redis, destination: str, *, keep: int) -> Trimmed:
    keys = DestinationKeys(destination)
    source = _source_of_most(await redis.xrevrange(keys.journal, count=_SAMPLE))
    gone = await redis.xtrim(keys.journal, maxlen=keep, approximate=True)
    await cast(Any, redis.hincrby(keys.counters, JournalTrim(source).field, gone))
    return Trimmed(destination, source, gone)


def _source_of_most(entries: Iterable[tuple[bytes, Mapping[bytes, bytes]]]) -> str:
    """The source with the most bytes in these entries. Entries that operators caused have none."""
    taken = Counter[str]()
    for _, fields in entries:
        record = fields.get(b"d", b"")
        with suppress(orjson.JSONDecodeError, AttributeError):
            taken[str(orjson.loads(record).get("source", ""))] += len(record)
    return taken.most_common(1)[0][0] if taken else ""


async def trim_journals(redis: Redis, destinations: Sequence[str], keep: timedelta) -> None:
    """Remove entries that are older than `keep`. Raises RedisError."""
    oldest = int((time.time() - keep.total_seconds()) * 1000)
    async with redis.pipeline(transaction=False) as pipeline:
        for destination in destinations:
            pipeline.xtrim(DestinationKeys(destination).journal, minid=str(oldest), approximate=True)
        await pipeline.execute()
