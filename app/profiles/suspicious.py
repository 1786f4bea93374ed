"""Identifiers that so many people share that they identify none of them, such as a user ID `guest`."""

from redis.asyncio import Redis

from app.store.keys import DestinationKeys


async def read_suspicious(redis: Redis, destination: str, *, most: int = 100) -> dict[str, int]:
    """The masked identifiers with their source and kind, by the number of blocked links, the most first.

    Raises RedisError.
    """
    listed = await redis.zrevrange(DestinationKeys(destination).suspicious, 0, most - 1, withscores=True)
    return {label.decode(): int(blocked) for label, blocked in listed}
