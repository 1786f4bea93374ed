"""What a drain may send now, and in which order: pace, ceiling, priority, starvation, staleness. In a real Redis."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import pytest
from redis.asyncio import Redis

from app.attentive.call import Priority
from app.delivery.backlog import SourceBacklog, lanes_to_wake, source_backlogs
from app.delivery.consumer import Claim, LaneConsumer
from app.delivery.delivery import Delivery
from app.delivery.lane import Lane
from app.delivery.pace import FAILURES_TO_STOP, Pace
from app.delivery.settlement import Entry, done, postponed, retried
from app.embedded import RedisBinary, embedded_redis
from app.store.connection import open_redis
from app.store.keys import FIRST_PUBLIC_STREAM
from tests.builders import delivery

EVENTS: Final = Lane("acme", "custom-event")
ORDERS: Final = Lane("acme", "purchase")
HIGH, NORMAL, LOW, STALE = range(FIRST_PUBLIC_STREAM)
PLENTY: Final = Pace(10_000)
LONG: Final = timedelta(days=1)


@pytest.fixture(scope="module")
def url(redis_binary: RedisBinary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded_redis(tmp_path_factory.mktemp("claim"), server=redis_binary.path, fsync="no") as url:
        yield url


@pytest.fixture
async def redis(url: str) -> AsyncIterator[Redis]:
    client = open_redis(url)
    await client.flushall()
    yield client
    await client.aclose(close_connection_pool=True)


def waiting(
    name: str,
    *,
    priority: int = NORMAL,
    fresh: timedelta | None = LONG,
    left: timedelta = LONG,
    public: bool = False,
) -> Delivery:
    """A delivery that stays fresh, and is sent, for so long from now; `fresh=None`: whatever its age."""
    now = datetime.now(UTC)
    return delivery(
        message_id=name,
        priority=Priority(priority),
        deadline=now + left,
        fresh_until=None if fresh is None else now + fresh,
        public=public,
    )


async def add(redis: Redis, *deliveries: Delivery, lane: Lane = EVENTS, since: timedelta | None = None) -> None:
    """Put them into the lane as the outbox does; `since`: as if they had come in so long ago."""
    for number, each in enumerate(deliveries):
        entry = "*" if since is None else f"{int((datetime.now(UTC) - since).timestamp() * 1000)}-{number}"
        await redis.xadd(lane.keys.streams[each.stream], {b"d": each.packed()}, id=entry)


async def drain(redis: Redis, pace: Pace = PLENTY, lane: Lane = EVENTS) -> LaneConsumer:
    lease = LaneConsumer(redis, lane, pace, journal_entries=0)
    assert await lease.acquire()
    return lease


async def claim(lease: LaneConsumer, most: int = 64, **facts: Any) -> Claim:
    return await lease.claim(most, **({"under_way": 0} | facts))


def names(entries: Sequence[Entry]) -> list[str]:
    return [Delivery.unpacked(entry.payload).message_id for entry in entries]


async def settle(lease: LaneConsumer, claimed: Claim) -> None:
    ends = [(entry, Delivery.unpacked(entry.payload)) for entry in claimed.entries]
    await lease.settle([done(entry, sent, b"{}") for entry, sent in ends])


async def set_pace(redis: Redis, lane: Lane = EVENTS, **fields: float) -> None:
    await cast(Awaitable[int], redis.hset(lane.keys.pace, mapping=fields))


async def stretch(redis: Redis, key: str, seconds: float) -> None:
    """As if the last claim had been so much longer ago."""
    at = float(await cast(Awaitable[bytes], redis.hget(key, "at")))
    await cast(Awaitable[int], redis.hset(key, "at", str(at - seconds * 1000)))


async def stand_still(redis: Redis) -> None:
    """As if the last claim had only just been made, however long the machine takes for the next."""
    now_s, _ = await redis.time()
    await set_pace(redis, at=(now_s + 3600) * 1000)


async def last_claimed(redis: Redis, name: str) -> tuple[float, float]:
    """A number of the pace, and when it was last reckoned (ms)."""
    value, at = await cast(Awaitable[list[bytes]], redis.hmget(EVENTS.keys.pace, [name, "at"]))
    return float(value), float(at)


class TestOrder:
    async def test_is_by_priority_and_then_first_in_first_out(self, redis: Redis) -> None:
        for number in range(2):
            for priority, name in enumerate(("order", "cart", "view")):
                await add(redis, waiting(f"{name} {number}", priority=priority))
        claimed = await claim(await drain(redis))
        assert names(claimed.entries) == ["order 0", "order 1", "cart 0", "cart 1", "view 0", "view 1"]

    async def test_an_order_overtakes_what_has_not_left(self, redis: Redis) -> None:
        await add(redis, *(waiting(f"view {number}", priority=LOW) for number in range(10)))
        lease = await drain(redis)
        assert names((await claim(lease, 2)).entries) == ["view 0", "view 1"]
        await add(redis, waiting("order", priority=HIGH))
        assert names((await claim(lease, 2)).entries) == ["order", "view 2"]

    async def test_a_due_retry_rejoins_its_priority_at_the_end(self, redis: Redis) -> None:
        await add(redis, waiting("cart 1"), waiting("view", priority=LOW), waiting("cart 2"))
        retry = b"%d" % NORMAL + waiting("retried").packed()
        await redis.zadd(EVENTS.keys.retry, {retry: 1})
        assert names((await claim(await drain(redis))).entries) == ["cart 1", "cart 2", "retried", "view"]

    async def test_equal_retries_of_one_event_count_as_they_are_stored(self, redis: Redis) -> None:
        """They are told apart by a byte, which counts too."""
        twin = waiting("twin")
        await add(redis, twin, twin)
        size = SourceBacklog(2, 2 * len(twin.packed()))
        backlog: Any = EVENTS.keys.destination.backlog
        await cast(
            Awaitable[int],
            redis.hset(backlog, mapping={f"calls:{twin.source}": size.calls, f"bytes:{twin.source}": size.bytes}),
        )
        lease = await drain(redis)
        now = datetime.now(UTC)
        again = [(each, Delivery.unpacked(each.payload)) for each in (await claim(lease)).entries]
        await lease.settle([retried(entry, call, b"{}", now, -timedelta(seconds=1)) for entry, call in again])
        await settle(lease, Claim((await claim(lease, 1)).entries))
        [found] = (await source_backlogs(redis, [EVENTS.destination]))[EVENTS.destination].values()
        [left] = (await claim(lease)).entries
        assert found == SourceBacklog(1, len(left.payload))


class TestPublicSources:
    """What pages send never delays what servers send, and the other way round."""

    async def test_get_half_of_what_may_leave_whatever_waits(self, redis: Redis) -> None:
        await add(redis, *(waiting(f"page {n}", priority=HIGH, public=True) for n in range(100)))
        await add(redis, *(waiting(f"server {n}", priority=LOW) for n in range(100)))
        claimed = names((await claim(await drain(redis), 10)).entries)
        assert sorted(claimed) == [f"page {n}" for n in range(5)] + [f"server {n}" for n in range(5)]

    async def test_take_turns_where_one_call_leaves_at_a_time(self, redis: Redis) -> None:
        await add(redis, *(waiting(f"page {n}", public=True) for n in range(100)))
        await add(redis, *(waiting(f"server {n}") for n in range(100)))
        lease = await drain(redis)
        claimed = [name for _ in range(10) for name in names((await claim(lease, 1)).entries)]
        assert [name.split()[0] for name in claimed] == ["server", "page"] * 5

    async def test_delay_no_server_however_many_calls_of_theirs_wait(self, redis: Redis) -> None:
        await add(redis, *(waiting(f"page {n}", priority=HIGH, public=True) for n in range(500)))
        lease = await drain(redis)
        await claim(lease, 10)
        await add(redis, waiting("order", priority=LOW))
        assert "order" in names((await claim(lease, 2)).entries)

    @pytest.mark.parametrize("public", [True, False], ids=["public", "trusted"])
    async def test_get_all_that_others_leave(self, redis: Redis, public: bool) -> None:
        await add(redis, *(waiting(f"one {n}", public=public) for n in range(20)))
        await add(redis, waiting("other", public=not public))
        claimed = names((await claim(await drain(redis), 10)).entries)
        assert (len(claimed), "other" in claimed) == (10, True)

    async def test_keep_their_priorities(self, redis: Redis) -> None:
        for priority, name in reversed(list(enumerate(("order", "cart", "view")))):
            await add(redis, waiting(name, priority=priority, public=True))
        assert names((await claim(await drain(redis))).entries) == ["order", "cart", "view"]

    async def test_have_a_stream_of_their_own_for_what_is_stale(self, redis: Redis) -> None:
        await add(redis, waiting("old", fresh=-LONG, public=True), waiting("new", priority=LOW, public=True))
        lease = await drain(redis)
        claimed = await claim(lease)
        assert names(claimed.entries) == ["new", "old"]
        assert [entry.stream for entry in claimed.entries] == [FIRST_PUBLIC_STREAM + LOW, FIRST_PUBLIC_STREAM + STALE]

    async def test_save_up_nothing_while_they_are_silent(self, redis: Redis) -> None:
        await add(redis, *(waiting(f"server {n}") for n in range(300)))
        lease = await drain(redis)
        for _ in range(10):
            await claim(lease, 20)
        await add(redis, *(waiting(f"page {n}", public=True) for n in range(100)))
        assert sum("page" in name for name in names((await claim(lease, 10)).entries)) in {5, 6}

    async def test_retry_in_their_own_streams(self, redis: Redis) -> None:
        retry = b"%d" % (FIRST_PUBLIC_STREAM + NORMAL) + waiting("retried", public=True).packed()
        await redis.zadd(EVENTS.keys.retry, {retry: 1})
        claimed = await claim(await drain(redis))
        assert (names(claimed.entries), claimed.entries[0].stream) == (["retried"], FIRST_PUBLIC_STREAM + NORMAL)


class TestStaleness:
    async def test_puts_an_event_behind_all_that_are_fresh(self, redis: Redis) -> None:
        gone = timedelta(seconds=-1)
        await add(redis, waiting("old order", priority=HIGH, fresh=gone), waiting("old cart", fresh=gone))
        await add(redis, waiting("order", priority=HIGH), waiting("cart"), waiting("view", priority=LOW))
        lease = await drain(redis)
        assert names((await claim(lease, 3)).entries) == ["order", "cart", "view"]
        assert names((await claim(lease)).entries) == ["old order", "old cart"]

    async def test_comes_to_what_waits(self, redis: Redis) -> None:
        """Nobody looks at an event when it goes stale: it is found out when its turn comes."""
        await add(redis, waiting("first", fresh=timedelta(milliseconds=30)), waiting("second"))
        lease = await drain(redis)
        await asyncio.sleep(0.05)
        assert names((await claim(lease)).entries) == ["second", "first"]

    async def test_is_not_for_calls_that_do_not_age(self, redis: Redis) -> None:
        await add(redis, waiting("identity link", fresh=None), waiting("event"))
        assert names((await claim(await drain(redis))).entries) == ["identity link", "event"]

    async def test_of_many_costs_the_fresh_one_behind_them_nothing(self, redis: Redis) -> None:
        """After a long outage: a claim moves hundreds of stale ones aside to find one that is fresh."""
        await add(redis, *(waiting(f"old {number}", fresh=timedelta(0)) for number in range(400)), waiting("fresh"))
        lease = await drain(redis)
        assert names((await claim(lease, 1)).entries) == ["fresh"]

    async def test_of_more_than_one_claim_can_move_takes_several(self, redis: Redis) -> None:
        await add(redis, *(waiting(f"old {number}", fresh=timedelta(0)) for number in range(1200)), waiting("fresh"))
        lease = await drain(redis, Pace(100_000))
        claims = [await claim(lease, 1)]
        while not claims[-1].entries:
            assert claims[-1].wait > timedelta(), "the drain comes back, and does not wait for something to arrive"
            claims.append(await claim(lease, 1))
        assert (len(claims), names(claims[-1].entries)) == (3, ["fresh"])

    async def test_survives_retries(self, redis: Redis) -> None:
        retry = b"%d" % STALE + waiting("old", fresh=timedelta(0)).packed()
        await redis.zadd(EVENTS.keys.retry, {retry: 1})
        await add(redis, waiting("view", priority=LOW))
        assert names((await claim(await drain(redis))).entries) == ["view", "old"]

    async def test_beyond_the_deadline_costs_no_token(self, redis: Redis) -> None:
        """It becomes a dead letter; what can still be sent does not wait for that."""
        past = timedelta(seconds=-1)
        await add(redis, *(waiting(f"too late {n}", fresh=past, left=past) for n in range(20)), waiting("fresh"))
        lease = await drain(redis, Pace(1))
        assert names((await claim(lease)).entries) == ["fresh"]
        assert len((await claim(lease, 15)).entries) == 15
        assert len((await claim(lease, 15)).entries) == 5
        assert float(await cast(Awaitable[bytes], redis.hget(EVENTS.keys.pace, "tokens"))) >= 1, "of two, one was spent"

    async def test_a_delivery_of_an_earlier_form_is_sent_like_a_fresh_one(self, redis: Redis) -> None:
        await redis.xadd(EVENTS.keys.streams[NORMAL], {b"d": b'{"v":1,"message_id":"early","deadline":1}'})
        assert len((await claim(await drain(redis))).entries) == 1


class TestStarvation:
    PACE: Final = Pace(10_000, starvation_limit=timedelta(seconds=60))

    async def rounds(self, redis: Redis, lease: LaneConsumer, claims: int) -> list[str]:
        """What leaves in so many claims of ten."""
        left: list[str] = []
        for _ in range(claims):
            left += names((await claim(lease, 10)).entries)
        return left

    async def test_gives_what_waited_too_long_a_tenth(self, redis: Redis) -> None:
        await add(redis, *(waiting(f"view {n}", priority=LOW) for n in range(50)), since=timedelta(seconds=90))
        await add(redis, *(waiting(f"order {n}", priority=HIGH) for n in range(200)))
        left = await self.rounds(redis, await drain(redis, self.PACE), 10)
        assert [name for name in left if "view" in name] == [f"view {n}" for n in range(10)]

    async def test_begins_when_it_is_over(self, redis: Redis) -> None:
        await add(redis, *(waiting(f"view {n}", priority=LOW) for n in range(50)), since=timedelta(seconds=30))
        await add(redis, *(waiting(f"order {n}", priority=HIGH) for n in range(200)))
        left = await self.rounds(redis, await drain(redis, self.PACE), 10)
        assert all("order" in name for name in left)

    async def test_serves_who_has_waited_longest(self, redis: Redis) -> None:
        await add(redis, waiting("view", priority=LOW), since=timedelta(seconds=100))
        await add(redis, waiting("cart 1"), waiting("cart 2"), since=timedelta(seconds=90))
        await add(redis, *(waiting(f"order {n}", priority=HIGH) for n in range(200)))
        left = await self.rounds(redis, await drain(redis, self.PACE), 4)
        assert [name for name in left if "order" not in name] == ["view", "cart 1", "cart 2"]

    async def test_is_for_what_is_stale_too(self, redis: Redis) -> None:
        await redis.xadd(EVENTS.keys.streams[STALE], {b"d": waiting("old").packed()}, id="1-1")
        await add(redis, *(waiting(f"order {n}", priority=HIGH) for n in range(200)))
        assert "old" in await self.rounds(redis, await drain(redis, self.PACE), 2)

    async def test_forgets_what_has_left(self, redis: Redis) -> None:
        """A claimed delivery stays in its stream until it is settled, and must not look as if it still waited."""
        await add(redis, waiting("view 1", priority=LOW), since=timedelta(seconds=90))
        lease = await drain(redis, self.PACE)
        assert names((await claim(lease)).entries) == ["view 1"]
        await add(redis, waiting("view 2", priority=LOW))
        await add(redis, *(waiting(f"order {n}", priority=HIGH) for n in range(200)))
        assert "view 2" not in await self.rounds(redis, lease, 10)


class TestThePace:
    async def test_lets_out_two_at_once_and_then_what_has_accrued(self, redis: Redis) -> None:
        await add(redis, *(waiting(str(n)) for n in range(50)))
        lease = await drain(redis, Pace(10))
        first = await claim(lease)
        assert len(first.entries) == 2
        await stand_still(redis)
        second = await claim(lease)
        assert (len(second.entries), second.wait > timedelta(milliseconds=50)) == (0, True)
        _, at = await last_claimed(redis, "tokens")
        await stretch(redis, EVENTS.keys.pace, 0.11)
        third = await claim(lease)
        _, now = await last_claimed(redis, "tokens")
        assert len(third.entries) == min(2, int(9.5 * (0.11 + (now - at) / 1000)))

    async def test_leaves_room_in_attentives_second(self, redis: Redis) -> None:
        await add(redis, *(waiting(str(n)) for n in range(50)))
        lease = await drain(redis, Pace(100))
        assert len((await claim(lease, recent=93)).entries) == 7
        full = await claim(lease, recent=100)
        assert (len(full.entries), full.wait >= timedelta(milliseconds=20)) == (0, True)
        assert len((await claim(lease, recent=400)).entries) == 0, "after a limit has come down"

    @pytest.mark.parametrize("key", [EVENTS.keys.hold, EVENTS.keys.destination.hold])
    async def test_that_ends_at_a_hold_leaves_it_to_the_sweep_to_wake_the_lane(self, redis: Redis, key: str) -> None:
        await add(redis, waiting("1"))
        lease = await drain(redis)
        await redis.set(key, "401", ex=60)
        assert await lease.release() is None, "another drain would end at the hold at once, and so would the next"
        await redis.delete(key)
        again = await drain(redis)
        assert await again.release() is not None

    async def test_hands_over_what_stands_in_attentives_second(self, redis: Redis) -> None:
        await add(redis, *(waiting(str(n)) for n in range(50)))
        first = await drain(redis, Pace(100))
        assert first.before[0] == 0
        await claim(first, 5, recent=80)
        await stretch(redis, EVENTS.keys.pace, 0.5)
        await first.release()
        recent, ago = (await drain(redis, Pace(100))).before
        assert (recent, ago >= timedelta(seconds=0.5)) == (85, True)

    async def test_of_less_than_one_a_second_is_a_pace_too(self, redis: Redis) -> None:
        await add(redis, waiting("only"))
        assert len((await claim(await drain(redis, Pace(0.2)))).entries) == 1

    @pytest.mark.parametrize(
        ("learned", "fixed", "others", "rate"),
        [
            pytest.param(None, False, 0, 95, id="the documented limit"),
            pytest.param(40, False, 0, 38, id="a lower one that Attentive tells"),
            pytest.param(300, False, 0, 285, id="a higher one that Attentive tells"),
            pytest.param(40, True, 0, 38, id="the operator's, lowered by Attentive's"),
            pytest.param(300, True, 0, 95, id="the operator's, never raised by Attentive's"),
            pytest.param(100, False, 40, 47.5, id="what others leave"),
            pytest.param(200, True, 60, 95, id="the operator's, where others leave enough"),
            pytest.param(200, True, 112, 57, id="what others leave of the operator's"),
            pytest.param(100, False, 100, 23.75, id="never less than a quarter"),
        ],
    )
    async def test_follows_the_limit(
        self, redis: Redis, learned: float | None, fixed: bool, others: float, rate: float
    ) -> None:
        if learned is not None:
            await set_pace(redis, limit=learned)
        await claim(await drain(redis, Pace(100, fixed=fixed)), others=others)
        facts = await cast(Awaitable[dict[bytes, bytes]], redis.hgetall(EVENTS.keys.pace))
        assert float(facts[b"rate"]) == pytest.approx(rate, rel=0.01)

    async def test_forgets_others_by_half_each_second(self, redis: Redis) -> None:
        await set_pace(redis, limit=100)
        lease = await drain(redis, Pace(100))
        await claim(lease, others=64)
        others, at = await last_claimed(redis, "others")
        assert others == 64
        for _ in range(3):
            await stretch(redis, EVENTS.keys.pace, 1)
            await claim(lease)
            left, now = await last_claimed(redis, "others")
            passed_s = 1 + (now - at) / 1000
            assert left == pytest.approx(others * 0.5**passed_s, abs=0.02)
            others, at = left, now

    async def test_climbs_back_within_four_seconds_of_a_429(self, redis: Redis) -> None:
        lease = await drain(redis, Pace(100))
        await claim(lease)
        await set_pace(redis, backoff=0.5)
        backoff, at = await last_claimed(redis, "backoff")
        for _ in range(2):
            await stretch(redis, EVENTS.keys.pace, 2)
            await claim(lease)
            climbed, now = await last_claimed(redis, "backoff")
            passed_s = 2 + (now - at) / 1000
            assert climbed == pytest.approx(min(1, backoff * 2 ** (passed_s / 4)), 0.01)
            backoff, at = climbed, now
        assert backoff == 1

    async def test_after_a_run_of_failures_asks_with_one_call(self, redis: Redis) -> None:
        await add(redis, *(waiting(str(n)) for n in range(5)))
        await set_pace(redis, failures=FAILURES_TO_STOP)
        lease = await drain(redis)
        assert len((await claim(lease)).entries) == 1
        assert (await claim(lease, under_way=1)).entries == ()


class TestACeiling:
    """100 calls a second for the account, and two lanes of 1,000 each."""

    PACE: Final = Pace(1000, ceiling=100)

    async def lanes(self, redis: Redis, *, orders: int, events: int) -> tuple[LaneConsumer, LaneConsumer]:
        await add(redis, *(waiting(f"order {n}") for n in range(orders)), lane=ORDERS)
        await add(redis, *(waiting(f"event {n}") for n in range(events)))
        return await drain(redis, self.PACE, ORDERS), await drain(redis, self.PACE, EVENTS)

    async def sent(
        self, redis: Redis, leases: Sequence[LaneConsumer], *, steps: int, step_s: float = 0.02
    ) -> list[int]:
        """How many leave each lane when the drains ask one right after the other, again and again."""
        counts = [0] * len(leases)
        for _ in range(steps):
            for place, lease in enumerate(leases):
                claimed = await claim(lease)
                counts[place] += len(claimed.entries)
                await settle(lease, claimed)
            await stretch(redis, EVENTS.keys.destination.ceiling, step_s)
        return counts

    async def test_holds_for_all_lanes_together(self, redis: Redis) -> None:
        leases = await self.lanes(redis, orders=300, events=300)
        began = time.monotonic()
        sent = sum(await self.sent(redis, leases, steps=50))
        assert 90 <= sent <= 5 + 95 * (1 + time.monotonic() - began)

    async def test_is_shared_evenly_by_lanes_that_want_more(self, redis: Redis) -> None:
        """The one that always asks first, right when something has accrued, gets no more than the other."""
        leases = await self.lanes(redis, orders=300, events=300)
        first, second = await self.sent(redis, leases, steps=50)
        assert abs(first - second) <= 12, (first, second)

    async def test_leaves_a_lane_what_another_does_not_want(self, redis: Redis) -> None:
        leases = await self.lanes(redis, orders=5, events=300)
        first, second = await self.sent(redis, leases, steps=50)
        assert first == 5
        assert second >= 85

    async def test_lets_a_lane_in_at_once_that_seldom_wants_something(self, redis: Redis) -> None:
        orders, events = await self.lanes(redis, orders=0, events=600)
        await self.sent(redis, (orders, events), steps=50)
        await add(redis, waiting("order"), lane=ORDERS)
        assert (await self.sent(redis, (events, orders), steps=4))[1] == 1

    async def test_does_not_wait_for_a_lane_whose_worker_is_gone(self, redis: Redis) -> None:
        orders, events = await self.lanes(redis, orders=300, events=600)
        await self.sent(redis, (orders, events), steps=10)
        asked = f"asked:{ORDERS.endpoint}"
        ceiling = EVENTS.keys.destination.ceiling
        now_s, _ = await redis.time()
        just_now = {asked: (now_s + 3600) * 1000}  # however long the machine takes
        await cast(Awaitable[int], redis.hset(ceiling, mapping=just_now))
        before = await self.sent(redis, (events,), steps=10)
        assert before[0] <= 10, "it may be coming"
        await cast(Awaitable[int], redis.hset(ceiling, mapping={asked: 1}))
        assert (await self.sent(redis, (events,), steps=10))[0] >= 15

    async def test_is_off_unless_it_is_set(self, redis: Redis) -> None:
        await claim(await drain(redis))
        assert not await redis.exists(EVENTS.keys.destination.ceiling)


async def test_what_an_older_worker_cannot_read_comes_back_as_it_is_and_leaves_no_trace(redis: Redis) -> None:
    newer = waiting("a").packed().replace(b'{"v":2', b'{"v":99', 1)
    await redis.xadd(EVENTS.keys.streams[NORMAL], {b"d": newer})
    older = await drain(redis)
    for _ in range(3):
        (entry,) = (await claim(older)).entries
        assert entry.payload == newer
        await older.settle([postponed(entry, datetime.now(UTC) - timedelta(seconds=1))])
    left = [key async for key in redis.scan_iter(match="*")]
    assert not [key for key in left if b"journal" in key or b"dead" in key]


class TestTheTimeSinceWhichCallsWaitForTheLimit:
    async def test_begins_when_more_waits_than_may_leave_and_goes_on_over_drains(self, redis: Redis) -> None:
        await add(redis, *(waiting(f"m{number}") for number in range(10)))
        lease = await drain(redis, Pace(1))
        first = await claim(lease)
        assert first.waits.limited_since_ms > 0
        await stand_still(redis)
        assert (await claim(lease)).waits.limited_since_ms == first.waits.limited_since_ms
        await lease.release()
        await stand_still(redis)
        assert (await claim(await drain(redis, Pace(1)))).waits.limited_since_ms == first.waits.limited_since_ms

    async def test_is_none_while_all_may_leave(self, redis: Redis) -> None:
        await add(redis, waiting("m1"))
        lease = await drain(redis)
        assert (await claim(lease)).waits.limited_since_ms == 0
        assert (await claim(lease)).waits.limited_since_ms == 0

    async def test_ends_once_nothing_waits(self, redis: Redis) -> None:
        await add(redis, *(waiting(f"m{number}") for number in range(3)))
        lease = await drain(redis, Pace(20))
        first = await claim(lease)
        assert (len(first.entries), first.waits.limited_since_ms > 0) == (2, True)
        await stretch(redis, EVENTS.keys.pace, 0.15)  # for two, of which one is used
        last = await claim(lease)
        assert (len(last.entries), last.waits) == (1, first.waits)  # it has waited for the limit until now
        assert (await claim(lease)).waits.limited_since_ms == 0

    async def test_is_none_where_the_drain_has_no_room_for_more(self, redis: Redis) -> None:
        await add(redis, *(waiting(f"m{number}") for number in range(10)))
        assert (await claim(await drain(redis), 2)).waits.limited_since_ms == 0

    async def test_begins_anew_after_a_time_in_which_no_drain_asked(self, redis: Redis) -> None:
        await add(redis, *(waiting(f"m{number}") for number in range(50)))
        lease = await drain(redis, Pace(1))
        first = await claim(lease)
        while (now := await redis.time())[0] * 1000 + now[1] // 1000 <= first.waits.limited_since_ms:
            pass  # until the clock of Redis shows a later millisecond
        await stretch(redis, EVENTS.keys.pace, 10)
        assert (await claim(lease)).waits.limited_since_ms > first.waits.limited_since_ms


class TestTheLastHoldOfALane:
    async def test_is_known_to_the_claims_after_it(self, redis: Redis) -> None:
        await add(redis, waiting("m1"))
        lease = await drain(redis)
        await redis.set(EVENTS.keys.hold, "why", px=3_600_000)
        assert (await claim(lease)).held
        from_ms, until_ms = await cast(
            Awaitable[list[bytes]], redis.hmget(EVENTS.keys.pace, ["held_from", "held_until"])
        )
        assert 0 < int(until_ms) - int(from_ms) <= 3_600_000
        await redis.delete(EVENTS.keys.hold)
        await set_pace(redis, held_until=int(from_ms))  # as if it had been that short
        for _ in range(2):
            waits = (await claim(lease)).waits
            assert (waits.held_from_ms, waits.held_until_ms) == (int(from_ms), int(from_ms))

    async def test_ends_when_an_operator_ends_it(self, redis: Redis) -> None:
        await add(redis, waiting("m1"))
        lease = await drain(redis)
        await redis.set(EVENTS.keys.destination.hold, "why", px=3_600_000)
        assert (await claim(lease)).held
        await redis.delete(EVENTS.keys.destination.hold)
        waits = (await claim(lease)).waits
        seconds, micros = await redis.time()
        assert waits.held_from_ms <= waits.held_until_ms <= seconds * 1000 + micros // 1000

    async def test_is_noted_while_no_drain_asks(self, redis: Redis) -> None:
        await add(redis, waiting("m1"))
        await redis.set(EVENTS.keys.hold, "why", px=3_600_000)
        assert await lanes_to_wake(redis, [EVENTS]) == []
        await redis.delete(EVENTS.keys.hold)
        assert (await claim(await drain(redis))).waits.held_from_ms > 0

    @pytest.mark.parametrize(
        ("ended_s", "continues"),
        [
            pytest.param(1, True, id="soon after the one before: it continues that"),
            pytest.param(60, False, id="long after the one before"),
        ],
    )
    async def test_may_continue_the_one_before(self, redis: Redis, ended_s: int, continues: bool) -> None:
        seconds, _ = await redis.time()
        before = {"held_from": (seconds - 600) * 1000, "held_until": (seconds - ended_s) * 1000}
        await add(redis, waiting("m1"))
        lease = await drain(redis)
        await set_pace(redis, **before)
        await redis.set(EVENTS.keys.hold, "why", px=3_600_000)
        await claim(lease)
        await redis.delete(EVENTS.keys.hold)
        assert ((await claim(lease)).waits.held_from_ms == before["held_from"]) is continues

    async def test_is_not_noted_by_a_full_redis_whose_lanes_are_held_as_ever(self, redis: Redis) -> None:
        await add(redis, waiting("m1"))
        lease = await drain(redis)
        await redis.set(EVENTS.keys.hold, "why", px=3_600_000)
        await redis.config_set("maxmemory", 1)
        try:
            assert (await claim(lease)).held
            await lease.release()
            assert await lanes_to_wake(redis, [EVENTS]) == []
        finally:
            await redis.config_set("maxmemory", 0)
