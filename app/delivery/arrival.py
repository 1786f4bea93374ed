"""One event as the outbox takes it in: already decided, already in its stored form."""

from collections.abc import Mapping
from typing import ClassVar

from app.delivery.delivery import Delivery
from app.delivery.people import Step
from app.value import Value


class Arrival(Value, frozen=True, gc=False):
    """What one event becomes in Redis. Either calls wait, or it has ended: dropped, or a dead letter at once."""

    personal: ClassVar = frozenset({"record", "deliveries", "dead_letter", "deletion", "instead"})

    key: bytes
    message_id: str
    record: bytes  # JSON for the journal, personal data masked
    ending: str = ""  # '' while calls wait, else "dropped:<reason>" or "dead:<reason>"
    deliveries: tuple[Delivery, ...] = ()
    dead_letter: bytes | None = None  # its stored form
    counts: tuple[str, ...] = ()  # fields of the books that it adds one to
    attributes: Mapping[str, str] | None = None  # custom attributes that were not known, with their types
    steps: tuple[Step, ...] = ()  # what it does in memory
    deletion: bytes | None = None  # a request to forget somebody, in its stored form
    instead: tuple[Delivery, ...] = ()  # its calls where one of the steps would join two people and is to be held
