"""The rates that the overview draws: read at most once in some seconds, however many pages show them."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from app.delivery.journal.event_rates import Rates, rates_of
from app.delivery.journal.event_search import read_index
from app.store.connection import Redis
from app.store.keys import DestinationKeys

_KEPT_S: Final = 30.0


class RecentRates:
    """The rates of the last hour, by destination."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._known: dict[str, tuple[float, Rates]] = {}
        self._reading = asyncio.Lock()

    async def of(self, destinations: Sequence[str]) -> dict[str, Rates]:
        """Of these destinations. Raises StoreError."""
        async with self._reading:
            for name in destinations:
                read_at, _ = self._known.get(name, (-_KEPT_S, None))
                if time.monotonic() - read_at >= _KEPT_S:
                    index = await read_index(self._redis, DestinationKeys(name).journal_index)
                    # In a thread: a full journal takes 100 ms, and live views are not to wait for it.
                    rates = await asyncio.to_thread(rates_of, name, index, datetime.now(UTC))
                    self._known[name] = (time.monotonic(), rates)
            return {name: self._known[name][1] for name in destinations}
