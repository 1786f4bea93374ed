"""One event as the outbox takes it: already decided, already in its stored form."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from app.delivery.delivery import Delivery
from app.delivery.last_sent import Fingerprint, fingerprint_of
from app.profiles.profile import ProfileUpdate
from app.traces.context import TraceContext
from app.value import Value


class PackedCall(Value, frozen=True, gc=False):
    """A call of an event, packed while its source data is at hand. That data is not kept."""

    personal: ClassVar = frozenset({"stored"})

    endpoint: str
    stream: int  # its place in STREAMS
    stored: bytes
    fingerprint: Fingerprint | None
    dedupe_window_s: int


def calls_of(deliveries: Sequence[Delivery]) -> tuple[PackedCall, ...]:
    """The deliveries of an event as they will be stored."""
    return tuple(
        [
            PackedCall(
                each.endpoint,
                each.stream,
                each.packed(),
                fingerprint_of(each.endpoint, each.body),
                each.dedupe_window_s,
            )
            for each in deliveries
        ]
    )


class OutboxEvent(Value, frozen=True, gc=False):
    """What one event becomes in Redis. Its calls wait, or it has ended: dropped, or a dead letter immediately."""

    personal: ClassVar = frozenset({"record", "dead_letter", "erasure"})

    key: bytes
    message_id: str
    record: bytes  # JSON for the journal, personal data masked
    ending: str = ""  # '' while calls wait, else a field of counted.py: Dropped or DeadLettered
    calls: tuple[PackedCall, ...] = ()
    dead_letter: bytes | None = None  # its stored form
    counts: tuple[str, ...] = ()  # counter fields that it increments
    attributes: Mapping[str, str] | None = None  # new custom attributes, with their types
    updates: tuple[ProfileUpdate, ...] = ()  # of stored profiles
    erasure: bytes | None = None  # an erasure request, in its stored form
    source: str = ""
    instead: tuple[PackedCall, ...] = ()  # its calls if a profile update would merge two people and is blocked
    rows: bytes = b""  # rows of the journal's index, see row_index.py
    trace: TraceContext | None = None  # the span of its request, if that is traced
