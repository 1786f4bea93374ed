"""A dead letter: a call or event that could not be delivered, kept whole with the reason and the last answer. Pure.

Its stored form is like a delivery's: a version as JSON, a line feed, and JSON packed with LZ4.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import lz4.block
import orjson

from app.attentive.call import Priority
from app.counted import DeadReason
from app.delivery.delivery import DAMAGE, VERSION, Delivery, decompressed, from_ms, to_ms
from app.store.keys import DestinationKeys


class DeadLetterQueue(StrEnum):
    """The queue that holds a dead letter, or a call in review."""

    DEAD = "dead"  # could not be delivered
    REVIEW = "review"  # of unknown outcome, in review


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One call that was given up, or one event that could not become a call (then `endpoint` is None)."""

    message_id: str
    source: str
    reason: str  # stable code: http_400, expired, unmappable, too_old, …
    detail: str  # for people; no personal data
    event: bytes = field(repr=False)  # JSON of the whole original event
    received_at: datetime
    endpoint: str | None = None
    body: bytes | None = field(default=None, repr=False)  # JSON of the call
    priority: Priority = Priority.NORMAL
    attempts: int = 0
    calls: int = 1
    public: bool = False  # its source is public
    last_answer: dict[str, Any] = field(default_factory=dict)  # masked
    traceparent: str = ""  # of the delivery
    # Known once stored:
    destination: str = ""
    id: str = ""
    queue: DeadLetterQueue = DeadLetterQueue.DEAD
    gave_up_at: datetime | None = None  # set if its ID does not show it: an edited dead letter has a new ID

    @classmethod
    def of(cls, delivery: Delivery, reason: str, detail: str, last_answer: dict[str, Any]) -> "DeadLetter":
        """The dead letter of a delivery after its current attempt."""
        return cls(
            message_id=delivery.message_id,
            source=delivery.source,
            reason=reason,
            detail=detail,
            event=delivery.event,
            received_at=delivery.received_at,
            endpoint=delivery.endpoint,
            body=delivery.body,
            priority=delivery.priority,
            attempts=delivery.attempt,
            calls=delivery.calls,
            public=delivery.public,
            last_answer=last_answer,
            traceparent=delivery.traceparent,
        )

    @property
    def died_at(self) -> datetime:
        """When it was given up: by its ID in Redis, unless it was edited."""
        return self.gave_up_at or from_ms(int(self.id.partition("-")[0]))

    @property
    def event_name(self) -> str:
        """The event's name, or its type if it has no name; "?" if it cannot be read."""
        event = orjson.loads(self.event)
        return str((event.get("event") or event.get("type") if isinstance(event, dict) else None) or "?")

    def packed(self) -> bytes:
        """The stored form."""
        content = orjson.dumps(
            {
                "message_id": self.message_id,
                "source": self.source,
                "reason": self.reason,
                "detail": self.detail,
                "received": to_ms(self.received_at),
                "endpoint": self.endpoint,
                "priority": int(self.priority),
                "attempts": self.attempts,
                "calls": self.calls,
                "public": self.public,
                "last_answer": self.last_answer,
                **({"gave_up": to_ms(self.gave_up_at)} if self.gave_up_at else {}),
                **({"trace": self.traceparent} if self.traceparent else {}),
                "body": None if self.body is None else orjson.Fragment(self.body),
                "event": orjson.Fragment(self.event),
            }
        )
        rest: bytes = lz4.block.compress(content)
        return b'{"v":%d}\n' % VERSION + rest

    @property
    def stream(self) -> str:
        """The Redis key of its queue."""
        return queue_key(self.destination, self.queue)

    def revived(self, deadline: datetime, *, calls: int) -> Delivery:
        """The same call, to be sent again until `deadline`. Only for a dead letter with an endpoint."""
        if self.endpoint is None or self.body is None:
            raise ValueError("an event that never became a call cannot be sent")
        return Delivery(
            message_id=self.message_id,
            source=self.source,
            endpoint=self.endpoint,
            priority=self.priority,
            body=self.body,
            event=self.event,
            received_ms=to_ms(self.received_at),
            deadline_ms=to_ms(deadline),
            calls=calls,
            public=self.public,
            traceparent=self.traceparent,
        )


def queue_key(destination: str, queue: DeadLetterQueue) -> str:
    """The stream of a destination's dead letters."""
    keys = DestinationKeys(destination)
    return keys.dead if queue is DeadLetterQueue.DEAD else keys.review


def kept_key(destination: str, queue: DeadLetterQueue) -> str:
    """The hash of how much of that queue each source has."""
    keys = DestinationKeys(destination)
    return keys.dead_kept if queue is DeadLetterQueue.DEAD else keys.review_kept


def read_dead_letter(
    destination: str, entry_id: bytes, stored: bytes, queue: DeadLetterQueue = DeadLetterQueue.DEAD
) -> DeadLetter:
    """A stored dead letter. An unreadable one is shown as such, not hidden."""
    try:
        head, _, rest = stored.partition(b"\n")
        if orjson.loads(head)["v"] != VERSION:
            raise ValueError
        fields: dict[str, Any] = orjson.loads(decompressed(rest))
        return DeadLetter(
            message_id=fields["message_id"],
            source=fields["source"],
            reason=fields["reason"],
            detail=fields["detail"],
            event=orjson.dumps(fields["event"]),
            received_at=from_ms(fields["received"]),
            endpoint=fields["endpoint"],
            body=None if fields["body"] is None else orjson.dumps(fields["body"]),
            priority=Priority(fields["priority"]),
            attempts=fields["attempts"],
            calls=fields["calls"],
            public=fields["public"],
            last_answer=fields["last_answer"],
            gave_up_at=from_ms(fields["gave_up"]) if "gave_up" in fields else None,
            traceparent=fields.get("trace", ""),
            destination=destination,
            id=entry_id.decode(),
            queue=queue,
        )
    except (*DAMAGE, KeyError, TypeError, OverflowError, OSError):
        return DeadLetter(
            message_id="?",
            source="?",
            reason=DeadReason.UNREADABLE,
            detail="the stored bytes are not a dead letter of a known version",
            event=orjson.dumps({"stored": stored.decode(errors="replace")}),
            received_at=datetime.fromtimestamp(0, UTC),
            destination=destination,
            id=entry_id.decode(),
            queue=queue,
        )


@dataclass(frozen=True, slots=True)
class Filter:
    """Selects dead letters. Every field that is set must match."""

    destination: str | None = None
    endpoint: str | None = None  # "none" means events that never became a call
    reason: str | None = None
    older_than: timedelta | None = None
    newer_than: timedelta | None = None
    id: str | None = None
    message_id: str | None = None
    event: str | None = None  # its name, or its type if it has no name
    detail: str | None = None

    def matches(self, dead_letter: DeadLetter, now: datetime) -> bool:
        """Whether the filter selects this dead letter."""
        age = now - dead_letter.died_at
        return (
            self.destination in (None, dead_letter.destination)
            and self.endpoint in (None, dead_letter.endpoint or "none")
            and self.reason in (None, dead_letter.reason)
            and self.id in (None, dead_letter.id)
            and self.message_id in (None, dead_letter.message_id)
            and (self.older_than is None or age >= self.older_than)
            and (self.newer_than is None or age <= self.newer_than)
            and self.detail in (None, dead_letter.detail)
            and (self.event is None or self.event == dead_letter.event_name)
        )
