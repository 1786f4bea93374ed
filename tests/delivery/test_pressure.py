"""How much Redis holds and how full it is, as a real Redis tells it."""

import asyncio
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, Final

import pytest
from redis.asyncio import Redis

from app.delivery.lane import Lane
from app.delivery.pressure import BacklogSize, Pressure, PressureGauge, read_pressure
from app.store.connection import open_redis
from app.store.polling import FIRST_LOOK_S, watching
from tests.waiting import patient, until

ORDERS: Final = Lane("acme", "purchase")
VIEWS: Final = Lane("acme", "product-view")
OTHERS: Final = Lane("other", "purchase")
LANES: Final = (ORDERS, VIEWS, OTHERS)
NOTHING: Final = BacklogSize(0, 0)


async def add(redis: Redis, lane: Lane, *, priority: int = 0, calls: int = 1, size: int = 10) -> None:
    for _ in range(calls):
        await redis.xadd(lane.keys.streams[priority], {b"d": b"x" * size})


class TestALook:
    async def test_at_an_empty_redis_knows_every_destination(self, redis: Redis) -> None:
        assert await read_pressure(redis, LANES) == Pressure({"acme": NOTHING, "other": NOTHING}, 0.0)

    async def test_counts_what_waits_in_all_lanes_of_a_destination(self, redis: Redis) -> None:
        for priority in range(3):
            await add(redis, ORDERS, priority=priority, calls=2)
        await add(redis, VIEWS, calls=3)
        await redis.zadd(VIEWS.keys.retry, {b"\x01a": 1, b"\x01b": 2})
        seen = await read_pressure(redis, LANES)
        assert seen.backlog["acme"].deliveries == 11
        assert seen.backlog["other"] == NOTHING

    async def test_weighs_it_too(self, redis: Redis) -> None:
        await add(redis, ORDERS, calls=200, size=10)
        await add(redis, OTHERS, calls=200, size=10_000)
        await redis.zadd(VIEWS.keys.retry, {b"\x01" + b"y" * 100_000: 1})
        seen = await read_pressure(redis, LANES)
        assert 100_000 < seen.backlog["acme"].bytes < 150_000
        assert 1_900_000 < seen.backlog["other"].bytes < 3_000_000

    async def test_has_no_share_where_redis_has_no_limit(self, redis: Redis) -> None:
        await add(redis, ORDERS, calls=100, size=10_000)
        assert (await read_pressure(redis, LANES)).memory_share == 0.0

    async def test_says_which_share_of_the_limit_is_taken(self, redis: Redis) -> None:
        used = (await redis.info("memory"))["used_memory"]
        limit = used + 40_000_000  # so large that what the server frees or keeps for connections does not count
        await redis.config_set("maxmemory", limit)
        before = (await read_pressure(redis, LANES)).memory_share
        assert before == pytest.approx(used / limit, abs=0.1)
        await add(redis, ORDERS, calls=2_000, size=10_000)
        assert (await read_pressure(redis, LANES)).memory_share > before + 0.1

    async def test_works_with_no_lane_at_all(self, redis: Redis) -> None:
        assert await read_pressure(redis, ()) == Pressure({}, 0.0)


class TestTheGauge:
    async def test_shows_no_pressure_before_its_first_look(self, redis: Redis) -> None:
        assert PressureGauge(redis, lambda: LANES).now() == Pressure()

    async def test_keeps_looking(self, redis: Redis) -> None:
        gauge = PressureGauge(redis, lambda: LANES)
        async with watching(gauge.look):
            await until(lambda: gauge.now().backlog == {"acme": NOTHING, "other": NOTHING}, "it looks once")
            await add(redis, ORDERS, calls=7)
            await until(lambda: gauge.now().backlog["acme"].deliveries == 7, "it looks again")

    async def test_keeps_what_it_saw_while_it_cannot_look_and_looks_again_when_it_can(
        self, redis: Redis, logged: list[MutableMapping[str, Any]]
    ) -> None:
        gauge = PressureGauge(redis, lambda: LANES)
        await add(redis, ORDERS, calls=7)
        async with watching(gauge.look):
            await until(lambda: bool(gauge.now().backlog), "it looks once")
            seen = gauge.now()
            await redis.set(VIEWS.keys.streams[2], b"no stream")  # what makes every look fail
            await add(redis, ORDERS)
            await until(lambda: len(logged) >= 2, "it fails twice")
            assert gauge.now() is seen
            await redis.delete(VIEWS.keys.streams[2])
            await until(lambda: gauge.now().backlog["acme"].deliveries == 8, "it looks again")
        assert {(entry["event"], entry["reason"]) for entry in logged} == {("poll.failed", "redis_error")}

    async def test_of_a_redis_that_is_away_shows_no_pressure_and_ends_quietly(
        self, tmp_path: Path, logged: list[MutableMapping[str, Any]]
    ) -> None:
        """The write itself tells trackers to come again."""
        nobody = open_redis(f"unix://{tmp_path}/nobody.sock")
        gauge = PressureGauge(nobody, lambda: LANES)
        async with watching(gauge.look):
            await until(lambda: len(logged) > 0, "it fails once")
            assert gauge.now() == Pressure()
        await nobody.aclose(close_connection_pool=True)
        assert logged[0]["reason"] == "redis_unreachable"

    async def test_of_a_redis_that_hangs_keeps_no_process_from_starting(self) -> None:
        async def hang() -> None:
            await asyncio.Event().wait()

        async with asyncio.timeout(patient(FIRST_LOOK_S + 4)), watching(hang):
            pass
