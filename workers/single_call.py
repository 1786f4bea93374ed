"""One call to Attentive that waits in no lane, made at the pace of the lane it would have waited in."""

import asyncio
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from app.attentive.call import Priority
from app.attentive.client import AttentiveClient, Reply
from app.attentive.endpoints import BY_NAME
from app.delivery.backlog import Lane, LaneLease
from app.delivery.delivery import Delivery, to_ms
from app.delivery.outcome import Hold, Outcome, RetryLater, judge
from app.delivery.wake import wake_lane
from workers.desk import Desk

SHORTEST_WAIT: Final = timedelta(seconds=1)  # while the lane is busy, at its pace, or held
LONGEST_WAIT: Final = timedelta(seconds=10)  # a hold may end before its time


async def call_once(
    desk: Desk,
    lane: Lane,
    client: AttentiveClient,
    body: dict[str, Any],
    *,
    attempt: int,
    deadline: datetime,
    now: datetime,
) -> tuple[Outcome, Reply | None]:
    """Make attempt number `attempt`, unless the lane has to wait; what follows, and the answer if there was one.

    Whatever has to wait is a RetryLater. After `deadline`, no failure is. Raises RedisError.
    """
    lease = LaneLease(desk.redis, lane, desk.paces[lane], journal_entries=0)
    if not await lease.acquire():
        return RetryLater(SHORTEST_WAIT, "its lane, which is busy"), None
    try:
        if wait := await lease.token():
            return RetryLater(min(max(wait, SHORTEST_WAIT), LONGEST_WAIT), "its endpoint's pace, or a hold"), None
        return await _call(desk, lane, lease, client, _delivery(lane, body, attempt, deadline, now))
    finally:
        turn = await asyncio.shield(lease.release())
        if turn is not None:
            await wake_lane(desk.redis, lane.destination, lane.endpoint, turn)


async def _call(
    desk: Desk, lane: Lane, lease: LaneLease, client: AttentiveClient, delivery: Delivery
) -> tuple[Outcome, Reply | None]:
    reply = await client.send(BY_NAME[lane.endpoint], delivery.body)
    answered = reply if isinstance(reply, Reply) else None
    answer = str(answered.status) if answered else "unreachable"
    desk.metrics.attempted(lane.destination, lane.endpoint, answer, reply.took.total_seconds())
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
