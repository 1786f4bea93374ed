"""What the rules are about, read from Redis: one value for each rule and subject.

What is counted since the beginning (dead letters, missed journeys) is compared with a sample of some minutes ago. The
leader takes one each minute.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final, cast

import orjson
import structlog
from redis.asyncio import Redis

from app.alerts.reports import Requests, read_processes, read_requests
from app.alerts.rules import WINDOW_S, AlertId
from app.alerts.volume import dropped, read_volume, silent
from app.attentive.endpoints import PURCHASE
from app.delivery.accounts.attributes import read_attributes
from app.delivery.accounts.event_keys import read_event_keys
from app.delivery.accounts.token_app import read_apps
from app.delivery.backlog import lane_depths
from app.delivery.counters import Counters, read_counters
from app.delivery.dead_letter import DeadLetterQueue
from app.delivery.delivery import to_ms
from app.delivery.hold import NO_ANSWER, read_all_holds
from app.delivery.lag import Objectives, read_lag
from app.delivery.lane import Lane
from app.delivery.objectives import Window, burn_rate
from app.delivery.pace import FAILURES_TO_STOP
from app.delivery.pressure import read_memory
from app.delivery.queue_age import oldest_receipts
from app.delivery.retention import Kept, Retention, read_kept
from app.delivery.row_outcomes import read_problems
from app.erasure.requests import open_since
from app.store.durability import check_durability
from app.store.errors import StoreError
from app.store.keys import AlertKeys, ConsoleKeys
from app.store.shards import is_cluster

LEAST_DEAD: Final = 20  # events within the window, before their share counts
LEAST_ERRORS: Final = 5  # requests, for the same reason
SIGN_IN_FAILED: Final = "sign-in failed"  # an act of the console's audit log
_SAMPLE_EVERY_S: Final = 60
_SAMPLES: Final = int(WINDOW_S // _SAMPLE_EVERY_S) + 1
_AUDITED: Final = 1000  # entries of the audit log that are looked at

log = structlog.get_logger()

Values = Iterator[tuple[AlertId, float]]
Totals = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Watched:
    """What the rules look at."""

    lanes: Sequence[Lane]
    sources: Sequence[str]
    retention: Retention
    objectives: Mapping[str, Objectives] = field(default_factory=dict)  # for lag, by destination
    managed_redis: bool = False  # whether a service keeps Redis' data in a log that Redis does not report

    @property
    def destinations(self) -> list[str]:
        """Their names, once each."""
        return list(dict.fromkeys(lane.destination for lane in self.lanes))

    @property
    def endpoints(self) -> list[str]:
        """Their names, once each."""
        return list(dict.fromkeys(lane.endpoint for lane in self.lanes))


@dataclass(frozen=True, slots=True)
class Observed:
    """What one look has found."""

    values: Mapping[AlertId, float]
    unknown: frozenset[str] = frozenset()  # rules whose values are unknown now, because of an error of ours


async def observe(redis: Redis, watched: Watched, now: int) -> Observed:
    """Look once. `now` is epoch ms. Raises StoreError.

    An error of ours in one observer, such as stored data that it cannot read, costs the rules of that observer alone.
    So does a shard of a cluster that is away.
    """
    values: dict[AlertId, float] = {}
    unknown: set[str] = set()
    for rules, observer in OBSERVERS:
        try:
            values.update(await observer(redis, watched, now))
        except StoreError:
            if not is_cluster(redis):
                raise
            unknown |= rules
        except Exception:
            log.exception("alerts.observer_crashed", rules=sorted(rules))
            unknown |= rules
    return Observed(values, frozenset(unknown))


async def _endings(redis: Redis, watched: Watched, now: int) -> Values:
    """How events ended, and what is kept of those that failed."""
    counters = await read_counters(redis, watched.destinations)
    kept = await read_kept(redis, watched.destinations)
    totals = _totals(counters, kept)
    before = await _earlier(redis, totals, now)
    return chain(_of_counters(totals, before), _of_dead_letters(kept, watched.retention))


async def _intake(redis: Redis, watched: Watched, now: int) -> Values:
    """What the gateways reported of requests."""
    return _of_requests(await read_requests(redis, now))


async def _sources(redis: Redis, watched: Watched, now: int) -> Values:
    """How much each source sends."""
    volume = await read_volume(redis, watched.sources, now)
    return chain(silent(volume, now), dropped(volume))


def _totals(counters: Sequence[Counters], kept: Sequence[Kept]) -> dict[str, int]:
    """What is compared with earlier samples, by a name of its own."""
    totals: dict[str, int] = {}
    for each in counters:
        name = each.destination
        ended = each.delivered + sum(each.dropped.values()) + sum(each.unknown.values())
        totals[f"missed|{name}"] = each.missed.get("waited", 0)
        totals[f"dead|{name}"] = sum(each.dead.values())
        totals[f"ended|{name}"] = ended + sum(each.dead.values())
        for (queue, why, source), number in each.evicted.items():
            totals[f"evicted|{name}|{queue}|{source}|{why}"] = number
        for source, number in each.journal_trimmed.items():
            totals[f"trimmed|{name}|{source}"] = number
        for (source, verdict), number in each.merges.items():
            if verdict == "shared":
                totals[f"shared|{name}|{source}"] = number
    for letters in kept:
        if letters.queue is DeadLetterQueue.DEAD:
            totals[f"kept|{letters.destination}"] = letters.dead_letters
    return totals


async def _earlier(redis: Redis, totals: Totals, now: int) -> Totals:
    """The sample of 15 minutes ago, or the oldest there is. Takes one where a minute has gone by."""
    stored = cast(list[bytes], await cast(Any, redis.lrange(AlertKeys.samples, 0, -1)))
    samples = [orjson.loads(each) for each in stored]
    recent = [sample for sample in samples if now - sample["at"] <= (WINDOW_S + _SAMPLE_EVERY_S) * 1000]
    if not recent or now - recent[-1]["at"] >= _SAMPLE_EVERY_S * 1000:
        async with redis.pipeline(transaction=True) as pipeline:
            pipeline.rpush(AlertKeys.samples, orjson.dumps({"at": now, "totals": totals}))
            pipeline.ltrim(AlertKeys.samples, -_SAMPLES, -1)
            await pipeline.execute()
    return recent[0]["totals"] if recent else totals


def _of_counters(totals: Totals, before: Totals) -> Values:
    """How much was added since. What there was none of then began at 0."""
    grown = {name: max(0, number - before.get(name, 0)) for name, number in totals.items()}
    for name, number in grown.items():
        kind, *labels = name.split("|")
        match kind:
            case "missed":
                yield AlertId("journeys_missed", tuple(labels)), number
            case "kept":
                yield AlertId("dead_letters_grow", tuple(labels)), number
            case "evicted":
                yield AlertId("dead_letters_deleted", tuple(labels)), number
            case "trimmed":
                yield AlertId("journal_trimmed", tuple(labels)), number
            case "shared":
                yield AlertId("suspicious_ids", tuple(labels)), number
            case "dead" if number >= LEAST_DEAD:
                yield AlertId("dead_letters_share", tuple(labels)), number / grown[f"ended|{labels[0]}"]


def _of_dead_letters(kept: Sequence[Kept], retention: Retention) -> Values:
    for each in kept:
        yield AlertId("dead_letters_nearly_full", (each.destination, each.queue)), each.fill(retention)
        if each.queue is DeadLetterQueue.REVIEW:
            yield AlertId("unknown_outcomes", (each.destination,)), each.dead_letters


async def _lanes(redis: Redis, watched: Watched, now: int) -> Values:
    depths = await lane_depths(redis, watched.lanes)
    oldest = await oldest_receipts(redis, depths)
    async with redis.pipeline(transaction=False) as pipeline:
        for lane in watched.lanes:
            pipeline.hget(lane.keys.pace, "failures")
        failures = await pipeline.execute()

    def values() -> Values:
        for lane, received_at in oldest.items():
            yield AlertId("backlog_old", (lane.destination, lane.endpoint)), (now - to_ms(received_at)) / 1000
        for lane, number in zip(watched.lanes, failures, strict=True):
            if int(number or 0) >= FAILURES_TO_STOP:
                yield AlertId("attentive_away", (lane.destination, lane.endpoint)), 1.0

    return values()


async def _holds(redis: Redis, watched: Watched, now: int) -> Values:
    found = await read_all_holds(redis, watched.destinations, watched.endpoints)
    return (
        (AlertId("held", (name, hold.endpoint or "")), 1.0)
        for name, holds in found.items()
        for hold in holds
        if hold.reason != NO_ANSWER
    )


async def _growth(redis: Redis, watched: Watched, now: int) -> Values:
    attributes = await read_attributes(redis, watched.destinations)
    keys, apps = await read_event_keys(redis, watched.destinations), await read_apps(redis, watched.destinations)

    def values() -> Values:
        for name in watched.destinations:
            yield AlertId("attributes_many", (name,)), len(attributes[name])
            yield AlertId("event_keys_many", (name,)), max(keys[name].values(), default=0)
            app = apps.get(name)
            yield AlertId("app_changed", (name,)), float(app is not None and app.found is not None)

    return values()


async def _purchases(redis: Redis, watched: Watched, now: int) -> Values:
    """When a purchase came into a lane last, as its streams know."""
    lanes = [lane for lane in watched.lanes if lane.endpoint == PURCHASE.name]
    async with redis.pipeline(transaction=False) as pipeline:
        for lane in lanes:
            for stream in lane.keys.streams:
                pipeline.execute_command("XINFO", "STREAM", stream)
        answers = await pipeline.execute(raise_on_error=False)
    each = len(answers) // max(1, len(lanes))

    def values() -> Values:
        for at, lane in enumerate(lanes):
            newest = max(map(_last_entry, answers[at * each : (at + 1) * each]), default=0)
            if newest:
                yield AlertId("no_purchases", (lane.destination,)), max(0.0, (now - newest) / 1000)

    return values()


def _last_entry(answer: Any) -> int:
    """When something was added to a stream last, in epoch ms; 0 for one that does not exist."""
    if isinstance(answer, Exception):
        return 0
    facts = answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True))
    last = facts.get(b"last-generated-id", facts.get("last-generated-id", b"0-0"))
    return int((last.decode() if isinstance(last, bytes) else str(last)).partition("-")[0])


async def _erasures(redis: Redis, watched: Watched, now: int) -> Values:
    found = await open_since(redis, watched.destinations)

    def values() -> Values:
        for name, (here, anywhere) in found.items():
            if here is not None:
                yield AlertId("erasure_delayed", (name,)), (now - to_ms(here)) / 1000
            if anywhere is not None:
                yield AlertId("erasure_overdue", (name,)), (now - to_ms(anywhere)) / 1000

    return values()


async def _syncs(redis: Redis, watched: Watched, now: int) -> Values:
    problems = await read_problems(redis, watched.destinations)
    return ((AlertId(f"sync_{problem}", where), 1.0) for where, problem in problems.items())


async def _lag(redis: Redis, watched: Watched, now: int) -> Values:
    reports = await read_lag(redis, watched.objectives, now_s=now / 1000)

    def values() -> Values:
        for each in reports:
            labels = (each.destination, each.priority.name.lower())
            for rule, window in (("lag_burns_fast", Window.FAST), ("lag_burns_slowly", Window.SLOW)):
                yield AlertId(rule, labels), burn_rate(*each.windows[window], each.objective)

    return values()


async def _of_redis(redis: Redis, watched: Watched, now: int) -> Values:
    memory, durability = await read_memory(redis), await check_durability(redis, managed=watched.managed_redis)
    return iter(
        [
            (AlertId("redis_memory"), memory.share),
            (AlertId("redis_not_durable"), float(bool(durability.problems))),
        ]
    )


async def _processes(redis: Redis, watched: Watched, now: int) -> Values:
    processes = await read_processes(redis, now)
    removed = sorted({name for each in processes for name in each.removed} - set(watched.destinations))
    lanes = [Lane(name, endpoint) for name in removed for endpoint in watched.endpoints]
    waiting: Counter[str] = Counter()
    for depth in await lane_depths(redis, lanes):
        waiting[depth.lane.destination] += depth.total

    def values() -> Values:
        for process in processes:
            yield AlertId("config_bad", (process.name,)), float(not process.usable)
        for name, calls in waiting.items():
            yield AlertId("destination_removed", (name,)), calls

    return values()


async def _sign_ins(redis: Redis, watched: Watched, now: int) -> Values:
    since = f"{now - int(WINDOW_S * 1000)}-0"
    entries = await redis.xrevrange(ConsoleKeys.audit, min=since, count=_AUDITED)
    failed = sum(orjson.loads(fields[b"d"])["a"] == SIGN_IN_FAILED for _, fields in entries)
    return iter([(AlertId("sign_in_failures"), failed)])


def _of_requests(requests: Requests) -> Values:
    if requests.errors >= LEAST_ERRORS:
        yield AlertId("server_errors"), requests.errors / requests.answered
    for (limit, source), number in requests.limits.items():
        if limit in ("rate_limited", "backlog_full", "source_backlog_full"):
            yield AlertId("puts_trackers_off", (source, limit)), number
        elif limit not in ("redis_full", "overloaded"):
            yield AlertId("limit_reached", (source, limit)), number
    for code, number in requests.refused.items():
        if code != "rate_limited" and not code.endswith("backlog_full"):
            yield AlertId("refusals", (code,)), number


Observer = Callable[[Redis, Watched, int], Awaitable[Values]]
OBSERVERS: Final[Sequence[tuple[frozenset[str], Observer]]] = (  # each with the rules that it observes
    (frozenset({"backlog_old", "attentive_away"}), _lanes),
    (frozenset({"held"}), _holds),
    (
        frozenset(
            {
                *("journeys_missed", "dead_letters_grow", "dead_letters_share", "dead_letters_nearly_full"),
                *("dead_letters_deleted", "journal_trimmed", "suspicious_ids", "unknown_outcomes"),
            }
        ),
        _endings,
    ),
    (frozenset({"attributes_many", "event_keys_many", "app_changed"}), _growth),
    (frozenset({"no_purchases"}), _purchases),
    (frozenset({"erasure_delayed", "erasure_overdue"}), _erasures),
    (frozenset({"sync_failed", "sync_stopped"}), _syncs),
    (frozenset({"lag_burns_fast", "lag_burns_slowly"}), _lag),
    (frozenset({"redis_memory", "redis_not_durable"}), _of_redis),
    (frozenset({"config_bad", "destination_removed"}), _processes),
    (frozenset({"sign_in_failures"}), _sign_ins),
    (frozenset({"server_errors", "puts_trackers_off", "limit_reached", "refusals"}), _intake),
    (frozenset({"source_silent", "source_drop"}), _sources),
)
