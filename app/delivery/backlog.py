"""What waits in the lanes: taking a lane, claiming deliveries from it at its pace, and settling how they ended."""

import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Final, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from app.attentive.client import Reply, Unreachable
from app.delivery.connection import ANSWER_S
from app.delivery.dead_letters import DeadLetter
from app.delivery.delivery import Delivery, Unreadable
from app.delivery.keys import CONSUMER, GROUP, STREAMS, DestinationKeys, LaneKeys
from app.delivery.outcome import Hold
from app.delivery.pace import FAILURES_TO_STOP, LONGEST_STOP, SHARE, Pace, feedback_of
from app.delivery.said import Said, said
from app.delivery.script import Argument, Script
from app.delivery.unknown import UNKNOWN_ENDING, WhenUnknown
from app.value import Value, changed

LEASE: Final = timedelta(seconds=6)  # a dead worker's lanes are free after this; the sweep wakes them within a second
INHERITED_AT_ONCE: Final = 1000
_ACQUIRE, _RELEASE, _DUE = Script("lease"), Script("release"), Script("due")
_CLAIM, _TOKEN = Script("claim", after=("pace",)), Script("token", after=("pace",))
_SETTLE = Script("settle", after=("close",))


@dataclass(frozen=True, slots=True)
class Lane:
    """One destination and one Attentive endpoint: one limit, one backlog."""

    destination: str
    endpoint: str

    @property
    def keys(self) -> LaneKeys:
        """Its keys in Redis."""
        return LaneKeys(DestinationKeys(self.destination), self.endpoint)

    def __str__(self) -> str:
        return f"{self.destination}/{self.endpoint}"


class Entry(NamedTuple):
    """A claimed delivery in its stored form: which stream (its place in STREAMS), which entry, what bytes."""

    stream: int
    id: bytes
    payload: bytes
    late: bool = False  # past its deadline by the clock of Redis: handed out for no token, and not to be sent


@dataclass(frozen=True, slots=True)
class Claim:
    """What a drain may do now."""

    entries: tuple[Entry, ...] = ()  # send these
    wait: timedelta = timedelta()  # then nothing before this, when the pace or a hold stands in the way
    next_retry: timedelta | None = None  # when the lane's first retry is due
    seen: tuple[bytes, ...] = ()  # the last entry of each stream, when there was nothing to send
    held: bool = False
    lost: bool = False  # somebody else has the lane now: stop


class Settlement(Value, frozen=True, gc=False):
    """How one attempt ended, ready to be written."""

    personal: ClassVar = frozenset({"entry", "record", "payload"})

    entry: Entry
    verb: str  # done | retry | held | dead | unknown
    event_key: bytes
    calls: int
    message_id: str
    record: bytes  # JSON for the journal
    ending: str = ""  # of a dead or unknown one: a field of the books
    counted: str = ""  # another field of the books that counts this
    due_ms: int = 0
    payload: bytes = b""  # of what waits on, or of the letter that is kept
    said: Said | None = None
    hold: Hold | None = None
    reply: Reply | Unreachable | None = None  # what it says of the pace


class LaneLease:
    """The right to send from one lane, held by one drain at a time."""

    def __init__(self, redis: Redis, lane: Lane, pace: Pace, *, journal_entries: int) -> None:
        """`pace` is the lane's; `journal_entries` bounds the journal."""
        self.lane = lane
        self._redis = redis
        self._keys = lane.keys
        self._pace = pace
        self._owner = uuid.uuid4().hex
        self.before = (0, timedelta())  # calls in Attentive's second when the drain before this one claimed last; when
        self._journal_entries = journal_entries

    async def acquire(self) -> bool:
        """True when the lane is ours now."""
        keys = [self._keys.lease, self._keys.turn, self._keys.pace, *self._keys.streams]
        match await _ACQUIRE.run(self._redis, keys, [self._owner, _ms(LEASE), GROUP]):
            case [recent, ago_ms]:
                self.before = (recent, timedelta(milliseconds=ago_ms))
                return True
            case _:
                return False

    async def release(self) -> int | None:
        """Hand the lane back. The turn to wake it with when something waits in it, else None."""
        keys = [self._keys.lease, self._keys.turn, *self._keys.streams]
        turn = await _RELEASE.run(self._redis, keys, [self._owner])
        return None if turn < 0 else turn

    async def inherit(self) -> list[Entry]:
        """What an earlier drain claimed and did not settle: it may have been sent. High priority first, then by age."""
        entries: list[Entry] = []
        for number, stream in enumerate(self._keys.streams):
            after = b"0"
            while found := await self._read_pending(stream, after):
                for entry_id, fields in found:
                    if fields:
                        entries.append(Entry(number, entry_id, _payload(fields)))
                    else:  # the entry was deleted under the group's feet: nothing is left to send
                        await self._redis.xack(stream, GROUP, entry_id)
                after = found[-1][0]
        return entries

    async def _read_pending(self, stream: str, after: bytes) -> list[tuple[bytes, Any]]:
        try:
            answer = await self._redis.xreadgroup(GROUP, CONSUMER, {stream: after}, count=INHERITED_AT_ONCE)
        except ResponseError as refusal:
            if not str(refusal).startswith("NOGROUP"):
                raise
            await self._make_group(stream)
            return []
        return answer[0][1] if answer else []

    async def _make_group(self, stream: str) -> None:
        try:
            await self._redis.xgroup_create(stream, GROUP, id="0", mkstream=True)
        except ResponseError as refusal:
            if not str(refusal).startswith("BUSYGROUP"):
                raise

    async def claim(self, most: int, *, under_way: int, recent: int = 0, others: float = 0) -> Claim:
        """Up to `most` deliveries that the pace allows to be sent now.

        `recent` calls may stand in Attentive's last second; `others` make so many more a second (last_second.py).
        """
        keys, pace = self._keys, self._pace
        answer = await _CLAIM.run(
            self._redis,
            [
                *(keys.lease, keys.retry, keys.pace, keys.destination.ceiling, keys.hold, keys.destination.hold),
                *keys.streams,
            ],
            [
                *(self._owner, _ms(LEASE), most, under_way, recent, others),
                *(pace.limit, int(pace.fixed), pace.ceiling or 0, self.lane.endpoint, SHARE),
                *(FAILURES_TO_STOP, _ms(pace.patience), GROUP, CONSUMER),
            ],
        )
        match answer:
            case [b"ok", entries, next_token, next_retry, seen]:
                return Claim(
                    entries=tuple(Entry(stream, id_, payload, bool(late)) for stream, id_, payload, late in entries),
                    wait=timedelta(milliseconds=next_token),
                    next_retry=None if next_retry < 0 else timedelta(milliseconds=next_retry),
                    seen=tuple(seen),
                )
            case [b"held", wait]:
                return Claim(wait=timedelta(milliseconds=wait), held=True)
            case _:
                return Claim(lost=True)

    async def token(self) -> timedelta:
        """Take a token for a call that waits in no lane: zero when it may leave now, else how long to wait."""
        keys, pace = self._keys, self._pace
        wait = await _TOKEN.run(
            self._redis,
            [keys.lease, keys.pace, keys.destination.ceiling, keys.hold, keys.destination.hold],
            [
                *(self._owner, _ms(LEASE), pace.limit, int(pace.fixed), pace.ceiling or 0, self.lane.endpoint),
                *(SHARE, FAILURES_TO_STOP),
            ],
        )
        return timedelta(milliseconds=wait)

    async def wait(self, seen: Sequence[bytes], longest: timedelta) -> None:
        """Return when something came after `seen`, or after `longest`. It is not claimed yet: a token comes first."""
        block = max(1, min(_ms(longest), int(ANSWER_S * 500)))  # well within the socket's own time-out
        await self._redis.xread(dict(zip(self._keys.streams, seen, strict=True)), count=1, block=block)

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Write how attempts ended, in one step. Raises RedisError: then none of it is written."""
        replies = [settlement.reply for settlement in settlements if settlement.reply]
        await self._write(settlements, replies, [settlement.hold for settlement in settlements if settlement.hold])

    async def report(self, reply: Reply | Unreachable, hold: Hold | None) -> None:
        """Let pace and holds know of the answer to a call that waited in no lane. Raises RedisError."""
        await self._write((), [reply], [hold] if hold else [])

    async def _write(
        self, settlements: Sequence[Settlement], replies: Sequence[Reply | Unreachable], holds: Sequence[Hold]
    ) -> None:
        keys, shared = self._keys, self._keys.destination
        fixed = [keys.retry, shared.dead, shared.books, shared.parts, shared.journal, keys.hold, shared.hold, keys.pace]
        fixed += [shared.unknown, *keys.streams]
        first_remembered = len(fixed)
        lane_hold = max((_ms(hold.wait) for hold in holds if not hold.whole_destination), default=0)
        destination_hold = max((_ms(hold.wait) for hold in holds if hold.whole_destination), default=0)
        args: list[Argument] = [GROUP, self._journal_entries, lane_hold, destination_hold]
        feedback = feedback_of(replies)
        args += [holds[0].reason if holds else "", feedback.limit or "", int(feedback.throttled)]
        args += [int(feedback.pause.total_seconds() * 1000), feedback.answered, feedback.failed]
        args += [FAILURES_TO_STOP, _ms(LONGEST_STOP), len(settlements)]
        remembered: list[str] = []
        for end in settlements:
            args += (end.entry.stream, end.entry.id, end.verb, end.event_key, end.calls)
            args += (end.message_id, end.record, end.ending, end.counted, end.due_ms, end.payload)
            if end.said is None:
                args += (0, b"")
            else:
                first = first_remembered + len(remembered) + 1
                remembered += map(keys.destination.said, end.said.people)
                args += (",".join(str(first + i) for i in range(len(end.said.people))), end.said.digest)
        await _SETTLE.run(self._redis, [*fixed, *remembered], args)


async def lanes_to_wake(redis: Redis, lanes: Sequence[Lane]) -> list[tuple[Lane, int]]:
    """The lanes that have something to send now and no drain, each with its turn. Raises RedisError."""
    async with redis.pipeline(transaction=False) as pipeline:
        keys = [
            [k.lease, k.turn, k.retry, k.hold, k.destination.hold, *k.streams] for k in (lane.keys for lane in lanes)
        ]
        for lane_keys in keys:
            _DUE.queue(pipeline, lane_keys, [])
        turns = await pipeline.execute(raise_on_error=False)
    due = []
    for lane, lane_keys, turn in zip(lanes, keys, turns, strict=True):
        known = await _DUE.run(redis, lane_keys, []) if isinstance(turn, Exception) else turn
        if known >= 0:
            due.append((lane, known))
    return due


async def deliveries_of(redis: Redis, lanes: Sequence[Lane], message_id: str) -> list[Delivery]:
    """The calls of one event that still wait. Reads every lane: for people, not for code. Raises RedisError."""
    found: list[Delivery] = []
    for lane in lanes:
        async for stored in _all_stored(redis, lane):
            with contextlib.suppress(Unreadable):
                delivery = Delivery.unpacked(stored)
                if delivery.message_id == message_id:
                    found.append(delivery)
    return found


async def _all_stored(redis: Redis, lane: Lane) -> AsyncIterator[bytes]:
    for stream in lane.keys.streams:
        after = "-"
        while page := await redis.xrange(stream, min=after, count=INHERITED_AT_ONCE):
            for _, fields in page:
                yield _payload(fields)
            after = "(" + page[-1][0].decode()
    async for member, _ in redis.zscan_iter(lane.keys.retry):
        yield member[1:]


@dataclass(frozen=True, slots=True)
class LaneDepth:
    """How much waits in one lane."""

    lane: Lane
    by_stream: tuple[int, ...]  # as in STREAMS; what is being sent included
    retries: int

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self.by_stream) + self.retries


async def calls_waiting(redis: Redis, lanes: Sequence[Lane]) -> dict[str, int]:
    """How many calls wait in these lanes, by destination. Raises RedisError."""
    waiting: dict[str, int] = {}
    for depth in await lane_depths(redis, lanes):
        waiting[depth.lane.destination] = waiting.get(depth.lane.destination, 0) + depth.total
    return waiting


async def lane_depths(redis: Redis, lanes: Sequence[Lane]) -> list[LaneDepth]:
    """What waits where, for operators and metrics. Raises RedisError."""
    async with redis.pipeline(transaction=False) as pipeline:
        for lane in lanes:
            for stream in lane.keys.streams:
                pipeline.xlen(stream)
            pipeline.zcard(lane.keys.retry)
        counts = await pipeline.execute()
    each = len(STREAMS) + 1
    return [
        LaneDepth(lane, tuple(counts[i : i + each - 1]), counts[i + each - 1])
        for lane, i in zip(lanes, range(0, len(counts), each), strict=True)
    ]


def done(entry: Entry, delivery: Delivery, record: bytes) -> Settlement:
    """Attentive accepted it."""
    what = said(delivery.endpoint, delivery.body)
    return Settlement(entry, "done", delivery.event_key, delivery.calls, delivery.message_id, record, said=what)


def retried(entry: Entry, delivery: Delivery, record: bytes, wait: timedelta) -> Settlement:
    """Another attempt after `wait`."""
    due_ms = int((time.time() + wait.total_seconds()) * 1000)
    payload = delivery.next_attempt().packed()
    return changed(done(entry, delivery, record), verb="retry", due_ms=due_ms, payload=payload)


def held(entry: Entry, delivery: Delivery, record: bytes, hold: Hold) -> Settlement:
    """The same attempt once more when the hold is over; its destination or endpoint waits with it."""
    return changed(done(entry, delivery, record), verb="held", payload=delivery.packed(), hold=hold)


def buried(entry: Entry, delivery: Delivery, record: bytes, letter: DeadLetter) -> Settlement:
    """Given up for good, and kept."""
    ending = f"dead:{letter.reason}"
    return changed(done(entry, delivery, record), verb="dead", ending=ending, payload=letter.to_json())


def left_open(
    entry: Entry, delivery: Delivery, record: bytes, policy: WhenUnknown, letter: DeadLetter | None
) -> Settlement:
    """Nobody knows whether Attentive acted on it: kept for review, or (None) left at that."""
    payload = b"" if letter is None else letter.to_json()
    return changed(done(entry, delivery, record), verb="unknown", ending=UNKNOWN_ENDING[policy], payload=payload)


def _payload(fields: Any) -> bytes:
    """The bytes under `d`."""
    payload: bytes = fields[b"d"]
    return payload


def _ms(span: timedelta) -> int:
    return max(1, int(span.total_seconds() * 1000))
