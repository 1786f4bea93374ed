"""The arq cron: each second it wakes every lane that has something due, whatever became of the hints."""

import time
from datetime import timedelta
from typing import Any, Final

import structlog
from redis.exceptions import RedisError

from app.attentive.token import works
from app.delivery.backlog import lanes_to_wake
from app.delivery.connection import why_unavailable
from app.delivery.journal import trim_journals
from app.delivery.keys import DestinationKeys
from app.delivery.retention import NEARLY_FULL, let_go, read_kept
from app.delivery.wake import wake_lane
from workers.desk import Desk, Probe

_TRIM_EVERY: Final = 60  # sweeps
FIRST_PROBE_S: Final = 2.0
LONGEST_PROBE_S: Final = 60.0
WARN_EVERY_S: Final = 3600.0

log = structlog.get_logger()


async def sweep(ctx: dict[str, Any]) -> None:
    """Wake what is due; now and then, let go of the journal's oldest entries and of letters kept too long."""
    desk: Desk = ctx["desk"]
    if desk.stopping.is_set():
        return
    try:
        for lane, turn in await lanes_to_wake(desk.redis, desk.lanes):
            await wake_lane(desk.redis, lane.destination, lane.endpoint, turn)
        await resume_held(desk, now=time.monotonic())
        desk.sweeps += 1
        if desk.sweeps % _TRIM_EVERY == 0:
            await trim_journals(desk.redis, desk.destinations, desk.journal_life)
            await look_after_letters(desk, now=time.monotonic())
    except RedisError as failure:
        log.warning("sweep.interrupted", reason=why_unavailable(failure))


async def look_after_letters(desk: Desk, *, now: float) -> None:
    """Let go of what is too old or too much, and say so; and say long before that it will happen.

    `now` is monotonic seconds. Raises RedisError.
    """
    for destination, letters in (await let_go(desk.redis, desk.destinations, desk.retention)).items():
        log.error("dead_letters.let_go", destination=destination, letters=letters)
    for kept in await read_kept(desk.redis, desk.destinations):
        if (
            kept.fill(desk.retention) < NEARLY_FULL
            or now - desk.warned.get(kept.destination, -WARN_EVERY_S) < WARN_EVERY_S
        ):
            continue
        desk.warned[kept.destination] = now
        log.warning(
            "dead_letters.nearly_full",
            destination=kept.destination,
            shelf=kept.shelf.value,
            letters=kept.letters,
            oldest_days=round(kept.oldest / timedelta(days=1), 1),
            hint="replay or purge them before the oldest are let go; see GATEWAY_DEAD_LETTER_DAYS and _ENTRIES",
        )


async def resume_held(desk: Desk, *, now: float) -> None:
    """Ask for each held destination, with growing pauses, whether its token works again; if so, end the hold.

    `now` is monotonic seconds. Raises RedisError.
    """
    for name in desk.destinations:
        hold = DestinationKeys(name).hold
        if not await desk.redis.exists(hold):
            desk.probes.pop(name, None)
            continue
        probe = desk.probes.setdefault(name, Probe(now + FIRST_PROBE_S, FIRST_PROBE_S))
        if now < probe.due:
            continue
        if (client := desk.client(name)) is None:  # the configuration has lost it this moment
            continue
        reply = await client.who_am_i()
        good = works(reply)
        log.info("destination.asked", destination=name, works=good)
        if good:
            await desk.redis.delete(hold)
            continue
        pause = min(probe.pause_s * 2, LONGEST_PROBE_S)
        desk.probes[name] = Probe(now + pause, pause)
