"""Whether Redis keeps its data: gateway and worker check its settings at start, and report them."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from app.config.bad_settings import BadSettings
from app.embedded import RedisBinary, embedded_redis
from app.store.connection import open_redis
from app.store.durability import check_durability
from app.wiring.durability import warn_unless_durable

FILELESS = "it has neither an append-only file nor a replica: a restart loses what waits (appendonly yes)"


@pytest.fixture(scope="module")
def url(redis_binary: RedisBinary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded_redis(tmp_path_factory.mktemp("durability"), server=redis_binary.path, fsync="no") as url:
        yield url


@pytest.fixture
async def redis(url: str) -> AsyncIterator[Redis]:
    client = open_redis(url)
    await client.config_set("maxmemory", "1gb")  # without a limit, that is what is said
    yield client
    await client.config_set("maxmemory", "0")
    await client.config_set("appendonly", "yes")
    while (await client.info("persistence"))["aof_rewrite_in_progress"]:  # noqa: ASYNC110 - it could not be stopped
        await asyncio.sleep(0.01)
    await client.config_set("maxmemory-policy", "noeviction")
    await client.aclose(close_connection_pool=True)


async def warnings(redis: Redis) -> list[str]:
    with capture_logs() as said:
        await warn_unless_durable(redis, required=False)
    assert {(line["event"], line["log_level"]) for line in said} <= {("redis.not_durable", "warning")}
    return [line["problem"] for line in said]


async def test_of_a_redis_that_keeps_everything_nothing_is_said(redis: Redis) -> None:
    assert await warnings(redis) == []


async def test_the_server_is_named_as_people_call_it(redis: Redis, redis_binary: RedisBinary) -> None:
    """Valkey also reports the Redis version that it is compatible with, which is always 7.2.4."""
    assert (await check_durability(redis)).server == str(redis_binary)


async def test_a_redis_without_file_and_replica_is_warned_of(redis: Redis) -> None:
    await redis.config_set("appendonly", "no")
    assert await warnings(redis) == [FILELESS]


async def test_a_service_that_keeps_its_log_itself_is_believed_but_may_not_delete_events(redis: Redis) -> None:
    await redis.config_set("appendonly", "no")
    assert (await check_durability(redis, managed=True)).problems == ()
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    [problem] = (await check_durability(redis, managed=True)).problems
    assert "allkeys-lru" in problem


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
async def test_a_redis_that_throws_keys_away_is_warned_of(redis: Redis, policy: str) -> None:
    await redis.config_set("maxmemory-policy", policy)
    [problem] = await warnings(redis)
    assert policy in problem
    assert "noeviction" in problem


async def test_a_redis_that_keeps_too_little_is_refused_where_that_is_required(redis: Redis) -> None:
    await redis.config_set("appendonly", "no")
    with pytest.raises(BadSettings, match="append-only"):
        await warn_unless_durable(redis, required=True)


async def test_a_redis_that_is_away_is_told_and_waited_for() -> None:
    nobody = open_redis("redis://127.0.0.1:1/0")
    with capture_logs() as said:
        await warn_unless_durable(nobody, required=False)
    assert [(line["event"], line["reason"]) for line in said] == [("redis.unreachable_at_start", "redis_unreachable")]
    await nobody.aclose(close_connection_pool=True)
