"""Reading many hashes at once."""

from collections.abc import Iterable
from typing import Any

from app.store.connection import Redis


async def read_hashes(redis: Redis, keys: Iterable[str]) -> list[dict[bytes, bytes]]:
    """The hashes of these keys, in one round trip. One that does not exist is empty. Raises RedisError."""
    async with redis.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.hgetall(key)
        pages: list[Any] = await pipeline.execute()
    return pages
