"""The configuration that a gateway or worker applied last, stored for commands."""

from redis.asyncio import Redis

from app.store.keys import APPLIED_KEY


async def store_applied(redis: Redis, configuration: bytes) -> None:
    """Store a configuration in place of the previous one. Raises StoreError."""
    await redis.set(APPLIED_KEY, configuration)


async def read_applied(redis: Redis) -> bytes | None:
    """The stored configuration. None if no process has stored any. Raises StoreError."""
    stored: bytes | None = await redis.get(APPLIED_KEY)
    return stored
