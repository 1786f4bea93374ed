"""Reading Redis repeatedly in the background, so that the hot path never waits for it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import structlog
from redis.exceptions import RedisError

from app.store.connection import why_unavailable
from app.tasks import end

LOOK_EVERY_S: Final = 1.0
FIRST_LOOK_S: Final = 1.0  # a Redis that hangs delays neither the start nor the stop of a process for longer

log = structlog.get_logger()


@contextlib.asynccontextmanager
async def watching(look: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Call `look` now and then every second, until the context ends. If Redis is down, the last result stays.

    An error of ours is logged, and does not end the looking.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FIRST_LOOK_S):
            await _look(look)
    task = asyncio.create_task(_watch(look))
    try:
        yield
    finally:
        await end(task)


async def _watch(look: Callable[[], Awaitable[object]]) -> None:
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        await _look(look)


async def _look(look: Callable[[], Awaitable[object]]) -> None:
    try:
        await look()
    except RedisError as failure:  # writes of events then fail on their own, with a refusal
        log.debug("poll.failed", reason=why_unavailable(failure))
    except Exception:
        log.exception("poll.crashed")
