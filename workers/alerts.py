"""The evaluation of alerts in a worker. One worker of the whole fleet evaluates, under a lease; it also sends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import structlog

from app.alerts.couriers import Couriers, StoredQueue
from app.alerts.evaluation import EVALUATE_EVERY_MS, evaluate
from app.alerts.heartbeat import Heartbeat
from app.alerts.observe import Watched, observe
from app.alerts.plan import AlertPlan
from app.alerts.register import Register, Side
from app.alerts.reports import ProcessReport
from app.clock import now_ms
from app.store.connection import Redis
from app.store.errors import StoreError
from app.store.keys import AlertKeys
from app.store.polling import watching

log = structlog.get_logger()


class AlertLoop:
    """The alerts of one worker. `plan` and `watched` return what holds now."""

    def __init__(
        self,
        redis: Redis,
        plan: Callable[[], AlertPlan],
        watched: Callable[[], Watched],
        process: ProcessReport,
        *,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        """`clock` returns epoch ms."""
        self._redis, self._plan, self._watched, self._process, self._clock = redis, plan, watched, process, clock
        self._register = Register(redis, Side.WORKERS)
        self._couriers = Couriers(lambda channel: StoredQueue(self._register, channel))
        self._heartbeat = Heartbeat()
        self._beats: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Evaluate and send until the context ends."""
        try:
            async with watching(self.tick):
                yield
        finally:
            await asyncio.gather(*self._beats, return_exceptions=True)
            await self._couriers.stop()
            with contextlib.suppress(StoreError):
                await self._register.step_down()

    async def tick(self) -> bool:
        """Report, and evaluate if this worker leads and it is time: then True. Raises StoreError."""
        now, plan = self._clock(), self._plan()
        await self._process.send(now)
        if not await self._register.lead():
            await self._couriers.use(None)
            return False
        await self._couriers.use(plan)
        last = await cast(Any, self._redis.get(AlertKeys.evaluated))
        if last is not None and 0 <= now - int(last) < EVALUATE_EVERY_MS:
            return False
        observed = await observe(self._redis, self._watched(), now)
        await evaluate(self._register, plan, observed.values, now, observed.unknown)
        await self._redis.set(AlertKeys.evaluated, now)
        if plan.heartbeat is not None:
            beat = asyncio.create_task(self._heartbeat.beat(plan.heartbeat))
            self._beats.add(beat)
            beat.add_done_callback(self._beats.discard)
        return True
