"""Deletions: requests to forget a person, worked off in steps, and the receipts they leave.

A request waits in a stream, whoever asked: a command, or a `delete` event in the same step as the other events of its
flush. A worker begins it as a record with a state, and takes it from state to state; each step may be repeated. What
names the person goes from the record with the last step that needs it: what is left is the receipt.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import orjson
from redis.asyncio import Redis

from app.delivery.delivery import from_ms, to_ms
from app.delivery.keys import DestinationKeys
from app.delivery.script import Argument, Script
from app.delivery.subject import Subject

AT_ONCE: Final = 50  # deletions that are worked on together: they share one way through all that is stored
PLACES: Final = ("memory", "lanes", "retries", "dead_letters", "unknown", "journal", "said")
VERSION: Final = 1
_BEGIN, _ADVANCE = Script("begin_deletion"), Script("advance_deletion")
_ID_BYTES: Final = 12


class State(StrEnum):
    """How far a deletion is. The last two are ends."""

    FINDING = "finding"  # what else the person is known by
    FORGETTING = "forgetting"  # taking out what is stored
    CHECKING = "checking"  # once more, some seconds later: nothing hides on its way from one place to another
    UNSUBSCRIBING = "unsubscribing"
    REQUESTING = "requesting"  # Attentive's delete request
    FOLLOWING = "following"  # that request to its end
    DONE = "done"
    INCOMPLETE = "incomplete"  # done here; Attentive refused something, or never said that it has deleted the person


ENDS: Final = frozenset({State.DONE, State.INCOMPLETE})
OVER_HERE: Final = ENDS | {State.FOLLOWING}  # nothing that this gateway holds or says is still to do
NAMELESS: Final = OVER_HERE  # states in which nothing of the record names the person


@dataclass(frozen=True, slots=True)
class DeletionRules:
    """What a deletion does beyond what the gateway itself holds, for one destination."""

    unsubscribe: bool = False
    request: bool = False  # Attentive's delete request, followed to its end
    keep: timedelta = timedelta(days=730)  # receipts


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody asks that a person be forgotten."""

    id: str
    subject: Subject
    by: str  # "command", or "event" and its source: "event of web-shop"
    reference: str = ""  # the asker's own word for it: a ticket's number, a message id

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
class Deletion:
    """One deletion: under way, or at its end."""

    id: str
    state: State
    subject: Subject = field(repr=False)  # nobody, once it is not needed
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
    await redis.xadd(DestinationKeys(destination).deletions, {b"d": request.to_json()})


async def begin(redis: Redis, destination: str, *, now: datetime) -> int:
    """Begin what was asked for, the oldest first; how many were begun. Raises RedisError."""
    keys, begun = DestinationKeys(destination), 0
    for entry_id, fields in await redis.xrange(keys.deletions, count=AT_ONCE):
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
            [keys.deletions, keys.deletions_due, keys.receipts, keys.deletion(asked["id"]), keys.books],
            [entry_id, asked["id"], to_ms(now), *_pairs(record)],
        )
    return begun


async def count_open(redis: Redis, destinations: Sequence[str], *, until: datetime | None = None) -> list[int]:
    """How many deletions of each destination are not at their end, requests included. Raises RedisError.

    With `until`, only those that have something to do by then.
    """
    latest = "+inf" if until is None else to_ms(until)
    async with redis.pipeline(transaction=False) as pipeline:
        for destination in destinations:
            keys = DestinationKeys(destination)
            pipeline.xlen(keys.deletions)
            pipeline.zcount(keys.deletions_due, "-inf", latest)
        counts = await pipeline.execute()
    return [asked + begun for asked, begun in zip(counts[::2], counts[1::2], strict=True)]


async def due(redis: Redis, destination: str, *, now: datetime) -> list[Deletion]:
    """Deletions whose next step is due, at most AT_ONCE. Raises RedisError."""
    keys = DestinationKeys(destination)
    ids = await redis.zrangebyscore(keys.deletions_due, "-inf", to_ms(now), start=0, num=AT_ONCE)
    found = await _read(redis, destination, ids)
    if lost := [each for each, deletion in zip(ids, found, strict=True) if deletion is None]:
        await redis.zrem(keys.deletions_due, *lost)  # somebody has deleted their records
    return [deletion for deletion in found if deletion is not None]


async def receipts(redis: Redis, destination: str) -> list[Deletion]:
    """All deletions that are known, the newest first. Raises RedisError."""
    ids = await redis.zrevrange(DestinationKeys(destination).receipts, 0, -1)
    return [found for found in await _read(redis, destination, ids) if found is not None]


async def find(redis: Redis, destination: str, deletion_id: str) -> Deletion | None:
    """One deletion, begun or waiting to be; None when there is none of this id. Raises RedisError."""
    (found,) = await _read(redis, destination, [deletion_id.encode()])
    if found is not None:
        return found
    for _, fields in await redis.xrange(DestinationKeys(destination).deletions):
        asked = orjson.loads(fields[b"d"])
        if asked["id"] == deletion_id:
            return Deletion(deletion_id, State.FINDING, Subject(), {"by": asked["by"], "reference": asked["reference"]})
    return None


async def _read(redis: Redis, destination: str, ids: Sequence[bytes]) -> list[Deletion | None]:
    keys = DestinationKeys(destination)
    async with redis.pipeline(transaction=False) as pipeline:
        for deletion_id in ids:
            pipeline.hgetall(keys.deletion(deletion_id.decode()))
        records = await pipeline.execute()
    return [_deletion(deletion_id.decode(), record) for deletion_id, record in zip(ids, records, strict=True)]


def _deletion(deletion_id: str, record: Mapping[bytes, bytes]) -> Deletion | None:
    facts = {name.decode(): value.decode() for name, value in record.items()}
    if "state" not in facts:
        return None
    subject = Subject.from_json(facts.pop("who", "{}").encode())
    return Deletion(deletion_id, State(facts.pop("state")), subject, facts)


async def advance(
    redis: Redis,
    destination: str,
    deletion: Deletion,
    state: State,
    *,
    now: datetime,
    wait: timedelta = timedelta(),
    keep: timedelta,
    facts: Mapping[str, Argument] | None = None,
) -> None:
    """Take a deletion to `state`, or keep it in the one that it is in, for its next step after `wait`.

    Does nothing when it is no longer in the state that was read. `keep` is how long receipts are kept.

    Raises RedisError.
    """
    keys = DestinationKeys(destination)
    fields: dict[str, Argument] = {"state": state.value, "tries": 0, **(facts or {})}
    if state in ENDS:
        fields["ended"] = to_ms(now)
    await _ADVANCE.run(
        redis,
        [keys.deletion(deletion.id), keys.deletions_due, keys.books, keys.receipts],
        [
            deletion.id,
            deletion.state.value,
            "" if state in ENDS else to_ms(now + wait),
            f"deletions:{state.value}",
            int(keep.total_seconds()),
            to_ms(now - keep),
            int(state in NAMELESS),
            *_pairs(fields),
        ],
    )


def _pairs(fields: Mapping[str, Argument]) -> list[Argument]:
    return [part for pair in fields.items() for part in pair]


def receipt(destination: str, deletion: Deletion) -> dict[str, Any]:
    """What can be shown to anybody: what was done when, and nothing of whom it was about."""

    def moment(name: str) -> str | None:
        return from_ms(deletion.number(name)).isoformat() if deletion.number(name) else None

    return {
        "id": deletion.id,
        "destination": destination,
        "state": deletion.state.value,
        "asked_by": deletion.facts.get("by", ""),
        "reference": deletion.facts.get("reference", ""),
        "named_by": orjson.loads(deletion.facts.get("named_by", "[]")),
        "asked_at": moment("asked"),
        "begun_at": moment("begun"),
        "forgotten_at": moment("forgotten"),
        "removed": {place: deletion.number(f"removed:{place}") for place in PLACES},
        "unsubscribed": deletion.facts.get("unsubscribed", ""),
        "delete_requests": deletion.request_ids,
        "delete_request": deletion.facts.get("requested", ""),
        "filed_at": moment("filed"),
        "ended_at": moment("ended"),
        "waits_for": deletion.facts.get("waits_for", ""),
        "calls_under_way": deletion.number("under_way"),
    }
