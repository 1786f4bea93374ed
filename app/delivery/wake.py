"""Wake-up hints: an arq job for a lane that has something to send and nobody sending it.

A lost hint costs a second, for the sweep finds the lane; of hints that come twice, the lane's lease lets one drain in.
"""

import asyncio
import time
from datetime import UTC, datetime
from typing import Final

import structlog
from arq.connections import ArqRedis
from redis.exceptions import RedisError

DRAIN: Final = "drain"  # the arq function's name
_NOW_BY_ANY_CLOCK: Final = datetime(2000, 1, 1, tzinfo=UTC)  # by ours, a worker whose clock is behind would wait
_AGAIN_S: Final = 0.5  # the same lane and turn is hinted at most this often by one process

log = structlog.get_logger()


async def wake_lane(redis: ArqRedis, destination: str, endpoint: str, turn: int) -> None:
    """Enqueue the lane's next drain, once per turn however many ask. Raises RedisError.

    The arguments name a lane, never an event: arq logs and stores them. The turn is part of the job's id because arq
    refuses an id it knows, and it knows a killed worker's job for minutes.
    """
    await redis.enqueue_job(
        *(DRAIN, destination, endpoint),
        _job_id=f"{DRAIN}:{destination}:{endpoint}:{turn}",
        _expires=60,
        _defer_until=_NOW_BY_ANY_CLOCK,
    )


class Waker:
    """Hints in the background, so that no tracker waits for one."""

    def __init__(self, redis: ArqRedis) -> None:
        self._redis = redis
        self._hinted: dict[tuple[str, str], tuple[int, float]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def hint(self, destination: str, endpoint: str, turn: int) -> None:
        """Ask for a drain of this lane; returns at once."""
        lane, now = (destination, endpoint), time.monotonic()
        last_turn, when = self._hinted.get(lane, (-1, 0.0))
        if last_turn == turn and now - when < _AGAIN_S:
            return
        self._hinted[lane] = (turn, now)
        task = asyncio.create_task(self._send(destination, endpoint, turn))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, destination: str, endpoint: str, turn: int) -> None:
        try:
            await wake_lane(self._redis, destination, endpoint, turn)
        except RedisError as failure:
            log.warning("lane.hint_lost", destination=destination, endpoint=endpoint, error=type(failure).__name__)

    async def close(self) -> None:
        """Return when no hint is on its way."""
        if self._tasks:
            await asyncio.wait(self._tasks)
