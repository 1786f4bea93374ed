"""Limits that were reached: a metric for each, and at most one log line per minute for each limit and source."""

import time
from collections.abc import Callable
from typing import Final

import structlog

from app.metrics import IngestMetrics

LOG_EVERY_S: Final = 60.0
# Refusal codes that report a limit. The other refusals report mistakes in the request.
LIMIT_CODES: Final = frozenset(
    {
        "payload_too_large",
        "event_too_large",
        "batch_too_long",
        "too_deep",
        "rate_limited",
        "backlog_full",
        "source_backlog_full",
        "redis_full",
        "overloaded",
    }
)

log = structlog.get_logger()


class LimitMonitor:
    """Counts and logs each limit that is reached, by source if it is known."""

    def __init__(self, metrics: IngestMetrics, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._clock = clock
        self._logged_at: dict[tuple[str, str], float] = {}
        self._since: dict[tuple[str, str], int] = {}  # hits since the last log line

    def reached(self, limit: str, source: str = "") -> None:
        """Record that a limit was reached once."""
        self._metrics.limit_reached(limit, source)
        which, now = (limit, source), self._clock()
        self._since[which] = self._since.get(which, 0) + 1
        last = self._logged_at.get(which)
        if last is None or now - last >= LOG_EVERY_S:
            self._logged_at[which] = now
            log.warning("limit.reached", limit=limit, source=source or None, times=self._since.pop(which))
