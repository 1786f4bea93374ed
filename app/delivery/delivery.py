"""One Attentive call in a lane, and its form in Redis: a version, and JSON packed with LZ4.

A lane may hold millions of calls while Attentive is down. Packing saves a third of the memory. It takes 3 µs and
unpacking takes 1 µs, which the smaller writes to Redis make up for.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, ClassVar, Final, Literal

import lz4.block
import msgspec

from app.attentive.call import Priority
from app.store.keys import FIRST_PUBLIC_STREAM
from app.value import Value, changed

VERSION: Final = 2
FRESH: Final = timedelta(hours=12)  # events older than this start no journey. Source: Attentive's API reference
HORIZON: Final = timedelta(hours=24)  # older than this, a call is not worth sending
KEY_BYTES: Final = 12
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MS: Final = timedelta(milliseconds=1)
_LINE: Final = b"\n"  # separates the parts of the stored form: the JSON contains none
_MOST_SHRUNK: Final = 256  # LZ4's highest compression ratio
DAMAGE: Final = (ValueError, msgspec.DecodeError, lz4.block.LZ4BlockError)
Contact = Literal["phone", "email"]


def to_ms(moment: datetime) -> int:
    """Epoch milliseconds, the form of times in Redis."""
    return (moment - _EPOCH) // MS


class Unreadable(Exception):  # noqa: N818 - it names the stored bytes
    """Stored bytes that are not a delivery of a known version."""


class Newer(Unreadable):
    """A delivery that a newer release stored. It waits for a worker that can read it."""


class Delivery(Value, frozen=True, gc=False):
    """A call with everything needed to send it, to judge its outcome, and to explain it if it fails."""

    personal: ClassVar = frozenset({"body", "event"})

    message_id: str
    source: str
    endpoint: str
    priority: Priority
    body: bytes  # JSON of the call
    event: bytes  # JSON of the whole original event
    received_ms: int  # epoch ms, like all times here
    deadline_ms: int  # no attempt is made after it
    attempt: int = 1  # the number of the next attempt
    calls: int = 1  # how many calls this event became
    unverified: tuple[Contact, ...] = ()  # contacts that Attentive is asked about first, see consent.py
    dedupe_window_s: int = 0  # an equal call within this time is skipped; for the way into Redis, not stored
    fresh_until_ms: int | None = None  # after this, fresh calls go first; None: the call's age does not matter
    public: bool = False  # its source is public: it never delays the calls of trusted sources
    traceparent: str = ""  # of the span that published it, if its request is traced: see traces/context.py
    failed_ms: int = 0  # when the attempt before ended; 0: there was none
    due_ms: int = 0  # not sent before

    @property
    def event_key(self) -> bytes:
        """The event's key in Redis."""
        return event_key(self.source, self.message_id)

    @property
    def received_at(self) -> datetime:
        """When its event was received, UTC."""
        return from_ms(self.received_ms)

    @property
    def deadline(self) -> datetime:
        """The latest time of an attempt, UTC."""
        return from_ms(self.deadline_ms)

    def missed_journey(self, now: datetime) -> Literal["arrived", "waited"] | None:
        """Why it starts no journey if Attentive accepts it now: its event arrived late, or it waited too long."""
        if self.fresh_until_ms is None or to_ms(now) <= self.fresh_until_ms:
            return None
        return "arrived" if self.received_ms > self.fresh_until_ms else "waited"

    @property
    def stream(self) -> int:
        """The place in STREAMS of the stream in which it waits while it is fresh."""
        return self.priority + FIRST_PUBLIC_STREAM if self.public else int(self.priority)

    def next_attempt(self, now_ms: int, due_ms: int) -> "Delivery":
        """The same delivery after an attempt that has failed now, and for another one that is due then."""
        return changed(self, attempt=self.attempt + 1, failed_ms=now_ms, due_ms=due_ms)

    def packed(self) -> bytes:
        """The stored form: the part that claim.lua reads, as JSON; a line feed; the rest, packed."""
        fresh = "null" if self.fresh_until_ms is None else self.fresh_until_ms
        about = _About(
            message_id=self.message_id,
            source=self.source,
            endpoint=self.endpoint,
            priority=int(self.priority),
            received=self.received_ms,
            attempt=self.attempt,
            calls=self.calls,
            unverified=self.unverified,
            public=self.public,
            failed=self.failed_ms,
            due=self.due_ms,
        )
        trace = f',"trace":"{self.traceparent}"' if self.traceparent else ""
        head = f'{{"v":{VERSION},"fresh":{fresh},"deadline":{self.deadline_ms}{trace}}}\n'.encode()
        rest: bytes = lz4.block.compress(_LINE.join((_ENCODE(about), self.body, self.event)))
        return head + rest

    @classmethod
    def unpacked(cls, stored: bytes) -> "Delivery":
        """Raises Unreadable, or its subclass Newer. Every release keeps the keys of the head and can read it."""
        try:
            first, _, rest = stored.partition(_LINE)
            head = _HEAD.decode(first)
            if head.v > VERSION:
                raise Newer(f"stored as version {head.v} by a newer release; version {VERSION} is known here")
            if head.v != VERSION:
                raise ValueError
            described, body, event = decompressed(rest).split(_LINE)
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
                unverified=about.unverified,
                public=about.public,
                fresh_until_ms=head.fresh,
                traceparent=head.trace,
                failed_ms=about.failed,
                due_ms=about.due,
            )
        except (*DAMAGE, TypeError) as damage:
            raise Unreadable(f"not a delivery of version {VERSION}: {type(damage).__name__}") from None


_EpochMs = Annotated[
    int, msgspec.Meta(ge=to_ms(datetime.min.replace(tzinfo=UTC)), le=to_ms(datetime.max.replace(tzinfo=UTC)))
]


class _Head(msgspec.Struct):
    """The fields that claim.lua reads, in this order, and after them one that does not shrink if it is packed."""

    v: int
    fresh: _EpochMs | None
    deadline: _EpochMs
    trace: str = ""


class _About(msgspec.Struct, omit_defaults=True):
    """The rest of the stored form, except the two JSON texts that follow it, each after a line feed."""

    message_id: str
    source: str
    endpoint: str
    priority: int
    received: _EpochMs
    attempt: Annotated[int, msgspec.Meta(ge=1)]
    calls: Annotated[int, msgspec.Meta(ge=1)]
    unverified: tuple[Contact, ...] = ()
    public: bool = False
    failed: _EpochMs = 0
    due: _EpochMs = 0


_ENCODE: Final = msgspec.json.Encoder().encode
_HEAD: Final = msgspec.json.Decoder(_Head)
_ABOUT: Final = msgspec.json.Decoder(_About)


def in_full(stored: bytes) -> bytes:
    """The stored form unpacked, for text searches. Unreadable bytes are returned as they are."""
    first, _, rest = stored.partition(_LINE)
    try:
        return first + _LINE + decompressed(rest)
    except DAMAGE:
        return stored


def decompressed(rest: bytes) -> bytes:
    """The unpacked bytes. Raises one of DAMAGE."""
    if int.from_bytes(rest[:4], "little") > _MOST_SHRUNK * len(rest):  # damaged bytes could claim that much memory
        raise ValueError
    content: bytes = lz4.block.decompress(rest)
    return content


def _object(text: bytes) -> bytes:
    """The JSON of an object. Raises ValueError if it cannot be one."""
    if text[:1] != b"{" or text[-1:] != b"}":
        raise ValueError
    return text


def event_key(source: str, message_id: str) -> bytes:
    """12 bytes for one event of one source: IDs of different senders never collide, and keys stay small."""
    digest = _key_of(source).copy()
    digest.update(message_id.encode())
    return digest.digest()


@lru_cache(maxsize=64)  # continuing a digest takes two thirds of the time of a new one
def _key_of(source: str) -> hashlib.blake2b:
    return hashlib.blake2b(f"{source}\0".encode(), digest_size=KEY_BYTES)


def from_ms(epoch_ms: int) -> datetime:
    """The time, UTC. Raises OverflowError, OSError or ValueError if it is out of range."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)
