"""Backlogs to begin with, and how fast a worker brings one down."""

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Final, TypeVar

import orjson
from arq.constants import default_queue_name, job_key_prefix
from arq.jobs import serialize_job

from app.config.destination import Destination
from app.config.source import Source, WriteKey
from app.config.topology import Topology
from app.delivery.outbox import Outbox
from app.delivery.outbox_event import OutboxEvent
from app.ingest.arrivals import outbox_event_of
from app.pipeline import Forward, Plan, decide, read
from app.rights import Trust
from app.settings import DEFAULT_DESTINATION, DEFAULT_SOURCE
from app.store.connection import open_redis
from app.store.keys import DestinationKeys, LaneKeys
from app.traces.ids import new_context
from app.value import changed
from app.wiring.gateway import all_senders
from benchmarks.contenders import Count
from benchmarks.event import PEOPLE, WRITE_KEY, event
from benchmarks.failure import BenchmarkFailed
from benchmarks.process import Store

_GROUP: Final = 250
_COPY = """
local entry = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1][2]
for _ = 1, ARGV[1] do redis.call('XADD', KEYS[1], '*', unpack(entry)) end
"""
_WITHIN_S: Final = 60.0
T = TypeVar("T")


def plan() -> Plan:
    """What the benchmarks' only destination wants."""
    topology = Topology(
        destinations={DEFAULT_DESTINATION: Destination(api_token="x", base_url="http://127.0.0.1:9")},
        sources={
            DEFAULT_SOURCE: Source(
                write_keys=(WriteKey(key=WRITE_KEY),), destination=DEFAULT_DESTINATION, trust=Trust.SERVER
            )
        },
    )
    return all_senders(topology)[WRITE_KEY].plan


def fill(store: Store, deliveries: int, *, traced: float = 0) -> None:
    """Put this many product views in their lane: one thousand people's through the outbox, the rest as copies.

    A share of `traced` carries the context of a traced request.
    """
    own = min(deliveries, 10 * PEOPLE)
    asyncio.run(_submit(store, own, traced))
    stream = LaneKeys(DestinationKeys(DEFAULT_DESTINATION), "product-view").streams[2]
    for first in range(own, deliveries, 50_000):
        store.redis.eval(_COPY, 1, stream, str(min(50_000, deliveries - first)))


def fill_arq(store: Store, jobs: int) -> None:
    """The same events as arq jobs."""
    now_ms = int(time.time() * 1000)
    for group in _grouped(range(jobs)):
        with store.redis.pipeline(transaction=False) as pipeline:
            for number in group:
                raw = event(number % PEOPLE, f"job-{number}")
                pipeline.set(f"{job_key_prefix}{number}", serialize_job("deliver", (raw,), {}, None, now_ms))
                pipeline.zadd(default_queue_name, {str(number): now_ms})
            pipeline.execute()


async def _submit(store: Store, events: int, traced: float) -> None:
    redis = open_redis(store.url)
    outbox = Outbox(redis, wake=lambda *_: None, journal_entries=100_000)
    wanted = plan()
    for group in _grouped(range(events)):
        await outbox.submit(DEFAULT_DESTINATION, [_arrival(number, wanted, traced) for number in group])
    await redis.aclose(close_connection_pool=True)


def _arrival(number: int, wanted: Plan, traced: float) -> OutboxEvent:
    raw = event(number % PEOPLE, f"fill-{number}")
    reading, now = read(raw, orjson.dumps(raw), wanted), datetime.now(UTC)
    decision = decide(reading, wanted, source=DEFAULT_SOURCE, received_at=now)
    if isinstance(decision, Forward) and number * traced // 1 != (number + 1) * traced // 1:
        context = new_context().traceparent
        decision = changed(
            decision, deliveries=tuple(changed(each, traceparent=context) for each in decision.deliveries)
        )
    return outbox_event_of(reading.event, decision, original=reading.original, source=DEFAULT_SOURCE, received_at=now)


def _grouped(numbers: range) -> Iterator[list[int]]:
    iterator = iter(numbers)
    while group := list(islice(iterator, _GROUP)):
        yield group


def drained_per_second(store: Store, count: Count, begin: Callable[[], object], *, share: float = 0.8) -> float:
    """How fast the backlog shrinks once `begin` was called: over the middle `share` of it, so that starting up and
    running dry do not count. Raises BenchmarkFailed when it does not shrink.
    """
    whole = count(store.redis)
    upper, lower = whole * (1 + share) / 2, whole * (1 - share) / 2
    begin()
    ends = time.monotonic() + _WITHIN_S
    first: tuple[float, int] | None = None
    while (now := time.monotonic()) < ends:
        left = count(store.redis)
        if first is None and left <= upper:
            first = (now, left)
        if first is not None and left <= lower and left < first[1]:
            return (first[1] - left) / (now - first[0])
        time.sleep(0.005)
    raise BenchmarkFailed(f"{count(store.redis):,} of {whole:,} deliveries still wait after {_WITHIN_S:.0f} s")
