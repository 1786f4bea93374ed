"""How the events of rows end, recorded for their sync, and the lease that allows one run of a sync at a time.

A sync follows the event keys of its rows before it hands them over. The script that ends an event writes its ending
beside the key. What is read is unfollowed when the sync has stored it.
"""

from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Final, cast

from redis.asyncio import Redis

from app.store.hashes import read_hashes
from app.store.keys import DestinationKeys
from app.store.script import Answer, Script


class SyncProblem(StrEnum):
    """Why the last run of a sync sent nothing."""

    FAILED = "failed"  # its source could not be read, or a bulk job failed
    STOPPED = "stopped"  # by a guard


FOLLOWED_S: Final = 100 * 86_400  # longer than dead letters are kept by default
LEASE: Final = timedelta(seconds=30)
_AT_ONCE: Final = 1_000
_LEASE: Final = Script("sync_lease", keys=("lease",), args=("owner", "lease_ms"))
_FOLLOW: Final = Script("follow", keys=("row_outcomes",), args=("life_s", "@events"))


async def follow(redis: Redis, destination: str, event_keys: Sequence[bytes]) -> None:
    """Have the endings of these events stored. One that has ended already keeps its ending. Raises RedisError."""
    keys = {"row_outcomes": DestinationKeys(destination).row_outcomes}
    for start in range(0, len(event_keys), _AT_ONCE):
        await _FOLLOW.run(redis, keys, {"life_s": FOLLOWED_S, "events": event_keys[start : start + _AT_ONCE]})


async def read_outcomes(redis: Redis, destination: str, event_keys: Sequence[bytes]) -> list[str | None]:
    """How each event ended: a field of the counters, "" while its calls wait, None for one that is not followed.

    Raises RedisError.
    """
    found: list[str | None] = []
    for start in range(0, len(event_keys), _AT_ONCE):
        some = [cast(str, key) for key in event_keys[start : start + _AT_ONCE]]
        answer = await cast(Answer, redis.hmget(DestinationKeys(destination).row_outcomes, some))
        found += [None if each is None else each.decode() for each in answer]
    return found


async def unfollow(redis: Redis, destination: str, event_keys: Sequence[bytes]) -> None:
    """Forget the endings of these events. Raises RedisError."""
    for start in range(0, len(event_keys), _AT_ONCE):
        some = [cast(str, key) for key in event_keys[start : start + _AT_ONCE]]
        await cast(Answer, redis.hdel(DestinationKeys(destination).row_outcomes, *some))


async def lease_sync(redis: Redis, destination: str, sync: str, owner: str) -> bool:
    """Take or renew the lease of a sync; False while another process has it. Raises RedisError."""
    keys = {"lease": DestinationKeys(destination).sync_lease(sync)}
    return bool(await _LEASE.run(redis, keys, {"owner": owner, "lease_ms": int(LEASE.total_seconds() * 1000)}))


async def release_sync(redis: Redis, destination: str, sync: str, owner: str) -> None:
    """Give the lease back. Raises RedisError."""
    await _LEASE.run(redis, {"lease": DestinationKeys(destination).sync_lease(sync)}, {"owner": owner, "lease_ms": 0})


async def known_state(redis: Redis, destination: str, sync: str) -> str | None:
    """The ID of the state with which the sync ran last; None before its first run. Raises RedisError."""
    found = await cast(Answer, redis.hget(DestinationKeys(destination).sync_states, sync))
    return None if found is None else found.decode()


async def note_state(redis: Redis, destination: str, sync: str, state_id: str | None) -> None:
    """Store the ID of the state with which the sync runs now, or forget it. Raises RedisError."""
    name = DestinationKeys(destination).sync_states
    if state_id is None:
        await cast(Answer, redis.hdel(name, sync))
    else:
        await cast(Answer, redis.hset(name, sync, state_id))


async def are_leased(redis: Redis, syncs: Sequence[tuple[str, str]]) -> list[bool]:
    """Whether a run of each sync, named with its destination, is under way. Raises RedisError."""
    async with redis.pipeline(transaction=False) as pipeline:
        for destination, sync in syncs:
            pipeline.exists(DestinationKeys(destination).sync_lease(sync))
        return [bool(each) for each in await pipeline.execute()]


async def note_standing(redis: Redis, destination: str, sync: str, packed: bytes) -> None:
    """Store where a sync stands, for processes that do not have its state. Raises RedisError."""
    await cast(Answer, redis.hset(DestinationKeys(destination).sync_standings, sync, cast(str, packed)))


async def read_standings(redis: Redis, syncs: Sequence[tuple[str, str]]) -> list[bytes | None]:
    """What `note_standing` stored of each sync, named with its destination. Raises RedisError."""
    async with redis.pipeline(transaction=False) as pipeline:
        for destination, sync in syncs:
            pipeline.hget(DestinationKeys(destination).sync_standings, sync)
        return list(await pipeline.execute())


async def note_problem(redis: Redis, destination: str, sync: str, problem: SyncProblem | None) -> None:
    """Store why the last run of a sync sent nothing, or that it did. Raises RedisError."""
    name = DestinationKeys(destination).sync_problems
    if problem is None:
        await cast(Answer, redis.hdel(name, sync))
    else:
        await cast(Answer, redis.hset(name, sync, problem.value))


async def read_problems(redis: Redis, destinations: Sequence[str]) -> dict[tuple[str, str], SyncProblem]:
    """By destination and sync: why the last run sent nothing. Raises RedisError."""
    pages = await read_hashes(redis, [DestinationKeys(destination).sync_problems for destination in destinations])
    return {
        (destination, sync.decode()): SyncProblem(problem.decode())
        for destination, page in zip(destinations, pages, strict=True)
        for sync, problem in page.items()
    }
