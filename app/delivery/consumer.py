"""The consumer of a lane: takes the lane's lease, claims deliveries at its pace, and settles their outcomes."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from app.attentive.answers import Reply, Unreachable
from app.counted import DELIVERED, Evicted
from app.delivery.dead_letter import DeadLetterQueue
from app.delivery.journal.recording import Recording
from app.delivery.lane import Lane
from app.delivery.outcome import Hold
from app.delivery.pace import FAILURES_TO_STOP, LONGEST_STOP, SHARE, Pace, feedback_of
from app.delivery.retention import DEFAULT_RETENTION, Retention, share_args
from app.delivery.settlement import Entry, Settlement
from app.delivery.waits import NO_WAITS, LaneWaits
from app.store.connection import ANSWER_S
from app.store.keys import CONSUMER, GROUP, STREAMS
from app.store.script import Argument, Script

LEASE: Final = timedelta(seconds=6)  # after this, a dead worker's lanes are free; the sweep wakes them within a second
RECLAIMED_AT_ONCE: Final = 1000
_ACQUIRE = Script("acquire", keys=("lease", "generation", "pace", "*streams"), args=("owner", "lease_ms", "group"))
_RELEASE = Script("release", keys=("lease", "generation", "lane_hold", "destination_hold", "*streams"), args=("owner",))
_RATE: Final = ("limit", "fixed", "ceiling_limit", "lane", "share", "failures_to_stop")  # see _rate()
_CLAIM = Script(
    "claim",
    keys=("lease", "retry", "pace", "ceiling", "lane_hold", "destination_hold", "tap", "*streams"),
    args=("owner", "lease_ms", "most", "under_way", "recent", "others", *_RATE, "starvation_ms", "group", "consumer"),
    after=("pace", "held"),
)
_TOKEN = Script(
    "token",
    keys=("lease", "pace", "ceiling", "lane_hold", "destination_hold"),
    args=("owner", "lease_ms", *_RATE),
    after=("pace",),
)
_SETTLE = Script(
    "settle",
    keys=(
        *("retry", "dead", "dead_kept", "review", "review_kept", "backlog", "counters", "parts", "journal"),
        *(
            "row_outcomes",
            "journal_index",
            "calls",
            "calls_index",
            "calls_bytes",
            "lane_hold",
            "destination_hold",
            "pace",
        ),
        "@streams",  # and after these, the keys of what was last sent
    ),
    args=(
        *("group", "journal_entries", "lane_hold_ms", "destination_hold_ms", "hold_reason", "limit", "throttled"),
        *("pause_ms", "answered", "failed", "failures_to_stop", "longest_stop_ms", "delivered"),
        *("most_letters", "most_bytes", "evicted_dead", "evicted_review", "most_calls", "most_call_bytes"),
        *("count", "@ends"),
    ),
    after=("close", "dead_letters", "entry_id", "journal", "calls"),
)
_EVICTED: Final = {
    f"evicted_{queue}": Evicted(queue, "share").field for queue in (DeadLetterQueue.DEAD, DeadLetterQueue.REVIEW)
}
_FIRST_FINGERPRINT: Final = _SETTLE.index("streams") + len(STREAMS)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a drain may send now."""

    entries: tuple[Entry, ...] = ()  # to send
    wait: timedelta = timedelta()  # if pace or a hold prevents sending: the time until it may go on
    next_retry: timedelta | None = None  # when the lane's first retry is due
    seen: tuple[bytes, ...] = ()  # the last entry of each stream, if there was nothing to send
    held: bool = False
    watching: bytes | None = None  # the watchers of calls, see watch.lua
    waits: LaneWaits = NO_WAITS
    lost: bool = False  # another worker has the lane now: stop


class LaneConsumer:
    """The right to send from one lane, held by one drain at a time."""

    def __init__(
        self,
        redis: Redis,
        lane: Lane,
        pace: Pace,
        *,
        journal_entries: int,
        retention: Retention = DEFAULT_RETENTION,
        recording: Recording | None = None,
        lease: timedelta = LEASE,
    ) -> None:
        """`pace` is the lane's. `journal_entries` bounds the journal, `retention` the dead letters of each source, and
        `recording` the recorded calls. `lease` is how long the lane stays ours without another claim.
        """
        self.lane = lane
        self._redis = redis
        self._keys = lane.keys
        self._pace = pace
        self._owner = uuid.uuid4().hex
        self._lease_ms = _ms(lease)
        self.before = (0, timedelta())  # the previous drain: calls in Attentive's second at its last claim; when
        self._journal_entries = journal_entries
        self._retention = retention
        self._recording = recording or Recording()

    async def acquire(self) -> bool:
        """Take the lease. Returns whether the lane is ours now."""
        keys = self._keys
        answer = await _ACQUIRE.run(
            self._redis,
            {"lease": keys.lease, "generation": keys.generation, "pace": keys.pace, "streams": keys.streams},
            {"owner": self._owner, "lease_ms": self._lease_ms, "group": GROUP},
        )
        match answer:
            case [recent, ago_ms]:
                self.before = (recent, timedelta(milliseconds=ago_ms))
                return True
            case _:
                return False

    async def release(self) -> int | None:
        """Give the lease back. Returns the generation to wake the lane with, or None if it has nothing to send now."""
        keys = self._keys
        generation: int = await _RELEASE.run(
            self._redis,
            {
                "lease": keys.lease,
                "generation": keys.generation,
                "lane_hold": keys.hold,
                "destination_hold": keys.destination.hold,
                "streams": keys.streams,
            },
            {"owner": self._owner},
        )
        return None if generation < 0 else generation

    async def reclaim(self) -> list[Entry]:
        """Calls that an earlier drain claimed but did not settle. They may have been sent. By priority, then by age."""
        entries: list[Entry] = []
        for number, stream in enumerate(self._keys.streams):
            after = b"0"
            while found := await self._read_pending(stream, after):
                for entry_id, fields in found:
                    if fields:
                        entries.append(Entry(number, entry_id, fields[b"d"]))
                    else:  # the entry was deleted while it was claimed: nothing is left to send
                        await self._redis.xack(stream, GROUP, entry_id)
                after = found[-1][0]
        return entries

    async def _read_pending(self, stream: str, after: bytes) -> list[tuple[bytes, Any]]:
        try:
            answer = await self._redis.xreadgroup(GROUP, CONSUMER, {stream: after}, count=RECLAIMED_AT_ONCE)
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
        """Up to `most` deliveries that may be sent now.

        `recent` of our calls may stand in Attentive's last second. `others` is the rate of other users of the limit, in
        calls per second (sliding_window.py).
        """
        keys = self._keys
        answer = await _CLAIM.run(
            self._redis,
            {**self._pace_keys(), "retry": keys.retry, "tap": keys.destination.tap, "streams": keys.streams},
            {
                **self._rate(),
                "most": most,
                "under_way": under_way,
                "recent": recent,
                "others": others,
                "starvation_ms": _ms(self._pace.starvation_limit),
                "group": GROUP,
                "consumer": CONSUMER,
            },
        )
        match answer:
            case [b"ok", entries, next_token, next_retry, seen, watching, *waits]:
                return Claim(
                    entries=tuple(Entry(stream, id_, payload, bool(late)) for stream, id_, payload, late in entries),
                    wait=timedelta(milliseconds=next_token),
                    next_retry=None if next_retry < 0 else timedelta(milliseconds=next_retry),
                    seen=tuple(seen),
                    watching=watching,
                    waits=LaneWaits(*waits),
                )
            case [b"held", wait]:
                return Claim(wait=timedelta(milliseconds=wait), held=True)
            case _:
                return Claim(lost=True)

    async def token(self) -> timedelta:
        """Take a token for a call that waits in no lane. Returns zero if it may leave now, else the time to wait."""
        wait = await _TOKEN.run(self._redis, self._pace_keys(), self._rate())
        return timedelta(milliseconds=wait)

    def _pace_keys(self) -> dict[str, str | Sequence[str]]:
        keys, shared = self._keys, self._keys.destination
        return {
            "lease": keys.lease,
            "pace": keys.pace,
            "ceiling": shared.ceiling,
            "lane_hold": keys.hold,
            "destination_hold": shared.hold,
        }

    def _rate(self) -> dict[str, Argument | Sequence[Argument]]:
        """The owner of the lane, and the rate that it may send at."""
        pace = self._pace
        return {
            "owner": self._owner,
            "lease_ms": self._lease_ms,
            "limit": pace.limit,
            "fixed": int(pace.fixed),
            "ceiling_limit": pace.ceiling or 0,
            "lane": self.lane.endpoint,
            "share": SHARE,
            "failures_to_stop": FAILURES_TO_STOP,
        }

    async def wait(self, seen: Sequence[bytes], longest: timedelta) -> None:
        """Return once something came after `seen`, or after `longest`. Does not claim it: a token comes first."""
        block = max(1, min(_ms(longest), int(ANSWER_S * 500)))  # well within the socket's own timeout
        await self._redis.xread(dict(zip(self._keys.streams, seen, strict=True)), count=1, block=block)

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Write the outcomes of attempts in one step. Raises RedisError: then none of them is written."""
        replies = [settlement.reply for settlement in settlements if settlement.reply]
        await self._write(settlements, replies, [settlement.hold for settlement in settlements if settlement.hold])

    async def report(self, reply: Reply | Unreachable, hold: Hold | None) -> None:
        """Apply the answer to a call that waited in no lane to pace and holds. Raises RedisError."""
        await self._write((), [reply], [hold] if hold else [])

    async def _write(
        self, settlements: Sequence[Settlement], replies: Sequence[Reply | Unreachable], holds: Sequence[Hold]
    ) -> None:
        ends, fingerprints = self._ends(settlements)
        await _SETTLE.run(
            self._redis,
            {**self._settled_keys(), "streams": [*self._keys.streams, *fingerprints]},
            {
                **_hold_args(holds),
                **_feedback_args(replies),
                **self._journal_args(),
                **share_args(self._retention),
                **_EVICTED,
                "count": len(settlements),
                "ends": ends,
            },
        )

    def _settled_keys(self) -> dict[str, str]:
        keys, shared = self._keys, self._keys.destination
        return {
            "retry": keys.retry,
            "dead": shared.dead,
            "dead_kept": shared.dead_kept,
            "review_kept": shared.review_kept,
            "backlog": shared.backlog,
            "counters": shared.counters,
            "parts": shared.parts,
            "row_outcomes": shared.row_outcomes,
            "journal": shared.journal,
            "lane_hold": keys.hold,
            "destination_hold": shared.hold,
            "pace": keys.pace,
            "review": shared.review,
            "journal_index": shared.journal_index,
            "calls": shared.calls,
            "calls_index": shared.calls_index,
            "calls_bytes": shared.calls_bytes,
        }

    def _journal_args(self) -> dict[str, Argument]:
        return {
            "group": GROUP,
            "journal_entries": self._journal_entries,
            "most_calls": self._recording.calls,
            "most_call_bytes": self._recording.bytes,
            "delivered": DELIVERED,
        }

    def _ends(self, settlements: Sequence[Settlement]) -> tuple[list[Argument], list[str]]:
        """The settlements as settle.lua takes them, and the keys of their fingerprints, which follow the streams."""
        ends: list[Argument] = []
        keys: list[str] = []
        for end in settlements:
            ends += (end.entry.stream, end.entry.id, end.verb, end.event_key, end.calls)
            ends += (end.message_id, end.record, end.ending, end.counted, end.due_ms, end.payload, end.dead_letter)
            if end.fingerprint is None:
                ends += (0, b"", end.source, len(end.entry.payload), *_recorded_args(end))
            else:
                first = _FIRST_FINGERPRINT + len(keys)
                keys += map(self._keys.destination.last_sent, end.fingerprint.people)
                indexes = ",".join(map(str, range(first, _FIRST_FINGERPRINT + len(keys))))
                if name := end.fingerprint.name:
                    indexes = f"{_FIRST_FINGERPRINT + len(keys)}:{indexes}"
                    keys.append(self._keys.destination.fingerprints(name))
                ends += (
                    indexes,
                    end.fingerprint.digest + name,
                    end.source,
                    len(end.entry.payload),
                    *_recorded_args(end),
                )
        return ends, keys


def _recorded_args(end: Settlement) -> tuple[bytes, bytes, bytes]:
    recorded = end.recorded
    return recorded.row, recorded.call, recorded.call_rows


def _hold_args(holds: Sequence[Hold]) -> dict[str, Argument]:
    return {
        "hold_reason": holds[0].reason if holds else "",
        "lane_hold_ms": max((_ms(hold.wait) for hold in holds if not hold.whole_destination), default=0),
        "destination_hold_ms": max((_ms(hold.wait) for hold in holds if hold.whole_destination), default=0),
    }


def _feedback_args(replies: Sequence[Reply | Unreachable]) -> dict[str, Argument]:
    feedback = feedback_of(replies)
    return {
        "limit": feedback.limit or "",
        "throttled": int(feedback.throttled),
        "pause_ms": int(feedback.pause.total_seconds() * 1000),
        "answered": feedback.answered,
        "failed": feedback.failed,
        "failures_to_stop": FAILURES_TO_STOP,
        "longest_stop_ms": _ms(LONGEST_STOP),
    }


def _ms(span: timedelta) -> int:
    return max(1, int(span.total_seconds() * 1000))
