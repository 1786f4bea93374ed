"""Erasures: requests to forget a person, worked off in steps, and the receipts they leave.

A request waits in a stream. It comes from a command, or from a `delete` event in the same step as the other events of
its flush. A worker turns it into a record with a state and advances it from state to state. Each step may be repeated.
The last step that needs the person's identifiers removes them from the record, and the rest is the receipt.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import orjson
from redis.asyncio import Redis

from app.counted import ErasureCount
from app.delivery.delivery import from_ms, to_ms
from app.erasure.subject import Subject
from app.store.hashes import read_hashes
from app.store.keys import DestinationKeys
from app.store.script import Argument, Script

AT_ONCE: Final = 50  # erasures that are worked on together: they share one way through all that is stored
AT_MOST: Final = 1000  # that are looked at to find the oldest
PLACES: Final = ("profiles", "lanes", "retries", "dead_letters", "unknown", "journal", "calls", "last_sent")
VERSION: Final = 1
_BEGIN = Script(
    "begin_erasure",
    keys=("requests", "due", "receipts", "erasure", "counters"),
    args=("entry_id", "id", "now", "begun", "*fields"),
)
_ADVANCE = Script(
    "advance_erasure",
    keys=("erasure", "due", "counters", "receipts"),
    args=("id", "state", "due_at", "ended", "keep_s", "oldest", "nameless", "*fields"),
)
_ID_BYTES: Final = 12


class State(StrEnum):
    """How far an erasure is. The last two are ends."""

    FINDING = "finding"  # what else the person is known by
    FORGETTING = "forgetting"  # taking out what is stored
    CHECKING = "checking"  # once more, some seconds later: nothing hides on its way from one place to another
    UNSUBSCRIBING = "unsubscribing"
    REQUESTING = "requesting"  # Attentive's delete request
    FOLLOWING = "following"  # that request to its end
    DONE = "done"
    INCOMPLETE = "incomplete"  # done here; Attentive refused something, or never confirmed the deletion


ENDS: Final = frozenset({State.DONE, State.INCOMPLETE})
OVER_HERE: Final = ENDS | {State.FOLLOWING}  # the gateway itself has nothing left to do
NAMELESS: Final = OVER_HERE  # states in which nothing of the record names the person


@dataclass(frozen=True, slots=True)
class ErasureRules:
    """What an erasure does beyond what the gateway itself holds, for one destination."""

    unsubscribe: bool = False
    request: bool = False  # Attentive's delete request, followed to its end
    keep: timedelta = timedelta(days=730)  # receipts


@dataclass(frozen=True, slots=True)
class Request:
    """A request to erase a person."""

    id: str
    subject: Subject
    by: str  # "command", or "event" and its source: "event of web-shop"
    reference: str = ""  # the asker's own: a ticket number, a message ID

    @classmethod
    def new(cls, subject: Subject, *, reference: str) -> "Request":
        """One that an operator makes."""
        return cls(uuid.uuid4().hex[: 2 * _ID_BYTES], subject, "command", reference)

    def to_json(self) -> bytes:
        """The stored form."""
        return orjson.dumps(
            {
                "v": VERSION,
                "id": self.id,
                "who": orjson.Fragment(self.subject.to_json()),
                "by": self.by,
                "reference": self.reference,
            }
        )


@dataclass(frozen=True, slots=True)
class Erasure:
    """One erasure: under way, or at its end."""

    id: str
    state: State
    subject: Subject = field(repr=False)  # empty once it is not needed
    facts: Mapping[str, str] = field(repr=False)  # the record's other fields

    def number(self, name: str) -> int:
        """A field that counts, or is a time in epoch ms; 0 when it is not there."""
        return int(self.facts.get(name, 0))

    @property
    def tries(self) -> int:
        """How often the step that it is at was tried in vain."""
        return self.number("tries")

    @property
    def request_ids(self) -> list[str]:
        """Attentive's ids of the delete requests filed so far."""
        ids: list[str] = orjson.loads(self.facts.get("request_ids", "[]"))
        return ids

    @property
    def asked_at(self) -> datetime:
        """When it was asked for."""
        return from_ms(self.number("asked"))


async def ask(redis: Redis, destination: str, request: Request) -> None:
    """Put a request where workers find it. Raises RedisError."""
    await redis.xadd(DestinationKeys(destination).erasures, {b"d": request.to_json()})


async def begin(redis: Redis, destination: str, *, now: datetime) -> int:
    """Begin what was asked for, the oldest first; how many were begun. Raises RedisError."""
    keys, begun = DestinationKeys(destination), 0
    for entry_id, fields in await redis.xrange(keys.erasures, count=AT_ONCE):
        asked: dict[str, Any] = orjson.loads(fields[b"d"])
        subject = Subject.from_json(orjson.dumps(asked["who"]))
        record: dict[str, Argument] = {
            "v": VERSION,
            "state": State.FINDING.value,
            "who": subject.to_json(),
            "named_by": orjson.dumps(subject.kinds),
            "by": asked["by"],
            "reference": asked["reference"],
            "asked": int(entry_id.split(b"-")[0]),
            "begun": to_ms(now),
        }
        begun += await _BEGIN.run(
            redis,
            {
                "requests": keys.erasures,
                "due": keys.erasures_due,
                "receipts": keys.receipts,
                "erasure": keys.erasure(asked["id"]),
                "counters": keys.counters,
            },
            {
                "entry_id": entry_id,
                "id": asked["id"],
                "now": to_ms(now),
                "begun": ErasureCount("begun").field,
                "fields": _pairs(record),
            },
        )
    return begun


async def count_open(redis: Redis, destinations: Sequence[str], *, until: datetime | None = None) -> list[int]:
    """How many erasures of each destination are not at their end, requests included. Raises RedisError.

    With `until`, only those that have something to do by then.
    """
    latest = "+inf" if until is None else to_ms(until)
    async with redis.pipeline(transaction=False) as pipeline:
        for destination in destinations:
            keys = DestinationKeys(destination)
            pipeline.xlen(keys.erasures)
            pipeline.zcount(keys.erasures_due, "-inf", latest)
        counts = await pipeline.execute()
    return [asked + begun for asked, begun in zip(counts[::2], counts[1::2], strict=True)]


async def open_since(redis: Redis, destinations: Sequence[str]) -> dict[str, tuple[datetime | None, datetime | None]]:
    """For each destination, when the oldest request was made that the gateway has not carried out, and the oldest that
    is not at its end.

    None where there is none. Of the erasures under way, the first AT_MOST are looked at. Raises RedisError.
    """
    async with redis.pipeline(transaction=False) as pipeline:
        for keys in map(DestinationKeys, destinations):
            pipeline.xrange(keys.erasures, count=1)
            pipeline.zrange(keys.erasures_due, 0, AT_MOST - 1)
        answers = await pipeline.execute()
    return {
        name: await _since(redis, name, asked, ids)
        for name, asked, ids in zip(destinations, answers[::2], answers[1::2], strict=True)
    }


async def _since(
    redis: Redis, destination: str, requests: Sequence[tuple[bytes, object]], ids: Sequence[bytes]
) -> tuple[datetime | None, datetime | None]:
    asked = [int(entry_id.split(b"-")[0]) for entry_id, _ in requests]
    begun = [erasure for erasure in await _read(redis, destination, ids) if erasure is not None] if ids else []
    here = asked + [each.number("asked") for each in begun if each.state not in OVER_HERE]
    anywhere = asked + [each.number("asked") for each in begun]
    return from_ms(min(here)) if here else None, from_ms(min(anywhere)) if anywhere else None


async def due(redis: Redis, destination: str, *, now: datetime) -> list[Erasure]:
    """Erasures whose next step is due, at most AT_ONCE. Raises RedisError."""
    keys = DestinationKeys(destination)
    ids = await redis.zrangebyscore(keys.erasures_due, "-inf", to_ms(now), start=0, num=AT_ONCE)
    found = await _read(redis, destination, ids)
    if lost := [each for each, erasure in zip(ids, found, strict=True) if erasure is None]:
        await redis.zrem(keys.erasures_due, *lost)  # an operator has deleted their records
    return [erasure for erasure in found if erasure is not None]


async def receipts(redis: Redis, destination: str) -> list[Erasure]:
    """All erasures that are known, the newest first. Raises RedisError."""
    ids = await redis.zrevrange(DestinationKeys(destination).receipts, 0, -1)
    return [found for found in await _read(redis, destination, ids) if found is not None]


async def find(redis: Redis, destination: str, erasure_id: str) -> Erasure | None:
    """One erasure, begun or waiting to be; None when there is none of this id. Raises RedisError."""
    (found,) = await _read(redis, destination, [erasure_id.encode()])
    if found is not None:
        return found
    for _, fields in await redis.xrange(DestinationKeys(destination).erasures):
        asked = orjson.loads(fields[b"d"])
        if asked["id"] == erasure_id:
            return Erasure(erasure_id, State.FINDING, Subject(), {"by": asked["by"], "reference": asked["reference"]})
    return None


async def _read(redis: Redis, destination: str, ids: Sequence[bytes]) -> list[Erasure | None]:
    keys = DestinationKeys(destination)
    records = await read_hashes(redis, [keys.erasure(erasure_id.decode()) for erasure_id in ids])
    return [_erasure(erasure_id.decode(), record) for erasure_id, record in zip(ids, records, strict=True)]


def _erasure(erasure_id: str, record: Mapping[bytes, bytes]) -> Erasure | None:
    facts = {name.decode(): value.decode() for name, value in record.items()}
    if "state" not in facts:
        return None
    subject = Subject.from_json(facts.pop("who", "{}").encode())
    return Erasure(erasure_id, State(facts.pop("state")), subject, facts)


async def advance(
    redis: Redis,
    destination: str,
    erasure: Erasure,
    state: State,
    *,
    now: datetime,
    wait: timedelta = timedelta(),
    keep: timedelta,
    facts: Mapping[str, Argument] | None = None,
) -> None:
    """Take an erasure to `state`, or keep it in the one that it is in, for its next step after `wait`.

    Does nothing when it is no longer in the state that was read. `keep` is how long receipts are kept.

    Raises RedisError.
    """
    keys = DestinationKeys(destination)
    fields: dict[str, Argument] = {"state": state.value, "tries": 0, **(facts or {})}
    if state in ENDS:
        fields["ended"] = to_ms(now)
    await _ADVANCE.run(
        redis,
        {
            "erasure": keys.erasure(erasure.id),
            "due": keys.erasures_due,
            "counters": keys.counters,
            "receipts": keys.receipts,
        },
        {
            "id": erasure.id,
            "state": erasure.state.value,
            "due_at": "" if state in ENDS else to_ms(now + wait),
            "ended": ErasureCount(state.value).field,
            "keep_s": int(keep.total_seconds()),
            "oldest": to_ms(now - keep),
            "nameless": int(state in NAMELESS),
            "fields": _pairs(fields),
        },
    )


def removed_field(place: str) -> str:
    """The field of an erasure's record that counts what was removed from one of PLACES."""
    return f"removed:{place}"


def _pairs(fields: Mapping[str, Argument]) -> list[Argument]:
    return [part for pair in fields.items() for part in pair]


def receipt(destination: str, erasure: Erasure) -> dict[str, Any]:
    """What can be shown to everyone: what was done when. It does not identify the person."""

    def moment(name: str) -> str | None:
        return from_ms(erasure.number(name)).isoformat() if erasure.number(name) else None

    return {
        "id": erasure.id,
        "destination": destination,
        "state": erasure.state.value,
        "asked_by": erasure.facts.get("by", ""),
        "reference": erasure.facts.get("reference", ""),
        "named_by": orjson.loads(erasure.facts.get("named_by", "[]")),
        "asked_at": moment("asked"),
        "begun_at": moment("begun"),
        "forgotten_at": moment("forgotten"),
        "removed": {place: erasure.number(removed_field(place)) for place in PLACES},
        "unsubscribed": erasure.facts.get("unsubscribed", ""),
        "left_alone": orjson.loads(erasure.facts.get("left_alone", "{}")),  # claimed by public sources only
        "delete_requests": erasure.request_ids,
        "delete_request": erasure.facts.get("requested", ""),
        "filed_at": moment("filed"),
        "ended_at": moment("ended"),
        "waits_for": erasure.facts.get("waits_for", ""),
        "calls_under_way": erasure.number("under_way"),
    }
