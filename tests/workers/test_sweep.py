"""The sweep wakes lanes, whatever became of hints, and lets go of dead letters that are too old or too many."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from arq.constants import in_progress_key_prefix
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from structlog.testing import capture_logs

from app.config.topology import Topology
from app.delivery.counters import read_counters
from app.delivery.journal.journal import bound_journals
from app.gauges import read_counts
from app.metrics import DeliveryMetrics, Readings
from app.settings import load_settings
from app.store.connection import open_redis
from app.store.keys import DestinationKeys, LaneKeys
from workers.context import WorkerContext
from workers.sweep import WAKE_AGAIN_S, WARN_EVERY_S, look_after_dead_letters, sweep, wake_due

DAY: Final = timedelta(days=1)
KEYS: Final = DestinationKeys("acme")


async def bury(redis: Redis, age: timedelta, letters: int = 1, source: str = "s") -> None:
    when = int((datetime.now(UTC) - age).timestamp() * 1000)
    for number in range(letters):
        await redis.xadd(KEYS.dead, {b"s": source, b"d": b"{}"}, id=f"{when}-{number}")
    await redis.hset(KEYS.dead_kept, mapping={f"letters:{source}": letters, f"bytes:{source}": 66 * letters})  # type: ignore[misc]


@pytest.fixture
async def context(url: str, redis: Redis) -> AsyncIterator[WorkerContext]:
    settings = load_settings(dead_letter_days=10, dead_letter_entries=10)
    topology = Topology.model_validate(
        {
            "destinations": {"acme": {"api_token": "t"}},
            "sources": {"s": {"write_key": "k", "destination": "acme"}},
        }
    )
    opened = WorkerContext.open(open_redis(url), settings, topology, DeliveryMetrics(CollectorRegistry()))
    yield opened
    await opened.close()
    await opened.redis.aclose(close_connection_pool=True)


async def test_dead_letters_that_are_nearly_too_many_are_warned_of_once_an_hour(
    context: WorkerContext, redis: Redis
) -> None:
    await bury(redis, DAY, 8)
    with capture_logs() as said:
        for now in (0.0, 60.0, WARN_EVERY_S + 1):
            await look_after_dead_letters(context, context.destinations, now=now)
    assert [line["event"] for line in said] == ["dead_letters.nearly_full"] * 2
    assert (said[0]["destination"], said[0]["dead_letters"]) == ("acme", 8)
    assert await redis.xlen(KEYS.dead) == 8, "nothing is let go yet"


async def test_deleted_letters_are_logged_by_source(context: WorkerContext, redis: Redis) -> None:
    await bury(redis, 11 * DAY)
    await bury(redis, DAY, 12, source="page")
    with capture_logs() as logged:
        await look_after_dead_letters(context, context.destinations, now=0.0)
        await look_after_dead_letters(context, context.destinations, now=1.0)
    deleted = [each for each in logged if each["event"] == "dead_letters.evicted"]
    assert [(each["why"], each["source"], each["dead_letters"]) for each in deleted] == [
        ("age", "s", 1),
        ("share", "page", 2),
    ]


async def test_what_was_deleted_before_a_worker_started_is_no_news(context: WorkerContext, redis: Redis) -> None:
    await redis.hincrby(KEYS.counters, "evicted:dead:share:page", 7)  # type: ignore[misc]
    with capture_logs() as logged:
        await look_after_dead_letters(context, context.destinations, now=0.0)
        await redis.hincrby(KEYS.counters, "evicted:dead:share:page", 2)  # type: ignore[misc]
        await look_after_dead_letters(context, context.destinations, now=1.0)
    assert [each["dead_letters"] for each in logged] == [2]


async def test_a_journal_that_takes_too_much_memory_loses_its_oldest_entries(redis: Redis) -> None:
    await fill_journal(redis, b'{"source":"shop"}', 20)
    await fill_journal(redis, b'{"source":"page","notes":["%b"]}' % (b"x" * 2000), 2000)
    assert await bound_journals(redis, ["acme", "other"], 2**40) == []
    (trimmed,) = await bound_journals(redis, ["acme", "other"], 2**21)
    assert (trimmed.destination, trimmed.source) == ("acme", "page")
    assert trimmed.entries > 500
    assert await redis.memory_usage(KEYS.journal) < 2**21
    newest = await redis.xrevrange(KEYS.journal, count=1)
    assert newest[0][1][b"m"] == b"m-1999"
    assert await bound_journals(redis, ["acme", "other"], 2**21) == []


async def test_a_trim_of_a_journal_is_counted_and_logged_by_the_source_that_filled_it(
    context: WorkerContext, redis: Redis
) -> None:
    context.journal_bytes = 2**20
    await fill_journal(redis, b'{"source":"page","notes":["%b"]}' % (b"x" * 2000), 1000)
    with capture_logs() as logged:
        await sweep({"context": context})
        await sweep({"context": context})
    (line,) = [each for each in logged if each["event"] == "journal.trimmed"]
    assert (line["destination"], line["source"]) == ("acme", "page")
    (counters,) = await read_counters(redis, ["acme"])
    assert counters.journal_trimmed == {"page": line["entries"]}
    readings = Readings()
    await read_counts(readings, redis, ["acme"])
    family = next(each for each in readings.collect() if each.name == "gateway_journal_trimmed")
    assert [(sample.labels, sample.value) for sample in family.samples] == [
        ({"destination": "acme", "source": "page"}, line["entries"])
    ]


async def fill_journal(redis: Redis, record: bytes, entries: int) -> None:
    async with redis.pipeline(transaction=False) as pipeline:
        for number in range(entries):
            pipeline.xadd(KEYS.journal, {"m": f"m-{number}", "s": "received", "d": record})
        await pipeline.execute()


async def test_nothing_is_said_while_there_is_room(context: WorkerContext, redis: Redis) -> None:
    await bury(redis, DAY, 7)
    with capture_logs() as said:
        await look_after_dead_letters(context, context.destinations, now=0.0)
    assert said == []


async def test_a_lane_whose_worker_died_before_it_had_it_is_woken_again(context: WorkerContext, redis: Redis) -> None:
    lane = next(lane for lane in context.lanes if lane.endpoint == "custom-event")
    await redis.xadd(LaneKeys(DestinationKeys(lane.destination), lane.endpoint).streams[0], {b"d": b"waits"})
    for now, jobs in ((1000.0, 1), (1000.0 + WAKE_AGAIN_S / 2, 1), (1000.0 + WAKE_AGAIN_S, 2)):
        await wake_due(context, context.destinations, now=now)
        taken = [job.job_id for job in await context.redis.queued_jobs() if job.job_id]
        assert len(taken) == jobs
        for job in taken:  # as arq marks it before it runs it, for longer than a minute
            await redis.set(f"{in_progress_key_prefix}{job}", b"1", px=70_000)
