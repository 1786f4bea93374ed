"""People: what is stored of one person, what an erasure reaches, and the receipts. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.erasure.requests import Erasure, receipt
from app.erasure.subject import Subject
from app.operations.erasures import identifiers


@dataclass(frozen=True, slots=True)
class Reached:
    """What one destination stores about a person."""

    destination: str
    person: Sequence[tuple[str, str]]
    claimed: Sequence[tuple[str, str]]  # linked by public sources alone: left alone


@dataclass(frozen=True, slots=True)
class ReceiptRow:
    """One erasure in the list. It identifies no person."""

    id: str
    destination: str
    reference: str
    state: str
    tone: str
    asked_at: datetime | None  # None: not known
    removed: Sequence[tuple[str, int]]
    at_attentive: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SharedId:
    """An identifier that too many people share."""

    destination: str
    source: str
    kind: str
    identifier: str
    blocked: int


def reached(destination: str, person: Subject, claimed: Subject, *, reveal: bool) -> Reached:
    """The identifiers, masked unless revealed."""
    return Reached(destination, identifiers(person, reveal=reveal), identifiers(claimed, reveal=reveal))


def receipt_row(destination: str, erasure: Erasure) -> ReceiptRow:
    """One erasure."""
    facts = receipt(destination, erasure)
    state = erasure.state.value
    return ReceiptRow(
        id=erasure.id,
        destination=destination,
        reference=facts["reference"],
        state=state,
        tone={"done": "good", "incomplete": "bad"}.get(state, "accent"),
        asked_at=erasure.asked_at if facts["asked_at"] else None,
        removed=[(place.replace("_", " "), count) for place, count in facts["removed"].items() if count],
        at_attentive=f"unsubscribed: {facts['unsubscribed'] or '-'}, delete request: {facts['delete_request'] or '-'}",
        facts=facts,
    )


def shared_ids(found: Mapping[str, Mapping[str, int]]) -> list[SharedId]:
    """Every identifier that too many people share, the worst first."""
    rows = []
    for destination, labels in found.items():
        for label, blocked in labels.items():
            source, kind, identifier = [*label.split(" ", 2), "", ""][:3]
            rows.append(SharedId(destination, source, kind, identifier, blocked))
    return sorted(rows, key=lambda shared: -shared.blocked)
