"""What only Redis knows, as metrics: books, lanes, holds, and Redis itself. The same whichever process is asked."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from prometheus_client.core import Metric
from redis.asyncio import Redis

from app import metrics
from app.delivery.attributes import read_attributes
from app.delivery.backlog import LaneDepth
from app.delivery.books import read_books
from app.delivery.dead_letters import Shelf
from app.delivery.deletions import count_open
from app.delivery.keys import STREAMS
from app.delivery.memory import count_people
from app.delivery.pressure import read_memory
from app.delivery.retention import Retention, read_kept
from app.delivery.waiting import oldest_receipts
from app.delivery.workload import LaneWork, seconds_of_work
from app.masking import mask_text


async def book_families(redis: Redis, destinations: Sequence[str]) -> list[Metric]:
    """How many events came in, and how they ended. Raises RedisError."""
    received, replayed, ended, waiting = metrics.events_family()
    unchanged, unknown, let_go = metrics.unchanged_family(), metrics.unknown_family(), metrics.let_go_family()
    attributes, left_out = metrics.attributes_family()
    large, joins = metrics.large_family(), metrics.joins_family()
    known = await read_attributes(redis, destinations)
    for books in await read_books(redis, destinations):
        labels = [books.destination]
        received.add_metric(labels, books.received)
        replayed.add_metric(labels, books.replayed)
        ended.add_metric([*labels, "delivered", ""], books.delivered)
        for reason, number in books.dropped.items():
            ended.add_metric([*labels, "dropped", reason], number)
        for reason, number in books.dead.items():
            ended.add_metric([*labels, "dead_lettered", reason], number)
        for reason, number in books.unknown.items():
            ended.add_metric([*labels, "unknown", reason], number)
        for (endpoint, then), number in books.unknown_calls.items():
            unknown.add_metric([*labels, endpoint, then], number)
        waiting.add_metric(labels, books.waiting)
        unchanged.add_metric(labels, books.unchanged)
        for shelf_and_why, number in books.let_go.items():
            let_go.add_metric([*labels, *shelf_and_why], number)
        attributes.add_metric(labels, len(known[books.destination]))
        for what, number in books.left_out.items():
            reason, _, name = what.partition(":")
            left_out.add_metric([*labels, reason, mask_text(name)], number)
        for endpoint, number in books.large.items():
            large.add_metric([*labels, endpoint], number)
        for (source, verdict), number in books.joins.items():
            joins.add_metric([*labels, source, verdict], number)
    return [received, replayed, ended, waiting, unchanged, unknown, let_go, attributes, left_out, large, joins]


async def letter_families(redis: Redis, destinations: Sequence[str], retention: Retention) -> list[Metric]:
    """What waits for an operator, since when, and how near it is to what is kept at the most. Raises RedisError."""
    letters, review = metrics.kept_family()
    oldest, fill = metrics.retention_family()
    for kept in await read_kept(redis, destinations):
        where = [kept.destination, kept.shelf]
        (letters if kept.shelf is Shelf.DEAD else review).add_metric([kept.destination], kept.letters)
        oldest.add_metric(where, kept.oldest.total_seconds())
        fill.add_metric(where, kept.fill(retention))
    return [letters, review, oldest, fill]


async def deletion_families(redis: Redis, destinations: Sequence[str]) -> list[Metric]:
    """How many people were to be forgotten, and how far that is. Raises RedisError."""
    begun, still_open = metrics.deletions_family()
    for books in await read_books(redis, destinations):
        for state in ("begun", "done", "incomplete"):
            begun.add_metric([books.destination, state], books.deletions.get(state, 0))
    for destination, number in zip(destinations, await count_open(redis, destinations), strict=True):
        still_open.add_metric([destination], number)
    return [begun, still_open]


async def people_family(redis: Redis, memories: Mapping[tuple[str, str], timedelta]) -> Metric:
    """How many ids memory knows. `memories`: destination and source, and how long is remembered. Raises RedisError."""
    family = metrics.people_family()
    counts = await count_people(redis, memories)
    for where, count in zip(memories, counts, strict=True):
        family.add_metric(list(where), count)
    return family


async def lane_families(
    redis: Redis, depths: Sequence[LaneDepth], work: Sequence[LaneWork], one_worker: float
) -> list[Metric]:
    """What waits in the lanes, since when, what is held, and how much work all that is. Raises RedisError."""
    depth, oldest, rate = metrics.depth_family(), metrics.oldest_family(), metrics.rate_family()
    held, sendable = metrics.held_family(), metrics.sendable_family()
    since, now = await oldest_receipts(redis, depths), datetime.now(UTC)
    for lane in depths:
        where = [lane.lane.destination, lane.lane.endpoint]
        for priority, count in zip(STREAMS, lane.by_stream, strict=True):
            depth.add_metric([*where, priority], count)
        depth.add_metric([*where, "retry"], lane.retries)
        oldest.add_metric(where, max(0.0, (now - since.get(lane.lane, now)).total_seconds()))
    by_destination: dict[str, list[LaneWork]] = {}
    for each in work:
        rate.add_metric([each.lane.destination, each.lane.endpoint], each.rate)
        held.add_metric([each.lane.destination, each.lane.endpoint], each.held)
        by_destination.setdefault(each.lane.destination, []).append(each)
    for destination, lanes in by_destination.items():
        held.add_metric([destination, ""], lanes[0].destination_held)
        sendable.add_metric([destination], seconds_of_work(lanes, one_worker=one_worker))
    return [depth, oldest, rate, held, sendable]


async def redis_families(redis: Redis) -> list[Metric]:
    """How full Redis is. Raises RedisError."""
    memory = await read_memory(redis)
    used, most = metrics.redis_memory_family()
    used.add_metric([], memory.used_bytes)
    most.add_metric([], memory.max_bytes)
    return [used, most]
