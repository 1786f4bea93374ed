"""Runs each sync on its schedule. A sync that is still running then is left alone; its next time comes."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from cronsim import CronSim

from app.config.bad_settings import BadSettings
from app.operations.operator import OperationError, Operator
from app.rows.files import SourceFailed
from app.rows.guard import SyncRefused
from app.rows.run import resume, run
from app.store.connection import QueueUnavailable
from app.store.errors import StoreError
from app.tasks import end

_LONGEST_SLEEP: Final = timedelta(minutes=1)  # then the configuration is read again

log = structlog.get_logger()


class Schedule:
    """The times of all syncs that have a schedule, after the moment at which it is made."""

    def __init__(self, now: datetime) -> None:
        self._next: dict[tuple[str, str], datetime] = {}
        self._since = now

    def due(self, schedules: dict[str, str], now: datetime) -> list[str]:
        """The syncs that are due at `now` (UTC), each once however many of its times have passed."""
        names = []
        for sync, cron in schedules.items():
            at = self._next.get((sync, cron)) or next(CronSim(cron, self._since))
            if at <= now:
                names.append(sync)
                at = next(CronSim(cron, now))
            self._next[sync, cron] = at
        self._since = now
        return names

    def wait(self, schedules: dict[str, str], now: datetime) -> timedelta:
        """How long nothing is due."""
        times = [self._next[key] for key in schedules.items() if key in self._next]
        return max(timedelta(), min([_LONGEST_SLEEP, *(at - now for at in times)]))


async def keep_schedule(make_operator: Callable[[], Operator]) -> None:
    """Run syncs at their times, until it is cancelled. Runs that were interrupted before are continued first.

    The configuration is read again each minute. One that has a mistake changes nothing.
    """
    operator = make_operator()
    running = {name: asyncio.create_task(_continued(operator, name)) for name in _schedules(operator)}
    schedule = Schedule(datetime.now(UTC))
    log.info("sync.scheduled", syncs=len(running))
    try:
        while True:
            try:
                operator = make_operator()
            except BadSettings as problem:
                log.error("sync.config_failed", problem=str(problem))
            schedules = _schedules(operator)
            for name in schedule.due(schedules, datetime.now(UTC)):
                if (task := running.get(name)) is not None and not task.done():
                    log.warning("sync.still_running", sync=name)
                else:
                    running[name] = asyncio.create_task(_run(operator, name))
            await asyncio.sleep(schedule.wait(schedules, datetime.now(UTC)).total_seconds())
    finally:
        await end(*running.values())


def _schedules(operator: Operator) -> dict[str, str]:
    return {name: sync.schedule for name, sync in operator.topology.syncs.items() if sync.schedule}


async def _run(operator: Operator, name: str) -> None:
    try:
        for finished in await run(operator, name):
            log.info("sync.finished", sync=name, run=finished.run.id, **_counts(finished.report.facts()))
    except SyncRefused as refused:
        log.error("sync.refused", sync=name, code=refused.code)
    except (SourceFailed, OperationError) as failure:
        log.error("sync.failed", sync=name, reason=str(failure))
    except (StoreError, QueueUnavailable) as failure:
        log.error("sync.interrupted", sync=name, error=type(failure).__name__)
    except Exception:  # a bug costs this run alone
        log.exception("sync.crashed", sync=name)


async def _continued(operator: Operator, name: str) -> None:
    try:
        if (finished := await resume(operator, name)) is not None:
            log.info("sync.finished", sync=name, run=finished.run.id, **_counts(finished.report.facts()))
    except (OperationError, StoreError, QueueUnavailable) as failure:
        log.error("sync.interrupted", sync=name, error=type(failure).__name__)


def _counts(facts: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in facts.items() if name != "reasons"}
