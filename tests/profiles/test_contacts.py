"""Lists of contact holders, which share hashes: read, moved, ended and left."""

import time
from typing import Any, Final

import pytest
from redis.asyncio import Redis

from app.profiles.contacts import leave_lists, read_lists
from app.profiles.known import known_contacts
from app.profiles.profile import ProfileUpdate, contact_digest, record_name
from app.profiles.updates import update_profiles
from app.store.keys import DestinationKeys

DAY: Final = 86_400
ADA: Final = "ada@example.com"
DIGEST: Final = contact_digest("email", ADA)
FIELD: Final = bytes.fromhex(DIGEST)
KEYS: Final = DestinationKeys("acme")
OWN, SHARED = KEYS.contact(DIGEST), KEYS.contacts(DIGEST)


def user(value: object) -> str:
    return record_name("shop", "u", str(value))


def learn(*names: str, days: int = 30) -> ProfileUpdate:
    return ProfileUpdate("upsert", names, days * DAY, facts={"email": ADA}, at_ms=1)


async def holders(redis: Redis) -> list[str]:
    return (await read_lists(redis, "acme", [DIGEST]))[DIGEST]


async def value(redis: Any) -> bytes | None:
    stored: bytes | None = await redis.hget(SHARED, FIELD)
    return stored


async def expire(redis: Any, list_value: bytes) -> None:
    """Let the list end today."""
    await redis.hset(SHARED, FIELD, int(time.time() // DAY).to_bytes(2) + list_value[2:])


async def test_takes_a_field_of_a_hash_that_stays_small(redis: Redis) -> None:
    names = [user(1), record_name("shop", "a", "browser"), user(2)]
    await update_profiles(redis, "acme", [learn(name) for name in names])
    assert await holders(redis) == names
    assert await redis.exists(OWN) == 0
    assert await redis.object("encoding", SHARED) in {b"listpack", b"ziplist"}
    assert len(await value(redis) or b"") == 2 + 3 * 19


async def test_has_its_newest_holder_last(redis: Redis) -> None:
    await update_profiles(redis, "acme", [learn(user(1)), learn(user(2)), learn(user(1))])
    assert await holders(redis) == [user(2), user(1)]


@pytest.mark.parametrize("many", [4, 30])
async def test_of_many_holders_has_a_key_of_its_own(redis: Redis, many: int) -> None:
    names = [user(number) for number in range(many)]
    for name in names:
        await update_profiles(redis, "acme", [learn(name)])
    assert set(await holders(redis)) == set(names)
    assert await redis.zcard(OWN) == many
    assert await value(redis) is None
    assert 30 * DAY - 9 < await redis.ttl(OWN) <= 30 * DAY


async def test_of_an_earlier_release_is_read_until_it_is_replaced(redis: Redis) -> None:
    await redis.zadd(OWN, {user(1): 5, user(2): 4})
    await redis.expire(OWN, 50 * DAY)
    assert await holders(redis) == [user(2), user(1)]
    assert await known_contacts(redis, "acme", [("email", ADA)]) == {("email", ADA)}
    await update_profiles(redis, "acme", [learn(user(3))])
    assert await holders(redis) == [user(2), user(1), user(3)]
    assert await redis.exists(OWN) == 0
    assert await redis.ttl(SHARED) >= 50 * DAY - 9


async def test_that_an_earlier_release_has_written_too_counts_with_it(redis: Redis) -> None:
    await update_profiles(redis, "acme", [learn(user(1))])
    await redis.zadd(OWN, {user(2): 4})
    assert set(await holders(redis)) == {user(1), user(2)}
    await update_profiles(redis, "acme", [learn(user(3))])
    assert await holders(redis) == [user(2), user(1), user(3)]
    assert await redis.exists(OWN) == 0


async def test_that_has_ended_is_absent_and_begins_anew(redis: Redis) -> None:
    await update_profiles(redis, "acme", [learn(user(1))])
    await expire(redis, await value(redis) or b"")
    assert await holders(redis) == []
    assert await known_contacts(redis, "acme", [("email", ADA)]) == set()
    await update_profiles(redis, "acme", [learn(user(2))])
    assert await holders(redis) == [user(2)]


async def test_that_has_ended_is_removed_by_later_ones(redis: Any) -> None:
    """Here all lists are in one hash, as it comes to be when there are millions."""
    ended = int(time.time() // DAY).to_bytes(2)
    for digest in (contact_digest("email", f"{number}@example.com") for number in range(200)):
        await redis.hset(KEYS.contacts(digest), b"old of another", ended)
    for number in range(200):
        update = ProfileUpdate("upsert", (user(number),), DAY, facts={"email": f"{number}@example.com"}, at_ms=1)
        await update_profiles(redis, "acme", [update])
    left = [key async for key in redis.scan_iter(KEYS.contacts(DIGEST).rpartition(":")[0] + ":*")]
    gone = [key for key in left if not await redis.hexists(key, b"old of another")]
    assert 5 < len(gone) < 100


async def test_lives_as_long_as_the_longest_of_its_sources(redis: Redis) -> None:
    await update_profiles(redis, "acme", [learn(user(1), days=30)])
    first = await value(redis) or b""
    await update_profiles(redis, "acme", [learn(user(1), days=10)])
    assert await value(redis) == first
    await update_profiles(redis, "acme", [ProfileUpdate("touch", (user(1),), 60 * DAY, contacts=(DIGEST,))])
    ends = int.from_bytes((await value(redis) or b"")[:2])
    assert ends - int.from_bytes(first[:2]) in {30, 31}
    assert await redis.ttl(SHARED) >= 60 * DAY - 9


@pytest.mark.parametrize("many", [1, 3, 6])
async def test_is_left_by_some_and_keeps_the_others(redis: Redis, many: int) -> None:
    names = [user(number) for number in range(many)]
    await update_profiles(redis, "acme", [learn(name) for name in names])
    await leave_lists(redis, "acme", [DIGEST], {names[0], "shop:another"})
    assert set(await holders(redis)) == set(names[1:])
    await leave_lists(redis, "acme", [DIGEST], set(names))
    assert await redis.exists(OWN, SHARED) == 0


async def test_that_changes_while_it_is_left_loses_no_holder(redis: Redis) -> None:
    await update_profiles(redis, "acme", [learn(user(1))])

    class Busy:
        """Takes in another identify call between reading and writing, once."""

        def __init__(self) -> None:
            self.has_changed = False

        def __getattr__(self, name: str) -> Any:
            return getattr(redis, name)

        async def execute_command(self, *args: Any) -> Any:
            if not self.has_changed:
                self.has_changed = True
                await update_profiles(redis, "acme", [learn(user(2))])
            return await redis.execute_command(*args)  # type: ignore[no-untyped-call]

    busy: Any = Busy()
    await leave_lists(busy, "acme", [DIGEST], {user(1)})
    assert await holders(redis) == [user(2)]
