"""The lag of calls: what counts, what the limit excuses, and how fast the error budget burns."""

from datetime import timedelta
from typing import Any, Final, cast

import pytest
from redis.asyncio import Redis

from app.attentive.call import Priority
from app.delivery.lag import DestinationLag, LagCounts, read_lag, read_month
from app.delivery.objectives import (
    DEFAULT_OBJECTIVES,
    LagCount,
    Objective,
    Verdict,
    Window,
    budget_left,
    burn_rate,
    verdict_at,
)
from app.delivery.waits import NO_WAITS, LaneWaits, Waits
from app.store.keys import DestinationKeys
from tests.builders import NOW, delivery

S: Final = 1000
RECEIVED: Final = 1_800_000_000_000
IN_5_S: Final = Objective(timedelta(seconds=5), 0.99)
NOW_S: Final = RECEIVED / 1000


@pytest.mark.parametrize(
    ("limit_s", "hold_s", "own_s", "verdict"),
    [
        pytest.param(0, 0, 5, Verdict.IN_TIME, id="as late as is allowed"),
        pytest.param(0, 0, 6, Verdict.LATE, id="later"),
        pytest.param(596, 0, 4, Verdict.LIMITED, id="it waited for the limit, and for us only before"),
        pytest.param(600, 0, 0, Verdict.LIMITED, id="for the limit alone"),
        pytest.param(594, 0, 6, Verdict.LATE, id="it was late because of us already"),
        pytest.param(4, 0, 0, Verdict.IN_TIME, id="in time in spite of the limit"),
        pytest.param(0, 600, 0, Verdict.HELD, id="for the end of a hold"),
        pytest.param(600, 600, 5, Verdict.HELD, id="for a hold, and for the limit after it"),
        pytest.param(600, 4, 1, Verdict.LIMITED, id="a short hold, and the limit"),
        pytest.param(0, 600, 6, Verdict.LATE, id="for a hold, and too long for us"),
    ],
)
def test_the_causes_of_lateness_are_told_apart(limit_s: int, hold_s: int, own_s: int, verdict: Verdict) -> None:
    waits = Waits(hold_ms=hold_s * S, limit_ms=limit_s * S, own_ms=own_s * S)
    assert list(Verdict)[verdict_at(waits, IN_5_S.within_ms)] is verdict


@pytest.mark.parametrize(
    ("long", "short", "burn"),
    [
        pytest.param(LagCount(990, 0, 10), LagCount(99, 0, 1), 1, id="as fast as it may"),
        pytest.param(LagCount(800, 0, 200), LagCount(80, 0, 20), 20, id="20 times too fast"),
        pytest.param(LagCount(800, 0, 200), LagCount(100, 0, 0), 0, id="it is over: the short window is good"),
        pytest.param(LagCount(990, 0, 10), LagCount(0, 0, 100), 1, id="it has just begun: the long window is good"),
        pytest.param(LagCount(0, 0, 19), LagCount(0, 0, 19), 0, id="too few calls to tell"),
        pytest.param(LagCount(0, 900, 0), LagCount(0, 90, 0), 0, id="what waits for the limit burns nothing"),
        pytest.param(LagCount(800, 0, 100, 100), LagCount(80, 0, 0, 20), 20, id="what waits for a hold burns too"),
    ],
)
def test_the_budget_burns_where_both_windows_do(long: LagCount, short: LagCount, burn: float) -> None:
    assert burn_rate(long, short, IN_5_S) == pytest.approx(burn)


def test_what_is_left_of_the_budget() -> None:
    assert budget_left(LagCount(), IN_5_S) == 1
    assert budget_left(LagCount(995, 10_000, 5), IN_5_S) == pytest.approx(0.5)
    assert budget_left(LagCount(98, 0, 2), IN_5_S) == pytest.approx(-1)


def test_only_the_first_attempt_at_a_fresh_call_counts() -> None:
    counts = DestinationLag(DEFAULT_OBJECTIVES)
    at = int(NOW.timestamp() * 1000)
    for each in (
        delivery(attempt=2),
        delivery(priority=Priority.LOW),
        delivery(fresh_until=NOW - timedelta(seconds=1)),  # it was stale when it came in
    ):
        counts.note(each, at + 1, NO_WAITS)
    assert counts.take() == {}
    counts.note(delivery(fresh_until=NOW + timedelta(hours=1)), at + 1, NO_WAITS)
    counts.note(delivery(), at + 1, NO_WAITS)
    assert counts.take() == {"normal:in_time": 2}
    assert counts.take() == {}


def test_a_late_call_counts_by_what_its_lane_waited_for() -> None:
    counts, received = DestinationLag(DEFAULT_OBJECTIVES), int(NOW.timestamp() * 1000)
    late = received + 600 * S
    for waits in (NO_WAITS, LaneWaits(received), LaneWaits(0, received, late)):
        counts.note(delivery(), late, waits)
    assert counts.take() == {"normal:late": 1, "normal:limited": 1, "normal:held": 1}


async def sent(redis: Redis, number: int, late: bool, at_s: float) -> None:
    counts, received = LagCounts(), int(at_s * 1000)
    for _ in range(number):
        call = delivery(received_ms=received, priority=Priority.HIGH)
        counts.of("acme", DEFAULT_OBJECTIVES).note(call, received + (60_000 if late else 10), NO_WAITS)
    await counts.flush(redis, now_s=at_s)
    await counts.flush(redis, now_s=at_s)  # nothing is new


async def test_windows_see_what_falls_into_them(redis: Redis) -> None:
    for number, late, minutes_ago in (
        (30, True, 0),
        (40, False, 20),
        (50, True, 50),
        (60, True, 5 * 60),
        (70, True, 420),
    ):
        await sent(redis, number, late, NOW_S - minutes_ago * 60)
    high, normal = await read_lag(redis, {"acme": DEFAULT_OBJECTIVES}, now_s=NOW_S)
    assert high.windows[Window.FAST] == (LagCount(40, 0, 80), LagCount(0, 0, 30))
    assert high.windows[Window.SLOW] == (LagCount(40, 0, 140), LagCount(40, 0, 30))
    assert high.total == LagCount(40, 0, 210)
    assert normal.total == LagCount()
    month = await read_month(redis, "acme", now_s=NOW_S)
    assert month[Priority.HIGH] == LagCount(40, 0, 210)
    assert await redis.ttl(DestinationKeys("acme").lag_short(int(NOW_S // 300))) > 3600


async def test_counts_that_could_not_be_stored_are_stored_the_next_time(redis: Redis) -> None:
    counts = LagCounts()
    counts.of("acme", DEFAULT_OBJECTIVES).note(delivery(), int(NOW.timestamp() * 1000), NO_WAITS)

    class Broken:
        def pipeline(self, transaction: bool) -> Any:
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await counts.flush(cast(Redis, Broken()), now_s=NOW_S)
    await counts.flush(redis, now_s=NOW_S)
    (_, normal) = await read_lag(redis, {"acme": DEFAULT_OBJECTIVES}, now_s=NOW_S)
    assert normal.total.in_time == 1


async def test_objectives_that_change_lose_no_counts(redis: Redis) -> None:
    counts = LagCounts()
    old = counts.of("acme", DEFAULT_OBJECTIVES)
    old.note(delivery(), int(NOW.timestamp() * 1000), NO_WAITS)
    assert counts.of("acme", DEFAULT_OBJECTIVES) is old
    changed = {Priority.NORMAL: IN_5_S}
    counts.of("acme", changed).note(delivery(), int(NOW.timestamp() * 1000) + 6000, NO_WAITS)
    await counts.flush(redis, now_s=NOW_S)
    (normal,) = await read_lag(redis, {"acme": changed}, now_s=NOW_S)
    assert normal.total == LagCount(1, 0, 1)
