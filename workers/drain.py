"""The arq job: one lane, for one slice. Claim → pace → send → judge → settle."""

import asyncio
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.attentive.client import AttentiveClient, Reply, Unreachable
from app.attentive.endpoints import BY_NAME
from app.delivery.backlog import Entry, Lane, LaneLease, Settlement, buried, done, held, retried
from app.delivery.connection import why_unavailable
from app.delivery.dead_letters import DeadLetter
from app.delivery.delivery import Delivery, Unreadable, event_key
from app.delivery.group_commit import GroupCommit
from app.delivery.journal import answer_facts, attempt_record
from app.delivery.outcome import Delivered, Hold, Outcome, RetryLater, Undeliverable, judge
from app.delivery.pace import Pace
from app.delivery.wake import wake_lane
from app.metrics import DeliveryMetrics
from workers.desk import Desk

SLICE: Final = timedelta(seconds=30)  # then the lane is handed back, so that lanes spread over the workers there are
IDLE: Final = timedelta(seconds=2)  # an empty lane is watched this long: its next event finds its drain awake
SETTLE_WITHIN: Final = timedelta(seconds=5)
_SETTLE_AGAIN_S: Final = 0.1
_BLOCK: Final = timedelta(seconds=1)
_SHORTEST_PAUSE: Final = timedelta(milliseconds=20)  # tokens are taken in small lots: 50 claims a second at the most

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DrainSettings:
    """What a drain is given besides its lane."""

    pace: Pace
    concurrency: int
    journal_entries: int


async def drain(ctx: dict[str, Any], destination: str, endpoint: str) -> None:
    """Send what waits in one lane until the slice is over, the lane stays empty, or the worker stops.

    Never raises for a delivery's sake. When Redis goes away it returns; what was claimed stays claimed, and the lane's
    next drain inherits it.
    """
    desk: Desk = ctx["desk"]
    with desk.draining():
        await _drain_lane(desk, Lane(destination, endpoint))


async def _drain_lane(desk: Desk, lane: Lane) -> None:
    destination, endpoint = lane.destination, lane.endpoint
    attentive = desk.client(destination)
    if attentive is None or endpoint not in BY_NAME:
        log.warning("drain.unknown_lane", lane=str(lane))
        return
    settings = DrainSettings(desk.paces[lane], desk.concurrency, desk.journal_entries)
    lease = LaneLease(desk.redis, lane, settings.pace, journal_entries=settings.journal_entries)
    try:
        if not await lease.acquire():
            return
        try:
            await _Drain(lease, attentive, settings, desk.metrics, desk.stopping).run()
        finally:
            turn = await asyncio.shield(lease.release())
        if turn is not None and not desk.stopping.is_set():
            await wake_lane(desk.redis, destination, endpoint, turn)
    except RedisError as failure:
        log.warning("drain.interrupted", lane=str(lane), reason=why_unavailable(failure), error=str(failure)[:100])


class _Drain:
    """One run over one lane."""

    def __init__(
        self,
        lease: LaneLease,
        attentive: AttentiveClient,
        settings: DrainSettings,
        metrics: DeliveryMetrics,
        stopping: asyncio.Event,
    ) -> None:
        self._lease = lease
        self._attentive = attentive
        self._settings = settings
        self._metrics = metrics
        self._stopping = stopping
        self._settle = GroupCommit(self._write)
        self._sending: set[asyncio.Task[None]] = set()
        self._held: list[Entry] = []  # claimed, waiting for tokens
        self._lost = False

    async def run(self) -> None:
        """Until the slice ends; then wait for what is under way, and settle it."""
        try:
            await self._loop()
        finally:
            if self._sending:
                await asyncio.wait(self._sending)

    async def _loop(self) -> None:
        self._held = await self._lease.inherit()
        ends = time.monotonic() + SLICE.total_seconds()
        last_busy = time.monotonic()
        while not self._stopping.is_set() and not self._lost and (now := time.monotonic()) < ends:
            free = self._settings.concurrency - len(self._sending)
            if free <= 0:
                await asyncio.wait(self._sending, return_when=asyncio.FIRST_COMPLETED)
                continue
            claim = await self._lease.claim(free, holding=len(self._held), under_way=len(self._sending))
            if claim.lost or claim.held:
                return
            self._start(self._held[: claim.tokens])
            del self._held[: claim.tokens]
            self._start(claim.entries)
            if claim.entries or claim.tokens:
                last_busy = now
            elif self._held or claim.wait:
                await self._pause(max(claim.wait, _SHORTEST_PAUSE))
            elif now - last_busy > IDLE.total_seconds() and not self._sending:
                return
            else:
                self._held = await self._lease.wait(min(_BLOCK, claim.next_retry or _BLOCK))

    async def _pause(self, wait: timedelta) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), min(wait, _BLOCK).total_seconds())
        except TimeoutError:
            return

    def _start(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            task = asyncio.create_task(self._deliver(entry))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _deliver(self, entry: Entry) -> None:
        """One attempt at one delivery, to its settled end."""
        settlement = await self._attempt(entry)
        try:
            await self._settle.submit(settlement)
        except RedisError as failure:  # it stays claimed, and is sent again by whoever drains this lane next
            self._lost = True
            log.error("delivery.unsettled", lane=str(self._lease.lane), reason=why_unavailable(failure))

    async def _attempt(self, entry: Entry) -> Settlement:
        try:
            delivery = Delivery.from_json(entry.payload)
        except Unreadable as damage:
            return _bury_unreadable(entry, str(damage))
        try:
            return await self._send(entry, delivery)
        except Exception as bug:
            log.exception("delivery.crashed", message_id=delivery.message_id, endpoint=delivery.endpoint)
            return _bury_crashed(entry, delivery, bug)

    async def _send(self, entry: Entry, delivery: Delivery) -> Settlement:
        if datetime.now(UTC) > delivery.deadline:
            return _bury_expired(entry, delivery)
        reply = await self._attentive.send(BY_NAME[delivery.endpoint], delivery.body)
        now = datetime.now(UTC)
        outcome = judge(reply, attempt=delivery.attempt, now=now, deadline=delivery.deadline)
        self._observe(delivery, reply, outcome, now)
        return replace(self._conclude(entry, delivery, reply, outcome), reply=reply)

    def _conclude(self, entry: Entry, delivery: Delivery, reply: Reply | Unreachable, outcome: Outcome) -> Settlement:
        record = attempt_record(delivery, reply, outcome)
        match outcome:
            case Delivered():
                return done(entry, delivery, record)
            case RetryLater(wait=wait):
                return retried(entry, delivery, record, wait)
            case Hold():
                return held(entry, delivery, record, outcome)
            case Undeliverable(reason=reason, detail=detail):
                letter = DeadLetter.of(delivery, reason, detail, answer_facts(reply))
                return buried(entry, delivery, record, reason, letter.to_json())

    def _observe(self, delivery: Delivery, reply: Reply | Unreachable, outcome: object, now: datetime) -> None:
        answer = str(reply.status) if isinstance(reply, Reply) else "unreachable"
        ambiguous = isinstance(outcome, RetryLater) and outcome.ambiguous
        lane = self._lease.lane
        self._metrics.attempted(
            lane.destination, lane.endpoint, answer, reply.took.total_seconds(), ambiguous=ambiguous
        )
        if isinstance(outcome, Delivered):
            self._metrics.delivered((now - delivery.received_at).total_seconds())
        else:
            log.info(
                "delivery.attempted",
                destination=lane.destination,
                endpoint=lane.endpoint,
                message_id=delivery.message_id,
                attempt=delivery.attempt,
                answer=answer,
                outcome=type(outcome).__name__,
            )

    async def _write(self, settlements: Sequence[Settlement]) -> list[BaseException | None]:
        """Settle, and when Redis is away, try until it is back: what is not settled is sent twice."""
        ends = time.monotonic() + SETTLE_WITHIN.total_seconds()
        while True:
            try:
                await self._lease.settle(settlements)
            except (RedisConnectionError, RedisTimeoutError):  # a Redis that still loads its file is one of these
                if time.monotonic() > ends:
                    raise
                await asyncio.sleep(_SETTLE_AGAIN_S)
            else:
                return [None] * len(settlements)


def _bury_expired(entry: Entry, delivery: Delivery) -> Settlement:
    """It waited past its deadline, through an outage or a hold: too late to be of use, kept to be replayed."""
    reason, detail = "expired", "it waited past its deadline and was not sent again"
    record = orjson.dumps({"endpoint": delivery.endpoint, "outcome": "dead letter", "reason": reason, "detail": detail})
    return buried(entry, delivery, record, reason, DeadLetter.of(delivery, reason, detail, {}).to_json())


def _bury_crashed(entry: Entry, delivery: Delivery, bug: Exception) -> Settlement:
    """Our own mistake: the delivery is kept, with the place that failed."""
    place = traceback.extract_tb(bug.__traceback__)[-1]
    detail = f"{type(bug).__name__} in {place.name}, line {place.lineno}"
    record = orjson.dumps({"endpoint": delivery.endpoint, "attempt": delivery.attempt, "outcome": detail})
    letter = DeadLetter.of(delivery, "internal_error", detail, {})
    return buried(entry, delivery, record, "internal_error", letter.to_json())


def _bury_unreadable(entry: Entry, detail: str) -> Settlement:
    """Stored bytes that nobody can read: kept as they are, out of the lane's way."""
    letter = DeadLetter(
        message_id="?",
        source="?",
        reason="unreadable",
        detail=detail,
        event=orjson.dumps({"stored": entry.payload.decode(errors="replace")}),
        received_at=datetime.now(UTC),
    )
    return Settlement(
        entry, "dead", event_key("?", entry.id.decode()), 1, "?", b"{}", reason="unreadable", payload=letter.to_json()
    )
