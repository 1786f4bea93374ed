"""One measurement of one server: its own Redis, the server, a warm-up, the load, and the proof that it was kept."""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from redis import Redis

from app.embedded import embedded_redis
from benchmarks.contenders import Contender, Count
from benchmarks.event import bodies
from benchmarks.failure import BenchmarkFailed
from benchmarks.process import serving
from benchmarks.wrk import CONNECTIONS, load

WARM_UP_S: Final = 1
_SETTLE_WITHIN_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Measurement:
    """One server under load for a few seconds."""

    per_second: float
    p50_ms: float
    p99_ms: float
    server_us: float  # processor time of the server per request
    redis_us: float  # processor time of its Redis per request


def measure(contender: Contender, *, seconds: int) -> Measurement:
    """Start it, load it, stop it. Raises BenchmarkFailed when an answer was not 200 or an event is not in Redis."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        people = folder / "bodies.txt"
        people.write_bytes(bodies())
        with (
            embedded_redis(folder / "redis", fsync="everysec") as url,
            serving(contender, url, folder / "server.log") as server,
        ):
            redis: Redis = Redis.from_url(url)
            # Redis rewrites a grown append-only file now and then: that would fall into some measurements, not others.
            redis.config_set("auto-aof-rewrite-percentage", 0)
            load(server.port, people, seconds=WARM_UP_S)
            held = _settled(redis, contender.count)
            server_s, redis_s = server.cpu_s(), _cpu_s(redis)
            seen = load(server.port, people, seconds=seconds)
            server_s, redis_s = server.cpu_s() - server_s, _cpu_s(redis) - redis_s
            if contender.count is not None:
                check_kept(contender.name, seen.requests, _settled(redis, contender.count) - held)
            redis.close()
    return Measurement(
        seen.per_second,
        seen.p50_ms,
        seen.p99_ms,
        server_us=server_s / seen.requests * 1e6,
        redis_us=redis_s / seen.requests * 1e6,
    )


def check_kept(name: str, answered: int, kept: int) -> None:
    """Every answered event is in Redis, and beyond these only what was under way when the load ended."""
    if not answered <= kept <= answered + CONNECTIONS:
        raise BenchmarkFailed(f"{name}: {answered:,} events were answered, and Redis holds {kept:,} of them")


def _settled(redis: Redis, count: Count | None) -> int:
    """The count once it stands still: requests under way when the load ended are still being written."""
    time.sleep(0.1)
    if count is None:
        return 0
    ends = time.monotonic() + _SETTLE_WITHIN_S
    held = count(redis)
    while time.monotonic() < ends:
        time.sleep(0.1)
        before, held = held, count(redis)
        if held == before:
            return held
    raise BenchmarkFailed("events are still being written although the load has ended")


def _cpu_s(redis: Redis) -> float:
    info = cast(dict[str, Any], redis.info("cpu"))
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])
