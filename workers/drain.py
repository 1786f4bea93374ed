"""The arq job: one lane, for one slice. Claim → pace → send → judge → settle."""

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final

import structlog

from app.attentive.endpoints import BY_NAME
from app.delivery.consent import ConsentRules
from app.delivery.consumer import LaneConsumer
from app.delivery.lag import NO_OBJECTIVES
from app.delivery.lane import Lane
from app.delivery.opt_outs import opted_out
from app.delivery.settlement import Entry, Settlement
from app.delivery.sliding_window import SlidingWindow
from app.delivery.wakeup import wake_lane
from app.store.connection import why_unavailable
from app.store.errors import PASSING, StoreError
from app.store.group_commit import GroupCommit
from workers.attempt import Attempts
from workers.context import WorkerContext
from workers.traced_attempt import TracedAttempts

SLICE: Final = timedelta(seconds=30)  # then the lane is handed back, so that lanes spread over the workers there are
IDLE: Final = timedelta(seconds=2)  # an empty lane is watched this long: its next event finds its drain awake
SETTLED_AT_ONCE: Final = 100  # in one run of the script, which holds up everything else in Redis
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
    context: WorkerContext = ctx["context"]
    with context.draining():
        await _drain_lane(context, Lane(destination, endpoint))


async def _drain_lane(context: WorkerContext, lane: Lane) -> None:
    destination, endpoint = lane.destination, lane.endpoint
    accounts = context.accounts
    attentive = accounts.clients.get(destination)
    if attentive is None or endpoint not in BY_NAME:
        log.warning("drain.unknown_lane", lane=str(lane))
        return
    wanted = accounts.destinations[destination]
    attempts = (Attempts if context.emit is None else partial(TracedAttempts, emit=context.emit))(
        lane,
        attentive,
        context.metrics,
        accounts.policies[lane],
        accounts.consents.get(destination, ConsentRules()),
        wanted.recipients,
        context.event_keys,
        context.recording.share,
        context.lag.of(destination, accounts.objectives.get(destination, NO_OBJECTIVES)),
        partial(opted_out, context.redis, destination),
    )
    lease = LaneConsumer(
        context.redis,
        lane,
        accounts.paces[lane],
        journal_entries=context.journal_entries,
        retention=context.retention,
        recording=context.recording,
    )
    try:
        if not await context.may_send(accounts, destination) or not await lease.acquire():
            return
        try:
            await _Drain(lease, attempts, context.concurrency, accounts.superseded).run()
        finally:
            generation = await asyncio.shield(lease.release())
        if generation is not None and not context.stopping.is_set() and lane in context.paces:
            await wake_lane(context.redis, destination, endpoint, generation)
    except StoreError as failure:
        log.warning("drain.interrupted", lane=str(lane), reason=why_unavailable(failure))


class _Drain:
    """One run over one lane."""

    def __init__(self, lease: LaneConsumer, attempts: Attempts, concurrency: int, stopping: asyncio.Event) -> None:
        self._lease = lease
        self._attempts = attempts
        self._concurrency = concurrency
        self._stopping = stopping
        # Not a method of ours, which would be a cycle: a drain that has ended would wait, with all its times, for the
        # garbage collector.
        self._settle = GroupCommit(partial(_settle, lease), most=SETTLED_AT_ONCE)
        self._sending: set[asyncio.Task[None]] = set()
        before, ago = lease.before
        self._second = SlidingWindow(time.monotonic(), before=before, ago_s=ago.total_seconds())
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
        reclaimed = await self._lease.reclaim()
        ends = [end for entry in reclaimed if (end := self._attempts.orphaned(entry)) is not None]
        await asyncio.gather(*map(self._settle.submit, ends))

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
            self._attempts.follow(claim)
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
        except StoreError as failure:  # it stays claimed: the lane's next drain finds it, of unknown outcome
            self._lost = True
            log.error("delivery.unsettled", lane=str(self._lease.lane), reason=why_unavailable(failure))


async def _settle(lease: LaneConsumer, settlements: Sequence[Settlement]) -> list[BaseException | None]:
    """Settle, and when Redis is away, try until it is back: what is not settled is an unknown outcome."""
    ends = time.monotonic() + SETTLE_WITHIN.total_seconds()
    while True:
        try:
            await lease.settle(settlements)
        except PASSING:
            if time.monotonic() > ends:
                raise
            await asyncio.sleep(_SETTLE_AGAIN_S)
        else:
            return [None] * len(settlements)
