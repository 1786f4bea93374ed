"""The heartbeat: a request once a minute while alerts are evaluated, for a service that calls when they stop."""

import time
from collections.abc import Callable
from typing import Final

import httpx
import structlog

EVERY_S: Final = 60.0
_TIMEOUT_S: Final = 10.0

log = structlog.get_logger()


class Heartbeat:
    """The heartbeat of one process."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due = 0.0

    async def beat(self, address: str) -> None:
        """Request the address, if it is time. A failure is logged without the address, which is a secret."""
        if self._clock() < self._due:
            return
        self._due = self._clock() + EVERY_S
        try:
            async with httpx.AsyncClient(timeout=_TIMEOUT_S, follow_redirects=True) as client:
                answer = await client.get(address)
            if answer.is_error:
                log.warning("alerts.heartbeat_refused", status=answer.status_code)
        except (httpx.HTTPError, httpx.InvalidURL) as failure:
            log.warning("alerts.heartbeat_failed", reason=type(failure).__name__)
