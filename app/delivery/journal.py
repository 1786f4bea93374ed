"""The journal: what happened to recent events, step by step, for operators. Bounded in number and age, masked.

One stream per destination. An entry holds `m` (message id), `s` (step) and `d` (JSON, already masked).
"""

import time
from collections.abc import AsyncIterator, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from redis.asyncio import Redis

from app.attentive.client import Reply, Unreachable
from app.delivery.consent import Learned
from app.delivery.delivery import Delivery
from app.delivery.keys import DestinationKeys
from app.delivery.outcome import Delivered, Hold, Outcome, RetryLater, Undeliverable, Unknown
from app.masking import mask_text

ANSWER_CHARS: Final = 500
_PAGE: Final = 2000


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened to one event."""

    at: datetime
    message_id: str
    step: str  # received | repeat | join | unchanged | attempt | replayed | edited | discarded
    destination: str
    facts: dict[str, Any] = field(default_factory=dict)


def attempt_record(delivery: Delivery, reply: Reply | Unreachable, outcome: Outcome, **more: Any) -> bytes:
    """The journal's record of one attempt: what was sent where, what came back, what follows."""
    facts: dict[str, Any] = {"endpoint": delivery.endpoint, "attempt": delivery.attempt, **more, **answer_facts(reply)}
    match outcome:
        case Delivered():
            facts["outcome"] = "delivered"
        case RetryLater(wait=wait, reason=reason, ambiguous=ambiguous):
            facts |= {"outcome": "retry", "wait_s": round(wait.total_seconds(), 1), "reason": reason}
            if ambiguous:
                facts["ambiguous"] = True
        case Hold(reason=reason, wait=wait):
            facts |= {"outcome": "held", "wait_s": wait.total_seconds(), "reason": reason}
        case Unknown(policy=policy, reason=reason):
            facts |= {"outcome": "unknown", "then": policy.value, "reason": reason}
        case Undeliverable(reason=reason, detail=detail):
            facts |= {"outcome": "dead letter", "reason": reason, "detail": detail}
    return orjson.dumps(facts)


def check_record(delivery: Delivery, contact: str, reply: Reply | Unreachable, found: Learned | Outcome) -> bytes:
    """The journal's record of asking Attentive whether a call in doubt is so already."""
    if not isinstance(found, Learned):
        return attempt_record(delivery, reply, found, asked_about=contact)
    what = "delivered: it is so already" if found.left is None else "asked"
    facts = {"endpoint": delivery.endpoint, "attempt": delivery.attempt, "asked_about": contact}
    return orjson.dumps(facts | answer_facts(reply) | {"is_so_already": found.is_so, "outcome": what})


def answer_facts(reply: Reply | Unreachable) -> dict[str, Any]:
    """Status, masked excerpt and duration of an answer."""
    facts: dict[str, Any] = {"took_ms": round(reply.took.total_seconds() * 1000, 1)}
    match reply:
        case Reply(status=status, body=body):
            facts["status"] = status
            if text := mask_text(body[: ANSWER_CHARS * 4].decode(errors="replace").strip())[:ANSWER_CHARS]:
                facts["answer"] = text
        case Unreachable(reason=reason):
            facts["unreachable"] = reason
    return facts


async def steps_of(redis: Redis, destinations: Sequence[str], message_ids: Set[str]) -> list[Step]:
    """All that the journal knows of these events, oldest first. Reads it whole: for people, not for code."""
    steps = [
        step
        for destination in destinations
        async for step in _entries(redis, destination)
        if step.message_id in message_ids
    ]
    return sorted(steps, key=lambda step: step.at)


async def _entries(redis: Redis, destination: str) -> AsyncIterator[Step]:
    after = "-"
    while page := await redis.xrange(DestinationKeys(destination).journal, min=after, count=_PAGE):
        for entry_id, fields in page:
            facts = orjson.loads(fields.get(b"d") or b"{}")
            facts.pop("marks", None)  # of no use to people, see marks.py
            yield Step(
                at=datetime.fromtimestamp(int(entry_id.split(b"-")[0]) / 1000, UTC),
                message_id=fields[b"m"].decode(),
                step=fields[b"s"].decode(),
                destination=destination,
                facts=facts,
            )
        after = "(" + page[-1][0].decode()


async def trim_journals(redis: Redis, destinations: Sequence[str], keep: timedelta) -> None:
    """Forget what is older than `keep`. Raises RedisError."""
    oldest = int((time.time() - keep.total_seconds()) * 1000)
    async with redis.pipeline(transaction=False) as pipeline:
        for destination in destinations:
            pipeline.xtrim(DestinationKeys(destination).journal, minid=str(oldest), approximate=True)
        await pipeline.execute()
