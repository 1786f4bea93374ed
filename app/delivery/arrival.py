"""One event as the outbox takes it in: already decided, already in its stored form."""

from dataclasses import dataclass, field

from app.delivery.delivery import Delivery


@dataclass(frozen=True, slots=True)
class Arrival:
    """What one event becomes in Redis. Either calls wait, or it has ended: dropped, or a dead letter at once."""

    key: bytes
    message_id: str
    record: bytes = field(repr=False)  # JSON for the journal, personal data masked
    ending: str = ""  # '' while calls wait, else "dropped:<reason>" or "dead:<reason>"
    deliveries: tuple[Delivery, ...] = ()
    dead_letter: bytes | None = field(default=None, repr=False)  # its stored form
