"""Looking at Redis again and again in the background, so that nobody on the hot path ever waits for it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import structlog
from redis.exceptions import RedisError

from app.delivery.connection import why_unavailable

LOOK_EVERY_S: Final = 1.0
FIRST_LOOK_S: Final = 1.0  # a Redis that hangs keeps no process from starting, nor then from stopping in time

log = structlog.get_logger()


@contextlib.asynccontextmanager
async def watching(look: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Call `look` now and then each second, until the context ends. While Redis is away, what was seen last stands."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FIRST_LOOK_S):
            await _look(look)
    task = asyncio.create_task(_watch(look))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _watch(look: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        await _look(look)


async def _look(look: Callable[[], Awaitable[None]]) -> None:
    try:
        await look()
    except RedisError as failure:  # events are refused by the write itself then
        log.debug("watch.blind", reason=why_unavailable(failure))
