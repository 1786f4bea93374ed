"""The register of alerts in Redis: who evaluates, states, messages that wait, history and mutes.

A state and the messages about it change in one script, which only the leader may run. So each change of an alert makes
one message for each channel, whatever dies when.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, cast

import msgspec
import orjson
from redis.asyncio import Redis

from app.alerts.messages import Message
from app.alerts.rules import AlertId
from app.alerts.state import AlertState, Level
from app.delivery.delivery import from_ms
from app.store.keys import AlertKeys
from app.store.script import Arguments, Script

LEASE: Final = timedelta(seconds=3)  # it is kept each second
HISTORY_ENTRIES: Final = 10_000

_LEAD = Script("lead", keys=("leader",), args=("owner", "lease_ms"))
_STEP_DOWN = Script("step_down", keys=("leader",), args=("owner",))
_CHANGE = Script(
    "change_alert",
    keys=("leader", "states", "history", "*queues"),
    args=("owner", "alert", "before", "after", "entry", "most", "@messages"),
)


class Side(StrEnum):
    """Who evaluates. Gateways evaluate what workers cannot; each side has states and queues of its own."""

    WORKERS = "workers"
    GATEWAYS = "gateways"


@dataclass(frozen=True, slots=True)
class Stored:
    """A state as it was read."""

    state: AlertState
    raw: bytes = b""  # empty where there is none


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One change of an alert's level."""

    at: datetime
    alert: AlertId
    level: Level
    before: Level
    value: float
    sent_to: tuple[str, ...] = ()  # the channels


class Register:
    """The register of one side, as one process uses it. Each method raises StoreError."""

    def __init__(self, redis: Redis, side: Side) -> None:
        self.redis, self.side = redis, side
        self._owner = uuid.uuid4().hex

    async def lead(self) -> bool:
        """Take or keep the lease. False while another process leads."""
        args: Arguments = {"owner": self._owner, "lease_ms": LEASE // timedelta(milliseconds=1)}
        return bool(await _LEAD.run(self.redis, {"leader": AlertKeys.leader(self.side)}, args))

    async def step_down(self) -> None:
        """Give the lease back."""
        await _STEP_DOWN.run(self.redis, {"leader": AlertKeys.leader(self.side)}, {"owner": self._owner})

    async def states(self) -> dict[AlertId, Stored]:
        """Every alert that is not ok, or of which a channel still has to hear."""
        return await read_states(self.redis, self.side)

    async def change(
        self,
        alert: AlertId,
        before: Stored,
        after: AlertState,
        messages: Mapping[str, Message],
        now: int,
    ) -> bool:
        """Store a state with its messages, by channel. False if another process changed it, or leads now."""
        answer = await _CHANGE.run(
            self.redis,
            {
                "leader": AlertKeys.leader(self.side),
                "states": AlertKeys.states(self.side),
                "history": AlertKeys.history,
                "queues": [AlertKeys.queue(self.side, channel) for channel in messages],
            },
            {
                "owner": self._owner,
                "alert": alert.field,
                "before": before.raw,
                "after": b"" if after.is_over else after.to_json(),
                "entry": _entry(alert, before.state, after, list(messages), now),
                "most": HISTORY_ENTRIES,
                "messages": [message.to_json() for message in messages.values()],
            },
        )
        return bool(answer == 1)


def _entry(alert: AlertId, before: AlertState, after: AlertState, sent_to: Sequence[str], now: int) -> bytes:
    if before.level is after.level and not sent_to:
        return b""
    return orjson.dumps(
        {
            "at": now,
            "alert": alert.field,
            "level": int(after.level),
            "before": int(before.level),
            "value": after.value,
            "sent_to": sent_to,
        }
    )


async def read_states(redis: Redis, side: Side) -> dict[AlertId, Stored]:
    """The stored states of one side. Raises StoreError."""
    page: dict[bytes, bytes] = await cast(Any, redis.hgetall(AlertKeys.states(side)))
    return {AlertId.of(field.decode()): Stored(AlertState.from_json(raw), raw) for field, raw in page.items()}


async def read_history(redis: Redis, count: int) -> list[HistoryEntry]:
    """The newest changes, the newest first. Raises StoreError."""
    return [_history(fields[b"d"]) for _, fields in await redis.xrevrange(AlertKeys.history, count=count)]


def _history(stored: bytes) -> HistoryEntry:
    facts: dict[str, Any] = orjson.loads(stored)
    return HistoryEntry(
        from_ms(facts["at"]),
        AlertId.of(facts["alert"]),
        Level(facts["level"]),
        Level(facts["before"]),
        facts["value"],
        tuple(facts["sent_to"]),
    )


async def mute(redis: Redis, alert: AlertId, until: int) -> None:
    """Send no messages about a rule, or about one alert, until then (epoch ms). Raises StoreError."""
    await cast(Any, redis.hset(AlertKeys.mutes, mapping={alert.field: until}))


async def unmute(redis: Redis, alert: AlertId) -> bool:
    """End a mute. False when there was none. Raises StoreError."""
    return bool(await cast(Any, redis.hdel(AlertKeys.mutes, alert.field)))


async def read_mutes(redis: Redis, now: int) -> dict[AlertId, int]:
    """Until when rules and alerts are muted (epoch ms). Raises StoreError."""
    page: dict[bytes, bytes] = await cast(Any, redis.hgetall(AlertKeys.mutes))
    mutes = {AlertId.of(field.decode()): int(until) for field, until in page.items()}
    return {alert: until for alert, until in mutes.items() if until > now}


async def remove_mutes(redis: Redis, now: int) -> None:
    """Remove those that are over. Raises StoreError."""
    every, left = await read_mutes(redis, 0), await read_mutes(redis, now)
    if over := [alert.field for alert in every if alert not in left]:
        await cast(Any, redis.hdel(AlertKeys.mutes, *over))


def is_muted(alert: AlertId, mutes: Mapping[AlertId, int]) -> bool:
    """Whether an alert is muted, alone or with all of its rule."""
    return alert in mutes or AlertId(alert.rule) in mutes


async def waiting_messages(redis: Redis, side: Side, channel: str, count: int) -> list[tuple[bytes, Message]]:
    """The oldest messages that wait for a channel, with their IDs. Raises StoreError."""
    key, found = AlertKeys.queue(side, channel), list[tuple[bytes, Message]]()
    for entry_id, fields in await redis.xrange(key, count=count):
        try:
            found.append((entry_id, Message.from_json(fields[b"d"])))
        except msgspec.DecodeError:  # of another release
            await redis.xdel(key, entry_id)
    return found


async def messages_sent(redis: Redis, side: Side, channel: str, ids: Sequence[bytes]) -> None:
    """Take messages out of the queue of a channel. Raises StoreError."""
    await redis.xdel(AlertKeys.queue(side, channel), *ids)


@dataclass(frozen=True, slots=True)
class ChannelReport:
    """How the last messages to a channel went. Times are epoch ms."""

    sent_at: int | None = None
    failed_at: int | None = None
    failure: str = ""  # of the last attempt, without addresses; empty when it worked


async def note_channel(redis: Redis, channel: str, report: ChannelReport) -> None:
    """Store a report. Raises StoreError."""
    await cast(Any, redis.hset(AlertKeys.channels, mapping={channel: msgspec.json.encode(report)}))


async def read_channels(redis: Redis) -> dict[str, ChannelReport]:
    """The report of every channel that was ever sent something. Raises StoreError."""
    page: dict[bytes, bytes] = await cast(Any, redis.hgetall(AlertKeys.channels))
    return {name.decode(): msgspec.json.decode(raw, type=ChannelReport) for name, raw in page.items()}


async def count_waiting(redis: Redis, channels: Sequence[str]) -> list[int]:
    """How many messages wait for each channel. Raises StoreError."""
    async with redis.pipeline(transaction=False) as pipeline:
        for channel in channels:
            for side in Side:
                pipeline.xlen(AlertKeys.queue(side, channel))
        lengths = await pipeline.execute()
    return [sum(lengths[at : at + len(Side)]) for at in range(0, len(lengths), len(Side))]
