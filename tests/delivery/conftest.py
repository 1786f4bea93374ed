"""A real Redis for what a fake cannot tell, and what was logged."""

from collections.abc import AsyncIterator, Iterator, MutableMapping
from typing import Any

import pytest
import structlog
from redis.asyncio import Redis

from app.delivery.connection import open_redis
from app.embedded import embedded_redis


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded_redis(tmp_path_factory.mktemp("delivery")) as url:
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
    with structlog.testing.capture_logs() as entries:
        yield entries
