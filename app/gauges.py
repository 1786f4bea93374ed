"""Metrics that only Redis knows: counters, lanes, holds, and Redis itself. All processes report equal values."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from app.delivery.accounts.attributes import read_attributes
from app.delivery.accounts.event_keys import read_event_keys
from app.delivery.accounts.token_app import read_apps
from app.delivery.backlog import LaneDepth, source_backlogs
from app.delivery.counters import read_counters
from app.delivery.dead_letter import DeadLetterQueue
from app.delivery.lag import Objectives, read_lag
from app.delivery.objectives import Verdict, Window, burn_rate
from app.delivery.pressure import read_memory
from app.delivery.queue_age import oldest_receipts
from app.delivery.retention import Retention, read_kept
from app.delivery.workload import LaneWork, seconds_of_work
from app.erasure.requests import count_open
from app.masking import mask_text
from app.metrics import Family, Readings
from app.profiles.lookup import count_people
from app.store.connection import Redis
from app.store.keys import STREAMS


async def read_counts(page: Readings, redis: Redis, destinations: Sequence[str]) -> None:
    """The numbers of events received and ended, and of their calls. Raises StoreError."""
    known = await read_attributes(redis, destinations)
    for counters in await read_counters(redis, destinations):
        name = counters.destination
        page.add(Family.RECEIVED, counters.received, name)
        page.add(Family.REPLAYED, counters.replayed, name)
        page.add(Family.ENDED, counters.delivered, name, "delivered", "")
        for ending, reasons in (("dropped", counters.dropped), ("dead_lettered", counters.dead)):
            for reason, number in reasons.items():
                page.add(Family.ENDED, number, name, ending, reason)
        for resolution, number in counters.unknown.items():
            page.add(Family.ENDED, number, name, "unknown", resolution)
        for endpoint_and_then, number in counters.unknown_calls.items():
            page.add(Family.UNKNOWN, number, name, *endpoint_and_then)
        page.add(Family.WAITING, counters.waiting, name)
        page.add(Family.UNCHANGED, counters.unchanged, name)
        for queue_and_why, number in counters.evicted.items():
            page.add(Family.EVICTED, number, name, *queue_and_why)
        for source, number in counters.journal_trimmed.items():
            page.add(Family.JOURNAL_TRIMMED, number, name, source)
        page.add(Family.ATTRIBUTES, len(known[name]), name)
        for reason_and_attribute, number in _masked(counters.left_out).items():
            page.add(Family.LEFT_OUT, number, name, *reason_and_attribute)
        for endpoint, number in counters.large.items():
            page.add(Family.LARGE, number, name, endpoint)
        for cause in ("arrived", "waited"):
            page.add(Family.MISSED, counters.missed.get(cause, 0), name, cause)
        for source_and_verdict, number in counters.merges.items():
            page.add(Family.MERGES, number, name, *source_and_verdict)


async def read_growth(page: Readings, redis: Redis, destinations: Sequence[str]) -> None:
    """The growth of accounts towards Attentive's limits, and whether the app changed. Raises StoreError."""
    keys, apps = await read_event_keys(redis, destinations), await read_apps(redis, destinations)
    for counters in await read_counters(redis, destinations):
        name = counters.destination
        app = apps.get(name)
        page.add(Family.EVENT_KEYS, max(keys[name].values(), default=0), name)
        page.add(Family.LONG_URLS, counters.long_urls, name)
        page.add(Family.APP_CHANGED, app is not None and app.found is not None, name)


def _masked(left_out: Mapping[str, int]) -> Counter[tuple[str, str]]:
    """Left-out values by reason and masked attribute. Names that are equal once masked count as one series."""
    totals: Counter[tuple[str, str]] = Counter()
    for what, number in left_out.items():
        reason, _, name = what.partition(":")
        totals[reason, mask_text(name)] += number
    return totals


async def read_dead_letters(page: Readings, redis: Redis, destinations: Sequence[str], retention: Retention) -> None:
    """Dead letters and calls in review: number, age, and used limits. Raises StoreError."""
    for kept in await read_kept(redis, destinations):
        queue = Family.DEAD_LETTERS if kept.queue is DeadLetterQueue.DEAD else Family.IN_REVIEW
        page.add(queue, kept.dead_letters, kept.destination)
        where = (kept.destination, kept.queue)
        page.add(Family.OLDEST_DEAD_LETTER, kept.oldest.total_seconds(), *where)
        page.add(Family.DEAD_LETTERS_FILL, kept.fill(retention), *where)
        for source, share in kept.shares.items():
            page.add(Family.DEAD_LETTERS_SIZE, share.bytes, *where, source)


async def read_erasures(page: Readings, redis: Redis, destinations: Sequence[str]) -> None:
    """Erasures by state, and those in progress. Raises StoreError."""
    for counters in await read_counters(redis, destinations):
        for state in ("begun", "done", "incomplete"):
            page.add(Family.ERASURES, counters.erasures.get(state, 0), counters.destination, state)
    for destination, number in zip(destinations, await count_open(redis, destinations), strict=True):
        page.add(Family.ERASURES_OPEN, number, destination)


async def read_lags(page: Readings, redis: Redis, objectives: Mapping[str, Objectives]) -> None:
    """How calls do against the objective for lag. Raises StoreError."""
    for report in await read_lag(redis, objectives, now_s=time.time()):
        where = (report.destination, report.priority.name.lower())
        for verdict in Verdict:
            page.add(Family.LAG_CALLS, getattr(report.total, verdict), *where, verdict)
        for window in Window:
            page.add(Family.LAG_BURN, burn_rate(*report.windows[window], report.objective), *where, window)
        page.add(Family.LAG_OBJECTIVE, report.objective.share, *where)


async def read_people(page: Readings, redis: Redis, lives: Mapping[tuple[str, str], timedelta]) -> None:
    """The number of IDs with a stored profile. `lives` maps destination and source to the expiry. Raises StoreError."""
    for where, count in zip(lives, await count_people(redis, lives), strict=True):
        page.add(Family.PROFILES, count, *where)


async def read_lanes(
    page: Readings, redis: Redis, depths: Sequence[LaneDepth], work: Sequence[LaneWork], one_worker: float
) -> None:
    """The lanes: depth, age, holds, and the resulting work. Raises StoreError."""
    since, now = await oldest_receipts(redis, depths), datetime.now(UTC)
    for depth in depths:
        where = (depth.lane.destination, depth.lane.endpoint)
        for priority, count in zip((*STREAMS, "retry"), (*depth.by_stream, depth.retries), strict=True):
            page.add(Family.DEPTH, count, *where, priority)
        waited = now - since.get(depth.lane, now)
        page.add(Family.OLDEST_WAITING, max(0.0, waited.total_seconds()), *where)
    by_destination: dict[str, list[LaneWork]] = {}
    for each in work:
        page.add(Family.RATE, each.rate, each.lane.destination, each.lane.endpoint)
        page.add(Family.HELD, each.held, each.lane.destination, each.lane.endpoint)
        by_destination.setdefault(each.lane.destination, []).append(each)
    for destination, lanes in by_destination.items():
        page.add(Family.HELD, lanes[0].destination_held, destination, "")
        page.add(Family.SENDABLE_WORK, seconds_of_work(lanes, one_worker=one_worker), destination)
    for destination, sources in (await source_backlogs(redis, list(by_destination))).items():
        for source, waiting in sources.items():
            page.add(Family.SOURCE_BACKLOG, waiting.calls, destination, source)


async def read_redis(page: Readings, redis: Redis) -> None:
    """Redis's memory. Raises StoreError."""
    memory = await read_memory(redis)
    page.add(Family.REDIS_MEMORY_USED, memory.used_bytes)
    page.add(Family.REDIS_MEMORY_MAX, memory.max_bytes)
