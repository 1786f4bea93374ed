"""How much Redis holds for each destination and how full it is, looked at each second and remembered."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog
from redis.asyncio import Redis

from app.delivery.backlog import Lane, lane_depths
from app.delivery.keys import STREAMS

_LOOK_EVERY_S: Final = 1.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class BacklogSize:
    """What waits for one destination."""

    deliveries: int
    bytes: int  # of Redis memory, estimated from a sample


@dataclass(frozen=True, slots=True)
class Pressure:
    """The last look."""

    backlog: Mapping[str, BacklogSize] = field(default_factory=dict)
    memory_share: float = 0.0  # of maxmemory in use; 0 where Redis has no maxmemory


class PressureGauge:
    """`now()` is the last look, without waiting."""

    def __init__(self, redis: Redis, lanes: Callable[[], Sequence[Lane]]) -> None:
        """`lanes` says which there are now."""
        self._redis = redis
        self._lanes = lanes
        self._last = Pressure()

    def now(self) -> Pressure:
        """What was seen last, at most some seconds ago while Redis answers."""
        return self._last

    async def look(self) -> None:
        """Look now. Raises RedisError."""
        self._last = await read_pressure(self._redis, self._lanes())


@dataclass(frozen=True, slots=True)
class Memory:
    """How much memory Redis has taken, and may take; `max_bytes` is 0 where it has no limit."""

    used_bytes: int
    max_bytes: int

    @property
    def share(self) -> float:
        """Of the limit; 0 where there is none."""
        return self.used_bytes / self.max_bytes if self.max_bytes else 0.0


async def read_memory(redis: Redis) -> Memory:
    """What Redis says of its memory. Raises RedisError."""
    info = await redis.info("memory")
    return Memory(int(info["used_memory"]), int(info.get("maxmemory", 0)))


async def read_pressure(redis: Redis, lanes: Sequence[Lane]) -> Pressure:
    """One look. Raises RedisError."""
    memory = await read_memory(redis)
    keys = [[*lane.keys.streams, lane.keys.retry] for lane in lanes]
    async with redis.pipeline(transaction=False) as pipeline:
        for lane_keys in keys:
            for key in lane_keys:
                pipeline.memory_usage(key)
        usages = await pipeline.execute()
    each = len(STREAMS) + 1
    sizes = [sum(usage or 0 for usage in usages[i : i + each]) for i in range(0, len(usages), each)]
    backlog: dict[str, BacklogSize] = {}
    for depth, size in zip(await lane_depths(redis, lanes), sizes, strict=True):
        known = backlog.get(depth.lane.destination, BacklogSize(0, 0))
        backlog[depth.lane.destination] = BacklogSize(known.deliveries + depth.total, known.bytes + size)
    return Pressure(backlog, memory.share)
