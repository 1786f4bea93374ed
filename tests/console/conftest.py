"""One console for each test, with an empty Redis."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.console.opened import Opened, opened


@pytest.fixture
async def console(tmp_path: Path, url: str, redis: Redis) -> AsyncIterator[Opened]:
    """A console whose users sign in with passwords."""
    async with opened(tmp_path, url) as ready:
        yield ready
