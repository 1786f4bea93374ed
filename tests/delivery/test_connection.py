"""What is said of a Redis that cannot be used, or should not be used as it is."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
import uvloop
from redis import exceptions
from redis.asyncio import Redis

from app.config.values import BadSettings
from app.delivery.connection import Dedicated, open_redis, why_unavailable
from app.main import warn_unless_durable

Logged = list[MutableMapping[str, Any]]


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        pytest.param(exceptions.ConnectionError("Connection refused."), "redis_unreachable", id="nobody there"),
        pytest.param(exceptions.TimeoutError("Timeout connecting to server"), "redis_unreachable", id="no answer"),
        pytest.param(exceptions.AuthenticationError("WRONGPASS"), "redis_denied", id="a wrong password"),
        pytest.param(exceptions.NoPermissionError("NOPERM"), "redis_denied", id="a user who may not"),
        pytest.param(exceptions.OutOfMemoryError("OOM"), "redis_full", id="full"),
        pytest.param(exceptions.ReadOnlyError("READONLY"), "redis_read_only", id="a replica"),
        pytest.param(exceptions.ResponseError("MISCONF Redis is configured"), "redis_read_only", id="a full disk"),
        pytest.param(exceptions.ResponseError("ERR unknown command"), "redis_error", id="anything else"),
    ],
)
def test_why_redis_cannot_be_used_has_a_code(failure: exceptions.RedisError, reason: str) -> None:
    assert why_unavailable(failure) == reason


@pytest.mark.parametrize(
    ("login", "said"),
    [
        pytest.param("gateway:wrong", "invalid username-password pair", id="a wrong password"),
        pytest.param("gateway:right", "has no permissions to run the 'info' command", id="a user who may not ask"),
    ],
)
async def test_who_is_not_let_in_is_told_so_and_not_that_nobody_is_there(
    redis: Redis, url: str, logged: Logged, login: str, said: str
) -> None:
    await redis.acl_setuser("gateway", enabled=True, passwords=["+right"], commands=["+ping"])
    stranger = open_redis(url.replace("unix://", f"unix://{login}@"))
    try:
        await warn_unless_durable(stranger, required=False)
        with pytest.raises(BadSettings, match=said):
            await warn_unless_durable(stranger, required=True)
    finally:
        await stranger.aclose(close_connection_pool=True)
        await redis.acl_deluser("gateway")
    (line,) = logged
    assert (line["event"], line["reason"]) == ("redis.unreachable_at_start", "redis_denied")
    assert said in line["error"]


async def test_a_redis_without_a_limit_is_warned_of(redis: Redis, logged: Logged) -> None:
    await warn_unless_durable(redis, required=True)
    assert [line["event"] for line in logged] == ["redis.no_maxmemory"]
    await redis.config_set("maxmemory", "1gb")
    await warn_unless_durable(redis, required=True)
    assert len(logged) == 1


@pytest.mark.parametrize(
    "loop", [pytest.param(asyncio.new_event_loop, id="asyncio"), pytest.param(uvloop.new_event_loop, id="uvloop")]
)
def test_a_connection_whose_transport_is_gone_is_replaced(url: str, loop: Any) -> None:
    """As the kernel leaves it that has told of a broken connection. Each loop has an error of its own for that."""

    async def ask_again() -> list[list[Any]]:
        redis = open_redis(url)
        dedicated = Dedicated(redis)
        answers = []
        for _ in range(3):
            answers.append(await asyncio.wait_for(dedicated.ask([("ECHO", "here")], lambda: None), 10))
            dedicated._connection._writer.transport.abort()  # type: ignore[union-attr]
            await asyncio.sleep(0)
        await redis.aclose(close_connection_pool=True)
        return answers

    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(ask_again()) == [[b"here"]] * 3
