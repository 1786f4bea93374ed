"""Back-pressure: requests that are put off because their source, its backlog or Redis has had enough for now."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app.delivery.pressure import Pressure
from app.ingest.refusal import Refused

BACKLOG_RETRY_S: Final = 30
FULL_RETRY_S: Final = 10


@dataclass(frozen=True, slots=True)
class Ceilings:
    """How much may wait for one destination, and how full Redis may be."""

    backlog_events: int
    backlog_bytes: int
    memory_share: float  # of Redis' maxmemory


class RateLimit:
    """A token bucket of events for one source in this process: `per_second`, with a burst of two seconds' worth."""

    def __init__(self, per_second: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_second
        self._most = max(per_second * 2, 1.0)
        self._clock = clock
        self._tokens, self._at = self._most, clock()

    def take(self, events: int) -> float:
        """0 when they may come in, else how many seconds to wait. More than the burst waits for a full bucket."""
        now = self._clock()
        self._tokens = min(self._most, self._tokens + (now - self._at) * self._rate)
        self._at = now
        needed = min(events, self._most)
        if self._tokens >= needed:
            self._tokens -= events
            return 0.0
        return (needed - self._tokens) / self._rate


class Admission:
    """Refuses what should come later. Reads the last known pressure: nothing here waits for Redis."""

    def __init__(self, ceilings: Ceilings, pressure: Callable[[], Pressure]) -> None:
        self._ceilings = ceilings
        self._pressure = pressure

    def check(self, destination: str, limit: RateLimit | None, events: int) -> None:
        """Raises Refused: 503 while Redis is nearly full, 429 while a ceiling or the source's rate is reached."""
        pressure = self._pressure()
        if pressure.memory_share > self._ceilings.memory_share:
            raise Refused(503, "redis_full", "Redis is nearly full, send the same again", retry_after_s=FULL_RETRY_S)
        depth = pressure.backlog.get(destination)
        if depth is not None and (
            depth.deliveries >= self._ceilings.backlog_events or depth.bytes >= self._ceilings.backlog_bytes
        ):
            message = "too much waits for this destination already, send the same again"
            raise Refused(429, "backlog_full", message, retry_after_s=BACKLOG_RETRY_S)
        if limit is not None and (wait := limit.take(events)) > 0:
            message = "this source sends more events a second than it may, send the same again"
            raise Refused(429, "rate_limited", message, retry_after_s=max(1, math.ceil(wait)))
