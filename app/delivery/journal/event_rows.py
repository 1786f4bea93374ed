"""What happened to events, as rows: each arrival, each attempt at a call, each action of an operator. Pure.

A row is one journal entry, parsed. The rows of one event tell its story, and `summary_of` derives its state from them.
"""

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from app.delivery.delivery import from_ms
from app.delivery.journal.recorded_call import RecordedCall
from app.delivery.journal.search_hashes import Kind, search_hash
from app.masking import mask_email, mask_id, mask_phone


class RowOutcome(StrEnum):
    """What one row reports. A row has exactly one."""

    ACCEPTED = "accepted"  # an event arrived, and calls to Attentive were queued
    DROPPED = "dropped"  # an event arrived, and ended for a named reason
    DEAD_LETTER = "dead_letter"  # an event or a call was given up, and is kept
    ERASURE = "erasure"  # an event arrived that asks for the erasure of a person
    REFUSED = "refused"  # an event was answered with an error, and is not stored
    REPEAT = "repeat"  # an event with this message ID had arrived before
    UNCHANGED = "unchanged"  # a call was skipped: Attentive has its content, or the person of an opt-in has opted out
    MERGE = "merge"  # an identify call named two known people
    DELIVERED = "delivered"  # Attentive accepted a call
    RETRY = "retry"  # an attempt failed, and another follows
    HELD = "held"  # the lane or the destination is on hold, and the call with it
    UNKNOWN = "unknown"  # it is unknown whether Attentive processed a call
    NOT_DELIVERED = "not_delivered"  # a call was not sent: by `deliver`, or because its person has opted out since
    REPLAYED = "replayed"  # a dead letter was sent again
    EDITED = "edited"  # a dead letter was changed
    DISCARDED = "discarded"  # a dead letter was deleted


_ENTRY_ID: Final = re.compile(r"\+|[0-9]{1,20}-[0-9]{1,20}")  # "+": after all IDs
ARRIVALS: Final = frozenset({"received", "refused"})  # journal steps that report an arrival
_ATTEMPTS: Final = {
    "delivered": RowOutcome.DELIVERED,
    "retry": RowOutcome.RETRY,
    "held": RowOutcome.HELD,
    "unknown": RowOutcome.UNKNOWN,
    "dead letter": RowOutcome.DEAD_LETTER,
    "asked": RowOutcome.RETRY,
    "not delivered": RowOutcome.NOT_DELIVERED,
}
_DECISIONS: Final = {
    "forward": RowOutcome.ACCEPTED,
    "drop": RowOutcome.DROPPED,
    "dead letter": RowOutcome.DEAD_LETTER,
    "erasure": RowOutcome.ERASURE,
}


@dataclass(frozen=True, slots=True)
class EventRow:
    """One thing that happened to one event. It holds no unmasked personal data."""

    id: str  # its ID in its destination's journal, "1764498391123-5"; later rows have higher IDs
    destination: str
    at: datetime  # UTC
    step: str  # of the journal: received, attempt, repeat, …
    outcome: RowOutcome
    message_id: str
    source: str = ""
    event: str = ""  # the event's name, or its type if it has no name
    endpoint: str = ""  # of the call that the row is about
    reason: str = ""
    status: int | None = None  # of Attentive's answer
    attempt: int | None = None
    took_ms: float | None = None
    calls: tuple[str, ...] = ()  # of an accepted event: the endpoints of its calls
    who: Mapping[str, str] = field(default_factory=dict)  # masked identifiers
    facts: Mapping[str, Any] = field(default_factory=dict)  # everything that the journal has, masked
    hashes: frozenset[int] = field(default=frozenset(), repr=False)  # of identifiers, see search_hashes.py

    @property
    def is_arrival(self) -> bool:
        """Whether the row reports that an event arrived, or was refused."""
        return self.step in ARRIVALS

    @property
    def is_attempt(self) -> bool:
        """Whether the row is about an attempt at a call, which may be recorded: see `calls_of`."""
        return self.step == "attempt"

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the time in ISO 8601, unknown fields left out."""
        facts = {name: getattr(self, name) for name in self.__slots__ if name not in ("facts", "hashes")}
        shown = {name: value for name, value in facts.items() if value not in (None, "", (), {})}
        return shown | {"at": self.at.isoformat(), "facts": dict(self.facts)}


def row_of(destination: str, entry_id: str, step: str, message_id: str, facts: Mapping[str, Any]) -> EventRow:
    """An entry of the journal as a row. `facts` is its JSON."""
    known = {name: value for name, value in facts.items() if name not in ("search_hashes", "order_hashes")}
    return EventRow(
        id=entry_id,
        destination=destination,
        at=from_ms(int(entry_id.partition("-")[0])),
        step=step,
        outcome=_outcome_of(step, facts),
        message_id=message_id,
        source=str(facts.get("source", "")),
        event=str(facts.get("event") or facts.get("type") or ""),
        endpoint=str(facts.get("endpoint", "")),
        reason=str(facts.get("reason") or facts.get("detail") or ""),
        status=facts.get("status"),
        attempt=facts.get("attempt"),
        took_ms=facts.get("took_ms"),
        calls=tuple(facts.get("calls", ())),
        who=facts.get("who", {}),
        facts=known,
        hashes=frozenset((*facts.get("search_hashes", ()), *facts.get("order_hashes", ()))),
    )


def row_of_call(call: RecordedCall) -> EventRow:
    """A recorded call as the row of its attempt, which the journal no longer has."""
    return EventRow(
        id=call.id,
        destination=call.destination,
        at=call.at,
        step="attempt",
        outcome=RowOutcome(call.outcome),
        message_id=call.message_id,
        source=call.source,
        event=call.event,
        endpoint=call.endpoint,
        reason=call.reason,
        status=call.status,
        attempt=call.attempt,
        took_ms=call.took_ms,
        facts={
            "endpoint": call.endpoint,
            "attempt": call.attempt,
            "took_ms": call.took_ms,
            **({"status": call.status} if call.status else {"unreachable": call.unreachable}),
            "outcome": call.outcome,
            **({"reason": call.reason} if call.reason else {}),
        },
        hashes=frozenset(call.hashes),
    )


def _outcome_of(step: str, facts: Mapping[str, Any]) -> RowOutcome:
    match step:
        case "received":
            return _DECISIONS.get(facts.get("decision", ""), RowOutcome.ACCEPTED)
        case "attempt":  # other outcomes are failures of our own, after which the call is kept
            first = str(facts.get("outcome", "")).partition(":")[0]
            return _ATTEMPTS.get(first, RowOutcome.DEAD_LETTER)
        case _:
            return RowOutcome(step)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Selects rows. Every field that is set must match. `repr=False`: logs and tracebacks show no person."""

    message_id: str | None = None
    event: str | None = None  # its name in any case, or its type
    source: str | None = None
    endpoint: str | None = None
    outcomes: frozenset[RowOutcome] = frozenset()  # any of these; empty: all
    reason: str | None = None
    since: datetime | None = None  # UTC, inclusive
    until: datetime | None = None  # UTC, exclusive
    order_id: str | None = field(default=None, repr=False)
    email: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)
    user_id: str | None = field(default=None, repr=False)

    @property
    def hashes(self) -> frozenset[int]:
        """The search hashes that a row about an arrival must have."""
        wanted: tuple[tuple[Kind, str | None], ...] = (
            ("emails", self.email),
            ("phones", self.phone),
            ("user_ids", self.user_id),
            ("order_ids", self.order_id),
        )
        return frozenset(search_hash(kind, value) for kind, value in wanted if value)

    def matches(self, row: EventRow, of_person: Set[str] = frozenset()) -> bool:
        """Whether the filter selects this row. `of_person`: message IDs of events known to be about the person."""
        return (
            self.message_id in (None, row.message_id)
            and (self.event is None or self.event.casefold() == row.event.casefold())
            and self.source in (None, row.source)
            and (self.endpoint is None or self.endpoint == row.endpoint or self.endpoint in row.calls)
            and (not self.outcomes or row.outcome in self.outcomes)
            and self.reason in (None, row.reason)
            and (self.since is None or row.at >= self.since)
            and (self.until is None or row.at < self.until)
            and (row.message_id in of_person or self.is_about(row))
        )

    def is_about(self, row: EventRow) -> bool:
        """Whether the row has the hashes of the filter's person or order, and its masked values agree."""
        return self.hashes <= row.hashes and all(
            name not in row.who or row.who[name] == masked for name, masked in self._masked().items()
        )

    def _masked(self) -> dict[str, str]:
        masked: dict[str, str] = {}
        if self.email:
            masked["email"] = mask_email(self.email.strip().lower())
        if self.user_id:
            masked["userId"] = mask_id(self.user_id)
        if self.phone and self.phone.startswith("+"):
            masked["phone"] = mask_phone(self.phone)
        return masked


@dataclass(frozen=True, slots=True)
class RowPage:
    """Some rows, newest first, and the position of the next page."""

    rows: Sequence[EventRow]
    older: Mapping[str, str] | None  # by destination, as `before` takes it; None if there are no more


def position_text(position: Mapping[str, str]) -> str:
    """A position as text: "acme=1764498391123-5,acme-uk=0-0"."""
    return ",".join(f"{name}={entry_id}" for name, entry_id in sorted(position.items()))


def position_of(text: str, destinations: Iterable[str]) -> dict[str, str]:
    """The position that a text names. Parts that are not positions of these destinations are ignored."""
    known, position = set(destinations), dict[str, str]()
    for part in text.split(","):
        name, _, entry_id = part.strip().partition("=")
        if name in known and _ENTRY_ID.fullmatch(entry_id):
            position[name] = entry_id
    return position


class EventState(StrEnum):
    """The state of an event."""

    WAITING = "waiting"  # calls wait to be sent, for a retry or for the end of a hold
    DELIVERED = "delivered"
    DROPPED = "dropped"
    DEAD_LETTER = "dead_letter"
    UNKNOWN = "unknown"  # the outcome of one of its calls is unknown
    ERASURE = "erasure"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class CallState:
    """The state of one call of an event: that of its last attempt."""

    endpoint: str
    outcome: RowOutcome | None = None  # None: not attempted yet
    attempts: int = 0
    status: int | None = None
    reason: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class EventSummary:
    """One event in one line."""

    destination: str
    message_id: str
    source: str
    event: str
    who: Mapping[str, str]
    received_at: datetime | None  # None: its arrival is no longer in the journal
    updated_at: datetime
    state: EventState
    reason: str  # empty if the state is `delivered`
    calls: Sequence[CallState]
    rows: Sequence[EventRow] = field(repr=False)  # its story, oldest first

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without the rows."""
        facts = {name: getattr(self, name) for name in self.__slots__ if name not in ("rows", "calls")}
        facts |= {
            "received_at": self.received_at.isoformat() if self.received_at else None,
            "updated_at": self.updated_at.isoformat(),
            "calls": [_call_as_dict(call) for call in self.calls],
        }
        return {name: value for name, value in facts.items() if value not in (None, "", {})}


def _call_as_dict(call: CallState) -> dict[str, Any]:
    facts = {name: getattr(call, name) for name in call.__slots__}
    facts["at"] = call.at.isoformat() if call.at else None
    return {name: value for name, value in facts.items() if value not in (None, "")}


@dataclass(frozen=True, slots=True)
class EventPage:
    """Some events, the one with the newest matching row first, and the position of the next page."""

    events: Sequence[EventSummary]
    older: Mapping[str, str] | None  # as in RowPage


@dataclass(frozen=True, slots=True)
class Followed:
    """New rows, oldest first, and the position after them."""

    rows: Sequence[EventRow]
    position: Mapping[str, str]  # by destination: the ID of the last row read, matching or not
    missed: frozenset[str] = frozenset()  # destinations whose journal removed rows before they were read


@dataclass(frozen=True, slots=True)
class EventStory:
    """Everything known of one event of one destination."""

    summary: EventSummary
    calls: Sequence[RecordedCall]  # the recorded attempts, oldest first


def summary_of(rows: Sequence[EventRow]) -> EventSummary:
    """The summary of an event by all its rows, oldest first. At least one, all of one message ID and destination."""
    arrivals = sorted((row for row in rows if row.is_arrival), key=lambda row: row.outcome is RowOutcome.REFUSED)
    arrival = arrivals[0] if arrivals else None  # a tracker sends a refused event again
    state, reason, calls = _standing(rows)
    named = arrival or rows[0]
    return EventSummary(
        destination=named.destination,
        message_id=named.message_id,
        source=next((row.source for row in rows if row.source), ""),
        event=next((row.event for row in rows if row.event), ""),
        who=named.who,
        received_at=arrival.at if arrival else None,
        updated_at=rows[-1].at,
        state=state,
        reason=reason,
        calls=calls,
        rows=tuple(rows),
    )


_ENDINGS: Final = {
    RowOutcome.DROPPED: EventState.DROPPED,
    RowOutcome.DEAD_LETTER: EventState.DEAD_LETTER,
    RowOutcome.ERASURE: EventState.ERASURE,
    RowOutcome.REFUSED: EventState.REFUSED,
}


def _standing(rows: Sequence[EventRow]) -> tuple[EventState, str, tuple[CallState, ...]]:
    """The state of an event, its reason, and the state of each call."""
    calls: dict[str, CallState] = {}
    ending = (EventState.WAITING, "")  # of an event without calls
    taken_in = False
    for row in rows:
        if row.outcome is RowOutcome.REFUSED and taken_in:
            continue
        if row.is_arrival:
            taken_in = taken_in or row.outcome is not RowOutcome.REFUSED
            ending = (_ENDINGS.get(row.outcome, EventState.WAITING), row.reason)
            calls |= {endpoint: CallState(endpoint) for endpoint in row.calls if endpoint not in calls}
        elif row.outcome is RowOutcome.REPLAYED:
            ending = _ending_of_replay(row)
            calls |= {endpoint: CallState(endpoint) for endpoint in row.calls}
        elif row.outcome is RowOutcome.MERGE and row.facts.get("link") == "blocked":
            ending = (EventState.DROPPED, "merge_blocked")
            calls.clear()  # calls that link nothing replace them
        elif row.is_attempt or row.outcome is RowOutcome.UNCHANGED:
            calls[row.endpoint] = _after(row)
    return *(_worst_of(list(calls.values())) if calls else ending), tuple(calls.values())


def _ending_of_replay(row: EventRow) -> tuple[EventState, str]:
    kind, _, reason = str(row.facts.get("ending", "")).partition(":")
    return (EventState.DROPPED, reason) if kind == "dropped" else (EventState.WAITING, "")


def _after(row: EventRow) -> CallState:
    reason = "" if row.outcome is RowOutcome.DELIVERED else row.reason
    return CallState(row.endpoint, row.outcome, row.attempt or 0, row.status, reason, row.at)


def _worst_of(calls: Sequence[CallState]) -> tuple[EventState, str]:
    """The state of an event with these calls: the worst call decides."""
    for outcome, state in (
        (RowOutcome.DEAD_LETTER, EventState.DEAD_LETTER),
        (RowOutcome.UNKNOWN, EventState.UNKNOWN),
        (RowOutcome.HELD, EventState.WAITING),
        (RowOutcome.RETRY, EventState.WAITING),
        (None, EventState.WAITING),
        (RowOutcome.NOT_DELIVERED, EventState.DROPPED),
    ):
        if worst := next((call for call in calls if call.outcome is outcome), None):
            return state, worst.reason
    if any(call.outcome is RowOutcome.DELIVERED for call in calls):
        return EventState.DELIVERED, ""
    return EventState.DROPPED, next((call.reason for call in calls if call.reason), "unchanged")
