"""The custom attributes that each Attentive account has, with the type of each: the first one seen, kept in Redis.

The enqueue script adds names (HSETNX: the first one wins), every gateway process looks each second and knows its own at
once. So two processes that see a new name within one second may both send it, with two types: the one stored first is
the type from then on, and Attentive may refuse the other call.
"""

from collections.abc import Mapping, Sequence
from typing import Final, cast

import structlog
from redis.asyncio import Redis

from app.delivery.keys import DestinationKeys
from app.delivery.script import Answer

MOST_KEPT: Final = 1_000  # names of one account; those behind them are not guarded

log = structlog.get_logger()

Types = Mapping[str, str]  # number, boolean, date or string, by name
_NONE: Final[Types] = {}


class KnownAttributes:
    """What one gateway process knows of all accounts, without waiting."""

    def __init__(self, redis: Redis, warn_at: Mapping[str, int]) -> None:
        """`warn_at` says for each destination at how many names a warning is due."""
        self._redis = redis
        self._warn_at = warn_at
        self._known: Mapping[str, Types] = {}
        self._new: dict[str, Types] = {}  # learnt since the last look, and perhaps not stored yet
        self._warned: set[str] = set()

    def replace(self, warn_at: Mapping[str, int]) -> None:
        """From now on these destinations."""
        self._warn_at = warn_at

    def of(self, destination: str) -> Types:
        """The attributes of one account, as they were at most some seconds ago."""
        return self._known.get(destination, _NONE)

    def learn(self, destination: str, attributes: Types) -> None:
        """Know of names that are about to be stored: the next event of this process counts with them."""
        self._new[destination] = {**attributes, **self._new.get(destination, _NONE)}
        self._known = {**self._known, destination: {**attributes, **self.of(destination)}}

    async def look(self) -> None:
        """See what is stored. Raises RedisError."""
        warn_at = self._warn_at
        new, self._new = self._new, {}
        stored = await read_attributes(self._redis, list(warn_at))
        self._known = {
            destination: {**new.get(destination, _NONE), **self._new.get(destination, _NONE), **attributes}
            for destination, attributes in stored.items()
        }
        for destination, attributes in self._known.items():
            if len(attributes) < warn_at[destination]:
                self._warned.discard(destination)
            elif destination not in self._warned:
                self._warned.add(destination)
                log.warning("attributes.many", destination=destination, names=len(attributes))


async def read_attributes(redis: Redis, destinations: Sequence[str]) -> dict[str, Types]:
    """The attributes of each destination. Raises RedisError."""
    async with redis.pipeline(transaction=False) as pipeline:
        for destination in destinations:
            pipeline.hgetall(DestinationKeys(destination).attributes)
        pages = await pipeline.execute()
    return {
        destination: {name.decode(): kind.decode() for name, kind in page.items()}
        for destination, page in zip(destinations, pages, strict=True)
    }


async def forget_attribute(redis: Redis, destination: str, name: str) -> bool:
    """Whether it was known. Its next value sets its type anew. Raises RedisError."""
    return bool(await cast(Answer, redis.hdel(DestinationKeys(destination).attributes, name)))
