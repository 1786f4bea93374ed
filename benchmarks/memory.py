"""Rows 8 and 10: what a waiting delivery takes in Redis, and whether the processes grow."""

import time
from typing import Final, cast

from app.settings import DEFAULT_DESTINATION
from app.store.keys import DestinationKeys, LaneKeys
from benchmarks.backlog import fill
from benchmarks.contenders import GATEWAY, SINK
from benchmarks.event import batches, body
from benchmarks.failure import BenchmarkFailed
from benchmarks.intake import Step
from benchmarks.process import Store, gateway_worker, serving, store
from benchmarks.rows import Found, Row, at_most
from benchmarks.wrk import load

FEW: Final = 10_000
MANY: Final = 1_000_000
_DELIVERIES: Final = 10_000
_SLICE_S: Final = 4
_CATCH_UP_S: Final = 60.0


def per_delivery(step: Step) -> Found:
    """Row 8."""
    step("memory of waiting deliveries")
    wire = len(body(0, "fill-00000"))
    with store() as kept:
        before = kept.memory_bytes()
        fill(kept, _DELIVERIES)
        stream = LaneKeys(DestinationKeys(DEFAULT_DESTINATION), "product-view").streams[2]
        waiting = cast(int, kept.redis.memory_usage(stream, samples=0)) / _DELIVERIES
        together = (kept.memory_bytes() - before) / _DELIVERIES
    return Found(
        (Row("8", "Redis memory per waiting delivery", "the event on the wire", (waiting / wire,), at_most(1.5)),),
        (
            ("a waiting delivery", f"{waiting:,.0f} bytes for an event of {wire:,} bytes"),
            ("with its message id and journal entry", f"{together:,.0f} bytes"),
        ),
    )


def growth(step: Step, *, events: int = MANY, within_s: float) -> Found:
    """Row 10: both processes after FEW events and after `events`, or after as many as went through in `within_s`."""
    with (
        store() as kept,
        serving(SINK, kept) as sink,
        serving(GATEWAY, kept) as server,
        gateway_worker(kept, sink) as worker,
    ):
        _through(kept, server.port, FEW, within_s, step)
        few = server.memory_bytes(), worker.memory_bytes()
        done = _through(kept, server.port, events, within_s, step)
        many = server.memory_bytes(), worker.memory_bytes()
    return Found(
        tuple(
            Row(
                *(number, f"memory of a {name} after {done:,} events", f"after {FEW:,}"),
                *((after / before,), at_most(1.1)),
            )
            for number, name, before, after in zip(("10a", "10b"), ("gateway", "worker"), few, many, strict=True)
        ),
        tuple(
            (f"memory of a {name}", f"{before / 2**20:.1f} MiB, then {after / 2**20:.1f} MiB")
            for name, before, after in zip(("gateway", "worker"), few, many, strict=True)
        ),
    )


def _through(kept: Store, port: int, events: int, within_s: float, step: Step) -> int:
    """Send events, slice by slice, until so many were delivered; how many that are."""
    requests, ends = batches(), time.monotonic() + within_s
    while (done := _delivered(kept)) < events and time.monotonic() < ends:
        step(f"memory: {done:,} of {events:,} events delivered")
        load(port, requests, seconds=_SLICE_S if events > FEW else 1)
        _catch_up(kept)
    return done


def _catch_up(kept: Store) -> None:
    """Wait until nothing waits: a backlog would be another thing to measure."""
    ends = time.monotonic() + _CATCH_UP_S
    while (counters := _counters(kept)).get(b"received", 0) > _ended(counters):
        if time.monotonic() > ends:
            raise BenchmarkFailed(f"the worker has not caught up within {_CATCH_UP_S:.0f} s")
        time.sleep(0.05)


def _delivered(kept: Store) -> int:
    return _counters(kept).get(b"delivered", 0)


def _ended(counters: dict[bytes, int]) -> int:
    return sum(count for field, count in counters.items() if field.startswith((b"delivered", b"dropped", b"dead")))


def _counters(kept: Store) -> dict[bytes, int]:
    page = cast(dict[bytes, bytes], kept.redis.hgetall(DestinationKeys(DEFAULT_DESTINATION).counters))
    return {field: int(count) for field, count in page.items()}
