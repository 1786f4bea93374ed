"""The sweep looks after letters: it lets go of what is too old or too much, and says so long before."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from structlog.testing import capture_logs

from app.config.topology import Topology
from app.delivery.connection import open_redis
from app.delivery.keys import DestinationKeys
from app.metrics import DeliveryMetrics
from app.settings import load_settings
from workers.desk import Desk
from workers.sweep import WARN_EVERY_S, look_after_letters

DAY: Final = timedelta(days=1)
DEAD: Final = DestinationKeys("acme").dead


async def bury(redis: Redis, age: timedelta, letters: int = 1) -> None:
    when = int((datetime.now(UTC) - age).timestamp() * 1000)
    for number in range(letters):
        await redis.xadd(DEAD, {b"d": b"{}"}, id=f"{when}-{number}")


@pytest.fixture
async def desk(url: str, redis: Redis) -> AsyncIterator[Desk]:
    settings = load_settings(dead_letter_days=10, dead_letter_entries=10)
    topology = Topology.model_validate(
        {
            "destinations": {"acme": {"api_token": "t"}},
            "sources": {"s": {"write_key": "k", "destination": "acme"}},
        }
    )
    opened = Desk.open(open_redis(url), settings, topology, DeliveryMetrics(CollectorRegistry()))
    yield opened
    await opened.close()
    await opened.redis.aclose(close_connection_pool=True)


async def test_letters_that_are_nearly_too_many_are_warned_of_once_an_hour(desk: Desk, redis: Redis) -> None:
    await bury(redis, DAY, 8)
    with capture_logs() as said:
        for now in (0.0, 60.0, WARN_EVERY_S + 1):
            await look_after_letters(desk, now=now)
    assert [line["event"] for line in said] == ["dead_letters.nearly_full"] * 2
    assert (said[0]["destination"], said[0]["letters"]) == ("acme", 8)
    assert await redis.xlen(DEAD) == 8, "nothing is let go yet"


async def test_letters_that_are_let_go_are_told(desk: Desk, redis: Redis) -> None:
    await bury(redis, 11 * DAY)
    with capture_logs() as said:
        await look_after_letters(desk, now=0.0)
    assert [(line["event"], line["letters"]) for line in said] == [("dead_letters.let_go", 1)]


async def test_nothing_is_said_while_there_is_room(desk: Desk, redis: Redis) -> None:
    await bury(redis, DAY, 7)
    with capture_logs() as said:
        await look_after_letters(desk, now=0.0)
    assert said == []
