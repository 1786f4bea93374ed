"""The arq cron: each second it wakes every lane that has something due, whatever became of the hints."""

from typing import Any, Final

import structlog
from redis.exceptions import RedisError

from app.delivery.backlog import lanes_to_wake
from app.delivery.connection import why_unavailable
from app.delivery.journal import trim_journals
from app.delivery.wake import wake_lane
from workers.desk import Desk

_TRIM_EVERY: Final = 60  # sweeps

log = structlog.get_logger()


async def sweep(ctx: dict[str, Any]) -> None:
    """Wake what is due; now and then, forget the journal's oldest entries."""
    desk: Desk = ctx["desk"]
    if desk.stopping.is_set():
        return
    try:
        for lane, turn in await lanes_to_wake(desk.redis, desk.lanes):
            await wake_lane(desk.redis, lane.destination, lane.endpoint, turn)
        desk.sweeps += 1
        if desk.sweeps % _TRIM_EVERY == 0:
            await trim_journals(desk.redis, desk.destinations, desk.journal_life)
    except RedisError as failure:
        log.warning("sweep.interrupted", reason=why_unavailable(failure))
