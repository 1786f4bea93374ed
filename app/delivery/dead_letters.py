"""Dead letters: what could not be delivered, kept whole, with the reason and Attentive's last answer."""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import orjson
from redis.asyncio import Redis

from app.attentive.call import Priority
from app.delivery.delivery import VERSION, Delivery, event_key, from_ms, to_ms
from app.delivery.keys import DestinationKeys, LaneKeys
from app.delivery.script import Argument, Script
from app.delivery.unknown import SENT_BY_HAND, counted
from app.value import changed

_REPLAY, _DISCARD, _EDIT = Script("replay"), Script("discard"), Script("edit")
_PAGE: Final = 500
_ID: Final = re.compile(r"\d+-\d+")


class Shelf(StrEnum):
    """Where a letter is kept."""

    DEAD = "dead"  # what could not be delivered
    UNKNOWN = "unknown"  # what was perhaps delivered, held for review


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One call that was given up, or one event that could not become a call (`endpoint` is None then)."""

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
    last_answer: dict[str, Any] = field(default_factory=dict)  # masked
    # Known once stored:
    destination: str = ""
    id: str = ""
    shelf: Shelf = Shelf.DEAD
    gave_up_at: datetime | None = None  # where its id does not say it: an edited letter has a new one

    @classmethod
    def of(cls, delivery: Delivery, reason: str, detail: str, last_answer: dict[str, Any]) -> "DeadLetter":
        """The end of a delivery after its current attempt."""
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
            last_answer=last_answer,
        )

    @property
    def died_at(self) -> datetime:
        """When it was given up, by its id in Redis unless it was edited."""
        return self.gave_up_at or from_ms(int(self.id.partition("-")[0]))

    def to_json(self) -> bytes:
        """The stored form."""
        return orjson.dumps(
            {
                "v": VERSION,
                "message_id": self.message_id,
                "source": self.source,
                "reason": self.reason,
                "detail": self.detail,
                "received": to_ms(self.received_at),
                "endpoint": self.endpoint,
                "priority": int(self.priority),
                "attempts": self.attempts,
                "calls": self.calls,
                "last_answer": self.last_answer,
                **({"gave_up": to_ms(self.gave_up_at)} if self.gave_up_at else {}),
                "body": None if self.body is None else orjson.Fragment(self.body),
                "event": orjson.Fragment(self.event),
            }
        )

    @property
    def stream(self) -> str:
        """The key it is kept under."""
        return shelf_key(self.destination, self.shelf)

    def revived(self, deadline: datetime, *, calls: int) -> Delivery:
        """The same call, to be sent afresh until `deadline`; only for a letter with an endpoint."""
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
        )


def shelf_key(destination: str, shelf: Shelf) -> str:
    """The stream of a destination's letters."""
    keys = DestinationKeys(destination)
    return keys.dead if shelf is Shelf.DEAD else keys.unknown


def read_letter(destination: str, entry_id: bytes, stored: bytes, shelf: Shelf = Shelf.DEAD) -> DeadLetter:
    """A stored dead letter. One that cannot be read is shown as such, never hidden."""
    try:
        fields: dict[str, Any] = orjson.loads(stored)
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
            last_answer=fields["last_answer"],
            gave_up_at=from_ms(fields["gave_up"]) if "gave_up" in fields else None,
            destination=destination,
            id=entry_id.decode(),
            shelf=shelf,
        )
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return DeadLetter(
            message_id="?",
            source="?",
            reason="unreadable",
            detail="the stored bytes are no dead letter of this version",
            event=orjson.dumps({"stored": stored.decode(errors="replace")}),
            received_at=datetime.fromtimestamp(0, UTC),
            destination=destination,
            id=entry_id.decode(),
            shelf=shelf,
        )


@dataclass(frozen=True, slots=True)
class Filter:
    """Which dead letters are meant. Every field that is set must match."""

    destination: str | None = None
    endpoint: str | None = None  # "none" means events that never became a call
    reason: str | None = None
    older_than: timedelta | None = None
    newer_than: timedelta | None = None
    id: str | None = None
    message_id: str | None = None

    def matches(self, letter: DeadLetter, now: datetime) -> bool:
        """Whether this letter is meant."""
        age = now - letter.died_at
        return (
            self.destination in (None, letter.destination)
            and self.endpoint in (None, letter.endpoint or "none")
            and self.reason in (None, letter.reason)
            and self.id in (None, letter.id)
            and self.message_id in (None, letter.message_id)
            and (self.older_than is None or age >= self.older_than)
            and (self.newer_than is None or age <= self.newer_than)
        )


async def dead_letters(
    redis: Redis, destinations: Sequence[str], wanted: Filter, *, now: datetime, shelf: Shelf = Shelf.DEAD
) -> AsyncIterator[DeadLetter]:
    """The letters of one shelf that match, oldest first, destination by destination; none that comes meanwhile."""
    if wanted.id is not None and _ID.fullmatch(wanted.id) is None:
        return
    for destination in destinations:
        if wanted.destination not in (None, destination):
            continue
        key = shelf_key(destination, shelf)
        newest = await redis.xrevrange(key, count=1)
        after, last = (wanted.id, wanted.id) if wanted.id else ("-", newest[0][0].decode() if newest else "-")
        while page := await redis.xrange(key, min=after, max=last, count=_PAGE):
            for entry_id, fields in page:
                letter = read_letter(destination, entry_id, fields[b"d"], shelf)
                if wanted.matches(letter, now):
                    yield letter
            after = "(" + page[-1][0].decode()


async def replay(
    redis: Redis,
    letter: DeadLetter,
    *,
    deliveries: Sequence[Delivery],
    ending: str = "",
    record: bytes,
    journal_entries: int,
) -> bool:
    """Turn a letter into `deliveries`, or into an `ending` of the books. False when it was gone already."""
    shared = DestinationKeys(letter.destination)
    keys = [letter.stream, shared.books, shared.parts, shared.journal]
    args: list[Argument] = [
        letter.id,
        event_key(letter.source, letter.message_id),
        letter.calls,
        letter.message_id,
        record,
        journal_entries,
        ending,
        counted(letter.endpoint, SENT_BY_HAND) if letter.shelf is Shelf.UNKNOWN and letter.endpoint else "",
        len(deliveries),
    ]
    for delivery in deliveries:
        keys.append(LaneKeys(shared, delivery.endpoint).streams[delivery.priority])
        joined = changed(delivery, calls=max(letter.calls, 2))
        args += (len(keys), joined.packed(), delivery.packed())
    return bool(await _REPLAY.run(redis, keys, args))


async def edit(
    redis: Redis, letter: DeadLetter, edited: DeadLetter, *, record: bytes, journal_entries: int
) -> str | None:
    """Put `edited` in the place of a letter. The id it has from now on; None when the letter was gone already."""
    keys = [letter.stream, DestinationKeys(letter.destination).journal]
    args: list[Argument] = [
        letter.id,
        replace(edited, gave_up_at=letter.died_at).to_json(),
        letter.message_id,
        record,
        journal_entries,
    ]
    new_id = await _EDIT.run(redis, keys, args)
    return new_id.decode() if new_id else None


async def discard(redis: Redis, letter: DeadLetter, *, journal_entries: int) -> bool:
    """Delete a letter for good. False when it was gone already."""
    record = orjson.dumps({"dead_letter": letter.id, "reason": letter.reason})
    keys = [letter.stream, DestinationKeys(letter.destination).journal]
    return bool(await _DISCARD.run(redis, keys, [letter.id, letter.message_id, record, journal_entries]))
