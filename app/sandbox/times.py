"""The clock that everything here reads, and the two date-time formats that Attentive accepts."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime

RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)


class Clock:
    """Unix time in seconds, from a source that a test may replace and a control endpoint may shift."""

    def __init__(self, source: Callable[[], float] = time.time) -> None:
        """Read this source."""
        self._source = source
        self.ahead_s = 0.0

    def now(self) -> float:
        """The time, in seconds since 1970."""
        return self._source() + self.ahead_s


def parse_iso8601(text: str) -> float | None:
    """An eCommerce `occurredAt` in Unix seconds. Without an offset, it is UTC. None if it is not a date-time.

    Source: Attentive's eCommerce API, whose example has an offset without a colon.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp()


def parse_rfc3339(text: str) -> float | None:
    """A custom event's `occurredAt` in Unix seconds. None if it is not an RFC 3339 date-time with an offset.

    Source: Attentive's custom events API.
    """
    return parse_iso8601(text.upper()) if RFC3339.fullmatch(text) else None


def to_iso(unix_s: float) -> str:
    """Unix seconds as the sandbox prints them: "2021-03-30T14:38:29.000Z"."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
