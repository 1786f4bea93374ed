"""The live view in Chromium and over breaks: a small `make bench-console`, for what it must not miss."""

from pathlib import Path

import pytest
from redis.asyncio import Redis

from benchmarks.console import console, missed, on_screen
from tests.clients.clients import CHROMIUM, HERE

pytestmark = pytest.mark.timeout(240)


async def test_tabs_miss_no_row_and_none_is_missed_over_a_kill(tmp_path: Path, url: str, redis: Redis) -> None:
    async with console(tmp_path, url) as running:
        seen = await on_screen(running, redis, HERE / "node_modules", CHROMIUM, tabs=2, rows=300)
        assert (len(seen.written), seen.missed) == (300, 0)
        assert all(paint["ms"] > 0 for paint in seen.paints)
        assert await missed(running, redis, 3000) == (0, 0)
