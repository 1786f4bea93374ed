"""One measurement of one server: a warm-up, the load, and the proof that what was answered was kept."""

import time
from dataclasses import dataclass
from typing import Final

from redis import Redis

from benchmarks.contenders import Contender, Count
from benchmarks.event import CONNECTIONS, Requests
from benchmarks.failure import BenchmarkFailed
from benchmarks.process import Running, Store
from benchmarks.wrk import load

WARM_UP_S: Final = 1
_SETTLE_WITHIN_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Measurement:
    """One server under load for a few seconds."""

    per_second: float  # requests
    p50_ms: float
    p99_ms: float
    server_us: float  # processor time of the server per request
    redis_us: float  # processor time of its Redis per request


def measure(
    contender: Contender,
    server: Running,
    store: Store,
    requests: Requests,
    *,
    seconds: int,
    rate: float | None = None,
    warm_up_s: int = WARM_UP_S,
) -> Measurement:
    """Load it. Raises BenchmarkFailed when an answer was not 200 or an event is not in Redis."""
    if warm_up_s:
        load(server.port, requests, seconds=warm_up_s, rate=rate)
    held = _settled(store.redis, contender.count)
    server_s, redis_s = server.cpu_s(), store.cpu_s()
    seen = load(server.port, requests, seconds=seconds, rate=rate)
    server_s, redis_s = server.cpu_s() - server_s, store.cpu_s() - redis_s
    if contender.count is not None:
        kept = _settled(store.redis, contender.count) - held
        check_kept(
            contender.name, seen.requests * requests.events, kept, under_way=requests.connections * requests.events
        )
    return Measurement(
        seen.per_second,
        seen.p50_ms,
        seen.p99_ms,
        server_us=server_s / seen.requests * 1e6,
        redis_us=redis_s / seen.requests * 1e6,
    )


def check_kept(name: str, answered: int, kept: int, *, under_way: int = CONNECTIONS) -> None:
    """Every answered event is in Redis, and beyond these only what was `under_way` when the load ended."""
    if not answered <= kept <= answered + under_way:
        raise BenchmarkFailed(f"{name}: {answered:,} events were answered, and Redis holds {kept:,} of them")


def _settled(redis: Redis, count: Count | None) -> int:
    """The count once it stands still: requests under way when the load ended are still being written."""
    if count is None:
        return 0
    time.sleep(0.1)
    ends = time.monotonic() + _SETTLE_WITHIN_S
    held = count(redis)
    while time.monotonic() < ends:
        time.sleep(0.1)
        before, held = held, count(redis)
        if held == before:
            return held
    raise BenchmarkFailed("events are still being written although the load has ended")
