"""The simulated lane hands out what the scripts hand out: priorities, public sources, the longest waits."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, cast

import pytest
from redis.asyncio import Redis

from app.attentive.answers import Unreachable
from app.attentive.call import Priority
from app.delivery.consumer import LaneConsumer
from app.delivery.delivery import Delivery
from app.delivery.lane import Lane
from app.delivery.pace import FAILURES_TO_STOP, Pace
from app.embedded import RedisBinary, embedded_redis
from app.simulation.lane import SimulatedLane, stop_s
from app.store.connection import open_redis
from tests.builders import delivery

LANE: Final = Lane("acme", "custom-event")
PACE: Final = Pace(1e6)
DAY: Final = timedelta(days=1)
Waiting = tuple[Priority, bool, int, float]  # priority, public, calls, seconds since they came in
HIGH, NORMAL, LOW = Priority


@pytest.fixture(scope="module")
def url(redis_binary: RedisBinary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded_redis(tmp_path_factory.mktemp("shares"), server=redis_binary.path, fsync="no") as url:
        yield url


@pytest.fixture
async def redis(url: str) -> AsyncIterator[Redis]:
    client = open_redis(url)
    await client.flushall()
    yield client
    await client.aclose(close_connection_pool=True)


async def handed_out(redis: Redis, waiting: list[Waiting], most: int) -> Counter[tuple[Priority, bool]]:
    """What the scripts hand out of these for so many tokens."""
    now = datetime.now(UTC)
    for place, (priority, public, calls, ago_s) in enumerate(waiting):
        since_ms = int((now - timedelta(seconds=ago_s)).timestamp() * 1000)
        for number in range(calls):
            name = f"{place}-{number}"
            each = delivery(
                message_id=name, priority=priority, public=public, deadline=now + DAY, fresh_until=now + DAY
            )
            await redis.xadd(LANE.keys.streams[each.stream], {b"d": each.packed()}, id=f"{since_ms}-{number}")
    lease = LaneConsumer(redis, LANE, PACE, journal_entries=0)
    assert await lease.acquire()
    claimed = await lease.claim(most, under_way=0)
    found = [Delivery.unpacked(entry.payload) for entry in claimed.entries]
    return Counter((each.priority, each.public) for each in found)


def simulated(waiting: list[Waiting], most: int) -> Counter[tuple[Priority, bool]]:
    """What the simulated lane sends of them."""
    now_s = 10_000.0
    lane = SimulatedLane(LANE, PACE, fresh_s=86_400, horizon_s=86_400, concurrency=1000, latency_s=1e-6)
    for priority, public, calls, ago_s in waiting:
        lane.arrive(calls, priority, public=public, dated=True, now_s=now_s - ago_s)
    before = {public: lane.waiting_of(public=public) for public in (False, True)}
    lane.send(min(most, lane.allows(now_s, 1.0)), now_s, answered=True)
    sent = Counter({(p, False): tally.delivered for p, tally in lane.tallies.items()})
    assert sum(before.values()) - lane.waiting == sent.total()
    return Counter({(p, public): n for (p, public), n in _by_kind(lane, waiting).items() if n})


def _by_kind(lane: SimulatedLane, waiting: list[Waiting]) -> dict[tuple[Priority, bool], int]:
    """Each priority is of one kind of source in these tests, so its tally names the kind."""
    return {(priority, public): lane.tallies[priority].delivered for priority, public, _, _ in waiting}


@pytest.mark.parametrize(
    "waiting",
    [
        pytest.param([(HIGH, False, 30, 1), (LOW, False, 200, 1)], id="orders before page views"),
        pytest.param([(HIGH, False, 200, 1), (LOW, True, 200, 1)], id="half for public sources"),
        pytest.param([(HIGH, False, 200, 1), (LOW, True, 10, 1)], id="what public sources leave"),
        pytest.param([(HIGH, False, 10, 1), (NORMAL, True, 200, 1)], id="what trusted sources leave"),
        pytest.param([(HIGH, False, 200, 1), (LOW, False, 200, 100)], id="a tenth for what starves"),
        pytest.param([(HIGH, False, 200, 1), (NORMAL, True, 200, 90), (LOW, True, 200, 100)], id="the longest wait"),
        pytest.param([(HIGH, True, 200, 500), (LOW, False, 5, 100)], id="public calls that starve"),
    ],
)
async def test_of_64_tokens_each_kind_of_call_gets_as_many(redis: Redis, waiting: list[Waiting]) -> None:
    most = 60
    assert simulated(waiting, most) == await handed_out(redis, waiting, most)


async def test_a_lane_stops_as_long_as_the_script_stops_it(redis: Redis) -> None:
    lease = LaneConsumer(redis, LANE, PACE, journal_entries=0)
    away = Unreachable("away", ambiguous=False)
    for number in range(1, 9):
        for _ in range(FAILURES_TO_STOP - 1 if number == 1 else 0):
            await lease.report(away, None)
        before_s = await clock_s(redis)
        await lease.report(away, None)
        until_s = await cast(Awaitable[int], redis.pexpiretime(LANE.keys.hold)) / 1000
        assert until_s - await clock_s(redis) <= stop_s(number) + 0.001
        assert until_s - before_s >= stop_s(number) - 0.001
        await redis.delete(LANE.keys.hold)


async def clock_s(redis: Redis) -> float:
    """The time of Redis, in seconds since the epoch."""
    seconds, microseconds = await redis.time()
    return float(seconds + microseconds / 1e6)
