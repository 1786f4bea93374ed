"""Asking for many keys at once whether they exist."""

from collections.abc import Mapping
from typing import TypeVar

from app.store.connection import Redis

T = TypeVar("T")


async def present(redis: Redis, keys: Mapping[T, str]) -> set[T]:
    """Those whose key exists, in one round trip. Raises RedisError."""
    async with redis.pipeline(transaction=False) as pipeline:
        for key in keys.values():
            pipeline.exists(key)
        found = await pipeline.execute()
    return {each for each, exists in zip(keys, found, strict=True) if exists}
