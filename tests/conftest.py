"""What all tests share: how they are distributed, their time limits, and fixtures that need a real Redis."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Generator, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
import structlog
import uvicorn.server
from hypothesis import settings
from redis.asyncio import Redis

from app.embedded import RedisBinary, embedded_redis, find_redis
from app.store import connection
from app.store.connection import open_redis
from tests.clusters import IN_CLUSTER_MODE, single_node
from tests.faults.table import pytest_terminal_summary
from tests.generated import PROFILE
from tests.scheduling import pytest_xdist_auto_num_workers, pytest_xdist_make_scheduler
from tests.stack import Stack, stack
from tests.waiting import patient

settings.load_profile(PROFILE)

__all__ = ["pytest_terminal_summary", "pytest_xdist_auto_num_workers", "pytest_xdist_make_scheduler"]

# A busy machine may stand still for longer than a gateway waits for Redis.
connection.CONNECT_S, connection.ANSWER_S = patient(connection.CONNECT_S), patient(connection.ANSWER_S)


class _Hurried:
    """asyncio, where a tenth of the time passes."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s / 10)


# It looks ten times a second whether it is to stop, and waits as long for connections to end. Hundreds of tests serve.
vars(uvicorn.server)["asyncio"] = _Hurried()

# More servers to test against, by the path of their programs, with colons in between.
NAMED = [Path(path) for path in os.environ.get("GATEWAY_TEST_REDIS", "").split(":") if path]
BINARIES = [find_redis(), *map(find_redis, NAMED)]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without the garbage collector, and keep what was collected, which lives to the end, out of its rounds."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)  # the marks decide what `-m` chooses
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that need a real server, and multiply each time limit by the patience."""
    usual = float(config.getini("timeout"))
    for item in items:
        if "redis_binary" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.redis)
        marker = item.get_closest_marker("timeout")
        limit = marker.args[0] if marker else usual
        item.add_marker(pytest.mark.timeout(patient(limit)), append=False)


@pytest.fixture(scope="session", params=BINARIES, ids=str)
def redis_binary(request: pytest.FixtureRequest) -> RedisBinary:
    """The server that `run` takes, then each of GATEWAY_TEST_REDIS."""
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
def url(redis_binary: RedisBinary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis for what a fake cannot tell. It waits for no disk: that would take some milliseconds for each write."""
    folder = tmp_path_factory.mktemp("redis")
    with (
        single_node(folder, redis_binary)
        if IN_CLUSTER_MODE
        else embedded_redis(folder, server=redis_binary.path, fsync="no") as url
    ):
        yield url


@pytest.fixture
async def redis(url: str) -> AsyncIterator[Redis]:
    """Empty, and without a limit."""
    client = open_redis(url)
    await client.flushall()
    await client.config_set("maxmemory", 0)
    yield client
    await client.aclose(close_connection_pool=True)


@pytest.fixture
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """What was logged."""
    with structlog.testing.capture_logs() as entries:
        yield entries
