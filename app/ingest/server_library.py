"""A log hint that a server library posts to a public source: with `trust: server` its events may do more.

The source's trust does not change: any holder of the public write key can send any User-Agent.
"""

import re
import time
from collections.abc import Callable, Mapping
from typing import Final

import structlog

HINT_EVERY_S: Final = 86_400.0
# Source: the published clients. Libraries of browsers and phones have a browser's User-Agent, or none of these names.
_SERVER: Final = re.compile(
    rb"analytics-(?:python|ruby|php|go|java|node(?:-next)?|dotnet)\b|Segment\.io|python-requests/|Go-http-client/|Java/"
)

log = structlog.get_logger()


class ServerLibraryHint:
    """Logs once a day for each public source that a server's library posts to."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._logged_at: dict[str, float] = {}

    def see(self, source: str, headers: Mapping[bytes, bytes]) -> None:
        """Check the headers of one request to a public source."""
        agent = headers.get(b"user-agent", b"")
        if agent.startswith(b"Mozilla/") or (found := _SERVER.match(agent)) is None:
            return
        now = self._clock()
        if now - self._logged_at.get(source, -HINT_EVERY_S) < HINT_EVERY_S:
            return
        self._logged_at[source] = now
        log.info(
            "source.server_library",
            source=source,
            library=found[0].rstrip(b"/").decode(),
            hint="if only servers have this write key, set `trust: server` for the source",
        )
