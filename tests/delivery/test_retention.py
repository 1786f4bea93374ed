"""How long letters are kept, and how many of each source: the oldest go, counted, long after a first warning."""

import itertools
import random
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
import pytest
from redis.asyncio import Redis

from app.delivery.consumer import LaneConsumer
from app.delivery.counters import read_counters
from app.delivery.dead_letter import DeadLetter, DeadLetterQueue, Filter, kept_key, queue_key
from app.delivery.dead_letters import dead_letters, discard, edit, replay
from app.delivery.delivery import Delivery, event_key
from app.delivery.lane import Lane
from app.delivery.outbox import Outbox
from app.delivery.outbox_event import OutboxEvent
from app.delivery.pace import Pace
from app.delivery.retention import Kept, Retention, Share, evict, read_kept
from app.delivery.settlement import Entry, dead_lettered, unresolved
from app.delivery.unknown import WhenUnknown
from app.gauges import read_dead_letters
from app.metrics import Readings
from app.value import changed
from tests.builders import delivery
from tests.hostile.corpus import plain_of_size

DAY: Final = timedelta(days=1)
RETENTION: Final = Retention(10 * DAY, 10)
NOW: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
# The second part of each entry's ID: letters of the same millisecond must ascend too.
_SEQUENCE: Final = itertools.count()


async def bury(
    redis: Redis, *ages: timedelta, queue: DeadLetterQueue = DeadLetterQueue.DEAD, source: str = "web"
) -> None:
    """Letters of these ages, the oldest first."""
    for number, age in enumerate(ages):
        when = int((datetime.now(UTC) - age).timestamp() * 1000)
        stored = letter(f"m-{number}", source).packed()
        await redis.xadd(queue_key("acme", queue), {b"s": source, b"d": stored}, id=f"{when}-{next(_SEQUENCE)}")
        kept: Any = kept_key("acme", queue)
        await redis.hincrby(kept, f"letters:{source}", 1)  # type: ignore[misc]
        await redis.hincrby(kept, f"bytes:{source}", 64 + len(stored))  # type: ignore[misc]


def letter(message_id: str, source: str, *, text: str = "") -> DeadLetter:
    """An event that never became a call."""
    event = b'{"note":"%b"}' % text.encode()
    return DeadLetter(message_id, source, "unmappable", "price: missing", event, NOW)


def failed(message_id: str, source: str, *, text: str = "") -> OutboxEvent:
    """An event that becomes a dead letter at once."""
    stored = letter(message_id, source, text=text).packed()
    key = event_key(source, message_id)
    return OutboxEvent(key, message_id, b"{}", "dead:unmappable", dead_letter=stored, source=source)


def outbox(redis: Redis, retention: Retention) -> Outbox:
    return Outbox(redis, wake=lambda *_: None, journal_entries=100, retention=retention)


async def shares(redis: Redis, queue: DeadLetterQueue = DeadLetterQueue.DEAD) -> dict[str, Share]:
    """What each source has, checked against the queue itself."""
    kept = next(each for each in await read_kept(redis, ["acme"]) if each.queue is queue)
    entries = await redis.xrange(queue_key("acme", queue))
    counted: dict[str, Share] = {}
    for _, fields in entries:
        before = counted.get(source := fields[b"s"].decode(), Share(0, 0))
        counted[source] = Share(before.letters + 1, before.bytes + 64 + len(fields[b"d"]))
    assert dict(kept.shares) == counted
    return counted


async def names(redis: Redis, queue: DeadLetterQueue = DeadLetterQueue.DEAD) -> list[str]:
    found = dead_letters(redis, ["acme"], Filter(), now=datetime.now(UTC), queue=queue)
    return [each.message_id async for each in found]


async def evicted(redis: Redis) -> dict[tuple[str, str, str], int]:
    (counters,) = await read_counters(redis, ["acme"])
    return dict(counters.evicted)


@pytest.mark.parametrize(
    ("letters", "size", "oldest", "fill"),
    [
        pytest.param(0, 0, timedelta(), 0, id="nothing kept"),
        pytest.param(5, 0, DAY, 0.5, id="half of the number"),
        pytest.param(1, 3 * 2**24, DAY, 0.75, id="three quarters of the bytes"),
        pytest.param(1, 0, 8 * DAY, 0.8, id="four fifths of the time"),
        pytest.param(10, 2**26, 10 * DAY, 1, id="all of it"),
    ],
)
def test_fill_is_the_largest_share(letters: int, size: int, oldest: timedelta, fill: float) -> None:
    shares = {"web": Share(letters, size), "shop": Share(1, 1)} if letters else {}
    assert Kept("acme", DeadLetterQueue.DEAD, letters, oldest, shares).fill(RETENTION) == pytest.approx(fill)


async def test_what_is_too_old_goes_and_is_counted(redis: Redis) -> None:
    await bury(redis, 30 * DAY, 11 * DAY, 9 * DAY, DAY)
    await bury(redis, 12 * DAY, queue=DeadLetterQueue.REVIEW, source="shop")
    await evict(redis, ["acme"], RETENTION)
    assert (await names(redis), await names(redis, DeadLetterQueue.REVIEW)) == (["m-2", "m-3"], [])
    expected = {("dead", "age", "web"): 2, ("review", "age", "shop"): 1}
    assert await evicted(redis) == expected
    await evict(redis, ["acme"], RETENTION)
    assert await evicted(redis) == expected


async def test_any_number_of_old_letters_goes_in_slices(redis: Redis) -> None:
    await bury(redis, *(timedelta(days=20, seconds=-number) for number in range(350)), DAY)
    await evict(redis, ["acme"], RETENTION)
    assert await names(redis) == ["m-350"]
    assert await evicted(redis) == {("dead", "age", "web"): 350}


async def test_what_a_source_has_too_much_of_goes_the_oldest_first(redis: Redis) -> None:
    await bury(redis, *(timedelta(hours=40 - hour) for hour in range(5)), source="shop")
    await bury(redis, *(timedelta(hours=20 - hour) for hour in range(15)))
    await evict(redis, ["acme"], RETENTION)
    assert await names(redis) == [f"m-{number}" for number in (*range(5), *range(5, 15))]
    assert await evicted(redis) == {("dead", "share", "web"): 5}


async def test_what_is_kept_of_a_large_event_is_packed_and_whole(redis: Redis) -> None:
    large = orjson.dumps(plain_of_size(30_000))
    buried = DeadLetter("m-1", "web", "unmappable", "price: missing", large, NOW)
    arrival = failed("m-1", "web")
    await outbox(redis, Retention()).submit("acme", [changed(arrival, dead_letter=buried.packed())])
    assert (await shares(redis))["web"].bytes < len(large) / 4
    (found,) = [each async for each in dead_letters(redis, ["acme"], Filter(), now=datetime.now(UTC))]
    assert found.event == large


class TestASourceThatFloods:
    async def test_has_no_more_than_its_number_and_others_keep_theirs(self, redis: Redis) -> None:
        place = outbox(redis, Retention(DAY, 10))
        await place.submit("acme", [failed(f"order-{number}", "shop") for number in range(10)])
        for start in range(0, 1000, 50):
            await place.submit("acme", [failed(f"junk-{start + number}", "web") for number in range(50)])
        found = await shares(redis)
        assert (found["shop"].letters, found["web"].letters) == (10, 10)
        assert await names(redis) == [f"order-{n}" for n in range(10)] + [f"junk-{n}" for n in range(990, 1000)]
        assert await evicted(redis) == {("dead", "share", "web"): 990}

    async def test_has_no_more_than_its_bytes(self, redis: Redis) -> None:
        place = outbox(redis, Retention(DAY, 10_000, 2**20))
        await place.submit("acme", [failed("order", "shop")])
        for number in range(40):
            text = random.Random(number).randbytes(1500).hex()  # which LZ4 cannot shrink much
            await place.submit("acme", [failed(f"junk-{number}-{n}", "web", text=text[n:]) for n in range(25)])
        found = await shares(redis)
        assert 2**19 < found["web"].bytes <= 2**20
        assert found["shop"].letters == 1

    async def test_gets_rid_of_its_own_among_many_of_others(self, redis: Redis) -> None:
        """The oldest of a source are looked for in slices, from where the last search ended."""
        place = outbox(redis, Retention(DAY, 3000))
        for start in range(0, 3000, 100):
            await place.submit("acme", [failed(f"order-{start + number}", "shop") for number in range(100)])
            await place.submit("acme", [failed(f"junk-{start}", "web")])
        small = outbox(redis, Retention(DAY, 3000))
        for start in range(0, 6000, 100):
            await small.submit("acme", [failed(f"more-{start + number}", "web") for number in range(100)])
        found = await shares(redis)
        assert found["shop"].letters == 3000
        assert found["web"].letters <= 3000
        await evict(redis, ["acme"], Retention(DAY, 3000, 64 * 2**20))
        assert (await shares(redis))["web"].letters == 3000

    async def test_by_calls_that_fail_loses_its_own_too(self, redis: Redis) -> None:
        lane = Lane("acme", "custom-event")
        consumer = LaneConsumer(redis, lane, Pace(1000), journal_entries=10, retention=Retention(DAY, 5))
        assert await consumer.acquire()
        for source, calls in (("shop", 5), ("web", 20)):
            ends = []
            for number in range(calls):
                sent = delivery(message_id=f"{source}-{number}", source=source, endpoint="custom-event")
                entry = await claimed(redis, lane, sent)
                buried = DeadLetter.of(sent, "http_400", "", {})
                ends.append(dead_lettered(entry, sent, b"{}", buried))
                entry = await claimed(redis, lane, sent)
                ends.append(unresolved(entry, sent, b"{}", WhenUnknown.REVIEW, buried))
            await consumer.settle(ends)
        for queue in DeadLetterQueue:
            assert {source: share.letters for source, share in (await shares(redis, queue)).items()} == {
                "shop": 5,
                "web": 5,
            }
        assert await evicted(redis) == {("dead", "share", "web"): 15, ("review", "share", "web"): 15}


async def claimed(redis: Redis, lane: Lane, sent: Delivery) -> Entry:
    """A call that a drain holds."""
    stream = lane.keys.streams[sent.stream]
    entry_id = await redis.xadd(stream, {b"d": sent.packed()})
    await redis.xreadgroup("workers", "drain", {stream: ">"})
    return Entry(sent.stream, entry_id, sent.packed())


async def test_every_way_out_of_a_queue_is_counted(redis: Redis) -> None:
    place = outbox(redis, RETENTION)
    await place.submit("acme", [failed(f"m-{number}", "web", text="x" * number) for number in range(5)])
    first, second, third, *_ = [each async for each in dead_letters(redis, ["acme"], Filter(), now=datetime.now(UTC))]
    assert await discard(redis, first, journal_entries=10)
    assert not await discard(redis, first, journal_entries=10)
    assert (await shares(redis))["web"].letters == 4
    assert await replay(redis, second, deliveries=[], ending="dropped:no_identity", record=b"{}", journal_entries=10)
    assert (await shares(redis))["web"].letters == 3
    longer = letter("m-2", "web", text="y" * 5000)
    assert await edit(redis, third, longer, record=b"{}", journal_entries=10)
    assert (await shares(redis))["web"].letters == 3
    async for each in dead_letters(redis, ["acme"], Filter(), now=datetime.now(UTC)):
        await discard(redis, each, journal_entries=10)
    assert await shares(redis) == {}
    assert not await redis.exists(kept_key("acme", DeadLetterQueue.DEAD))


async def test_metrics_show_how_near_it_is_and_who_has_what(redis: Redis) -> None:
    await bury(redis, 5 * DAY, DAY)
    await bury(redis, DAY, source="shop")
    readings = Readings()
    await read_dead_letters(readings, redis, ["acme"], RETENTION)
    pages = {family.name: family for family in readings.collect()}
    oldest, fill, sizes = (pages[f"gateway_dead_letters_{name}"] for name in ("oldest_seconds", "fill_ratio", "bytes"))
    values = {sample.labels["queue"]: sample.value for sample in fill.samples}
    assert values == {"dead": pytest.approx(0.5, abs=0.01), "review": 0}
    assert oldest.samples[0].value == pytest.approx(5 * 86_400, rel=0.01)
    assert {sample.labels["source"] for sample in sizes.samples if sample.value > 100} == {"shop", "web"}
