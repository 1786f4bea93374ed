"""How long the calls at the head of each lane have waited. A backlog that grows old needs an operator's attention."""

from collections.abc import Sequence
from datetime import datetime

from redis.asyncio import Redis

from app.delivery.backlog import LaneDepth
from app.delivery.delivery import Delivery, Unreadable
from app.delivery.lane import Lane
from app.store.keys import STREAMS


async def oldest_receipts(redis: Redis, depths: Sequence[LaneDepth]) -> dict[Lane, datetime]:
    """When the oldest call at the head of each lane came in, for lanes that are not empty. Raises RedisError.

    Reads the first call of each stream and the first retry that is due, not every call.
    """
    busy = [depth for depth in depths if depth.total]
    async with redis.pipeline(transaction=False) as pipeline:
        for depth in busy:
            for stream in depth.lane.keys.streams:
                pipeline.xrange(stream, count=1)
            pipeline.zrange(depth.lane.keys.retry, 0, 0)
        heads = await pipeline.execute()
    oldest: dict[Lane, datetime] = {}
    for depth, i in zip(busy, range(0, len(heads), len(STREAMS) + 1), strict=True):
        *streams, retries = heads[i : i + len(STREAMS) + 1]
        stored = [fields[b"d"] for head in streams for _, fields in head]
        stored += [member[1:] for member in retries]  # its first byte is a stream's number
        if receipts := [receipt for payload in stored if (receipt := _received_at(payload)) is not None]:
            oldest[depth.lane] = min(receipts)
    return oldest


def _received_at(stored: bytes) -> datetime | None:
    try:
        return Delivery.unpacked(stored).received_at
    except Unreadable:
        return None
