"""One event as the outbox takes it in: already decided, already in its stored form."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from app.delivery.delivery import Delivery
from app.delivery.people import Step
from app.delivery.said import Said, said
from app.value import Value


class Call(Value, frozen=True, gc=False):
    """A call of an event, packed while what it was made from is at hand, which is let go."""

    personal: ClassVar = frozenset({"stored"})

    endpoint: str
    priority: int
    stored: bytes
    said: Said | None
    once_in_s: int


def calls_of(deliveries: Sequence[Delivery]) -> tuple[Call, ...]:
    """The deliveries of an event as they will be stored."""
    return tuple(
        [
            Call(each.endpoint, each.priority, each.packed(), said(each.endpoint, each.body), each.once_in_s)
            for each in deliveries
        ]
    )


class Arrival(Value, frozen=True, gc=False):
    """What one event becomes in Redis. Either calls wait, or it has ended: dropped, or a dead letter at once."""

    personal: ClassVar = frozenset({"record", "dead_letter", "deletion"})

    key: bytes
    message_id: str
    record: bytes  # JSON for the journal, personal data masked
    ending: str = ""  # '' while calls wait, else "dropped:<reason>" or "dead:<reason>"
    calls: tuple[Call, ...] = ()
    dead_letter: bytes | None = None  # its stored form
    counts: tuple[str, ...] = ()  # fields of the books that it adds one to
    attributes: Mapping[str, str] | None = None  # custom attributes that were not known, with their types
    steps: tuple[Step, ...] = ()  # what it does in memory
    deletion: bytes | None = None  # a request to forget somebody, in its stored form
    instead: tuple[Call, ...] = ()  # its calls where one of the steps would join two people and is to be held
