"""The live views of this process: one reader of the journals serves them all, and none of them misses a row.

The reader hands each row to the views whose filter it matches. A view first reads by itself what lies between its own
position and the reader's, and does so again when so much has come that its queue was full.
"""

import asyncio
import math
import time
import uuid
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from app.delivery.journal.call_record import WATCHED_FOR, stop_watching, watch
from app.delivery.journal.event_rows import EventFilter, EventRow, Followed
from app.delivery.journal.event_search import follow, later, newest, rows_between
from app.store.connection import Redis
from app.store.errors import StoreError
from app.tasks import end

_TICK_S: Final = (0.04, 0.01, 0.1)  # between two reads: the shortest, more for each view, and the longest
_QUEUED: Final = 2_000  # rows that wait for one view
_QUIET_S: Final = 1.0  # after which a view without new rows learns its position
_RENEWED_AFTER_S: Final = WATCHED_FOR.total_seconds() / 3


Show = Callable[[EventRow], tuple[str, str]]


class LiveRow:
    """One row, and its HTML, which is made once for all views."""

    def __init__(self, found: EventRow, show: Show) -> None:
        self.found = found
        self._show = show

    @cached_property
    def html(self) -> tuple[str, str]:
        """The row of the table, and what it shows when it is opened."""
        return self._show(self.found)


@dataclass(frozen=True, slots=True)
class LiveBatch:
    """Rows that have come, oldest first, and the position after them, from which a view can be resumed."""

    rows: Sequence[LiveRow]
    position: Mapping[str, str]
    missed: frozenset[str] = frozenset()  # destinations whose journal let go of rows before they were read


@dataclass(eq=False)
class _View:
    """One view: what it wants, how far it is, and what waits for it."""

    wanted: EventFilter
    position: dict[str, str]  # by destination: the last row that the view has
    most: int
    begin: dict[str, str] = field(default_factory=dict)  # the row after which the reader hands over
    joined: bool = False  # the reader hands over all rows after `begin`
    queue: deque[LiveRow] = field(default_factory=deque)
    missed: set[str] = field(default_factory=set)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def join(self, position: Mapping[str, str]) -> None:
        """Have the rows handed over that come after this position of the reader, or after that of the view."""
        self.begin = {name: later(at, position[name]) for name, at in self.position.items()}
        self.queue.clear()
        self.joined = True

    def leave(self) -> None:
        """Have nothing handed over. What has been and was not taken is read again from the view's position."""
        self.queue.clear()
        self.joined = False
        self.news.set()

    def hand(self, rows: Iterable[LiveRow], missed: Collection[str]) -> None:
        """Take over what the reader has read."""
        if not self.joined:
            return
        self.missed |= self.position.keys() & missed
        for each in rows:
            begin = self.begin.get(each.found.destination)
            if begin is None or later(each.found.id, begin) == begin or not self.wanted.matches(each.found):
                continue
            if len(self.queue) == self.most:
                self.leave()
                return
            self.queue.append(each)
        if self.queue or self.missed:
            self.news.set()

    def take(self, position: Mapping[str, str]) -> LiveBatch:
        """All that waits. `position` is the reader's: what it has read is in the queue, or does not match."""
        rows, missed = list(self.queue), frozenset(self.missed)
        self.queue.clear()
        self.missed.clear()
        self.news.clear()
        self.position = {name: later(at, position[name]) for name, at in self.position.items()}
        return LiveBatch(rows, dict(self.position), missed)


class Live:
    """The reader, and the views that it serves. It reads while there is a view."""

    def __init__(
        self,
        redis: Redis,
        destinations: Callable[[], Collection[str]],
        show: Show,
        *,
        queued: int = _QUEUED,
    ) -> None:
        """`destinations` names all that exist now, `show` makes HTML, `queued` bounds the rows that wait for a view."""
        self._redis, self._destinations, self._show, self._queued = redis, destinations, show, queued
        self._views: set[_View] = set()
        self._position: dict[str, str] = {}  # of the reader, by destination that it reads
        self._begun = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._taps = _Taps(redis)

    async def follow(self, wanted: EventFilter, after: Mapping[str, str]) -> AsyncGenerator[LiveBatch, None]:
        """The rows after a position that match, as they come; meanwhile, the calls that are meant are recorded.

        `wanted` names no person. A batch without rows comes now and then, for its position. It ends when a destination
        of the position is removed from the configuration, or when the console stops. Raises StoreError.
        """
        view = _View(wanted, dict(after), self._queued)
        self._views.add(view)
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read())
        try:
            await self._taps.open(wanted, after)
            while await self._is_read(view):
                if view.joined:
                    yield view.take(self._position)
                    await self._taps.renew()
                    await _set_within(_QUIET_S, view.news)
                else:
                    async with aclosing(self._caught_up(view)) as batches:
                        async for batch in batches:
                            yield batch
        finally:
            self._views.discard(view)
            with suppress(StoreError, asyncio.CancelledError):
                await self._taps.close(wanted, after)

    async def close(self) -> None:
        """Stop reading; the views end."""
        await end(self._reader)

    async def _is_read(self, view: _View) -> bool:
        """Wait until the reader reads all that the view wants. False: it never will."""
        while self._reader is not None and not self._reader.done():
            if view.position.keys() <= self._position.keys():
                return True
            if not view.position.keys() <= set(self._destinations()):
                return False
            self._begun.clear()
            await _set_within(_QUIET_S, self._begun)
        if self._reader is not None and not self._reader.cancelled():
            self._reader.result()
        return False

    async def _caught_up(self, view: _View) -> AsyncGenerator[LiveBatch, None]:
        """Join the reader, and read what lies between the view and it."""
        view.join(self._position)
        until = view.begin
        while view.joined and view.position != until:
            page = await rows_between(self._redis, view.wanted, view.position, until)
            view.position = dict(page.position)
            yield LiveBatch([LiveRow(each, self._show) for each in page.rows], page.position, page.missed)

    async def _read(self) -> None:
        try:
            while self._views and (names := list(self._destinations())):
                begin = await newest(self._redis, names)
                self._position = {name: self._position.get(name, begin[name]) for name in names}
                self._begun.set()
                async with aclosing(follow(self._redis, EventFilter(), self._position)) as batches:
                    async for batch in batches:
                        self._hand(batch)
                        if not self._views or set(self._destinations()) != set(names):
                            break
                        # A browser pays for each change of a page more than for its rows.
                        await asyncio.sleep(self._tick_s() if batch.rows else 0)
        finally:
            self._position = {}
            self._begun.set()
            for view in self._views:
                view.leave()

    def _tick_s(self) -> float:
        shortest, more, longest = _TICK_S
        return min(longest, shortest + more * len(self._views))

    def _hand(self, batch: Followed) -> None:
        self._position = dict(batch.position)
        rows = [LiveRow(each, self._show) for each in batch.rows]
        for view in self._views:
            view.hand(rows, batch.missed)


class _Taps:
    """Has the calls recorded that the views mean: one watcher for each filter, however many views share it."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._name = uuid.uuid4().hex
        self._open: Counter[tuple[str, EventFilter]] = Counter()
        self._renewed = -math.inf

    async def open(self, wanted: EventFilter, destinations: Collection[str]) -> None:
        """A view begins. To be closed, even where this raises StoreError."""
        self._open.update((destination, wanted) for destination in destinations)
        for destination in destinations:
            await self._watch(destination, wanted)

    async def renew(self) -> None:
        """Go on watching: who does not come back is forgotten. Raises StoreError."""
        if time.monotonic() - self._renewed > _RENEWED_AFTER_S:
            self._renewed = time.monotonic()
            for destination, wanted in list(self._open):
                await self._watch(destination, wanted)

    async def close(self, wanted: EventFilter, destinations: Iterable[str]) -> None:
        """A view ends; with the last of its filter, so does the watch. Raises StoreError."""
        self._open.subtract((destination, wanted) for destination in destinations)
        ended = [name for name in destinations if self._open[name, wanted] <= 0]
        self._open = +self._open
        for destination in ended:
            await stop_watching(self._redis, destination, self._watcher(wanted))

    async def _watch(self, destination: str, wanted: EventFilter) -> None:
        await watch(self._redis, destination, self._watcher(wanted), wanted)

    def _watcher(self, wanted: EventFilter) -> str:
        return f"{self._name}:{hash(wanted):x}"


async def _set_within(span_s: float, event: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(span_s):
            await event.wait()
