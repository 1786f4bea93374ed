"""What only a gateway can tell: that Redis is away, or that no worker runs.

Without Redis there is neither a lease nor a queue, so each gateway process speaks for itself then. Services that keep
incidents make one of all their messages, by the key; others get one from each process.
"""

import contextlib
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, cast

import structlog

from app.alerts.couriers import Couriers, MemoryQueue, StoredQueue
from app.alerts.evaluation import EVALUATE_EVERY_MS, advance, evaluate
from app.alerts.messages import key_of, message_of
from app.alerts.plan import AlertPlan
from app.alerts.register import Register, Side
from app.alerts.reports import ProcessReport, RequestReport
from app.alerts.rules import AlertId
from app.alerts.state import AlertState
from app.clock import now_ms
from app.store.connection import Redis
from app.store.errors import StoreError
from app.store.keys import AlertKeys

_LED_BEFORE_MS: Final = 20_000  # who has not evaluated for so long knows nothing of the time between
_AWAY: Final = "redis_away"
_GONE: Final = "workers_gone"

log = structlog.get_logger()


class GatewayWatch:
    """The alerts of one gateway process."""

    def __init__(
        self,
        redis: Redis,
        plan: Callable[[], AlertPlan],
        requests: RequestReport,
        process: ProcessReport,
        *,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        """`plan` returns what holds now; `clock` epoch ms."""
        self._redis, self._plan, self._clock = redis, plan, clock
        self._requests, self._process = requests, process
        self._register = Register(redis, Side.GATEWAYS)
        self._stored = Couriers(lambda channel: StoredQueue(self._register, channel))
        self._queues: dict[str, MemoryQueue] = {}
        self._own = Couriers(lambda channel: self._queues.setdefault(channel, MemoryQueue()))
        self._away = AlertState()
        self._seen: tuple[bytes | None, int] = (
            None,
            clock(),
        )  # when workers evaluated, by their clock and by ours
        self._evaluated = 0

    async def look(self) -> None:
        """Report and evaluate. Called each second. Raises nothing, so that an error of ours does not end the alerts."""
        try:
            await self._look()
        except Exception:
            log.exception("alerts.crashed")

    async def _look(self) -> None:
        now, plan = self._clock(), self._plan()
        try:
            await self._requests.send(now)
            await self._process.send(now)
            await self._evaluate(plan, now)
        except StoreError:
            await self._stored.use(None)
            await self._tell_of_redis(plan, 1.0, now)
        else:
            await self._tell_of_redis(plan, 0.0, now)

    async def _evaluate(self, plan: AlertPlan, now: int) -> None:
        """Where this gateway leads: whether workers evaluate. Raises StoreError."""
        if not await self._register.lead():
            await self._stored.use(None)
            return
        await self._stored.use(plan)
        if 0 <= now - self._evaluated < EVALUATE_EVERY_MS:
            return
        last = await cast(Any, self._redis.get(AlertKeys.evaluated))
        if last != self._seen[0] or now - self._evaluated > _LED_BEFORE_MS:
            self._seen = (last, now)
        await evaluate(self._register, plan, {AlertId(_GONE): (now - self._seen[1]) / 1000}, now)
        self._evaluated = now

    async def _tell_of_redis(self, plan: AlertPlan, away: float, now: int) -> None:
        rule = plan.rules.get(_AWAY)
        if rule is None:
            return
        alert = AlertId(_AWAY)
        self._away, notices = advance(plan, alert, self._away, away, rule.thresholds, now, muted=False)
        if self._away.is_over:
            self._away = AlertState()
        for notice in notices:
            message = message_of(AlertId(_AWAY, (socket.gethostname(),)), away, notice, now, plan.sender)
            shared = replace(message, key=key_of(alert, plan.sender))
            self._queues.setdefault(notice.channel, MemoryQueue()).add(shared)
        if notices:
            log.warning("alerts.redis_away" if away else "alerts.redis_back", channels=len(notices))
        waiting = any(not queue.is_empty for queue in self._queues.values())
        await self._own.use(plan if waiting else None)

    async def stop(self) -> None:
        """Send nothing more."""
        await self._stored.stop()
        await self._own.stop()
        with contextlib.suppress(StoreError):
            await self._register.step_down()
