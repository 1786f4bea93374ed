"""The arq job: one lane, for one slice. Claim → pace → send → judge → settle."""

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.attentive.endpoints import BY_NAME
from app.delivery.backlog import Entry, Lane, LaneLease, Settlement
from app.delivery.connection import why_unavailable
from app.delivery.group_commit import GroupCommit
from app.delivery.last_second import LastSecond
from app.delivery.wake import wake_lane
from app.topology import consent_rules
from workers.attempt import Attempts
from workers.desk import Desk

SLICE: Final = timedelta(seconds=30)  # then the lane is handed back, so that lanes spread over the workers there are
IDLE: Final = timedelta(seconds=2)  # an empty lane is watched this long: its next event finds its drain awake
SETTLE_WITHIN: Final = timedelta(seconds=5)
_SETTLE_AGAIN_S: Final = 0.1
_BLOCK: Final = timedelta(seconds=1)
_SHORTEST_PAUSE: Final = timedelta(milliseconds=20)  # tokens are taken in small lots: 50 claims a second at the most

log = structlog.get_logger()


async def drain(ctx: dict[str, Any], destination: str, endpoint: str) -> None:
    """Send what waits in one lane until the slice or the accounts are over, the lane stays empty, or the worker stops.

    Never raises for a delivery's sake. When Redis goes away it returns; what was claimed stays claimed, and the lane's
    next drain inherits it.
    """
    desk: Desk = ctx["desk"]
    with desk.draining():
        await _drain_lane(desk, Lane(destination, endpoint))


async def _drain_lane(desk: Desk, lane: Lane) -> None:
    destination, endpoint = lane.destination, lane.endpoint
    accounts = desk.accounts
    attentive = accounts.clients.get(destination)
    if attentive is None or endpoint not in BY_NAME:
        log.warning("drain.unknown_lane", lane=str(lane))
        return
    consent = consent_rules(accounts.destinations[destination])
    attempts = Attempts(lane, attentive, desk.metrics, accounts.policies[lane], consent)
    lease = LaneLease(desk.redis, lane, accounts.paces[lane], journal_entries=desk.journal_entries)
    try:
        if not await lease.acquire():
            return
        try:
            await _Drain(lease, attempts, desk.concurrency, accounts.over).run()
        finally:
            turn = await asyncio.shield(lease.release())
        if turn is not None and not desk.stopping.is_set() and lane in desk.paces:
            await wake_lane(desk.redis, destination, endpoint, turn)
    except RedisError as failure:
        log.warning("drain.interrupted", lane=str(lane), reason=why_unavailable(failure), error=str(failure)[:100])


class _Drain:
    """One run over one lane."""

    def __init__(self, lease: LaneLease, attempts: Attempts, concurrency: int, stopping: asyncio.Event) -> None:
        self._lease = lease
        self._attempts = attempts
        self._concurrency = concurrency
        self._stopping = stopping
        # No method of ours, for that would be a cycle: a drain that has ended would wait, with all its times, for the
        # garbage collector.
        self._settle = GroupCommit(partial(_settle, lease))
        self._sending: set[asyncio.Task[None]] = set()
        before, ago = lease.before
        self._second = LastSecond(time.monotonic(), before=before, ago_s=ago.total_seconds())
        self._lost = False

    async def run(self) -> None:
        """Until the slice ends; then wait for what is under way, and settle it."""
        try:
            await self._take_over()
            await self._loop()
        finally:
            if self._sending:
                await asyncio.wait(self._sending)

    async def _take_over(self) -> None:
        """Settle what an earlier drain left under way when it was killed: it may have been sent."""
        inherited = await self._lease.inherit()
        await asyncio.gather(*(self._settle.submit(self._attempts.orphaned(entry)) for entry in inherited))

    async def _loop(self) -> None:
        ends = time.monotonic() + SLICE.total_seconds()
        last_busy = time.monotonic()
        while not self._stopping.is_set() and not self._lost and (now := time.monotonic()) < ends:
            free = self._concurrency - len(self._sending)
            if free <= 0:
                await asyncio.wait(self._sending, return_when=asyncio.FIRST_COMPLETED)
                continue
            claim = await self._lease.claim(
                free,
                under_way=len(self._sending),
                recent=self._second.count(now),
                others=self._second.others(),
            )
            if claim.lost or claim.held:
                return
            self._start(claim.entries)
            if claim.entries:
                last_busy = now
            elif claim.wait:
                await self._pause(max(claim.wait, _SHORTEST_PAUSE))
            elif now - last_busy > IDLE.total_seconds() and not self._sending:
                return
            else:
                await self._lease.wait(claim.seen, min(_BLOCK, claim.next_retry or _BLOCK))

    async def _pause(self, wait: timedelta) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), min(wait, _BLOCK).total_seconds())
        except TimeoutError:
            return

    def _start(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            task = asyncio.create_task(self._deliver(entry, self._second.leaves(time.monotonic())))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _deliver(self, entry: Entry, number: int) -> None:
        """One attempt at one delivery, to its settled end. `number` is the call's in Attentive's second."""
        settlement = await self._attempts.make(entry)
        self._second.returns(number, settlement.reply, time.monotonic())
        try:
            await self._settle.submit(settlement)
        except RedisError as failure:  # it stays claimed: whoever drains this lane next finds it, of unknown outcome
            self._lost = True
            log.error("delivery.unsettled", lane=str(self._lease.lane), reason=why_unavailable(failure))


async def _settle(lease: LaneLease, settlements: Sequence[Settlement]) -> list[BaseException | None]:
    """Settle, and when Redis is away, try until it is back: what is not settled is an unknown outcome."""
    ends = time.monotonic() + SETTLE_WITHIN.total_seconds()
    while True:
        try:
            await lease.settle(settlements)
        except (RedisConnectionError, RedisTimeoutError):  # a Redis that still loads its file is one of these
            if time.monotonic() > ends:
                raise
            await asyncio.sleep(_SETTLE_AGAIN_S)
        else:
            return [None] * len(settlements)
