"""Gauges: what only Redis knows, as metrics that Prometheus accepts."""

from collections.abc import Awaitable
from typing import cast

from redis.asyncio import Redis

from app.gauges import read_counts
from app.metrics import Readings
from app.store.keys import DestinationKeys


async def test_attributes_that_look_alike_once_masked_are_one_series(redis: Redis) -> None:
    """Prometheus refuses a page with a series that appears twice, and so would lose all metrics."""
    counters = DestinationKeys("acme").counters
    counts = {f"left_out:type:{name}": n for name, n in (("note_jane@x.co", 2), ("note_john@x.co", 3), ("size", 1))}
    await cast(Awaitable[int], redis.hset(counters, mapping=counts))
    readings = Readings()
    await read_counts(readings, redis, ["acme"])
    samples = [sample for family in readings.collect() for sample in family.samples]
    left_out = {sample.labels["attribute"]: sample.value for sample in samples if "left_out" in sample.name}
    assert left_out == {"n***@x.co": 5, "size": 1}
    series = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in samples]
    assert len(series) == len(set(series))
