"""Back-pressure: requests refused for now because their source, its backlog or Redis has reached a limit."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app.delivery.pressure import BacklogSize, Pressure
from app.ingest.refusal import Refused

BACKLOG_RETRY_S: Final = 30
FULL_RETRY_S: Final = 10
# If a destination has several sources, each may have this many times the free part of the backlog: one source that
# floods leaves a quarter of it to the others, two leave a seventh, and a source with a small backlog always gets in.
MOST_OF_FREE: Final = 3
PUBLIC_SHARE: Final = 8 / 9  # of Redis's maxmemory: after that, only server events are accepted


@dataclass(frozen=True, slots=True)
class Ceilings:
    """The largest backlog of one destination, and the highest memory share of Redis."""

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
        """0 if they may come in, else the seconds to wait. More than a full burst waits for a full bucket."""
        now = self._clock()
        self._tokens = min(self._most, self._tokens + (now - self._at) * self._rate)
        self._at = now
        needed = min(events, self._most)
        if self._tokens >= needed:
            self._tokens -= events
            return 0.0
        return (needed - self._tokens) / self._rate


class Admission:
    """Refuses requests that must come later. It reads the latest pressure, and never waits for Redis."""

    def __init__(self, ceilings: Ceilings, pressure: Callable[[], Pressure]) -> None:
        self._ceilings = ceilings
        self._pressure = pressure

    def check(
        self,
        destination: str,
        limit: RateLimit | None,
        events: int,
        *,
        source: str = "",
        public: bool = False,
        alone: bool = True,
    ) -> None:
        """Raises Refused: 503 while Redis is nearly full, 429 at a ceiling or at the source's share or rate limit.

        `alone`: the source shares its destination with no other.
        """
        pressure, ceilings = self._pressure(), self._ceilings
        depth = pressure.backlog.get(destination)
        share = pressure.memory_share or (depth.memory_share if depth is not None else 0.0)
        if share > ceilings.memory_share * (PUBLIC_SHARE if public else 1):
            raise Refused(503, "redis_full", "Redis is nearly full, send the request later", retry_after_s=FULL_RETRY_S)
        if depth is not None and (depth.deliveries >= ceilings.backlog_events or depth.bytes >= ceilings.backlog_bytes):
            message = "the backlog of this destination is full, send the request again later"
            raise Refused(429, "backlog_full", message, retry_after_s=BACKLOG_RETRY_S)
        if depth is not None and not alone and _has_its_share(depth, source, ceilings):
            message = "the backlog of this source is full, send the request again later"
            raise Refused(429, "source_backlog_full", message, retry_after_s=BACKLOG_RETRY_S)
        if limit is not None and (wait := limit.take(events)) > 0:
            message = "this source exceeds its events per second, send the request again later"
            raise Refused(429, "rate_limited", message, retry_after_s=max(1, math.ceil(wait)))


def _has_its_share(depth: BacklogSize, source: str, ceilings: Ceilings) -> bool:
    own = depth.sources.get(source)
    if own is None:
        return False
    calls, size = min(own.calls, depth.deliveries), min(own.bytes, depth.bytes)
    return calls > MOST_OF_FREE * (ceilings.backlog_events - depth.deliveries) or size > MOST_OF_FREE * (
        ceilings.backlog_bytes - depth.bytes
    )
