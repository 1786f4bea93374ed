"""Rows 5 to 7, 9 and 11 behind the queue: deliveries per second, and the time from request to arrival."""

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

import aiohttp
import orjson

from benchmarks.backlog import drained_per_second, fill, fill_arq
from benchmarks.contenders import GATEWAY, OBVIOUS, SINK, Contender, in_arq, in_lanes
from benchmarks.event import PEOPLE, event
from benchmarks.failure import BenchmarkFailed
from benchmarks.intake import WAITING, Step
from benchmarks.process import Store, arq_worker, gateway_worker, serving, store
from benchmarks.rows import Found, Reach, Row, at_least, at_most, spread_text
from benchmarks.wrk import AUTHORIZATION

BACKLOG: Final = 8_000  # deliveries, about two seconds of work
EVENTS_PER_S: Final = 300
_LATENCY_S: Final = 4.0
_ARRIVE_WITHIN_S: Final = 10.0


def deliveries(rounds: int, step: Step) -> Found:
    """Rows 5 and 6."""
    gateway, idle, post = [], [], []
    for number in range(1, rounds + 1):
        step(f"round {number}: one worker of the gateway")
        gateway.append(_gateway_rate(1))
        step(f"round {number}: arq jobs that do nothing")
        idle.append(_arq_rate("idle"))
        step(f"round {number}: one arq job per event, with httpx")
        post.append(_arq_rate("post"))
    measured = "deliveries/s of one worker, no limits"
    return Found(
        (
            Row("5", measured, "arq jobs that do nothing, one per event", _each(gateway, idle), at_least(1.2)),
            Row("6", measured, "one arq job per event, httpx's own transport", _each(gateway, post), at_least(5)),
        ),
        (
            ("one worker of the gateway", spread_text(gateway, "deliveries/s")),
            ("arq jobs that do nothing", spread_text(idle, "jobs/s")),
            ("arq jobs with httpx", spread_text(post, "jobs/s")),
        ),
    )


def two_workers(rounds: int, step: Step) -> Found:
    """Row 11, behind the queue."""
    ratios = []
    for number in range(1, rounds + 1):
        step(f"round {number}: two workers")
        two = _gateway_rate(2)
        step(f"round {number}: one worker")
        ratios.append(two / _gateway_rate(1))
    return Found((Row("11b", "deliveries/s of two workers, one lane", "of one", tuple(ratios), Reach()),), ())


def with_a_backlog(rounds: int, step: Step, *, waiting: int = WAITING) -> Found:
    """Row 9, behind the queue."""
    step(f"filling {waiting:,} deliveries in")
    ratios = []
    with store() as full:
        fill(full, waiting)
        for number in range(1, rounds + 1):
            step(f"round {number}: one worker, {waiting:,} waiting")
            with serving(SINK, full) as sink, ExitStack() as stack:
                rate = _first_thousands(full, lambda: stack.enter_context(gateway_worker(full, sink)))
            step(f"round {number}: one worker, few waiting")
            ratios.append(rate / _gateway_rate(1))
    measured = f"deliveries/s of one worker with {waiting:,} waiting"
    return Found((Row("9b", measured, f"with {BACKLOG:,} waiting", tuple(ratios), at_least(0.9)),), ())


def _first_thousands(full: Store, begin: Callable[[], object]) -> float:
    """The rate of the first BACKLOG deliveries of a longer queue."""
    whole = in_lanes(full.redis)
    return drained_per_second(full, lambda redis: max(0, in_lanes(redis) - whole + BACKLOG), begin)


def latency(rounds: int, step: Step) -> Found:
    """Row 7: p50 and p99 of the time from request to arrival, at EVENTS_PER_S."""
    ours: list[list[float]] = []
    obvious: list[list[float]] = []
    for number in range(1, rounds + 1):
        for contender, found in ((GATEWAY, ours), (OBVIOUS, obvious)):
            step(f"round {number}: from request to arrival, {contender.name}")
            found.append(_times_ms(contender))
    p50, p99 = [[_at(one, share) for one in ours] for share in (0.5, 0.99)]
    their_p50, their_p99 = [[_at(one, share) for one in obvious] for share in (0.5, 0.99)]
    measured, beside = f"request to arrival at {EVENTS_PER_S} events/s", "(c) with arq's default poll_delay"
    units = (("gateway", p50, p99), ("(c)", their_p50, their_p99))
    return Found(
        (
            Row("7a", measured + ", p50", beside, _each(p50, their_p50), at_most(1 / 50)),
            Row("7b", measured + ", p99", beside, _each(p99, their_p99), at_most(1 / 10)),
        ),
        tuple(
            (f"request to arrival, {who}", f"p50 {spread_text(middle, 'ms', 1)}; p99 {spread_text(late, 'ms', 1)}")
            for who, middle, late in units
        ),
    )


def _gateway_rate(workers: int) -> float:
    with store() as kept, serving(SINK, kept) as sink, ExitStack() as stack:
        fill(kept, BACKLOG)

        def begin() -> None:
            for _ in range(workers):
                stack.enter_context(gateway_worker(kept, sink))

        return drained_per_second(kept, in_lanes, begin)


def _arq_rate(settings: str) -> float:
    with store() as kept, serving(SINK, kept) as sink, ExitStack() as stack:
        fill_arq(kept, BACKLOG // 2)
        return drained_per_second(kept, in_arq, lambda: stack.enter_context(arq_worker(kept, sink, settings)))


def _times_ms(contender: Contender) -> list[float]:
    """How long each event of a few seconds took from its request to the sink."""
    with ExitStack() as stack:
        kept = stack.enter_context(store())
        sink = stack.enter_context(serving(SINK, kept, environment={"SINK_STAMPS": "1"}))
        server = stack.enter_context(serving(contender, kept))
        worker = gateway_worker(kept, sink) if contender is GATEWAY else arq_worker(kept, sink, "as_delivered")
        stack.enter_context(worker)
        return asyncio.run(_send_and_wait(server.port, sink.port))


async def _send_and_wait(port: int, sink_port: int) -> list[float]:
    sent: dict[str, int] = {}
    async with aiohttp.ClientSession(headers={"Authorization": AUTHORIZATION}) as http:
        await _send(http, port, -1, sent)
        await _arrivals(http, sink_port, 1)  # whoever sends it on has started: that is not what is measured
        warm_up = int(EVENTS_PER_S * 1.5)
        begin, tasks = time.monotonic(), []
        for number in range(warm_up + int(EVENTS_PER_S * _LATENCY_S)):
            await asyncio.sleep(max(0.0, begin + number / EVENTS_PER_S - time.monotonic()))
            tasks.append(asyncio.create_task(_send(http, port, number, sent)))
        await asyncio.gather(*tasks)
        arrived = await _arrivals(http, sink_port, len(sent))
    measured = [name for name in sent if int(name.removeprefix("timed-")) >= warm_up]
    return [(arrived[name] - sent[name]) / 1e6 for name in measured]


async def _send(http: aiohttp.ClientSession, port: int, number: int, sent: dict[str, int]) -> None:
    name = f"timed-{number}"
    body = orjson.dumps(event(number % PEOPLE, name) | {"event": "Fitting Finished"})  # custom: it keeps its id
    sent[name] = time.monotonic_ns()
    async with http.post(f"http://127.0.0.1:{port}/v1/track", data=body, headers=_JSON) as answer:
        if answer.status != 200:
            raise BenchmarkFailed(f"an event was answered {answer.status}")


_JSON: Final = {"Content-Type": "application/json"}


async def _arrivals(http: aiohttp.ClientSession, port: int, expected: int) -> dict[str, int]:
    ends = time.monotonic() + _ARRIVE_WITHIN_S
    while True:
        async with http.get(f"http://127.0.0.1:{port}/") as answer:
            stamps: dict[str, int] = orjson.loads(await answer.read())
        if len(stamps) >= expected:
            return stamps
        if time.monotonic() > ends:
            raise BenchmarkFailed(f"{len(stamps):,} of {expected:,} events arrived within {_ARRIVE_WITHIN_S:.0f} s")
        await asyncio.sleep(0.2)


def _each(ours: list[float], theirs: list[float]) -> tuple[float, ...]:
    return tuple(one / other for one, other in zip(ours, theirs, strict=True))


def _at(times: list[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]
