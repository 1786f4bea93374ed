"""One call to Attentive that waits in no lane, made at the pace of the lane it would have waited in."""

import asyncio
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from app.attentive.answers import Reply
from app.attentive.call import Priority
from app.attentive.client import AttentiveClient
from app.attentive.endpoints import BY_NAME
from app.delivery.consumer import LaneConsumer
from app.delivery.delivery import Delivery, to_ms
from app.delivery.lane import Lane
from app.delivery.outcome import Hold, Outcome, RetryLater, judge
from app.delivery.wakeup import wake_lane
from workers.context import WorkerContext

SHORTEST_WAIT: Final = timedelta(seconds=1)  # while the lane is busy, at its pace, or held
LONGEST_WAIT: Final = timedelta(seconds=10)  # a hold may end before its time


async def call_once(
    context: WorkerContext,
    lane: Lane,
    client: AttentiveClient,
    body: dict[str, Any],
    *,
    attempt: int,
    deadline: datetime,
    now: datetime,
) -> tuple[Outcome, Reply | None]:
    """Make attempt number `attempt`, unless the lane has to wait; what follows, and the answer if there was one.

    Whatever has to wait is a RetryLater. After `deadline`, no failure is. Raises StoreError.
    """
    accounts = context.accounts
    if accounts.clients.get(lane.destination) is not client or not await context.may_send(accounts, lane.destination):
        return RetryLater(LONGEST_WAIT, "its account, which is not verified"), None
    lease = LaneConsumer(context.redis, lane, context.paces[lane], journal_entries=0)
    if not await lease.acquire():
        return RetryLater(SHORTEST_WAIT, "its lane, which is busy"), None
    try:
        if wait := await lease.token():
            return RetryLater(min(max(wait, SHORTEST_WAIT), LONGEST_WAIT), "its endpoint's pace, or a hold"), None
        return await _call(context, lane, lease, client, _delivery(lane, body, attempt, deadline, now))
    finally:
        generation = await asyncio.shield(lease.release())
        if generation is not None:
            await wake_lane(context.redis, lane.destination, lane.endpoint, generation)


async def _call(
    context: WorkerContext, lane: Lane, lease: LaneConsumer, client: AttentiveClient, delivery: Delivery
) -> tuple[Outcome, Reply | None]:
    reply = await client.send(BY_NAME[lane.endpoint], delivery.body)
    answered = reply if isinstance(reply, Reply) else None
    answer = str(answered.status) if answered else "unreachable"
    context.metrics.attempted(lane.destination, lane.endpoint, answer, reply.took.total_seconds())
    match judge(reply, delivery, now=delivery.received_at):
        case Hold() as hold:
            await lease.report(reply, hold)
            return RetryLater(SHORTEST_WAIT, hold.reason), answered
        case outcome:
            await lease.report(reply, None)
            return outcome, answered


def _delivery(lane: Lane, body: dict[str, Any], attempt: int, deadline: datetime, now: datetime) -> Delivery:
    """The call in the form in which calls are judged. It is never stored."""
    return Delivery(
        message_id="",
        source="",
        endpoint=lane.endpoint,
        priority=Priority.NORMAL,
        body=orjson.dumps(body),
        event=b"{}",
        received_ms=to_ms(now),
        deadline_ms=to_ms(deadline),
        attempt=attempt,
    )
