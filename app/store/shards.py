"""Work over several destinations, split by the nodes of a cluster. Without a cluster, there is one shard for all."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from redis.exceptions import RedisError

from app.store.cluster import ClusterRedis, slot
from app.store.connection import Redis

T = TypeVar("T")


def is_cluster(redis: Redis) -> bool:
    """Whether destinations may be on several nodes."""
    return isinstance(redis, ClusterRedis)


async def node_of(redis: Redis, destination: str) -> Redis:
    """A client of the node that has a destination, for questions about the node itself. Raises RedisError."""
    if not isinstance(redis, ClusterRedis):
        return redis
    return Redis(connection_pool=await redis.pool_of(slot(destination)))


async def nodes_of(redis: Redis) -> list[Redis]:
    """A client of each node that owns slots. Raises RedisError."""
    if not isinstance(redis, ClusterRedis):
        return [redis]
    return [Redis(connection_pool=redis.pool(node)) for node in await redis.topology.nodes()]


async def by_shard(redis: Redis, destinations: Sequence[str]) -> list[Sequence[str]]:
    """These destinations, those of one node together. Raises RedisError."""
    if not isinstance(redis, ClusterRedis):
        return [destinations]
    return [*await redis.by_shard(destinations)]


async def shard_names(redis: Redis, destinations: Sequence[str]) -> dict[str, str]:
    """The node and the slot of each destination, for people. Empty without a cluster. Raises RedisError."""
    if not isinstance(redis, ClusterRedis):
        return {}
    owners = [await redis.topology.owner(slot(name)) for name in destinations]
    return {name: f"{host}:{port}, slot {slot(name)}" for name, (host, port) in zip(destinations, owners, strict=True)}


async def each_shard(
    redis: Redis, destinations: Sequence[str], read: Callable[[Sequence[str]], Awaitable[T]]
) -> list[T]:
    """What `read` returns for the destinations of each node, all at the same time.

    A node that fails is left out, unless all fail. Raises RedisError.
    """
    if not isinstance(redis, ClusterRedis):
        return [await read(destinations)]
    shards = await redis.by_shard(destinations)
    return await but_failed(map(read, shards))


async def but_failed(reads: Iterable[Awaitable[T]]) -> list[T]:
    """What these return, all awaited at once. What Redis fails is left out, unless it fails all. Raises RedisError."""
    results = await asyncio.gather(*reads, return_exceptions=True)
    read_well = [result for result in results if not isinstance(result, BaseException)]
    for failure in results:
        if isinstance(failure, BaseException) and (not read_well or not isinstance(failure, RedisError)):
            raise failure
    return read_well
