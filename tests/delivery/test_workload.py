"""How much work there is for workers: seconds of what the lanes would let out now, whatever their backlog."""

from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import pytest
from redis.asyncio import Redis

from app.delivery.backlog import lane_depths, read_workload
from app.delivery.consumer import LaneConsumer
from app.delivery.lane import Lane
from app.delivery.pace import FAILURES_TO_STOP, Pace
from app.delivery.queue_age import oldest_receipts
from app.delivery.workload import WINDOW_S, LaneWork, seconds_of_work
from tests.builders import delivery

ONE_WORKER: Final = 2000.0
VIEWS: Final = Lane("acme", "product-view")
LINKS: Final = Lane("acme", "identity")
PACES: Final = {VIEWS: Pace(150), LINKS: Pace(10)}
LONG_AGO: Final = datetime(2026, 3, 1, tzinfo=UTC)
LATER: Final = datetime(2026, 3, 2, tzinfo=UTC)


def work(due: int, rate: float) -> LaneWork:
    return LaneWork(VIEWS, due, rate)


@pytest.mark.parametrize(
    ("lanes", "seconds"),
    [
        pytest.param([], 0, id="no lane is no work"),
        pytest.param([work(0, 150)], 0, id="nothing due is no work, however fast it could go"),
        pytest.param([work(500, 150)], 0.25, id="what is out within the window counts whole"),
        pytest.param([work(1500, 150)], 0.75, id="a window full of it"),
        pytest.param([work(1_000_000, 150)], 0.75, id="a longer backlog at the same limit is no more work"),
        pytest.param([work(1_000_000, 9.5)], 0.0475, id="a slow lane at its limit hardly needs anybody"),
        pytest.param([work(1_000_000, 0)], 0, id="a held lane needs nobody"),
        pytest.param([work(1_000_000, 150)] * 40, 30, id="many lanes at their limits add up: three workers"),
        pytest.param([work(1_000_000, 9000)], WINDOW_S, id="one drain sends from a lane: never more than one worker"),
        pytest.param([work(300, 0), work(300, 9.5), work(300, 150)], 0.1975, id="each lane counts at its own pace"),
    ],
)
def test_work_is_what_the_limits_let_out(lanes: list[LaneWork], seconds: float) -> None:
    assert seconds_of_work(lanes, one_worker=ONE_WORKER) == pytest.approx(seconds)


def test_faster_workers_have_less_to_do() -> None:
    assert seconds_of_work([work(1000, 150)], one_worker=500) == 4 * seconds_of_work([work(1000, 150)], one_worker=2000)


async def add(redis: Redis, lane: Lane, *, priority: int = 1, calls: int = 1, **fields: Any) -> None:
    for _ in range(calls):
        await redis.xadd(lane.keys.streams[priority], {b"d": delivery(**fields).packed()})


async def add_retry(redis: Redis, lane: Lane, *, due: timedelta, **fields: Any) -> None:
    member = b"1" + delivery(**fields).packed()
    await redis.zadd(lane.keys.retry, {member: (datetime.now(UTC) + due).timestamp() * 1000})


async def set_pace(redis: Redis, **fields: float) -> None:
    await cast(Awaitable[int], redis.hset(VIEWS.keys.pace, mapping=fields))


async def look(redis: Redis) -> dict[Lane, LaneWork]:
    return {each.lane: each for each in await read_workload(redis, await lane_depths(redis, list(PACES)), PACES)}


async def claim(redis: Redis, lane: Lane, *, most: int = 1) -> None:
    """What a drain does first."""
    lease = LaneConsumer(redis, lane, PACES[lane], journal_entries=10)
    assert await lease.acquire()
    await lease.claim(most, under_way=0)
    await lease.release()


class TestALook:
    async def test_at_untouched_lanes_takes_the_documented_limits(self, redis: Redis) -> None:
        assert await look(redis) == {VIEWS: LaneWork(VIEWS, 0, 142.5), LINKS: LaneWork(LINKS, 0, 9.5)}

    async def test_counts_all_priorities_what_is_under_way_and_the_retries_that_are_due(self, redis: Redis) -> None:
        for priority in range(3):
            await add(redis, VIEWS, priority=priority, calls=2)
        await claim(redis, VIEWS, most=3)
        await add_retry(redis, VIEWS, due=timedelta(minutes=-1), message_id="due")
        await add_retry(redis, VIEWS, due=timedelta(minutes=1), message_id="not yet")
        assert (await look(redis))[VIEWS].due == 7

    async def test_knows_the_rate_that_the_last_claim_found(self, redis: Redis) -> None:
        await set_pace(redis, limit=40)
        await claim(redis, VIEWS)
        assert (await look(redis))[VIEWS].rate == pytest.approx(38)

    async def test_knows_a_rate_that_a_429_has_halved(self, redis: Redis) -> None:
        struck_s, _ = await redis.time()
        await set_pace(redis, backoff=0.5, at=struck_s * 1000)
        await claim(redis, VIEWS)
        claimed_s, more_us = await redis.time()
        recovered = 2 ** ((claimed_s + more_us / 1e6 - struck_s) / 4)  # whole again 4 s later
        assert 142.5 / 2 <= (await look(redis))[VIEWS].rate <= 142.5 / 2 * min(recovered, 2)

    @pytest.mark.parametrize(
        ("key", "held", "destination_held"),
        [
            pytest.param(VIEWS.keys.hold, [VIEWS], [], id="of an endpoint"),
            pytest.param(VIEWS.keys.destination.hold, [], [VIEWS, LINKS], id="of a destination"),
        ],
    )
    async def test_sees_a_hold(self, redis: Redis, key: str, held: list[Lane], destination_held: list[Lane]) -> None:
        await add(redis, VIEWS)
        await redis.set(key, "401")
        seen = await look(redis)
        assert [lane for lane in PACES if seen[lane].held] == held
        assert [lane for lane in PACES if seen[lane].destination_held] == destination_held
        assert [lane for lane in PACES if seen[lane].rate == 0] == held + destination_held

    @pytest.mark.parametrize(
        ("field", "value", "stands"),
        [
            pytest.param("pause", 9_999_999_999_999, True, id="told to wait"),
            pytest.param("pause", 1, False, id="told to wait a while ago"),
            pytest.param("failures", FAILURES_TO_STOP, True, id="asking one call at a time whether Attentive is back"),
            pytest.param("failures", FAILURES_TO_STOP - 1, False, id="with some failures"),
        ],
    )
    async def test_sees_a_lane_that_stands_still(self, redis: Redis, field: str, value: int, stands: bool) -> None:
        await set_pace(redis, **{field: value})
        assert ((await look(redis))[VIEWS].rate == 0) is stands


class TestTheOldest:
    async def oldest(self, redis: Redis) -> dict[Lane, datetime]:
        return await oldest_receipts(redis, await lane_depths(redis, list(PACES)))

    async def test_of_empty_lanes_is_nothing(self, redis: Redis) -> None:
        assert await self.oldest(redis) == {}

    async def test_is_the_oldest_head_whatever_its_priority(self, redis: Redis) -> None:
        await add(redis, VIEWS, priority=0, received_at=LATER)
        await add(redis, VIEWS, priority=2, received_at=LONG_AGO)
        await add(redis, LINKS, received_at=LATER)
        assert await self.oldest(redis) == {VIEWS: LONG_AGO, LINKS: LATER}

    async def test_may_wait_for_another_attempt(self, redis: Redis) -> None:
        await add(redis, VIEWS, received_at=LATER)
        await add_retry(redis, VIEWS, due=timedelta(hours=1), received_at=LONG_AGO)
        assert await self.oldest(redis) == {VIEWS: LONG_AGO}

    async def test_is_found_behind_bytes_that_nobody_can_read(self, redis: Redis) -> None:
        await redis.xadd(VIEWS.keys.streams[0], {b"d": b"no delivery"})
        assert await self.oldest(redis) == {}
        await add(redis, VIEWS, received_at=LATER)
        assert await self.oldest(redis) == {VIEWS: LATER}
