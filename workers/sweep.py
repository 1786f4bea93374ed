"""The arq cron: each second it wakes every lane that has something due, whatever became of the hints."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final

import structlog

from app.attentive.answers import Reply
from app.attentive.client import AttentiveClient
from app.attentive.token import works
from app.delivery.accounts.token_state import note_token
from app.delivery.backlog import lanes_to_wake
from app.delivery.counters import read_counters
from app.delivery.hold import end_hold, read_hold
from app.delivery.journal.call_record import trim
from app.delivery.journal.journal import bound_journals, trim_journals
from app.delivery.retention import NEARLY_FULL, evict, read_kept
from app.delivery.wakeup import wake_lane
from app.store.connection import why_unavailable
from app.store.errors import StoreError
from app.store.shards import by_shard
from workers.context import Probe, WorkerContext

_TRIM_EVERY: Final = 60  # sweeps
FIRST_PROBE_S: Final = 2.0
LONGEST_PROBE_S: Final = 60.0
WARN_EVERY_S: Final = 3600.0
WAKE_AGAIN_S: Final = 5.0

log = structlog.get_logger()


async def sweep(ctx: dict[str, Any]) -> None:
    """Wake what is due; now and then, evict the journal's oldest entries and dead letters kept too long."""
    context: WorkerContext = ctx["context"]
    if context.stopping.is_set():
        return
    try:
        shards = await by_shard(context.redis, context.destinations)
        context.sweeps += 1
        results = await asyncio.gather(*(_sweep(context, each) for each in shards), return_exceptions=True)
        failures = [failure for failure in results if isinstance(failure, BaseException)]
        if len(failures) < len(shards):
            await context.event_keys.flush(context.redis)
            await context.lag.flush(context.redis, now_s=time.time())
        for failure in failures:
            raise failure
    except StoreError as failure:
        log.warning("sweep.interrupted", reason=why_unavailable(failure))


async def _sweep(context: WorkerContext, destinations: Sequence[str]) -> None:
    """Sweep the destinations of one shard. Raises StoreError."""
    await wake_due(context, destinations, now=time.time())
    await resume_held(context, destinations, now=time.monotonic())
    for trimmed in await bound_journals(context.redis, destinations, context.journal_bytes):
        log.warning("journal.trimmed", **asdict(trimmed), hint="see GATEWAY_JOURNAL_BYTES")
    if context.sweeps % _TRIM_EVERY == 0:
        await trim_journals(context.redis, destinations, context.journal_life)
        await trim(context.redis, destinations, context.recording, context.journal_life)
        await look_after_dead_letters(context, destinations, now=time.monotonic())


async def wake_due(context: WorkerContext, destinations: Sequence[str], *, now: float) -> None:
    """Wake every lane that has something due and no drain; again in the next window, if no drain takes it up.

    `now` is in Unix seconds. Raises StoreError.
    """
    for lane, generation in await lanes_to_wake(context.redis, context.lanes_of(destinations)):
        await wake_lane(context.redis, lane.destination, lane.endpoint, generation, window=int(now // WAKE_AGAIN_S))


async def look_after_dead_letters(context: WorkerContext, destinations: Sequence[str], *, now: float) -> None:
    """Delete what is too old or too much, and log that, whatever deleted it; and log long before that it will happen.

    `now` is monotonic seconds. Raises StoreError.
    """
    if context.evicted.keys().isdisjoint(destinations):  # what was deleted before this worker started is not news
        await _log_evicted(context, destinations, quiet=True)
    await evict(context.redis, destinations, context.retention)
    await _log_evicted(context, destinations)
    for kept in await read_kept(context.redis, destinations):
        if (
            kept.fill(context.retention) < NEARLY_FULL
            or now - context.warned.get(kept.destination, -WARN_EVERY_S) < WARN_EVERY_S
        ):
            continue
        context.warned[kept.destination] = now
        log.warning(
            "dead_letters.nearly_full",
            destination=kept.destination,
            queue=kept.queue.value,
            dead_letters=kept.dead_letters,
            bytes={source: share.bytes for source, share in kept.shares.items()},
            oldest_days=round(kept.oldest / timedelta(days=1), 1),
            hint="replay or purge them before the oldest are deleted: GATEWAY_DEAD_LETTER_DAYS, _ENTRIES and _BYTES",
        )


async def _log_evicted(context: WorkerContext, destinations: Sequence[str], *, quiet: bool = False) -> None:
    """Log the letters that were deleted since the last time. Those for a source's share go as soon as it is full."""
    for counters in await read_counters(context.redis, destinations):
        before = context.evicted.get(counters.destination, {})
        context.evicted[counters.destination] = counters.evicted
        for (queue, why, source), number in counters.evicted.items():
            if not quiet and (dead_letters := number - before.get((queue, why, source), 0)) > 0:
                log.error(
                    "dead_letters.evicted",
                    destination=counters.destination,
                    queue=queue,
                    why=why,
                    source=source,
                    dead_letters=dead_letters,
                )


async def resume_held(context: WorkerContext, destinations: Sequence[str], *, now: float) -> None:
    """Ask for each held destination, with growing pauses, whether its token works again; if so, end the hold.

    A hold because its account changed is left to an operator. `now` is monotonic seconds. Raises StoreError.
    """
    for name in destinations:
        hold = await read_hold(context.redis, name)
        if hold is None or hold.needs_decision:
            context.probes.pop(name, None)
            continue
        if name not in context.probes:
            log.warning("destination.held", destination=name, reason=hold.reason, next_try_s=FIRST_PROBE_S)
        probe = context.probes.setdefault(name, Probe(now + FIRST_PROBE_S, FIRST_PROBE_S))
        if now < probe.due:
            continue
        if (client := context.client(name)) is None:  # the configuration has lost it this moment
            continue
        pause = min(probe.pause_s * 2, LONGEST_PROBE_S)
        if await _works_again(context, name, client, pause):
            await end_hold(context.redis, name)
            context.probes.pop(name, None)
        else:
            context.probes[name] = Probe(now + pause, pause)


async def _works_again(context: WorkerContext, name: str, client: AttentiveClient, pause_s: float) -> bool:
    reply = await client.who_am_i()
    good = works(reply)
    await note_token(context.redis, name, reply, next_try=None if good else timedelta(seconds=pause_s))
    if good:
        log.info("destination.token_works", destination=name)
    elif isinstance(reply, Reply):
        log.error("destination.token_refused", destination=name, status=reply.status, next_try_s=pause_s)
    else:
        log.warning("destination.token_unknown", destination=name, reason=reply.reason, next_try_s=pause_s)
    return good
