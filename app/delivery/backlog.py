"""The backlog: its size, the lanes that have something to send and how much of it, and the calls of one event."""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis

from app.delivery.counters import by_source
from app.delivery.delivery import Delivery, Unreadable
from app.delivery.lane import Lane
from app.delivery.pace import FAILURES_TO_STOP, SHARE, Pace
from app.delivery.workload import LaneWork
from app.store.hashes import read_hashes
from app.store.keys import STREAMS, DestinationKeys
from app.store.script import Keys, Script

_DUE = Script(
    "due",
    keys=("lease", "generation", "retry", "pace", "lane_hold", "destination_hold", "*streams"),
    after=("held",),
)
_PAGE: Final = 1000


async def lanes_to_wake(redis: Redis, lanes: Sequence[Lane]) -> list[tuple[Lane, int]]:
    """The lanes that have something to send but no drain, each with its generation. Raises RedisError."""
    keys = [_due_keys(lane) for lane in lanes]
    async with redis.pipeline(transaction=False) as pipeline:
        for lane_keys in keys:
            _DUE.queue(pipeline, lane_keys, {})
        generations = await pipeline.execute(raise_on_error=False)
    due = []
    for lane, lane_keys, generation in zip(lanes, keys, generations, strict=True):
        known = await _DUE.run(redis, lane_keys, {}) if isinstance(generation, Exception) else generation
        if known >= 0:
            due.append((lane, known))
    return due


def _due_keys(lane: Lane) -> Keys:
    keys = lane.keys
    return {
        "lease": keys.lease,
        "generation": keys.generation,
        "retry": keys.retry,
        "pace": keys.pace,
        "lane_hold": keys.hold,
        "destination_hold": keys.destination.hold,
        "streams": keys.streams,
    }


async def deliveries_of(redis: Redis, lanes: Sequence[Lane], message_id: str) -> list[Delivery]:
    """The waiting calls of one event. Reads every lane, so it is for operators only. Raises RedisError."""
    found: list[Delivery] = []
    for lane in lanes:
        async for stored in _all_stored(redis, lane):
            with contextlib.suppress(Unreadable):
                delivery = Delivery.unpacked(stored)
                if delivery.message_id == message_id:
                    found.append(delivery)
    return found


async def calls_in(redis: Redis, lanes: Sequence[Lane]) -> AsyncIterator[bytes]:
    """The stored form of every call in these lanes. For operators only. Raises RedisError."""
    for lane in lanes:
        async for stored in _all_stored(redis, lane):
            yield stored


async def _all_stored(redis: Redis, lane: Lane) -> AsyncIterator[bytes]:
    for stream in lane.keys.streams:
        after = "-"
        while page := await redis.xrange(stream, min=after, count=_PAGE):
            for _, fields in page:
                yield fields[b"d"]
            after = "(" + page[-1][0].decode()
    async for member, _ in redis.zscan_iter(lane.keys.retry):
        yield member[1:]


@dataclass(frozen=True, slots=True)
class LaneDepth:
    """The backlog of one lane."""

    lane: Lane
    by_stream: tuple[int, ...]  # as in STREAMS, including calls that are being sent
    retries: int

    @property
    def total(self) -> int:
        """The number of calls in the lane, including those that wait for a retry."""
        return sum(self.by_stream) + self.retries


@dataclass(frozen=True, slots=True)
class SourceBacklog:
    """The backlog of one source, including retries."""

    calls: int
    bytes: int  # in their stored form


async def source_backlogs(redis: Redis, destinations: Sequence[str]) -> dict[str, dict[str, SourceBacklog]]:
    """The backlog of each source, by destination. Raises RedisError."""
    pages = await read_hashes(redis, [DestinationKeys(destination).backlog for destination in destinations])
    return {
        destination: {source: SourceBacklog(*size) for source, size in by_source(page, "calls").items()}
        for destination, page in zip(destinations, pages, strict=True)
    }


async def calls_waiting(redis: Redis, lanes: Sequence[Lane]) -> dict[str, int]:
    """The number of calls that wait in these lanes, by destination. Raises RedisError."""
    waiting: dict[str, int] = {}
    for depth in await lane_depths(redis, lanes):
        waiting[depth.lane.destination] = waiting.get(depth.lane.destination, 0) + depth.total
    return waiting


async def lane_depths(redis: Redis, lanes: Sequence[Lane]) -> list[LaneDepth]:
    """The depth of each lane, for operators and metrics. Raises RedisError."""
    async with redis.pipeline(transaction=False) as pipeline:
        for lane in lanes:
            for stream in lane.keys.streams:
                pipeline.xlen(stream)
            pipeline.zcard(lane.keys.retry)
        counts = await pipeline.execute()
    each = len(STREAMS) + 1
    return [
        LaneDepth(lane, tuple(counts[i : i + each - 1]), counts[i + each - 1])
        for lane, i in zip(lanes, range(0, len(counts), each), strict=True)
    ]


async def read_workload(redis: Redis, depths: Sequence[LaneDepth], paces: Mapping[Lane, Pace]) -> list[LaneWork]:
    """What the lanes could send now. Raises RedisError."""
    seconds, microseconds = await redis.time()
    now_ms = seconds * 1000 + microseconds / 1000
    async with redis.pipeline(transaction=False) as pipeline:
        for depth in depths:
            keys = depth.lane.keys
            pipeline.zcount(keys.retry, "-inf", now_ms)
            pipeline.hmget(keys.pace, ["rate", "pause", "failures"])
            pipeline.exists(keys.hold)
            pipeline.exists(keys.destination.hold)
        facts = await pipeline.execute()
    lanes = []
    for depth, i in zip(depths, range(0, len(facts), 4), strict=True):
        retries_due, (rate, pause, failures), held, destination_held = facts[i : i + 4]
        stands = held or destination_held or float(pause or 0) > now_ms or int(failures or 0) >= FAILURES_TO_STOP
        allowed = float(rate) if rate else paces[depth.lane].limit * SHARE  # at first, the documented limit
        lanes.append(
            LaneWork(
                depth.lane,
                due=sum(depth.by_stream) + retries_due,
                rate=0.0 if stands else allowed,
                held=bool(held),
                destination_held=bool(destination_held),
            )
        )
    return lanes
