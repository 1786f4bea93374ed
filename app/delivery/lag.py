"""How long calls take from their event's receipt until they are sent, counted against the objective.

Each worker counts in memory and adds to what Redis has once a second: a worker that is killed loses a second of counts,
and no call. Redis keeps buckets of 5 minutes for 2 hours and of an hour for 31 days.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

from redis.asyncio import Redis

from app.attentive.call import Priority
from app.delivery.delivery import Delivery
from app.delivery.objectives import BUDGET_DAYS, WINDOWS, LagCount, Objective, Verdict, Window, verdict_at
from app.delivery.waits import LaneWaits, waits_before
from app.store.hashes import read_hashes
from app.store.keys import DestinationKeys
from app.store.shards import each_shard

_SHORT_S: Final = 300
_HOUR_S: Final = 3600
_KEEP_SHORT_S: Final = 2 * _HOUR_S
_SHORT_BUCKETS: Final = 12  # one hour: the longer of the fast windows
_HOUR_BUCKETS: Final = 6  # the longest window
_KEEP_HOURS_S: Final = 31 * 24 * _HOUR_S

Objectives = Mapping[Priority, Objective]
NO_OBJECTIVES: Final[Objectives] = {}


def _no_counts() -> list[list[int]]:
    """By priority and verdict, as in Verdict."""
    return [[0] * len(Verdict) for _ in Priority]


class DestinationLag:
    """The counts of one destination that Redis does not have yet. Every attempt passes here: it costs half a µs."""

    __slots__ = ("_counts", "_within_ms")

    def __init__(self, objectives: Objectives) -> None:
        self._within_ms = [objectives[priority].within_ms if priority in objectives else None for priority in Priority]
        self._counts = _no_counts()

    def note(self, delivery: Delivery, sent_ms: int, waits: LaneWaits) -> None:
        """Count the first attempt at a call that was fresh when it came in, or never goes stale."""
        priority = delivery.priority
        within_ms = self._within_ms[priority]
        if within_ms is None or delivery.attempt != 1:
            return
        received_ms, fresh_until_ms = delivery.received_ms, delivery.fresh_until_ms
        if fresh_until_ms is not None and received_ms > fresh_until_ms:
            return
        in_time = sent_ms - received_ms <= within_ms  # nearly always
        verdict = 0 if in_time else verdict_at(waits_before(delivery, sent_ms, waits), within_ms)
        self._counts[priority][verdict] += 1

    def take(self) -> dict[str, int]:
        """The counts by their fields in Redis, which begin anew."""
        counts, self._counts = self._counts, _no_counts()
        return {
            _field(priority, verdict): number
            for priority, numbers in zip(Priority, counts, strict=True)
            for verdict, number in zip(Verdict, numbers, strict=True)
            if number
        }


class LagCounts:
    """What one worker has counted, and Redis does not have yet."""

    def __init__(self) -> None:
        self._counted: dict[str, tuple[Objectives, DestinationLag]] = {}
        self._new: dict[str, Counter[str]] = {}  # by destination and field

    def of(self, destination: str, objectives: Objectives) -> DestinationLag:
        """The counts of one destination, against these objectives."""
        known = self._counted.get(destination)
        if known is None or known[0] != objectives:
            self._take()
            known = self._counted[destination] = (objectives, DestinationLag(objectives))
        return known[1]

    def _take(self) -> None:
        for destination, (_, lag) in self._counted.items():
            if counts := lag.take():
                self._new.setdefault(destination, Counter()).update(counts)

    async def flush(self, redis: Redis, *, now_s: float) -> None:
        """Store what is new. `now_s` is in Unix seconds. Raises StoreError: then it is stored the next time."""
        self._take()
        if not self._new:
            return
        await each_shard(redis, list(self._new), partial(self._store, redis, now_s))

    async def _store(self, redis: Redis, now_s: float, destinations: Sequence[str]) -> None:
        for destination in destinations:
            counts = self._new.pop(destination, None)
            if counts is None:  # the sweep before this one is slow, and has taken them
                continue
            try:
                await _add(redis, destination, counts, now_s)
            except BaseException:
                self._new.setdefault(destination, Counter()).update(counts)
                raise


async def _add(redis: Redis, destination: str, counts: Mapping[str, int], now_s: float) -> None:
    keys = DestinationKeys(destination)
    short, hour = keys.lag_short(int(now_s // _SHORT_S)), keys.lag_hour(int(now_s // _HOUR_S))
    async with redis.pipeline(transaction=True) as pipeline:
        for key in (keys.lag, short, hour):
            for field, number in counts.items():
                pipeline.hincrby(key, field, number)
        pipeline.expire(short, _KEEP_SHORT_S)
        pipeline.expire(hour, _KEEP_HOURS_S)
        await pipeline.execute()


def _field(priority: Priority, verdict: Verdict) -> str:
    return f"{priority.name.lower()}:{verdict}"


def _count(page: Mapping[bytes, bytes], priority: Priority) -> LagCount:
    return LagCount(*(int(page.get(_field(priority, verdict).encode(), 0)) for verdict in Verdict))


@dataclass(frozen=True, slots=True)
class LagReport:
    """How one destination and priority does."""

    destination: str
    priority: Priority
    objective: Objective
    total: LagCount  # since the beginning
    windows: Mapping[Window, tuple[LagCount, LagCount]]  # the long and the short one


async def read_lag(redis: Redis, objectives: Mapping[str, Objectives], *, now_s: float) -> list[LagReport]:
    """The report of each destination and priority that has an objective. Raises StoreError."""
    reports = []
    for destination, wanted in objectives.items():
        keys, short, hour = DestinationKeys(destination), int(now_s // _SHORT_S), int(now_s // _HOUR_S)
        names = [keys.lag, *(keys.lag_short(short - age) for age in range(_SHORT_BUCKETS))]
        names += [keys.lag_hour(hour - age) for age in range(_HOUR_BUCKETS)]
        total, *buckets = await read_hashes(redis, names)
        for priority, objective in wanted.items():
            counts = [_count(page, priority) for page in buckets]
            by_short, by_hour = counts[:_SHORT_BUCKETS], counts[_SHORT_BUCKETS:]
            windows = {
                window: (_within(WINDOWS[window][0], by_short, by_hour), _within(WINDOWS[window][1], by_short, by_hour))
                for window in Window
            }
            reports.append(LagReport(destination, priority, objective, _count(total, priority), windows))
    return reports


def _within(span: timedelta, by_short: Sequence[LagCount], by_hour: Sequence[LagCount]) -> LagCount:
    """The counts of the last `span`, in the buckets that hold it: the current one is a part of it."""
    if span <= timedelta(seconds=_SHORT_S * _SHORT_BUCKETS):
        return sum(by_short[: span // timedelta(seconds=_SHORT_S)], LagCount())
    return sum(by_hour[: span // timedelta(seconds=_HOUR_S)], LagCount())


async def read_month(redis: Redis, destination: str, *, now_s: float) -> dict[Priority, LagCount]:
    """The counts of the last 30 days. For people, not for code: it reads every hour. Raises StoreError."""
    keys, newest = DestinationKeys(destination), int(now_s // _HOUR_S)
    pages = await read_hashes(redis, [keys.lag_hour(newest - age) for age in range(BUDGET_DAYS * 24)])
    return {priority: sum((_count(page, priority) for page in pages), LagCount()) for priority in Priority}
