"""Removes unsent calls from a lane, each counted as ended. Calls that a drain holds are left to the drain."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from redis.asyncio import Redis

from app.counted import DELIVERED, Dropped, DropReason
from app.delivery.delivery import Delivery, Unreadable, event_key, to_ms
from app.delivery.lane import Lane
from app.store.keys import GROUP
from app.store.script import Argument, Script

_REMOVE_CALLS: Final = Script(
    "remove_calls",
    keys=("erasure", "backlog", "counters", "parts", "row_outcomes", "lease", "retry", "*streams"),
    args=("group", "ending", "delivered", "from_lanes", "from_retries", "count", "@calls"),
    after=("close",),
)
_PAGE: Final = 200  # calls per run of the script
_FACTS_OF_A_CALL: Final = 6  # see closed()

Member = tuple[int, bytes, bytes]  # a call in a lane: stream number (-1: retry), entry ID (or the member), payload


@dataclass(frozen=True, slots=True)
class Removed:
    """The number of calls removed, and of those that a drain still holds."""

    calls: int
    left: int


class Closing(NamedTuple):
    """The facts that close a removed call."""

    event_key: bytes
    calls: int  # of its event
    source: str
    message_id: bytes


def identified(payload: bytes, place: bytes) -> Closing:
    """The facts that close a call. An unreadable call counts as an event of its own, of an unknown source."""
    try:
        delivery = Delivery.unpacked(payload)
    except Unreadable:
        return Closing(event_key("?", place.decode(errors="replace")), 1, "?", b"")
    return Closing(delivery.event_key, delivery.calls, delivery.source, delivery.message_id.encode())


async def drop_waiting(redis: Redis, lanes: Sequence[Lane], reason: DropReason, *, until: datetime) -> Removed:
    """Drop the calls that were queued until then, including retries. Can be repeated. Raises StoreError."""
    dropped = left = 0
    for lane in lanes:
        async for page in _members(redis, lane, until):
            with_drain = await _drop(redis, lane, reason, page)
            left += with_drain
            dropped += len(page) - with_drain
    return Removed(dropped, left)


async def _members(redis: Redis, lane: Lane, until: datetime) -> AsyncIterator[list[Member]]:
    """Retries first: a call that waits for a retry moves to the end of a stream when it is due."""
    retries = [(-1, member, member[1:]) async for member, _ in redis.zscan_iter(lane.keys.retry, count=_PAGE)]
    for start in range(0, len(retries), _PAGE):
        yield retries[start : start + _PAGE]
    for number, stream in enumerate(lane.keys.streams):
        after = "-"
        while page := await redis.xrange(stream, min=after, max=str(to_ms(until)), count=_PAGE):
            yield [(number, entry_id, fields[b"d"]) for entry_id, fields in page]
            after = "(" + page[-1][0].decode()


async def _drop(redis: Redis, lane: Lane, reason: DropReason, page: Sequence[Member]) -> int:
    """Returns how many are left to their drain."""
    calls: list[Argument] = []
    for member in page:
        calls += closed(member, identified(member[2], member[1]))
    return await remove_calls(redis, lane, calls, reason, record=lane.keys.destination.account)


def closed(member: Member, closing: Closing) -> tuple[Argument, ...]:
    """One call in the form that `remove_calls` takes."""
    number, place, payload = member
    return number, place, closing.event_key, closing.calls, closing.source, len(payload)


async def remove_calls(
    redis: Redis,
    lane: Lane,
    calls: Sequence[Argument],
    reason: DropReason,
    *,
    record: str,
    from_lanes: str = "removed",
    from_retries: str = "removed",
) -> int:
    """Remove calls from a lane and count their ends. Returns how many are left to the drain. Raises StoreError.

    `calls` are results of `closed`, concatenated. The fields `from_lanes` and `from_retries` of the hash `record` count
    what was removed.
    """
    keys, shared = lane.keys, lane.keys.destination
    left = await _REMOVE_CALLS.run(
        redis,
        {
            "erasure": record,
            "backlog": shared.backlog,
            "counters": shared.counters,
            "parts": shared.parts,
            "row_outcomes": shared.row_outcomes,
            "lease": keys.lease,
            "retry": keys.retry,
            "streams": keys.streams,
        },
        {
            "group": GROUP,
            "ending": Dropped(reason).field,
            "delivered": DELIVERED,
            "from_lanes": from_lanes,
            "from_retries": from_retries,
            "count": len(calls) // _FACTS_OF_A_CALL,
            "calls": calls,
        },
    )
    return int(left)
