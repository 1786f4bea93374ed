"""Stored profiles, looked up in one round trip for all waiting requests.

The scripts write them: enqueue.lua does so in the same step as the event that updates them.
"""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.profiles.contacts import read_lists
from app.profiles.profile import Profile, read_record
from app.store.connection import QueueUnavailable, why_unavailable
from app.store.group_commit import GroupCommit
from app.store.keys import DestinationKeys
from app.store.shards import is_cluster

_REQUESTS_PER_READ: Final = 256
_KEYS_PER_MGET: Final = 1000
_LONGEST_CHAIN: Final = 16  # of aliases, as in profiles.lua

log = structlog.get_logger()

People = dict[str, Profile]  # by name
_Reads = GroupCommit[tuple[str, Collection[str]], People]


class ProfileLookup:
    """Reads profiles by the names of their records."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._reads = self._new_reads()
        self._in_cluster = is_cluster(redis)
        self._reads_of: dict[str, _Reads] = {}  # by destination: in a cluster, none waits for another's node

    async def people(self, destination: str, names: Collection[str]) -> People:
        """The stored profiles among `names`. Raises QueueUnavailable."""
        reads = self._reads_for(destination) if self._in_cluster else self._reads
        return await reads.submit((destination, names))

    def _reads_for(self, destination: str) -> "_Reads":
        if (reads := self._reads_of.get(destination)) is None:
            reads = self._reads_of[destination] = self._new_reads()
        return reads

    def _new_reads(self) -> "_Reads":
        return GroupCommit(self._read, most=_REQUESTS_PER_READ)

    async def _read(self, requests: Sequence[tuple[str, Collection[str]]]) -> list[People | BaseException]:
        wanted: dict[str, set[str]] = {}
        for destination, names in requests:
            wanted.setdefault(destination, set()).update(names)
        try:
            known = await find_people(self._redis, wanted)
        except RedisError as failure:
            reason = why_unavailable(failure)
            log.error("profiles.unavailable", reason=reason, requests=len(requests))
            return [QueueUnavailable(reason) for _ in requests]
        return [
            {name: person for name in names if (person := known[destination].get(name))}
            for destination, names in requests
        ]


async def find_people(redis: Redis, wanted: Mapping[str, Iterable[str]]) -> dict[str, People]:
    """The profiles stored under these names, by destination: one round trip, and one more per alias.

    Raises RedisError.
    """
    known: dict[str, People] = {destination: {} for destination in wanted}
    asked = [(destination, name, name) for destination, names in wanted.items() for name in names]
    for _ in range(_LONGEST_CHAIN):
        aliases = []
        for (destination, name, _), record in zip(asked, await stored_profiles(redis, asked), strict=True):
            if isinstance(record, Profile):
                known[destination][name] = record
            elif record is not None:
                aliases.append((destination, name, record))
        if not aliases:
            break
        asked = aliases
    return known


async def stored_profiles(redis: Redis, asked: Sequence[tuple[str, str, str]]) -> list[Profile | str | None]:
    """The record of each (destination, -, name), in order: a profile, the name that an alias leads to, or None.

    Raises RedisError.
    """
    keys = [DestinationKeys(destination).profile(name) for destination, _, name in asked]
    async with redis.pipeline(transaction=False) as pipeline:
        start = 0
        while start < len(asked):  # a command asks for one destination alone: its keys are on one node
            end = start + 1
            while end < len(asked) and asked[end][0] == asked[start][0] and end - start < _KEYS_PER_MGET:
                end += 1
            pipeline.mget(keys[start:end])
            start = end
        answers = await pipeline.execute()
    return [read_record(stored) for answer in answers for stored in answer]


async def count_people(redis: Redis, lives: Mapping[tuple[str, str], timedelta]) -> list[int]:
    """The approximate number of names stored for each destination and source. `lives` maps these to the expiry.

    The estimate is within 1 %. An expired name counts for up to a quarter of its expiry more. Raises RedisError.
    """
    now_s = time.time()
    async with redis.pipeline(transaction=False) as pipeline:
        for (destination, source), life in lives.items():
            pipeline.pfcount(*DestinationKeys(destination).people(source, int(life.total_seconds()), now_s))
        return await pipeline.execute()


async def holders(redis: Redis, destination: str, digests: Iterable[str], *, claims: bool = False) -> set[str]:
    """The names of the trusted sources' records that hold any of these contacts, given as digests.

    With `claims`, the names of the records in which public sources claim these contacts or user IDs. Raises RedisError.
    """
    lists = await read_lists(redis, destination, list(digests), claims=claims)
    return {name for names in lists.values() for name in names}
