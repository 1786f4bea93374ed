"""Where one delivery's time goes inside a worker: each stage from claim to settle alone, and then a whole worker.

Run it from the repository's root: `python -m benchmarks.delivery_stages`. It needs redis-server. Times are processor
time of the worker's own process: waiting for Redis, for the server that stands in for Attentive, or for whoever else
uses the machine does not count.
"""

import argparse
import asyncio
import gc
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, TypeVar

import uvloop
from prometheus_client import CollectorRegistry
from rich.console import Console

from app.attentive.answers import Reply
from app.attentive.client import AttentiveClient
from app.attentive.endpoints import BY_NAME, PRODUCT_VIEW
from app.delivery.consumer import LaneConsumer
from app.delivery.delivery import Delivery
from app.delivery.journal.journal import attempt_record, reported
from app.delivery.journal.recording import Recorder, event_name
from app.delivery.lane import Lane
from app.delivery.outcome import Delivered, judge
from app.delivery.pace import Pace
from app.delivery.settlement import Entry, done
from app.delivery.sliding_window import SlidingWindow
from app.metrics import DeliveryMetrics
from app.process import tune_gc
from app.settings import DEFAULT_DESTINATION
from app.store.connection import open_redis
from benchmarks.backlog import fill
from benchmarks.contenders import SINK, in_lanes
from benchmarks.failure import BenchmarkFailed, ends_with_a_line
from benchmarks.machine import machine
from benchmarks.process import Running, Store, gateway_worker, serving, store
from benchmarks.tables import print_rows

LOT: Final = 16  # deliveries: what a busy drain claims and settles at a time
AT_ONCE: Final = 64  # calls under way
DELIVERIES: Final = 3_200
BACKLOG: Final = 10_000  # for the whole worker
WITHIN_S: Final = 60.0
HEADINGS: Final = ("stage", "where", "µs per delivery", "lowest to highest")
LANE: Final = Lane(DEFAULT_DESTINATION, PRODUCT_VIEW.name)
ANSWER: Final = Reply(200, b'{"success": true}')
RECORD: Final = b'{"endpoint":"product-view","attempt":1,"took_ms":1.2,"status":200,"outcome":"delivered"}'

T = TypeVar("T")
Costs = dict[tuple[str, str], float]


async def _stages(kept: Store, sink: Running) -> Costs:
    """µs of processor time per delivery, by stage and place."""
    redis = open_redis(kept.url)
    lease = LaneConsumer(redis, LANE, Pace(limit=1_000_000, fixed=True), journal_entries=100_000)
    await lease.acquire()
    entries: list[Entry] = []

    async def claim(_number: int) -> None:
        entries.extend((await lease.claim(LOT, under_way=AT_ONCE - LOT, recent=0)).entries)

    claimed = await _in_turn(claim, range(DELIVERIES // LOT)) / LOT
    deliveries = [Delivery.unpacked(entry.payload) for entry in entries]
    costs = {
        (f"claim, {LOT} at a time", "delivery/consumer.py claim"): claimed,
        **_without_waiting(entries, deliveries),
    }
    costs[f"send, {AT_ONCE} at a time", "attentive/client.py send"] = await _sent(sink, deliveries)
    ends = [done(entry, delivery, RECORD) for entry, delivery in zip(entries, deliveries, strict=True)]
    lots = [ends[start : start + LOT] for start in range(0, len(ends), LOT)]
    costs[f"settle, {LOT} at a time", "delivery/consumer.py settle"] = await _in_turn(lease.settle, lots) / LOT
    await redis.aclose(close_connection_pool=True)
    return costs


def _without_waiting(entries: Sequence[Entry], deliveries: Sequence[Delivery]) -> Costs:
    """The stages that touch nothing."""
    now, metrics = datetime.now(UTC), DeliveryMetrics(CollectorRegistry())
    pairs = list(zip(entries, deliveries, strict=True))

    def read(entry: Entry) -> Delivery:
        return Delivery.unpacked(entry.payload)

    recorder = Recorder()

    def record(delivery: Delivery) -> bytes:
        name = event_name(delivery.event)
        recorder.of(delivery, name, ANSWER, *reported(Delivered(200)))
        return attempt_record(delivery, name, ANSWER, Delivered(200))

    def count(_delivery: Delivery) -> None:
        metrics.attempted(LANE.destination, LANE.endpoint, "200", 0.001)
        metrics.delivered(1.0)

    return {
        ("read the stored form", "delivery/delivery.py unpacked"): _one_by_one(read, entries),
        ("keep to the pace", "delivery/sliding_window.py"): _one_by_one(_keeps_count(), deliveries),
        ("judge", "delivery/outcome.py judge"): _one_by_one(
            lambda delivery: judge(ANSWER, delivery, now=now), deliveries
        ),
        ("journal record", "delivery/journal/journal.py attempt_record"): _one_by_one(record, deliveries),
        ("metrics", "metrics.py attempted, delivered"): _one_by_one(count, deliveries),
        ("how it ended", "delivery/settlement.py done"): _one_by_one(lambda pair: done(*pair, RECORD), pairs),
    }


async def _sent(sink: Running, deliveries: Sequence[Delivery]) -> float:
    client = AttentiveClient(f"http://127.0.0.1:{sink.port}", "x", user_agent="benchmark", connections=AT_ONCE)

    async def call(delivery: Delivery) -> None:
        reply = await client.send(BY_NAME[delivery.endpoint], delivery.body)
        if not isinstance(reply, Reply):
            raise BenchmarkFailed(f"a call was not answered: {reply.reason}")

    await _together(call, deliveries[:AT_ONCE])  # connects
    cost = await _together(call, deliveries)
    await client.close()
    return cost


def _keeps_count() -> Callable[[Delivery], object]:
    second = SlidingWindow(time.monotonic())

    def keep(_one: Delivery) -> None:
        now = time.monotonic()
        second.returns(second.leaves(now), ANSWER, now)

    return keep


def _one_by_one(work: Callable[[T], object], inputs: Sequence[T]) -> float:
    gc.collect()
    began = time.process_time_ns()
    for one in inputs:
        work(one)
    return (time.process_time_ns() - began) / 1_000 / len(inputs)


async def _in_turn(work: Callable[[T], Awaitable[None]], inputs: Sequence[T]) -> float:
    began = time.process_time_ns()
    for one in inputs:
        await work(one)
    return (time.process_time_ns() - began) / 1_000 / len(inputs)


async def _together(work: Callable[[T], Awaitable[None]], inputs: Sequence[T]) -> float:
    """AT_ONCE at a time."""
    left = iter(inputs)

    async def some() -> None:
        for one in left:
            await work(one)

    began = time.process_time_ns()
    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return (time.process_time_ns() - began) / 1_000 / len(inputs)


def measure(rounds: int) -> Iterator[tuple[Costs, float]]:
    """In each round all stages, and what a whole worker takes per delivery over most of a backlog."""
    tune_gc()
    for _ in range(rounds):
        with store() as kept, serving(SINK, kept) as sink:
            fill(kept, DELIVERIES)
            costs = uvloop.run(_stages(kept, sink))
            kept.redis.flushall()
            fill(kept, BACKLOG)
            with gateway_worker(kept, sink) as worker:
                yield costs, _whole_us(kept, worker)


def _whole_us(kept: Store, worker: Running) -> float:
    first, first_s = _at(kept, worker, BACKLOG * 9 // 10)
    last, last_s = _at(kept, worker, BACKLOG // 10)
    return (last_s - first_s) / (first - last) * 1e6


def _at(kept: Store, worker: Running, most: int) -> tuple[int, float]:
    """Wait until this many are left at the most: how many are, and the processor time so far."""
    ends = time.monotonic() + WITHIN_S
    while (left := in_lanes(kept.redis)) > most:
        if time.monotonic() > ends:
            raise BenchmarkFailed(f"{left:,} deliveries still wait after {WITHIN_S:.0f} s")
        time.sleep(0.005)
    return left, worker.cpu_s()


@ends_with_a_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.delivery_stages", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often, for the medians (default: 5)")
    parser.add_argument("--markdown", action="store_true", help="print Markdown, for benchmarks/README.md")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error("--rounds: at least 1")
    where = machine()
    with Console(stderr=True).status("measuring"):
        found = list(measure(options.rounds))
    stages = [(*stage, [costs[stage] for costs, _ in found]) for stage in found[0][0]]
    stages.append(("together", "", [sum(costs.values()) for costs, _ in found]))
    stages.append(("a whole worker", "python -m workers", [whole for _, whole in found]))
    rows = [
        (name, place, f"{statistics.median(us):.1f}", f"{min(us):.1f} to {max(us):.1f}") for name, place, us in stages
    ]
    print_rows(
        f"one delivery; medians of {options.rounds} rounds",
        HEADINGS,
        rows,
        words=2,
        where=where,
        as_markdown=options.markdown,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
