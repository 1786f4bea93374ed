"""The custom attributes of each Attentive account and the type of each: the first one seen, kept in Redis.

The enqueue script adds names. The first type wins, but a trusted source's type replaces the provisional type of a
public source. Each gateway process reads the types every second and knows its own immediately. If two processes see
a new name within one second, they may send it with two types. The type stored first wins, and Attentive may refuse
the other call.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, cast

import structlog
from redis.asyncio import Redis

from app.rights import PROVISIONAL
from app.store.hashes import read_hashes
from app.store.keys import DestinationKeys
from app.store.script import Answer
from app.store.shards import each_shard

MOST_KEPT: Final = 1_000  # names per account; names beyond these are not checked

log = structlog.get_logger()

Types = Mapping[str, str]  # number, boolean, date or string, by name
_NONE: Final[Types] = {}


class KnownAttributes:
    """The attributes of all accounts, as one gateway process knows them. Reading them does not wait."""

    def __init__(self, redis: Redis, warn_at: Mapping[str, int]) -> None:
        """`warn_at` is the number of names from which a destination gets a warning."""
        self._redis = redis
        self._warn_at = warn_at
        self._known: Mapping[str, Types] = {}
        self._new: dict[str, Types] = {}  # learnt since the last read, and perhaps not stored yet
        self._warned: set[str] = set()

    def replace(self, warn_at: Mapping[str, int]) -> None:
        """Use these destinations from now on."""
        self._warn_at = warn_at

    def of(self, destination: str) -> Types:
        """The attributes of one account, a few seconds old at most."""
        return self._known.get(destination, _NONE)

    def learn(self, destination: str, attributes: Types) -> None:
        """Add names that are about to be stored, so that this process's next event uses them."""
        self._new[destination] = _first_types(self._new.get(destination, _NONE), attributes)
        self._known = {**self._known, destination: _first_types(self.of(destination), attributes)}

    async def look(self) -> None:
        """Read the stored names. Raises RedisError."""
        warn_at = self._warn_at
        new, self._new = self._new, {}
        shards = await each_shard(self._redis, list(warn_at), partial(read_attributes, self._redis))
        stored = {name: types for shard in shards for name, types in shard.items()}
        self._known = {name: types for name, types in self._known.items() if name in warn_at} | {
            destination: _first_types(
                attributes, _first_types(self._new.get(destination, _NONE), new.get(destination, _NONE))
            )
            for destination, attributes in stored.items()
        }
        for destination, attributes in self._known.items():
            if len(attributes) < warn_at[destination]:
                self._warned.discard(destination)
            elif destination not in self._warned:
                self._warned.add(destination)
                log.warning("attributes.many", destination=destination, names=len(attributes))


def _first_types(known: Types, new: Types) -> Types:
    """Both together. The first type of a name stays, unless it is provisional and the new one is not."""
    merged = dict(known)
    for name, kind in new.items():
        if name not in merged or (merged[name].endswith(PROVISIONAL) and not kind.endswith(PROVISIONAL)):
            merged[name] = kind
    return merged


async def read_attributes(redis: Redis, destinations: Sequence[str]) -> dict[str, Types]:
    """The attributes of each destination. Raises RedisError."""
    pages = await read_hashes(redis, [DestinationKeys(destination).attributes for destination in destinations])
    return {
        destination: {name.decode(): kind.decode() for name, kind in page.items()}
        for destination, page in zip(destinations, pages, strict=True)
    }


async def store_attributes(redis: Redis, destination: str, types: Types) -> None:
    """Store types of attributes that were not known. The first type of a name remains. Raises RedisError."""
    name = DestinationKeys(destination).attributes
    async with redis.pipeline(transaction=False) as pipeline:
        for attribute, kind in types.items():
            pipeline.hsetnx(name, attribute, kind)
        await pipeline.execute()


async def forget_attribute(redis: Redis, destination: str, name: str) -> bool:
    """Forget an attribute: its next value sets its type. Returns whether it was known. Raises RedisError."""
    return bool(await cast(Answer, redis.hdel(DestinationKeys(destination).attributes, name)))
