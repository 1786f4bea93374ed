"""The dead letters that Redis keeps: reading, replaying, editing and discarding them."""

import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

import orjson
from redis.asyncio import Redis

from app.counted import REPLAYED, UnknownCall
from app.delivery.dead_letter import DeadLetter, DeadLetterQueue, Filter, kept_key, queue_key, read_dead_letter
from app.delivery.delivery import Delivery, event_key
from app.delivery.journal.event_rows import RowOutcome
from app.delivery.journal.row_index import row_head, rows_of
from app.delivery.unknown import SENT_BY_HAND
from app.store.keys import DestinationKeys, LaneKeys
from app.store.script import Argument, Keys, Script
from app.value import changed

_REPLAY = Script(
    "replay",
    keys=("queue", "kept", "backlog", "counters", "parts", "journal", "journal_index", "@streams"),
    args=(
        *("id", "source", "event_key", "calls", "message_id", "record", "rows", "journal_entries"),
        *("replayed", "ending", "counted", "entries", "@new_calls"),
    ),
    after=("dead_letters", "entry_id", "journal"),
)
_QUEUE: Final = ("queue", "kept", "counters", "journal", "journal_index")
_NOTE: Final = ("message_id", "record", "rows", "journal_entries")
_DISCARD = Script("discard", keys=_QUEUE, args=("id", *_NOTE), after=("dead_letters", "entry_id", "journal"))
_EDIT = Script(
    "edit", keys=_QUEUE, args=("id", "source", "edited", *_NOTE), after=("dead_letters", "entry_id", "journal")
)
_PAGE: Final = 500
_ID: Final = re.compile(r"\d+-\d+")


async def dead_letters(
    redis: Redis,
    destinations: Sequence[str],
    wanted: Filter,
    *,
    now: datetime,
    queue: DeadLetterQueue = DeadLetterQueue.DEAD,
) -> AsyncIterator[DeadLetter]:
    """The matching dead letters of one queue, oldest first, by destination. Without those that come meanwhile."""
    if wanted.id is not None and _ID.fullmatch(wanted.id) is None:
        return
    for destination in destinations:
        if wanted.destination not in (None, destination):
            continue
        key = queue_key(destination, queue)
        newest = await redis.xrevrange(key, count=1)
        after, last = (wanted.id, wanted.id) if wanted.id else ("-", newest[0][0].decode() if newest else "-")
        while page := await redis.xrange(key, min=after, max=last, count=_PAGE):
            for dead_letter in _read(page, destination, queue):
                if wanted.matches(dead_letter, now):
                    yield dead_letter
            after = "(" + page[-1][0].decode()


def _read(
    page: Iterable[tuple[bytes, Mapping[bytes, bytes]]], destination: str, queue: DeadLetterQueue
) -> Iterator[DeadLetter]:
    return (read_dead_letter(destination, entry_id, fields[b"d"], queue) for entry_id, fields in page)


async def newest_dead_letters(
    redis: Redis, destination: str, wanted: Filter, *, now: datetime, queue: DeadLetterQueue
) -> AsyncIterator[DeadLetter]:
    """The matching dead letters of one destination's queue, newest first."""
    key, before = queue_key(destination, queue), "+"
    while page := await redis.xrevrange(key, max=before, count=_PAGE):
        for dead_letter in _read(page, destination, queue):
            if wanted.matches(dead_letter, now):
                yield dead_letter
        before = "(" + page[-1][0].decode()


async def replay(
    redis: Redis,
    dead_letter: DeadLetter,
    *,
    deliveries: Sequence[Delivery],
    ending: str = "",
    record: bytes,
    journal_entries: int,
) -> bool:
    """Turn a dead letter into `deliveries`, or into an `ending` of the counters. False if it was already gone."""
    shared = DestinationKeys(dead_letter.destination)
    streams: list[str] = []
    calls: list[Argument] = []
    for delivery in deliveries:
        streams.append(LaneKeys(shared, delivery.endpoint).streams[delivery.stream])
        rejoining = changed(delivery, calls=max(dead_letter.calls, 2))
        calls += (len(streams) - 1, rejoining.packed(), delivery.packed())
    by_hand = dead_letter.queue is DeadLetterQueue.REVIEW and dead_letter.endpoint is not None
    answer = await _REPLAY.run(
        redis,
        {
            "queue": dead_letter.stream,
            "kept": kept_key(dead_letter.destination, dead_letter.queue),
            "backlog": shared.backlog,
            "counters": shared.counters,
            "parts": shared.parts,
            "journal": shared.journal,
            "journal_index": shared.journal_index,
            "streams": streams,
        },
        {
            "id": dead_letter.id,
            "source": dead_letter.source,
            "event_key": event_key(dead_letter.source, dead_letter.message_id),
            "calls": dead_letter.calls,
            "message_id": dead_letter.message_id,
            "record": record,
            "rows": _rows(dead_letter, RowOutcome.REPLAYED),
            "journal_entries": journal_entries,
            "replayed": REPLAYED,
            "ending": ending,
            "counted": UnknownCall(dead_letter.endpoint or "", SENT_BY_HAND).field if by_hand else "",
            "entries": len(deliveries),
            "new_calls": calls,
        },
    )
    return bool(answer)


def _queue_keys(dead_letter: DeadLetter) -> Keys:
    shared = DestinationKeys(dead_letter.destination)
    return {
        "queue": dead_letter.stream,
        "kept": kept_key(dead_letter.destination, dead_letter.queue),
        "counters": shared.counters,
        "journal": shared.journal,
        "journal_index": shared.journal_index,
    }


async def edit(
    redis: Redis, dead_letter: DeadLetter, edited: DeadLetter, *, record: bytes, journal_entries: int
) -> str | None:
    """Replace a dead letter with `edited`. Returns the new ID, or None if the dead letter was already gone."""
    new_id = await _EDIT.run(
        redis,
        _queue_keys(dead_letter),
        {
            "id": dead_letter.id,
            "source": edited.source,
            "edited": replace(edited, gave_up_at=dead_letter.died_at).packed(),
            "message_id": dead_letter.message_id,
            "record": record,
            "rows": _rows(dead_letter, RowOutcome.EDITED),
            "journal_entries": journal_entries,
        },
    )
    return new_id.decode() if new_id else None


async def discard(redis: Redis, dead_letter: DeadLetter, *, journal_entries: int) -> bool:
    """Delete a dead letter permanently. False if it was already gone."""
    record = orjson.dumps({"dead_letter": dead_letter.id, "reason": dead_letter.reason})
    answer = await _DISCARD.run(
        redis,
        _queue_keys(dead_letter),
        {
            "id": dead_letter.id,
            "message_id": dead_letter.message_id,
            "record": record,
            "rows": _rows(dead_letter, RowOutcome.DISCARDED),
            "journal_entries": journal_entries,
        },
    )
    return bool(answer)


def _rows(dead_letter: DeadLetter, outcome: RowOutcome) -> bytes:
    """Rows of the journal's index about an operator's action on it."""
    endpoints = (dead_letter.endpoint,) if dead_letter.endpoint else ()
    return rows_of(dead_letter.message_id, row_head(outcome, dead_letter.source, "", endpoints))
