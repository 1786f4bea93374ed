"""One Attentive call waiting in a lane, and the form it has in Redis: JSON, with a version, readable by anyone."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from app.attentive.call import Priority
from app.value import Value, changed

VERSION: Final = 1
FRESH: Final = timedelta(hours=12)  # older than this, an event starts no journey. Source: Attentive's API reference
HORIZON: Final = timedelta(hours=24)  # older than this, a call is not worth sending
KEY_BYTES: Final = 12


class Unreadable(Exception):  # noqa: N818 - it names the stored bytes
    """Stored bytes that are no delivery of a version known here."""


class Delivery(Value, frozen=True, gc=False):
    """A call with all that is needed to send it, to judge it, and to tell its story if it fails."""

    personal: ClassVar = frozenset({"body", "event"})

    message_id: str
    source: str
    endpoint: str
    priority: Priority
    body: bytes  # JSON of the call
    event: bytes  # JSON of the whole original event
    received_at: datetime
    deadline: datetime  # no attempt is made after it
    attempt: int = 1  # the number of the next attempt
    calls: int = 1  # how many calls this event became
    doubts: tuple[str, ...] = ()  # the contacts that Attentive is asked about before it is sent, see consent.py
    once_in_s: int = 0  # the same said again within this time is left out; of use on the way in alone, and not stored
    fresh_until: datetime | None = None  # from then on it goes after all that is fresh; None: whatever its age

    @property
    def event_key(self) -> bytes:
        """What the event is known by in Redis."""
        return event_key(self.source, self.message_id)

    def next_attempt(self) -> "Delivery":
        """The same delivery, one attempt later."""
        return changed(self, attempt=self.attempt + 1)

    def to_json(self) -> bytes:
        """The stored form."""
        return orjson.dumps(
            {
                # These three are read by claim.lua, at this place and in this order.
                "v": VERSION,
                "fresh": None if self.fresh_until is None else to_ms(self.fresh_until),
                "deadline": to_ms(self.deadline),
                "message_id": self.message_id,
                "source": self.source,
                "endpoint": self.endpoint,
                "priority": int(self.priority),
                "received": to_ms(self.received_at),
                "attempt": self.attempt,
                "calls": self.calls,
                "body": orjson.Fragment(self.body),
                "event": orjson.Fragment(self.event),
                **({"doubts": self.doubts} if self.doubts else {}),
            }
        )

    @classmethod
    def from_json(cls, stored: bytes) -> "Delivery":
        """Raises Unreadable."""
        try:
            fields = _Stored.model_validate(orjson.loads(stored))
            return cls(
                message_id=fields.message_id,
                source=fields.source,
                endpoint=fields.endpoint,
                priority=Priority(fields.priority),
                body=orjson.dumps(fields.body),
                event=orjson.dumps(fields.event),
                received_at=from_ms(fields.received),
                deadline=from_ms(fields.deadline),
                attempt=fields.attempt,
                calls=fields.calls,
                doubts=tuple(fields.doubts),
                fresh_until=None if fields.fresh is None else from_ms(fields.fresh),
            )
        except (ValueError, TypeError, OverflowError, OSError) as damage:
            raise Unreadable(f"no delivery of version {VERSION}: {type(damage).__name__}") from None


class _Stored(BaseModel):
    """The stored form, told apart from anything else that might be found in Redis."""

    model_config = ConfigDict(strict=True)

    v: Literal[1]
    fresh: int | None = None  # epoch ms
    message_id: str
    source: str
    endpoint: str
    priority: int
    received: int  # epoch ms
    deadline: int
    attempt: Annotated[int, Field(ge=1)]
    calls: Annotated[int, Field(ge=1)]
    body: dict[str, Any]
    event: dict[str, Any]
    doubts: list[Literal["phone", "email"]] = []


def event_key(source: str, message_id: str) -> bytes:
    """12 bytes for one event of one source: ids of different senders never meet, and keys stay small."""
    return hashlib.blake2b(f"{source}\0{message_id}".encode(), digest_size=KEY_BYTES).digest()


def to_ms(moment: datetime) -> int:
    """Epoch milliseconds, the form of times in Redis."""
    return round(moment.timestamp() * 1000)  # a float just below the millisecond would lose it


def from_ms(epoch_ms: int) -> datetime:
    """The moment, UTC. Raises OverflowError, OSError or ValueError for one beyond all calendars."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)
