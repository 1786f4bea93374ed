"""The explanations for a Redis that cannot be used, or should not be used as configured."""

import asyncio
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest
import uvloop
from redis import exceptions
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError

from app.config.bad_settings import BadSettings
from app.store.connection import Dedicated, explain, open_redis, why_unavailable
from app.wiring.durability import warn_unless_durable
from tests.certificates import needs_openssl, self_signed
from tests.waiting import patient

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


async def test_a_pipelines_command_is_left_out_of_what_an_operator_reads(redis: Redis) -> None:
    await redis.set("text", "x")
    pipeline = redis.pipeline()
    pipeline.hset("text", "jane@example.com", "(415) 555-0132 of pipeline")
    with pytest.raises(exceptions.ResponseError) as failure:
        await pipeline.execute()
    assert "jane@example.com" in str(failure.value), "redis-py repeats the command"
    assert explain(failure.value).startswith("redis_error: ")
    assert "jane" not in explain(failure.value)


async def test_a_failed_connection_is_explained_by_its_address_and_the_reason() -> None:
    redis = open_redis("redis://127.0.0.1:1/0")
    with pytest.raises(exceptions.ConnectionError) as failure:
        await redis.ping()
    await redis.aclose(close_connection_pool=True)
    assert explain(failure.value) == "redis_unreachable: 127.0.0.1:1, Connection refused"


@needs_openssl
async def test_a_server_without_a_trusted_certificate_is_sent_no_password(tmp_path: Path) -> None:
    received: list[bytes] = []

    async def pose(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read(1000))
        writer.close()

    async with await asyncio.start_server(pose, "127.0.0.1", 0, ssl=self_signed(tmp_path)) as server:
        port = server.sockets[0].getsockname()[1]
        redis = open_redis(f"rediss://gateway:secret@127.0.0.1:{port}/0")
        with pytest.raises(exceptions.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
            await redis.ping()
        await redis.aclose(close_connection_pool=True)
    assert b"".join(received) == b""


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
    await redis.acl_setuser("gateway", enabled=True, passwords=["+right"], commands=["+ping", "+cluster|slots"])
    stranger = open_redis(url.replace("://", f"://{login}@"))
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
            answers.append(await asyncio.wait_for(dedicated.ask([("ECHO", "here")], lambda: None), patient(10)))
            dedicated._connection._writer.transport.abort()  # type: ignore[union-attr]
            await asyncio.sleep(0)
        await redis.aclose(close_connection_pool=True)
        return answers

    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(ask_again()) == [[b"here"]] * 3


@pytest.mark.parametrize(
    "scheme", ["redis://{user}{place}", "redis+sentinel://{user}{place}/main", "redis+cluster://{user}{place}"]
)
@pytest.mark.parametrize("user", ["", "gateway@", "gateway:old@"])
def test_a_password_file_is_read_for_each_connection(tmp_path: Path, scheme: str, user: str) -> None:
    """A service's token lasts 15 minutes, and whoever renews it writes the file anew."""
    file = tmp_path / "token"
    redis = open_redis(scheme.format(user=user, place="one:7000") + f"?password_file={file}")
    kept = redis.connection_pool.connection_kwargs
    assert kept.get("password") is None
    for token in ("first", "second"):
        file.write_text(f"{token}\n")
        given = kept["credential_provider"].get_credentials()
        assert given == (("gateway", token) if user else (token,))
    file.unlink()
    with pytest.raises(AuthenticationError) as failure:
        kept["credential_provider"].get_credentials()
    assert why_unavailable(failure.value) == "redis_denied"


async def test_a_password_file_signs_in(redis: Redis, url: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("right")
    await redis.acl_setuser("renewed", enabled=True, passwords=["+right"], categories=["+@all"], keys=["*"])
    reader = open_redis(url.replace("://", "://renewed@") + f"?password_file={file}")
    try:
        assert await reader.acl_whoami() == "renewed"
    finally:
        await reader.aclose(close_connection_pool=True)
