"""How much Redis holds for each destination and how full Redis is, measured every second."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog
from redis.asyncio import Redis

from app.delivery.backlog import SourceBacklog, lane_depths, source_backlogs
from app.delivery.lane import Lane
from app.store.keys import STREAMS
from app.store.shards import but_failed, each_shard, is_cluster, node_of, nodes_of

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class BacklogSize:
    """The backlog of one destination."""

    deliveries: int
    bytes: int  # of Redis memory, estimated from a sample
    sources: Mapping[str, SourceBacklog] = field(default_factory=dict)
    memory_share: float = 0.0  # of the maxmemory of its shard, in a cluster


@dataclass(frozen=True, slots=True)
class Pressure:
    """The latest measurement."""

    backlog: Mapping[str, BacklogSize] = field(default_factory=dict)
    memory_share: float = 0.0  # of maxmemory in use; 0 where Redis has no maxmemory, and in a cluster


class PressureGauge:
    """`now()` returns the latest measurement without waiting."""

    def __init__(self, redis: Redis, lanes: Callable[[], Sequence[Lane]]) -> None:
        """`lanes` returns the current lanes."""
        self._redis = redis
        self._lanes = lanes
        self._last = Pressure()

    def now(self) -> Pressure:
        """The latest measurement, a few seconds old at most while Redis answers."""
        return self._last

    async def look(self) -> None:
        """Measure now. Of a shard that is away, the last measurement stays. Raises RedisError."""
        lanes = self._lanes()
        if not is_cluster(self._redis):
            self._last = await read_pressure(self._redis, lanes)
            return

        async def read(destinations: Sequence[str]) -> Pressure:
            return await read_pressure(self._redis, [lane for lane in lanes if lane.destination in destinations])

        names = list(dict.fromkeys(lane.destination for lane in lanes))
        backlog = {name: size for name, size in self._last.backlog.items() if name in names}
        for shard in await each_shard(self._redis, names, read):
            backlog |= {name: replace(size, memory_share=shard.memory_share) for name, size in shard.backlog.items()}
        self._last = Pressure(backlog)


@dataclass(frozen=True, slots=True)
class Memory:
    """How much memory Redis uses and may use. `max_bytes` is 0 if there is no limit."""

    used_bytes: int
    max_bytes: int

    @property
    def share(self) -> float:
        """The used share of the limit. 0 if there is none."""
        return self.used_bytes / self.max_bytes if self.max_bytes else 0.0


async def read_memory(redis: Redis) -> Memory:
    """The memory that Redis reports; of a cluster, that of its fullest node. Raises RedisError."""
    found = await but_failed(node.info("memory") for node in await nodes_of(redis))
    memories = (Memory(int(info["used_memory"]), int(info.get("maxmemory", 0))) for info in found)
    return max(memories, key=lambda memory: (memory.share, memory.used_bytes))


async def read_pressure(redis: Redis, lanes: Sequence[Lane]) -> Pressure:
    """Measure once. Raises RedisError."""
    memory = await read_memory(await node_of(redis, lanes[0].destination) if lanes else redis)
    keys = [[*lane.keys.streams, lane.keys.retry] for lane in lanes]
    async with redis.pipeline(transaction=False) as pipeline:
        for lane_keys in keys:
            for key in lane_keys:
                pipeline.memory_usage(key)
        usages = await pipeline.execute()
    each = len(STREAMS) + 1
    sizes = [sum(usage or 0 for usage in usages[i : i + each]) for i in range(0, len(usages), each)]
    backlog: dict[str, BacklogSize] = {}
    sources = await source_backlogs(redis, list(dict.fromkeys(lane.destination for lane in lanes)))
    for depth, size in zip(await lane_depths(redis, lanes), sizes, strict=True):
        name = depth.lane.destination
        known = backlog.get(name, BacklogSize(0, 0))
        backlog[name] = BacklogSize(known.deliveries + depth.total, known.bytes + size, sources[name])
    return Pressure(backlog, memory.share)
