"""Finding events and following them: the journal and the recorded calls, as rows, pages and stories.

`search_rows` and `search_events` page backwards from the newest. `follow` goes forwards from a position and misses
nothing that the journal still has. `stories_of` has everything of one event. Results are masked.
"""

import asyncio
import math
import time
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.delivery.delivery import from_ms, to_ms
from app.delivery.journal.call_record import WATCHED_FOR, stop_watching, watch
from app.delivery.journal.event_rows import (
    EventFilter,
    EventPage,
    EventRow,
    EventStory,
    Followed,
    RowPage,
    row_of,
    row_of_call,
    summary_of,
)
from app.delivery.journal.journal import JournalEntry
from app.delivery.journal.recorded_call import RecordedCall, unpack
from app.delivery.journal.row_index import Probe, RowIndex
from app.store.connection import ANSWER_S
from app.store.keys import DestinationKeys

_INDEX_PAGE: Final = 20_000  # elements
_AT_ONCE: Final = 128  # elements whose entries are read in one round trip
_RANGE_ELEMENTS: Final = 32  # neighbours that are read as one range
_UNINDEXED_PAGE: Final = 500
_RENEWED_AFTER_S: Final = WATCHED_FOR.total_seconds() / 3
_LATELY: Final = 3_000  # entries that a rate is counted on
_BATCH: Final = 500  # rows of each destination that `follow` reads at once
_BLOCK_MS: Final = int(ANSWER_S * 500)  # well within the socket's own timeout
Position = Mapping[str, str]  # by destination: the ID of a row
Entries = list[tuple[bytes, dict[bytes, bytes]]]
_Range = tuple[str, str]  # the first ID, and the first one after the range; "+": no end


async def search_rows(
    redis: Redis,
    destinations: Sequence[str],
    wanted: EventFilter,
    *,
    limit: int,
    before: Position | None = None,
) -> RowPage:
    """The newest `limit` matching rows of all destinations. With `before`, older rows only.

    A destination that `before` does not name has no more rows. Raises RedisError.
    """
    position = _start(destinations, before)
    histories = [await _History.read(redis, name) for name in position]
    rows = await _newest(histories, wanted, limit + 1, position)
    return RowPage(rows[:limit], _after(rows[:limit], position) if len(rows) > limit else None)


async def search_events(
    redis: Redis,
    destinations: Sequence[str],
    wanted: EventFilter,
    *,
    limit: int,
    before: Position | None = None,
) -> EventPage:
    """The events with the newest matching rows, at most `limit`. Raises RedisError.

    An event with several matching rows may appear on a later page again.
    """
    position = _start(destinations, before)
    histories = {name: await _History.read(redis, name) for name in position}
    named: dict[tuple[str, str], None] = {}
    more = True
    while more and len(named) < limit:
        rows = await _newest(list(histories.values()), wanted, 2 * limit + 1, position)
        more = len(rows) > 2 * limit
        for row in rows[: 2 * limit]:
            if len(named) == limit and (row.destination, row.message_id) not in named:
                more = True
                break
            named[row.destination, row.message_id] = None
            position[row.destination] = row.id
    stories = {
        name: await history.stories({message_id for where, message_id in named if where == name})
        for name, history in histories.items()
    }
    events = [summary_of(rows) for name, message_id in named if (rows := stories[name][message_id])]
    return EventPage(events, position if more else None)


async def stories_of(redis: Redis, destinations: Sequence[str], message_id: str) -> list[EventStory]:
    """The stories of the event with this message ID, one per destination that has it. Raises RedisError."""
    stories = []
    for destination in destinations:
        history = await _History.read(redis, destination)
        if rows := (await history.stories({message_id}))[message_id]:
            calls = await calls_of(redis, rows)
            stories.append(EventStory(summary_of(rows), tuple(calls.values())))
    return stories


async def calls_of(redis: Redis, rows: Iterable[EventRow]) -> dict[str, RecordedCall]:
    """The recorded calls of these rows, by row ID. Rows without a recorded call are left out. Raises RedisError."""
    attempts = [row for row in rows if row.is_attempt]
    async with redis.pipeline(transaction=False) as pipeline:
        for row in attempts:
            pipeline.xrange(DestinationKeys(row.destination).calls, min=row.id, max=row.id, count=1)
        answers: list[Entries] = await pipeline.execute()
    calls = (
        unpack(fields[b"d"], destination=row.destination, entry_id=entry_id.decode())
        for row, entries in zip(attempts, answers, strict=True)
        for entry_id, fields in entries
    )
    return {call.id: call for call in calls if call is not None}


async def newest_calls(redis: Redis, destination: str, count: int) -> list[RecordedCall]:
    """The last recorded calls of a destination, the newest first. Raises RedisError."""
    entries: Entries = await redis.xrevrange(DestinationKeys(destination).calls, count=count)
    calls = (unpack(fields[b"d"], destination=destination, entry_id=entry_id.decode()) for entry_id, fields in entries)
    return [call for call in calls if call is not None]


async def attempts_lately(redis: Redis, destination: str, now: datetime, span: timedelta) -> dict[str, float]:
    """The attempts a second, by endpoint, over the last seconds, or over as much as some thousand entries cover.

    Raises RedisError.
    """
    entries: Entries = await redis.xrevrange(
        DestinationKeys(destination).journal, min=_id_at(now - span), count=_LATELY
    )
    rows = [_journal_row(destination, entry_id, fields) for entry_id, fields in entries if fields[b"s"] == b"attempt"]
    covered = now - from_ms(_place(entries[-1][0].decode())[0]) if len(entries) == _LATELY else span
    attempts = Counter(row.endpoint for row in rows)
    return {endpoint: count / max(1.0, covered.total_seconds()) for endpoint, count in attempts.items()}


async def newest(redis: Redis, destinations: Sequence[str]) -> dict[str, str]:
    """The position after all current rows, for `follow`. Raises RedisError."""
    async with redis.pipeline(transaction=False) as pipeline:
        for destination in destinations:
            pipeline.xrevrange(DestinationKeys(destination).journal, count=1)
        answers: list[Entries] = await pipeline.execute()
    return {
        destination: entries[0][0].decode() if entries else "0-0"
        for destination, entries in zip(destinations, answers, strict=True)
    }


async def follow(redis: Redis, wanted: EventFilter, after: Position) -> AsyncGenerator[Followed, None]:
    """The rows after a position, as they arrive. It ends only when the caller stops.

    It yields an empty batch now and then, so that its position can be stored. Raises RedisError. A caller that resumes
    from the last position misses nothing that the journal still has, and learns whether the journal has removed rows.
    """
    position = dict(after)
    of_person = {name: await _about(redis, name, wanted) for name in position}
    behind = frozenset(position)  # destinations that may have more rows to read
    while True:
        missed = await _trimmed_after(redis, {name: position[name] for name in behind})
        streams: dict[Any, Any] = {DestinationKeys(name).journal: at for name, at in position.items()}
        answer = await redis.xread(streams, count=_BATCH, block=_BLOCK_MS)
        names = {DestinationKeys(name).journal.encode(): name for name in position}
        rows: list[EventRow] = []
        for stream, entries in answer:
            rows += [_journal_row(names[stream], entry_id, fields) for entry_id, fields in entries]
            position[names[stream]] = entries[-1][0].decode()
        behind = frozenset(names[stream] for stream, entries in answer if len(entries) == _BATCH)
        for row in rows:
            if wanted.hashes and row.is_arrival and wanted.is_about(row):
                of_person[row.destination].add(row.message_id)
        matching = sorted((row for row in rows if wanted.matches(row, of_person[row.destination])), key=_order)
        yield Followed(matching, dict(position), missed)


async def rows_between(redis: Redis, wanted: EventFilter, after: Position, until: Position) -> Followed:
    """The rows after one position and up to another, at most some hundred per destination. It does not wait.

    The result's position is `until` if everything was read. `wanted` names no person. Raises RedisError.
    """
    missed = await _trimmed_after(redis, after)
    names = list(after)
    async with redis.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.xrange(DestinationKeys(name).journal, min=f"({after[name]}", max=until[name], count=_BATCH)
        answers: list[Entries] = await pipeline.execute()
    position: dict[str, str] = {}
    rows: list[EventRow] = []
    for name, entries in zip(names, answers, strict=True):
        rows += [_journal_row(name, entry_id, fields) for entry_id, fields in entries]
        position[name] = entries[-1][0].decode() if len(entries) == _BATCH else later(after[name], until[name])
    return Followed(sorted((row for row in rows if wanted.matches(row)), key=_order), position, missed)


def later(one: str, other: str) -> str:
    """The later of two row IDs."""
    return max(one, other, key=_place)


async def watched(redis: Redis, wanted: EventFilter, after: Position) -> AsyncGenerator[Followed, None]:
    """The rows after a position, as in `follow`, while the selected calls are recorded.

    Raises RedisError.
    """
    watcher, renewed = uuid.uuid4().hex, -math.inf
    rows = follow(redis, wanted, after)
    try:
        while True:
            if time.monotonic() - renewed > _RENEWED_AFTER_S:
                renewed = time.monotonic()
                for destination in after:
                    await watch(redis, destination, watcher, wanted)
            yield await anext(rows)
    finally:
        await rows.aclose()
        with suppress(RedisError, asyncio.CancelledError):
            for destination in after:
                await stop_watching(redis, destination, watcher)


async def rows_about(redis: Redis, destinations: Sequence[str], message_ids: Set[str]) -> list[EventRow]:
    """All rows of these events in all destinations, oldest first. Raises RedisError."""
    rows: list[EventRow] = []
    for destination in destinations:
        history = await _History.read(redis, destination)
        rows += [row for story in (await history.stories(message_ids)).values() for row in story]
    return sorted(rows, key=_order)


async def entries_about(redis: Redis, destinations: Sequence[str], message_ids: Set[str]) -> list[JournalEntry]:
    """The journal entries of these events, likewise. Raises RedisError."""
    rows = await rows_about(redis, destinations, message_ids)
    return [JournalEntry(row.at, row.message_id, row.step, row.destination, dict(row.facts)) for row in rows]


async def _about(redis: Redis, destination: str, wanted: EventFilter) -> set[str]:
    return await (await _History.read(redis, destination)).about(wanted) if wanted.hashes else set()


async def _trimmed_after(redis: Redis, position: Position) -> frozenset[str]:
    """The destinations whose journal lacks the row of their position, so that later rows may be gone, too."""
    async with redis.pipeline(transaction=False) as pipeline:
        for destination in position:
            pipeline.xrange(DestinationKeys(destination).journal, count=1)
        answers: list[Entries] = await pipeline.execute()
    return frozenset(
        destination
        for (destination, at), entries in zip(position.items(), answers, strict=True)
        if at != "0-0" and entries and _place(entries[0][0].decode()) > _place(at)
    )


@dataclass(frozen=True)
class _Archive:
    """A stream, its index, and how to read its entries as rows."""

    redis: Redis
    stream: str
    index: RowIndex
    first: str | None  # the ID of the first entry; None: it is empty
    read: Callable[[bytes, Mapping[bytes, bytes]], EventRow | None]

    async def rows(self, probe: Probe, wanted: EventFilter, before: str) -> AsyncIterator[EventRow]:
        """The rows that may match and are older than `before`, newest first."""
        elements = self._elements(probe, wanted, before)
        for start in range(0, len(elements), _AT_ONCE):
            async with self.redis.pipeline(transaction=False) as pipeline:
                for first, end in self._ranges(elements[start : start + _AT_ONCE], before):
                    pipeline.xrange(self.stream, min=first, max=end if end == "+" else f"({end}")
                answers: list[Entries] = await pipeline.execute()
            for entries in answers:
                for row in self._read(entries):
                    yield row
        async for row in self._unindexed(before):
            yield row

    def _read(self, entries: Entries) -> Iterable[EventRow]:
        rows = (self.read(entry_id, fields) for entry_id, fields in reversed(entries))
        return [row for row in rows if row is not None]

    def _elements(self, probe: Probe, wanted: EventFilter, before: str) -> list[int]:
        """The elements that may hold rows of the filter's time, newest first."""
        last = len(self.index)
        for end in (before, "+" if wanted.until is None else _id_at(wanted.until)):
            last = min(last, len(self.index) if end == "+" else self.index.until(end))
        first = max(0, self.index.until(_id_at(wanted.since)) - 1) if wanted.since else 0
        return [element for element in reversed(self.index.matching(probe)) if first <= element < last]

    def _ranges(self, elements: Sequence[int], before: str) -> list[_Range]:
        """The ranges of IDs to read. Neighbours are read together."""
        groups: list[tuple[int, int]] = []  # first and last element
        for element in elements:
            if groups and groups[-1][0] == element + 1 and groups[-1][1] - element < _RANGE_ELEMENTS:
                groups[-1] = (element, groups[-1][1])
            else:
                groups.append((element, element))
        return [(self.index.entry_id(first), self._end(last, before)) for first, last in groups]

    def _end(self, element: int, before: str) -> str:
        return _earlier(self.index.entry_id(element + 1) if element + 1 < len(self.index) else "+", before)

    async def _unindexed(self, before: str) -> AsyncIterator[EventRow]:
        """Entries older than the index. The approximate bounds of stream and index may leave some."""
        end = _earlier(self.index.entry_id(0) if len(self.index) else "+", before)
        if self.first is None or (end != "+" and _place(self.first) >= _place(end)):
            return
        upper = end if end == "+" else f"({end}"
        while page := await self.redis.xrevrange(self.stream, max=upper, count=_UNINDEXED_PAGE):
            for row in self._read(page[::-1]):
                yield row
            upper = f"({page[-1][0].decode()}"


@dataclass(frozen=True)
class _History:
    """What is known of one destination's events: the journal, and recorded calls that have outlived it."""

    destination: str
    journal: _Archive
    calls: _Archive
    _known: dict[EventFilter, set[str]] = field(default_factory=dict, repr=False)

    @classmethod
    async def read(cls, redis: Redis, destination: str) -> "_History":
        """Read the current indexes."""
        keys = DestinationKeys(destination)
        async with redis.pipeline(transaction=False) as pipeline:
            pipeline.xrange(keys.journal, count=1)
            pipeline.xrange(keys.calls, count=1)
            journal, calls = await pipeline.execute()

        def journal_row(entry_id: bytes, fields: Mapping[bytes, bytes]) -> EventRow:
            return _journal_row(destination, entry_id, fields)

        def call_row(entry_id: bytes, fields: Mapping[bytes, bytes]) -> EventRow | None:
            call = unpack(fields[b"d"], destination=destination, entry_id=entry_id.decode())
            return None if call is None else row_of_call(call)

        index, calls_index = await read_index(redis, keys.journal_index), await read_index(redis, keys.calls_index)
        return cls(
            destination,
            _Archive(redis, keys.journal, index, _first_id(journal), journal_row),
            _Archive(redis, keys.calls, calls_index, _first_id(calls), call_row),
        )

    async def newest(self, wanted: EventFilter, count: int, before: str) -> list[EventRow]:
        """Up to `count` matching rows that are older than `before`, newest first."""
        of_person = await self.about(wanted)
        if wanted.hashes and not of_person:
            return []
        found: list[EventRow] = []
        async for row in self._rows(Probe.of(wanted, of_person), wanted, before):
            if wanted.matches(row, of_person):
                found.append(row)
                if len(found) == count:
                    break
        return found

    async def about(self, wanted: EventFilter) -> set[str]:
        """The message IDs of events about the filter's person or order."""
        if not wanted.hashes:
            return set()
        if wanted not in self._known:
            probe = Probe(hashes=wanted.hashes)
            rows = self._rows(probe, EventFilter(), "+")
            self._known[wanted] = {row.message_id async for row in rows if row.hashes and wanted.is_about(row)}
        return self._known[wanted]

    async def stories(self, message_ids: Set[str]) -> dict[str, list[EventRow]]:
        """All rows of these events, oldest first."""
        stories: dict[str, list[EventRow]] = {message_id: [] for message_id in message_ids}
        if message_ids:
            async for row in self._rows(Probe.of(EventFilter(), message_ids), EventFilter(), "+"):
                if row.message_id in stories:
                    stories[row.message_id].append(row)
        return {message_id: rows[::-1] for message_id, rows in stories.items()}

    async def _rows(self, probe: Probe, wanted: EventFilter, before: str) -> AsyncIterator[EventRow]:
        async for row in self.journal.rows(probe, wanted, before):
            yield row
        if self.calls.first is not None:
            async for row in self.calls.rows(probe, wanted, _earlier(self.journal.first or "+", before)):
                yield row


async def _newest(histories: Sequence[_History], wanted: EventFilter, count: int, position: Position) -> list[EventRow]:
    rows: list[EventRow] = []
    for history in histories:
        rows += await history.newest(wanted, count, position[history.destination])
    return sorted(rows, key=_order, reverse=True)[:count]


async def read_index(redis: Redis, key: str) -> RowIndex:
    """The index of a journal or of recorded calls, as it is now. Raises RedisError."""
    elements: list[bytes] = []
    while page := await redis.lrange(key, len(elements), len(elements) + _INDEX_PAGE - 1):  # type: ignore[misc]
        elements += page
        if len(page) < _INDEX_PAGE:
            break
    return RowIndex(elements)


def _first_id(entries: Entries) -> str | None:
    return entries[0][0].decode() if entries else None


def _journal_row(destination: str, entry_id: bytes, fields: Mapping[bytes, bytes]) -> EventRow:
    facts = orjson.loads(fields.get(b"d") or b"{}")
    return row_of(destination, entry_id.decode(), fields[b"s"].decode(), fields[b"m"].decode(), facts)


def _start(destinations: Sequence[str], before: Position | None) -> dict[str, str]:
    return {name: "+" if before is None else before[name] for name in destinations if before is None or name in before}


def _after(rows: Iterable[EventRow], position: Position) -> Position:
    return {**position, **{row.destination: row.id for row in rows}}


def _id_at(moment: datetime) -> str:
    return f"{to_ms(moment)}-0"


def _earlier(one: str, other: str) -> str:
    """The earlier of two ends; "+" means none."""
    return min((end for end in (one, other) if end != "+"), key=_place, default="+")


def _order(row: EventRow) -> tuple[int, int]:
    return _place(row.id)


def _place(entry_id: str) -> tuple[int, int]:
    ms, _, seq = entry_id.partition("-")
    return int(ms), int(seq or 0)
