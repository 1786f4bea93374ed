"""One Attentive call waiting in a lane, and the form it has in Redis: a version, and JSON packed by LZ4.

A lane may hold millions while Attentive is away. Packed, one takes two thirds of the memory, at 3 µs to pack and 1 to
unpack, which writing less to Redis pays for.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar, Final, Literal

import lz4.block
import msgspec

from app.attentive.call import Priority
from app.value import Value, changed

VERSION: Final = 1
FRESH: Final = timedelta(hours=12)  # older than this, an event starts no journey. Source: Attentive's API reference
HORIZON: Final = timedelta(hours=24)  # older than this, a call is not worth sending
KEY_BYTES: Final = 12
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MS: Final = timedelta(milliseconds=1)
_LINE: Final = b"\n"  # parts the stored form: JSON has none in it
_MOST_SHRUNK: Final = 256  # LZ4 shrinks nothing by more
_DAMAGE: Final = (ValueError, msgspec.DecodeError, lz4.block.LZ4BlockError)
Contact = Literal["phone", "email"]


def to_ms(moment: datetime) -> int:
    """Epoch milliseconds, the form of times in Redis."""
    return (moment - _EPOCH) // MS


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
    received_ms: int  # epoch ms, as all times here
    deadline_ms: int  # no attempt is made after it
    attempt: int = 1  # the number of the next attempt
    calls: int = 1  # how many calls this event became
    doubts: tuple[Contact, ...] = ()  # those that Attentive is asked about before it is sent, see consent.py
    once_in_s: int = 0  # the same said again within this time is left out; of use on the way in alone, and not stored
    fresh_until_ms: int | None = None  # from then on it goes after all that is fresh; None: whatever its age

    @property
    def event_key(self) -> bytes:
        """What the event is known by in Redis."""
        return event_key(self.source, self.message_id)

    @property
    def received_at(self) -> datetime:
        """When its event came in, UTC."""
        return from_ms(self.received_ms)

    @property
    def deadline(self) -> datetime:
        """Until when it may be attempted, UTC."""
        return from_ms(self.deadline_ms)

    def next_attempt(self) -> "Delivery":
        """The same delivery, one attempt later."""
        return changed(self, attempt=self.attempt + 1)

    def packed(self) -> bytes:
        """The stored form: what claim.lua reads of it, as JSON; a line feed; all else, packed."""
        fresh = b"null" if self.fresh_until_ms is None else b"%d" % self.fresh_until_ms
        about = _About(
            message_id=self.message_id,
            source=self.source,
            endpoint=self.endpoint,
            priority=int(self.priority),
            received=self.received_ms,
            attempt=self.attempt,
            calls=self.calls,
            doubts=self.doubts,
        )
        head = b'{"v":%d,"fresh":%b,"deadline":%d}' % (VERSION, fresh, self.deadline_ms)
        rest: bytes = lz4.block.compress(_LINE.join((_ENCODE(about), self.body, self.event)))
        return head + _LINE + rest

    @classmethod
    def unpacked(cls, stored: bytes) -> "Delivery":
        """Raises Unreadable."""
        try:
            first, _, rest = stored.partition(_LINE)
            head = _HEAD.decode(first)
            if head.v != VERSION:
                raise ValueError
            described, body, event = _rest_of(rest).split(_LINE)
            about = _ABOUT.decode(described)
            return cls(
                message_id=about.message_id,
                source=about.source,
                endpoint=about.endpoint,
                priority=Priority(about.priority),
                body=_object(body),
                event=_object(event),
                received_ms=about.received,
                deadline_ms=head.deadline,
                attempt=about.attempt,
                calls=about.calls,
                doubts=about.doubts,
                fresh_until_ms=head.fresh,
            )
        except (*_DAMAGE, TypeError) as damage:
            raise Unreadable(f"no delivery of version {VERSION}: {type(damage).__name__}") from None


_EpochMs = Annotated[
    int, msgspec.Meta(ge=to_ms(datetime.min.replace(tzinfo=UTC)), le=to_ms(datetime.max.replace(tzinfo=UTC)))
]


class _Head(msgspec.Struct):
    """What claim.lua reads, at this place and in this order."""

    v: int
    fresh: _EpochMs | None
    deadline: _EpochMs


class _About(msgspec.Struct):
    """The rest of the stored form but for the two JSON texts that follow it, a line feed before each."""

    message_id: str
    source: str
    endpoint: str
    priority: int
    received: _EpochMs
    attempt: Annotated[int, msgspec.Meta(ge=1)]
    calls: Annotated[int, msgspec.Meta(ge=1)]
    doubts: tuple[Contact, ...] = ()


_ENCODE: Final = msgspec.json.Encoder().encode
_HEAD: Final = msgspec.json.Decoder(_Head)
_ABOUT: Final = msgspec.json.Decoder(_About)


def in_full(stored: bytes) -> bytes:
    """A stored form with nothing packed, for whoever looks for text in it; what is unreadable, as it is."""
    first, _, rest = stored.partition(_LINE)
    try:
        return first + _LINE + _rest_of(rest)
    except _DAMAGE:
        return stored


def _rest_of(rest: bytes) -> bytes:
    """What was packed. Raises one of _DAMAGE."""
    if int.from_bytes(rest[:4], "little") > _MOST_SHRUNK * len(rest):  # damage would be given that much memory
        raise ValueError
    content: bytes = lz4.block.decompress(rest)
    return content


def _object(text: bytes) -> bytes:
    """The JSON of an object. Raises ValueError for what cannot be one."""
    if text[:1] != b"{" or text[-1:] != b"}":
        raise ValueError
    return text


def event_key(source: str, message_id: str) -> bytes:
    """12 bytes for one event of one source: ids of different senders never meet, and keys stay small."""
    return hashlib.blake2b(f"{source}\0{message_id}".encode(), digest_size=KEY_BYTES).digest()


def from_ms(epoch_ms: int) -> datetime:
    """The moment, UTC. Raises OverflowError, OSError or ValueError for one beyond all calendars."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)
