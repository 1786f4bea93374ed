"""Where one event's time goes inside the gateway: each stage of the hot path alone, in one process, without HTTP.

Run it from the repository's root: `python -m benchmarks.stages`. It needs neither wrk nor Redis.
"""

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import orjson
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from rich.console import Console

from app.config.destination import Destination
from app.config.source import Source, WriteKey
from app.config.topology import Topology
from app.delivery.outbox import _Flush
from app.delivery.outbox_event import OutboxEvent
from app.delivery.retention import DEFAULT_RETENTION, share_args
from app.identity.recent import forget_recent
from app.ingest.arrivals import outbox_event_of
from app.ingest.auth import WriteKeys
from app.ingest.body import parse_json
from app.metrics import IngestMetrics
from app.pipeline import Decision, Forward, Reading, decide
from app.segment.events import SegmentEvent, parse_event
from app.settings import DEFAULT_DESTINATION, DEFAULT_SOURCE
from app.store.connection import open_redis
from app.wiring.gateway import all_senders
from benchmarks.event import PEOPLE, WRITE_KEY, body
from benchmarks.failure import ends_with_a_line
from benchmarks.machine import machine
from benchmarks.tables import print_rows
from benchmarks.wrk import AUTHORIZATION

FLUSH: Final = 32  # events: what gathers at 64 connections, half of them being answered
BOUNDS: Final = {"journal_entries": 100_000, **share_args(DEFAULT_RETENTION)}
REPETITIONS: Final = 100
HEADINGS: Final = ("stage", "where", "µs per event", "fastest")

T = TypeVar("T")
Nothing = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage and what it cost in each repetition, in µs per event."""

    name: str
    where: str
    costs_us: tuple[float, ...]
    on_every_event: bool = True  # False: an alternative or a part of another stage, not to be added up

    @property
    def median_us(self) -> float:
        """The figure to quote."""
        return statistics.median(self.costs_us)


def stages(repetitions: int = REPETITIONS) -> Iterator[Stage]:
    """Measure one stage after the other; each works on what the one before it made, for PEOPLE different people."""

    def costs(work: Callable[[T], object], inputs: Sequence[T], *, before: Nothing = gc.collect) -> tuple[float, ...]:
        return tuple(_cost_us(work, inputs, before) for _ in range(repetitions))

    received_at = datetime.now(UTC)
    bodies = [body(person, f"stages-{person:010d}") for person in range(PEOPLE)]
    yield Stage("parse JSON", "ingest/body.py parse_json", costs(parse_json, bodies))
    contents = [parse_json(raw) for raw in bodies]

    keys = WriteKeys(all_senders(_topology()))
    headers = {b"host": b"127.0.0.1", b"authorization": AUTHORIZATION.encode(), b"content-type": b"application/json"}
    sender = keys.sender_outside(headers, b"")
    assert sender is not None
    found = costs(lambda content: keys.sender_outside(headers, b""), contents)
    yield Stage("find the source", "ingest/auth.py sender_outside", found)

    yield Stage("check the event", "segment/events.py parse_event", costs(parse_event, contents))
    events = [parse_event(content) for content in contents]

    originals = [orjson.dumps(content) for content in contents]
    yield Stage("the event's own JSON, kept", "orjson.dumps", costs(orjson.dumps, contents))
    guarded = list(zip(contents, originals, strict=True))
    inspected = costs(lambda pair: sender.plan.guard.inspect(*pair), guarded)
    yield Stage("look for what is private", "privacy/guard.py inspect", inspected)
    kept = list(zip(events, originals, strict=True))
    origin: dict[str, Any] = {"source": sender.source, "received_at": received_at}

    def plan(pair: tuple[SegmentEvent, bytes]) -> Decision:
        return decide(Reading(*pair), sender.plan, **origin)

    yield Stage("decide", "pipeline.py decide", costs(plan, kept))
    first = costs(plan, kept, before=forget_recent)
    yield Stage("decide, person not seen before", "pipeline.py decide", first, on_every_event=False)
    decided = [(event, plan((event, original)), original) for event, original in kept]

    def arrive(one: tuple[SegmentEvent, Decision, bytes]) -> OutboxEvent:
        return outbox_event_of(one[0], one[1], original=one[2], **origin)

    yield Stage("what is stored", "ingest/arrivals.py outbox_event_of", costs(arrive, decided))
    forwards = [decision for _, decision, _ in decided if isinstance(decision, Forward)]
    deliveries = [delivery for forward in forwards for delivery in forward.deliveries]
    stored = costs(lambda delivery: delivery.packed(), deliveries)
    yield Stage("of this: the call, packed", "delivery/delivery.py packed", stored, on_every_event=False)
    arrivals = [arrive(one) for one in decided]

    def flush(group: Sequence[OutboxEvent]) -> _Flush:
        return _Flush(DEFAULT_DESTINATION, group[0].source, group, BOUNDS)

    groups = [arrivals[start : start + FLUSH] for start in range(0, len(arrivals), FLUSH)]
    share = len(groups) / len(arrivals)
    built = tuple(cost * share for cost in costs(flush, groups))
    yield Stage("arguments of the script", "delivery/outbox.py _Flush", built)
    flushes = [flush(group) for group in groups]
    connection = open_redis("redis://127.0.0.1").connection_pool.make_connection()  # type: ignore[no-untyped-call]

    def pack(one: _Flush) -> object:
        return connection.pack_commands([("EVALSHA", "0" * 40, len(one.keys), *one.keys, *one.args)])

    packed = tuple(cost * share for cost in costs(pack, flushes))
    yield Stage("command for the wire", "delivery/connection.py pack_commands", packed)

    metrics = IngestMetrics(CollectorRegistry())
    counted = costs(lambda _: metrics.answered("/v1/track", 200, 0.001), arrivals)
    yield Stage("metrics", "metrics.py answered", counted)


def _cost_us(work: Callable[[T], object], inputs: Sequence[T], before: Nothing) -> float:
    """µs that `work` takes for each of `inputs`, once through all of them, with no garbage collection in between."""
    before()
    gc.disable()
    try:
        started = time.perf_counter_ns()
        for given in inputs:
            work(given)
        return (time.perf_counter_ns() - started) / 1_000 / len(inputs)
    finally:
        gc.enable()


def _topology() -> Topology:
    return Topology(
        destinations={DEFAULT_DESTINATION: Destination(api_token=SecretStr("x"), base_url="http://127.0.0.1:9")},
        sources={
            DEFAULT_SOURCE: Source(write_keys=(WriteKey(key=SecretStr(WRITE_KEY)),), destination=DEFAULT_DESTINATION)
        },
    )


@ends_with_a_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stages", description=__doc__)
    parser.add_argument("--markdown", action="store_true", help="print Markdown, for benchmarks/README.md")
    options = parser.parse_args(arguments)
    where = machine()
    console = Console(stderr=True)
    measured: list[Stage] = []
    with console.status("measuring"):
        measured.extend(stages())
    rows = [(stage.name, stage.where, f"{stage.median_us:.1f}", f"{min(stage.costs_us):.1f}") for stage in measured]
    together = sum(stage.median_us for stage in measured if stage.on_every_event)
    rows.append(("together", "", f"{together:.1f}", ""))
    print_rows(
        f"one event, without HTTP; median of {REPETITIONS} x {PEOPLE:,}",
        HEADINGS,
        rows,
        words=2,
        where=where,
        as_markdown=options.markdown,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
