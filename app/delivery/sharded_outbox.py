"""The outbox for a cluster: each destination has one of its own, so that none waits for the node of another."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from app.delivery.outbox import Outbox
from app.delivery.outbox_event import OutboxEvent

# A node that takes longer than this for a flush does not answer, and requests for other nodes must not wait for it.
SLOW_AFTER_S: Final = 0.25


class ShardedOutbox:
    """Takes events as Outbox does, and confirms them once the node of their destination has acknowledged the write."""

    def __init__(self, outbox_of: Callable[[str], Outbox]) -> None:
        """`outbox_of` makes the outbox of a destination."""
        self._outbox_of = outbox_of
        self._outboxes: dict[str, Outbox] = {}
        self._busy: dict[str, asyncio.TimerHandle] = {}  # destinations that are at capacity, until they are slow
        self._slow: set[str] = set()
        self._on_capacity: Callable[[], None] | None = None

    @property
    def at_capacity(self) -> bool:
        """Whether requests should wait. They do not wait for a node that does not answer."""
        return bool(self._busy)

    def on_capacity(self, callback: Callable[[], None]) -> None:
        """Call `callback` whenever there is capacity again."""
        self._on_capacity = callback

    def hand_in(
        self, destination: str, arrivals: Sequence[OutboxEvent], then: Callable[[BaseException | None], None]
    ) -> None:
        """Call `then` once all events of a request are kept, or with QueueUnavailable: then none of them is kept."""
        outbox = self._outbox(destination)
        outbox.hand_in(destination, arrivals, partial(self._done, destination, then))
        if outbox.at_capacity and destination not in self._busy and destination not in self._slow:
            loop = asyncio.get_running_loop()
            self._busy[destination] = loop.call_later(SLOW_AFTER_S, self._is_slow, destination)

    async def submit(self, destination: str, arrivals: Sequence[OutboxEvent]) -> None:
        """Return once all events of a request are kept. Raises QueueUnavailable: then none of them is kept."""
        await self._outbox(destination).submit(destination, arrivals)

    async def flush(self) -> None:
        """Return when nothing waits to be written."""
        await asyncio.gather(*(outbox.flush() for outbox in self._outboxes.values()))

    async def close(self) -> None:
        """Flush, and release the connections."""
        await asyncio.gather(*(outbox.close() for outbox in self._outboxes.values()))

    def _outbox(self, destination: str) -> Outbox:
        if (outbox := self._outboxes.get(destination)) is None:
            outbox = self._outboxes[destination] = self._outbox_of(destination)
            outbox.on_capacity(partial(self._has_capacity, destination))
        return outbox

    def _done(
        self, destination: str, then: Callable[[BaseException | None], None], verdict: BaseException | None
    ) -> None:
        if verdict is None:
            self._slow.discard(destination)
        then(verdict)

    def _is_slow(self, destination: str) -> None:
        self._slow.add(destination)
        self._has_capacity(destination)

    def _has_capacity(self, destination: str) -> None:
        if (timer := self._busy.pop(destination, None)) is not None:
            timer.cancel()
        if self._on_capacity is not None and not self._busy:
            self._on_capacity()
