"""What processes report of themselves: requests that gateways answered, and whether a configuration can be used."""

import os
import socket
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import msgspec
from redis.asyncio import Redis

from app.alerts.rules import REQUESTS_WINDOW_S
from app.store.hashes import read_hashes
from app.store.keys import AlertKeys

Total = tuple[
    str, ...
]  # ("answered", "all") and "5xx"; ("accepted", source); ("limit", its name, source); ("refused", code)
_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 3_600_000
_KEEP_REQUESTS_S: Final = 1200
KEEP_VOLUME_S: Final = 16 * 86_400
_PARTS: Final = "|"
_GONE_MS: Final = 30_000  # a process that has reported nothing for so long has ended
_REPORT_EVERY_MS: Final = 5_000


@dataclass(frozen=True, slots=True)
class Requests:
    """What the gateways did within the last 5 minutes."""

    answered: int = 0
    errors: int = 0  # with 5xx
    limits: Mapping[tuple[str, str], int] = field(default_factory=dict)  # by limit and source
    refused: Mapping[str, int] = field(default_factory=dict)  # by code


class RequestReport:
    """Adds what one gateway process has counted since the last time to what all have."""

    def __init__(self, redis: Redis, totals: Callable[[], Mapping[Total, int]]) -> None:
        """`totals` returns the counts of this process since it began."""
        self._redis, self._totals = redis, totals
        self._reported: Mapping[Total, int] = {}

    async def send(self, now: int) -> None:
        """Report what is new. `now` is epoch ms. Raises StoreError: then it is reported the next time."""
        totals = dict(self._totals())
        new = {name: number - self._reported.get(name, 0) for name, number in totals.items()}
        new = {name: number for name, number in new.items() if number > 0}
        if new:
            await _add(self._redis, new, now)
        self._reported = totals


async def _add(redis: Redis, new: Mapping[Total, int], now: int) -> None:
    requests, volume = AlertKeys.requests(now // _MINUTE_MS), AlertKeys.volume(now // _HOUR_MS)
    async with redis.pipeline(transaction=True) as pipeline:
        for (kind, *labels), number in new.items():
            if kind == "accepted":
                pipeline.hincrby(volume, labels[0], number)
                pipeline.hset(AlertKeys.last_event, labels[0], str(now))
            else:
                pipeline.hincrby(requests, _PARTS.join((kind, *labels)), number)
        pipeline.expire(requests, _KEEP_REQUESTS_S)
        pipeline.expire(volume, KEEP_VOLUME_S)
        await pipeline.execute()


async def read_requests(redis: Redis, now: int) -> Requests:
    """What all gateways reported of the last minutes. Raises StoreError."""
    this_minute = now // _MINUTE_MS
    minutes = range(this_minute - int(REQUESTS_WINDOW_S * 1000) // _MINUTE_MS + 1, this_minute + 1)
    totals: Counter[Total] = Counter()
    for page in await read_hashes(redis, map(AlertKeys.requests, minutes)):
        for name, number in page.items():
            totals[tuple(name.decode().split(_PARTS))] += int(number)
    return Requests(
        totals["answered", "all"],
        totals["answered", "5xx"],
        {(name[1], name[2]): number for name, number in totals.items() if name[0] == "limit"},
        {name[1]: number for name, number in totals.items() if name[0] == "refused"},
    )


@dataclass(frozen=True, slots=True)
class Process:
    """What one gateway or worker reports of itself."""

    name: str  # its host, and in Kubernetes its pod
    at: int  # epoch ms
    usable: bool  # whether the configuration that it found last can be used
    removed: Sequence[str] = ()  # destinations that it once had, and has no more


class ProcessReport:
    """Reports of one process, every few seconds."""

    def __init__(self, redis: Redis, component: str, status: Callable[[], tuple[bool, Sequence[str]]]) -> None:
        """`status`: whether the configuration found last can be used, and which destinations are gone."""
        self._redis, self._status = redis, status
        self._field = f"{component}:{socket.gethostname()}:{os.getpid()}"
        self._last = 0

    async def send(self, now: int) -> None:
        """Report, if it is time. `now` is epoch ms. Raises StoreError."""
        if now - self._last < _REPORT_EVERY_MS:
            return
        usable, removed = self._status()
        process = Process(socket.gethostname(), now, usable, list(removed))
        await cast(Any, self._redis).hset(AlertKeys.processes, self._field, msgspec.json.encode(process))
        self._last = now


async def read_processes(redis: Redis, now: int) -> list[Process]:
    """One for each host that reports: usable when all of its processes report that. Raises StoreError."""
    page: dict[bytes, bytes] = await cast(Any, redis.hgetall(AlertKeys.processes))
    found = {name: msgspec.json.decode(raw, type=Process) for name, raw in page.items()}
    if gone := [name for name, process in found.items() if now - process.at > _GONE_MS]:
        await cast(Any, redis).hdel(AlertKeys.processes, *gone)
    by_host: dict[str, Process] = {}
    for name, process in found.items():
        if name in gone:
            continue
        known = by_host.get(process.name, Process(process.name, process.at, True))
        removed = tuple(sorted({*known.removed, *process.removed}))
        by_host[process.name] = Process(process.name, process.at, known.usable and process.usable, removed)
    return list(by_host.values())
