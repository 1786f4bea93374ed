"""Wake-up hints: an arq job for a lane that has calls to send and no drain.

A lost hint costs a second, until the sweep finds the lane. Of several hints, the lane's lease admits one drain.
"""

import asyncio
import time
from datetime import UTC, datetime
from typing import Final

import structlog
from arq.connections import ArqRedis
from redis.exceptions import RedisError

from app.store.keys import ARQ_TAG

DRAIN: Final = "drain"  # the arq function's name
_NOW_BY_ANY_CLOCK: Final = datetime(2000, 1, 1, tzinfo=UTC)  # by our clock, a worker whose clock is slow would wait
_AGAIN_S: Final = 0.5  # one process hints a lane and generation at most this often

log = structlog.get_logger()


async def wake_lane(redis: ArqRedis, destination: str, endpoint: str, generation: int, *, window: int = 0) -> None:
    """Enqueue the lane's next drain, once per generation and window, however often it is requested. Raises RedisError.

    The arguments name a lane, never an event: arq logs and stores them. The generation is part of the job's ID because
    arq refuses an ID that it knows, and it remembers a killed worker's job for more than a minute. A worker that was
    killed between getting the job and taking the lane leaves the generation unchanged. `window` covers that case. Only
    callers that run beside a worker taking the jobs pass it.
    """
    job = f"{ARQ_TAG}{DRAIN}:{destination}:{endpoint}:{generation}"
    await redis.enqueue_job(
        *(DRAIN, destination, endpoint),
        _job_id=f"{job}:{window}" if window else job,
        _expires=60,
        _defer_until=_NOW_BY_ANY_CLOCK,
    )


class Waker:
    """Sends hints in the background, so that no tracker waits for one."""

    def __init__(self, redis: ArqRedis) -> None:
        self._redis = redis
        self._hinted: dict[tuple[str, str], tuple[int, float]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def hint(self, destination: str, endpoint: str, generation: int) -> None:
        """Request a drain of this lane. Returns immediately."""
        lane, now = (destination, endpoint), time.monotonic()
        last_generation, when = self._hinted.get(lane, (-1, 0.0))
        if last_generation == generation and now - when < _AGAIN_S:
            return
        self._hinted[lane] = (generation, now)
        task = asyncio.create_task(self._send(destination, endpoint, generation))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, destination: str, endpoint: str, generation: int) -> None:
        try:
            await wake_lane(self._redis, destination, endpoint, generation)
        except RedisError as failure:
            log.warning("wakeup.failed", destination=destination, endpoint=endpoint, error=type(failure).__name__)

    async def close(self) -> None:
        """Wait until all hints are sent."""
        if self._tasks:
            await asyncio.wait(self._tasks)
