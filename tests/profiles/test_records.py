"""The stored form of profiles: packed by the scripts, read by both sides, beside that of earlier releases."""

from typing import Final

import orjson
import pytest
from redis.asyncio import Redis

from app.profiles.lookup import find_people
from app.profiles.profile import Profile, ProfileUpdate, contact_digest, read_record, record_name
from app.profiles.updates import update_profiles
from app.store.keys import DestinationKeys

DAY: Final = 86_400
ADA, PHONE = "ada@example.com", "+14155550132"
KEYS: Final = DestinationKeys("acme")


def user(value: str) -> str:
    return record_name("shop", "u", value)


def learn(name: str, *, at: int = 1, **facts: str) -> ProfileUpdate:
    named = {what.replace("_", ".", 1): value for what, value in facts.items()}
    return ProfileUpdate("upsert", (name,), 30 * DAY, facts=named, at_ms=at)


async def stored(redis: Redis, name: str) -> bytes:
    record: bytes | None = await redis.get(KEYS.profile(name))
    return record or b""


async def profile(redis: Redis, name: str) -> Profile | None:
    return (await find_people(redis, {"acme": [name]}))["acme"].get(name)


async def test_is_short_and_holds_everything(redis: Redis) -> None:
    await update_profiles(redis, "acme", [learn(user("1"), at=1_764_000_000_000, email=ADA, phone=PHONE)])
    record = await stored(redis, user("1"))
    assert len(record) == 8 + (9 + 1 + len(ADA)) + (9 + 1 + len(PHONE)) + (1 + 2 * 12) + 1 + 1
    found = await profile(redis, user("1"))
    assert found is not None
    assert found.facts == {"email": (ADA, 1_764_000_000_000), "phone": (PHONE, 1_764_000_000_000)}
    assert set(found.contacts) == {contact_digest("email", ADA), contact_digest("phone", PHONE)}


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("älter \0 \x02 ünd\n" * 3, id="any text"),
        pytest.param("x" * 65_535, id="as long as a length can be"),
        pytest.param("x" * 65_536, id="too long, so that it is JSON"),
    ],
)
@pytest.mark.parametrize("at", [-5, 0, 1_764_000_000_123])
async def test_of_any_facts_is_read_as_it_was_written(redis: Redis, value: str, at: int) -> None:
    for _ in range(2):
        await update_profiles(redis, "acme", [learn(user("1"), at=at, custom_username=value, email=ADA)])
    found = await profile(redis, user("1"))
    assert found is not None
    assert found.facts == {"custom.username": (value, at), "email": (ADA, at)}


async def test_keeps_its_aliases_and_what_they_held(redis: Redis) -> None:
    for old in ("a", "b"):
        await update_profiles(redis, "acme", [learn(user(old), custom_username=old)])
        await update_profiles(redis, "acme", [ProfileUpdate("alias", (user("1"),), 30 * DAY, previous=(user(old),))])
    found = await profile(redis, user("b"))
    assert found is not None
    assert set(found.was) == {user("a"), user("b")}
    assert set(found.contacts) == {contact_digest("custom.username", each) for each in ("a", "b")}
    await update_profiles(redis, "acme", [learn(user("b"), at=2, email=ADA)])
    assert await profile(redis, user("a")) == await profile(redis, user("1"))


async def test_of_an_earlier_release_is_read_and_packed_when_it_is_written(redis: Redis) -> None:
    digest = contact_digest("phone", PHONE)
    record = {"v": 1, "seen": 7, "facts": {"phone": [PHONE, 3]}, "listed": [digest], "was": [user("0")]}
    await redis.set(KEYS.profile(user("1")), orjson.dumps(record))
    assert await profile(redis, user("1")) == Profile({"phone": (PHONE, 3)}, 7, (digest,), (user("0"),))
    await update_profiles(redis, "acme", [learn(user("1"), email=ADA)])
    found = await profile(redis, user("1"))
    assert found is not None
    assert (found.facts, found.was) == ({"phone": (PHONE, 3), "email": (ADA, 1)}, (user("0"),))
    assert (await stored(redis, user("1")))[0] == 2


async def test_that_is_cut_off_anywhere_is_none_and_is_written_anew(redis: Redis) -> None:
    await update_profiles(redis, "acme", [learn(user("1"), email=ADA, phone=PHONE)])
    whole = await stored(redis, user("1"))
    assert read_record(whole) is not None
    for length in range(len(whole)):
        assert read_record(whole[:length]) is None, length
        await redis.set(KEYS.profile(user("1")), whole[:length])
        await update_profiles(redis, "acme", [learn(user("1"), email=ADA)])
        found = await profile(redis, user("1"))
        assert found is not None, length
        assert found.facts == {"email": (ADA, 1)}, length
    assert read_record(whole + b"x") is None
