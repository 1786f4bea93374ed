"""The rows of a run, handed over to the lanes and followed to their end. It may die between any two steps.

A row is planned; stored as being handed over, with its event key; followed in Redis; in the outbox; stored as handed
over; ended. Whoever continues a run hands over again what may not have arrived: the message ID is the one of before,
so that Redis takes it in once.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from app.delivery.delivery import to_ms
from app.delivery.outbox import Outbox
from app.delivery.outbox_event import OutboxEvent
from app.delivery.pressure import read_memory
from app.delivery.row_outcomes import follow, read_outcomes
from app.delivery.sharded_outbox import ShardedOutbox
from app.profiles.known import known_contacts
from app.rows.consents import opted_out
from app.rows.events import Decided, RowEvents
from app.rows.outcomes import Outcome
from app.rows.progress import Progress
from app.rows.sharing import TrackedSharing
from app.rows.staged import Planned, Waiting
from app.rows.state import State
from app.rows.storing import StateStore
from app.store.connection import QueueUnavailable, Redis
from app.store.errors import StoreError

BATCH: Final = 250
AHEAD: Final = timedelta(minutes=2)  # of work, by the limit of the endpoint, that a run keeps in the lanes
_LEAST_AHEAD: Final = 1_000
_MOST_AHEAD: Final = 50_000
# After this, Redis may have forgotten the message ID of a row whose handover was interrupted.
_REPEATABLE_WITHIN: Final = timedelta(hours=20)
_LOOK_S: Final = 0.25
_LOOK_AT_ALL_S: Final = 5.0
_OLDEST: Final = 2_000  # lanes are sent in order: these end first
_UNAVAILABLE_S: Final = (1, 2, 5, 10, 10, 10, 10)


@dataclass(frozen=True, slots=True)
class Road:
    """Where the rows go, and how far ahead of Attentive they may wait there."""

    redis: Redis
    outbox: Outbox | ShardedOutbox
    destination: str
    calls_per_second: float
    only_known: bool  # people: others are dropped
    max_memory_share: float
    sharing: TrackedSharing
    consents: bool = False  # rows may opt people in: those who have opted out are dropped

    @property
    def ahead(self) -> int:
        """The number of rows that may wait in the lanes."""
        return int(min(max(self.calls_per_second * AHEAD.total_seconds(), _LEAST_AHEAD), _MOST_AHEAD))


class Sending:
    """Sends what a run has planned, and stores how each row ends."""

    def __init__(self, store: StateStore, events: RowEvents, road: Road, progress: Progress) -> None:
        self._store, self._state = store, store.state
        self._events = events
        self._road = road
        self._progress = progress
        self._waiting: list[Waiting] = []
        self._asked = self._asked_all = 0.0  # when the endings of rows were read last

    async def all(self, *, wait: bool = True) -> int:
        """Hand over every planned row, and wait until all have ended; the number of those that have not.

        Without `wait`, it returns once all are handed over. Raises QueueUnavailable and StoreError.
        """
        self._waiting = self._state.waiting()
        while rows := self._state.planned(BATCH):
            while len(self._waiting) + len(rows) > self._road.ahead or await self._is_full():
                await asyncio.sleep(_LOOK_S)
                await self._look()
            await self._hand_over(rows)
            if time.monotonic() - self._asked > _LOOK_S:
                await self._look()
        await self._look()
        while wait and self._waiting:
            await asyncio.sleep(_LOOK_S)
            await self._look()
        return len(self._waiting)

    async def _is_full(self) -> bool:
        return (await read_memory(self._road.redis)).share >= self._road.max_memory_share

    async def _hand_over(self, rows: Sequence[Planned]) -> None:
        now = datetime.now(UTC)
        rows = await self._still_sure(rows, now)
        decided, ended = self._events.all_decided(rows, now)
        if self._road.only_known:
            unknown = await strangers(self._road.redis, self._road.destination, self._state, decided)
            ended += [(each.row.place, Outcome.NOT_KNOWN, "") for each in decided if each.row.place in unknown]
            decided = [each for each in decided if each.row.place not in unknown]
        if self._road.consents:
            out = await opted_out(self._road.redis, self._road.destination, self._state, decided)
            ended += [(place, Outcome.OPTED_OUT, "") for place in out]
            decided = [each for each in decided if each.row.place not in out]
        shared = await self._road.sharing.of_rows(decided)
        ended += [(place, Outcome.IDENTIFIER_SHARED, detail) for place, detail in shared.items()]
        decided = [each for each in decided if each.row.place not in shared]
        if ended:
            self._state.settle(ended)
            self._progress.advance(len(ended))
        if not decided:
            return
        keys = {each.row.place: self._events.event_key_of(each) for each in decided}
        self._state.handing(
            (keys[row.place], each.reading.event.message_id, row.handed_ms or to_ms(now), row.place)
            for each in decided
            for row in [each.row]
        )
        await self._persist(list(keys.values()), decided, now)
        self._state.handed(keys)
        self._waiting += [Waiting(place, key) for place, key in keys.items()]

    async def _persist(self, keys: Sequence[bytes], decided: Sequence[Decided], now: datetime) -> None:
        """Follow the rows and put them into the outbox. Waits a while for a Redis that is away."""
        packed = [self._events.packed(each, now) for each in decided]
        for pause in _UNAVAILABLE_S:
            with suppress(QueueUnavailable, StoreError):
                return await self._persist_once(keys, packed)
            await asyncio.sleep(pause)
        return await self._persist_once(keys, packed)

    async def _persist_once(self, keys: Sequence[bytes], packed: Sequence[OutboxEvent]) -> None:
        await follow(self._road.redis, self._road.destination, keys)
        await self._road.outbox.submit(self._road.destination, packed)

    async def _still_sure(self, rows: Sequence[Planned], now: datetime) -> Sequence[Planned]:
        """The rows without those whose interrupted handover is so old that Redis may not recognise a repeat."""
        oldest = to_ms(now - _REPEATABLE_WITHIN)
        doubtful = [row for row in rows if row.handed_ms is not None and row.handed_ms < oldest]
        if not doubtful:
            return rows
        keys = [self._events.event_key(row.key) for row in doubtful]
        found = await read_outcomes(self._road.redis, self._road.destination, keys)
        self._state.settle(
            (row.place, outcome or Outcome.LOST_SIGHT, "") for row, outcome in zip(doubtful, found, strict=True)
        )
        self._progress.advance(len(doubtful))
        gone = {row.place for row in doubtful}
        return [row for row in rows if row.place not in gone]

    async def _look(self) -> None:
        """Store how rows ended meanwhile: of the oldest each time, and of all now and then."""
        self._asked = time.monotonic()
        whole = self._asked - self._asked_all > _LOOK_AT_ALL_S or len(self._waiting) <= _OLDEST
        if whole:
            self._asked_all = self._asked
        asked = self._waiting if whole else self._waiting[:_OLDEST]
        found = await read_outcomes(self._road.redis, self._road.destination, [row.event_key for row in asked])
        ended = [(row, outcome) for row, outcome in zip(asked, found, strict=True) if outcome != ""]
        if not ended:
            return
        self._state.settle((row.place, outcome or Outcome.LOST_SIGHT, "") for row, outcome in ended)
        done = [row.event_key for row, outcome in ended if not Outcome.is_open(outcome or "")]
        await self._store.unfollow(done)
        gone = {row.place for row, _ in ended}
        self._waiting = [row for row in self._waiting if row.place not in gone]
        self._progress.advance(len(ended))


async def strangers(redis: Redis, destination: str, state: State, decided: Sequence[Decided]) -> set[int]:
    """The places of rows about people that neither a profile nor an earlier run knows. Raises StoreError."""
    accepted = state.accepted.by_keys([each.row.key for each in decided])
    asked = {each.row.place: _contacts(each) for each in decided if each.row.key not in accepted}
    contacts = sorted({contact for some in asked.values() for contact in some})
    known = await known_contacts(redis, destination, contacts) if contacts else set()
    return {place for place, some in asked.items() if known.isdisjoint(some)}


def _contacts(decided: Decided) -> list[tuple[str, str]]:
    identity = decided.reading.found.identity if decided.reading.found else None
    if identity is None:
        return []
    found = {"email": identity.email, "phone": identity.phone}
    return [(kind, value) for kind, value in found.items() if value]
