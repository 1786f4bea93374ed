"""How one attempt ended, ready to be written to Redis. Pure."""

from datetime import datetime, timedelta
from typing import ClassVar, NamedTuple

from app.attentive.answers import Reply, Unreachable
from app.counted import DeadLettered, Dropped, DropReason
from app.delivery.dead_letter import DeadLetter
from app.delivery.delivery import Delivery, to_ms
from app.delivery.journal.recording import NOT_RECORDED, Recorded
from app.delivery.last_sent import Fingerprint, fingerprint_of
from app.delivery.outcome import Hold
from app.delivery.unknown import UNKNOWN_ENDING, WhenUnknown
from app.value import Value, changed


class Entry(NamedTuple):
    """A claimed delivery in its stored form: its stream (the place in STREAMS), its entry, its bytes."""

    stream: int
    id: bytes
    payload: bytes
    late: bool = False  # past its deadline by the clock of Redis: handed out without a token, and not to be sent


class Settlement(Value, frozen=True, gc=False):
    """How one attempt ended, ready to be written."""

    personal: ClassVar = frozenset({"entry", "record", "payload"})

    entry: Entry
    verb: str  # done | retry | held | dead | dropped | unknown
    event_key: bytes
    calls: int
    message_id: str
    record: bytes  # JSON for the journal
    ending: str = ""  # for dead, dropped and unknown: a counter field
    counted: str = ""  # another counter field to increment
    due_ms: int = 0
    payload: bytes = b""  # the stored form of what waits, or of the dead letter
    dead_letter: bytes = b""  # a dead letter for a part of the call; the rest waits
    fingerprint: Fingerprint | None = None
    hold: Hold | None = None
    recorded: Recorded = NOT_RECORDED
    reply: Reply | Unreachable | None = None  # feedback for the pace
    asked: Reply | Unreachable | None = None  # the answer if Attentive was asked and nothing sent
    source: str = "?"  # unknown if the stored form cannot be read


def done(entry: Entry, delivery: Delivery, record: bytes) -> Settlement:
    """Attentive accepted the call."""
    what = fingerprint_of(delivery.endpoint, delivery.body)
    return Settlement(
        entry,
        "done",
        delivery.event_key,
        delivery.calls,
        delivery.message_id,
        record,
        fingerprint=what,
        source=delivery.source,
    )


def retried(entry: Entry, delivery: Delivery, record: bytes, now: datetime, wait: timedelta) -> Settlement:
    """Another attempt, not before `wait` has passed since `now` (UTC)."""
    again = delivery.next_attempt(to_ms(now), to_ms(now + wait))
    return changed(done(entry, delivery, record), verb="retry", due_ms=again.due_ms, payload=again.packed())


def retried_without(
    entry: Entry, delivery: Delivery, record: bytes, now: datetime, rest: bytes, dead_letter: DeadLetter, counted: str
) -> Settlement:
    """Another attempt at once with the `rest` of the call. The refused part becomes a dead letter."""
    settlement = retried(entry, changed(delivery, body=rest), record, now, timedelta())
    return changed(settlement, dead_letter=dead_letter.packed(), counted=counted)


def postponed(entry: Entry, due: datetime) -> Settlement:
    """The unchanged stored form, not before `due` (UTC). Uses up no attempt, and the journal does not show it."""
    return Settlement(entry, "retry", b"", 1, "?", b"", due_ms=to_ms(due), payload=entry.payload)


def held(entry: Entry, delivery: Delivery, record: bytes, hold: Hold) -> Settlement:
    """The same attempt again when the hold is over. Its destination or endpoint is held, too."""
    return changed(done(entry, delivery, record), verb="held", payload=delivery.packed(), hold=hold)


def dead_lettered(entry: Entry, delivery: Delivery, record: bytes, dead_letter: DeadLetter) -> Settlement:
    """Given up, and kept as a dead letter."""
    ending = DeadLettered(dead_letter.reason).field
    return changed(done(entry, delivery, record), verb="dead", ending=ending, payload=dead_letter.packed())


def dropped(entry: Entry, delivery: Delivery, record: bytes, reason: DropReason) -> Settlement:
    """Ended on purpose, without an attempt."""
    return changed(done(entry, delivery, record), verb="dropped", ending=Dropped(reason).field)


def unresolved(
    entry: Entry, delivery: Delivery, record: bytes, policy: WhenUnknown, dead_letter: DeadLetter | None
) -> Settlement:
    """It is unknown whether Attentive processed the call: kept for review, or (None) given up."""
    payload = b"" if dead_letter is None else dead_letter.packed()
    return changed(done(entry, delivery, record), verb="unknown", ending=UNKNOWN_ENDING[policy], payload=payload)
