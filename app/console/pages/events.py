"""Events: what is searched for, the rows of a search or of the live view, and the story of one event. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from app.console.web import Asked, link
from app.delivery.journal.event_rows import EventFilter, EventRow, EventStory, EventSummary, RowOutcome
from app.delivery.journal.recorded_call import RecordedCall

_TONES: Final[Mapping[str, str]] = {
    "accepted": "accent",
    "waiting": "accent",
    "delivered": "good",
    "replayed": "accent",
    "edited": "accent",
    "retry": "warn",
    "held": "warn",
    "unknown": "warn",
    "merge": "warn",
    "dead_letter": "bad",
    "refused": "bad",
}
SINCE: Final[Mapping[str, timedelta]] = {
    "5m": timedelta(minutes=5),
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "3d": timedelta(days=3),
}
_FIELDS: Final = ("destination", "source", "event", "endpoint", "outcome", "reason", "message_id", "since")
_HIDDEN_FACTS: Final = frozenset(
    {"source", "event", "type", "who", "calls", "endpoint", "attempt", "decision", "waited_ms"}
)
_CAUSES: Final = {  # of the waits before an attempt, see delivery/waits.py
    "retry": "for the retry",
    "hold": "for the end of a hold",
    "limit": "for Attentive's limit, and calls of a higher priority",
    "own": "for a worker: our own delay",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the live view or of a search."""

    id: str
    at: datetime
    destination: str
    source: str
    event: str
    endpoint: str
    outcome: str
    tone: str
    detail: str
    status: int | None
    took: timedelta | None
    attempt: int | None
    who: str
    message_id: str
    href: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an event's story, and how long nothing happened before it."""

    at: datetime
    title: str
    tone: str
    waited: timedelta | None
    waited_for: str
    causes: Sequence[tuple[timedelta, str]]  # the parts of a wait, where the journal has them
    facts: Sequence[tuple[str, str]]
    call: RecordedCall | None


@dataclass(frozen=True, slots=True)
class StoryPage:
    """One event of one destination."""

    destination: str
    message_id: str
    source: str
    event: str
    who: str
    state: str
    tone: str
    reason: str
    received_at: datetime | None
    lasted: timedelta
    steps: Sequence[Step]


@dataclass(frozen=True, slots=True)
class EventLine:
    """One event in the list."""

    at: datetime
    event: str
    source: str
    destination: str
    who: str
    state: str
    tone: str
    reason: str
    calls: Sequence[tuple[str, str, str]]  # endpoint, outcome in words, tone
    message_id: str
    href: str


def query_of(query: Mapping[str, str]) -> Asked:
    """The part of an address that the filter reads. A person's identifiers are never in an address."""
    return Asked({name: query[name][:300].strip() for name in _FIELDS if query.get(name, "").strip()})


def filter_of(query: Mapping[str, str], now: datetime) -> EventFilter:
    """The filter that an address means. Its outcome is a RowOutcome, with `:REASON` where only one is meant."""
    outcome, _, reason = query.get("outcome", "").partition(":")
    span = SINCE.get(query.get("since", ""))
    return EventFilter(
        message_id=query.get("message_id") or None,
        event=query.get("event") or None,
        source=query.get("source") or None,
        endpoint=query.get("endpoint") or None,
        outcomes=frozenset({RowOutcome(outcome)}) if outcome in set(RowOutcome) else frozenset(),
        reason=reason or query.get("reason") or None,
        since=None if span is None else now - span,
    )


def words(value: str) -> str:
    """A code in words."""
    return value.replace("_", " ")


def row(found: EventRow) -> Row:
    """One row."""
    return Row(
        id=found.id,
        at=found.at,
        destination=found.destination,
        source=found.source,
        event=found.event,
        endpoint=found.endpoint or ", ".join(found.calls),
        outcome=words(found.outcome),
        tone=_TONES.get(found.outcome, "quiet"),
        detail=words(found.reason),
        status=found.status,
        took=None if found.took_ms is None else timedelta(milliseconds=found.took_ms),
        attempt=found.attempt,
        who=_who(found.who),
        message_id=found.message_id,
        href=link("events", found.message_id) + f"#{found.id}",
        facts=found.facts,
    )


def line(found: EventSummary) -> EventLine:
    """One event in the list."""
    return EventLine(
        at=found.received_at or found.updated_at,
        event=found.event,
        source=found.source,
        destination=found.destination,
        who=", ".join(found.who.values()),
        state=words(found.state),
        tone=_TONES.get(found.state, "quiet"),
        reason=words(found.reason),
        calls=[
            (call.endpoint, words(call.outcome or "waiting"), _TONES.get(call.outcome or "waiting", "quiet"))
            for call in found.calls
        ],
        message_id=found.message_id,
        href=link("events", found.message_id),
    )


def story_page(story: EventStory) -> StoryPage:
    """The story of one event: each step, and what it waited for before."""
    summary = story.summary
    calls = {call.id: call for call in story.calls}
    rows = summary.rows
    return StoryPage(
        destination=summary.destination,
        message_id=summary.message_id,
        source=summary.source,
        event=summary.event,
        who=_who(summary.who),
        state=words(summary.state),
        tone=_TONES.get(summary.state, "quiet"),
        reason=words(summary.reason),
        received_at=summary.received_at,
        lasted=rows[-1].at - rows[0].at,
        steps=[_step(None, rows[0], calls), *(_step(before, after, calls) for before, after in pairwise(rows))],
    )


def _step(before: EventRow | None, found: EventRow, calls: Mapping[str, RecordedCall]) -> Step:
    return Step(
        at=found.at,
        title=_title(found),
        tone=_TONES.get(found.outcome, "quiet"),
        waited=None if before is None else found.at - before.at,
        waited_for="" if before is None else _waited_for(before, found),
        causes=_causes(found.facts.get("waited_ms", {})),
        facts=[(words(name), _readable(value)) for name, value in found.facts.items() if name not in _HIDDEN_FACTS],
        call=calls.get(found.id),
    )


def _title(found: EventRow) -> str:
    match found.outcome:
        case RowOutcome.ACCEPTED:
            return f"Received and accepted: {', '.join(found.calls) or 'no call'}"
        case RowOutcome.DROPPED:
            return f"Received and dropped: {words(found.reason)}"
        case RowOutcome.DEAD_LETTER if found.is_arrival:
            return "Received; it could not become a call, and is kept as a dead letter"
        case RowOutcome.REPEAT:
            return "Received again: not sent a second time"
        case RowOutcome.UNCHANGED if found.reason:
            return f"{found.endpoint}: left out, {words(found.reason)}"
        case RowOutcome.UNCHANGED:
            return f"{found.endpoint}: left out, Attentive has this content already"
        case _ if found.is_attempt:
            return f"{found.endpoint}, attempt {found.attempt}: {words(found.outcome)}"
        case _:
            return words(found.outcome).capitalize()


def _waited_for(before: EventRow, found: EventRow) -> str:
    """Why nothing happened between two steps."""
    if not found.is_attempt:
        return ""
    if before.outcome is RowOutcome.RETRY:
        return "for the retry"
    if before.outcome is RowOutcome.HELD:
        return "for the end of the hold"
    return "for its turn in the lane: the limit, and calls of a higher priority"


def _causes(waited_ms: Mapping[str, float]) -> Sequence[tuple[timedelta, str]]:
    """What an attempt waited for, by the journal."""
    return [(timedelta(milliseconds=waited_ms[name]), why) for name, why in _CAUSES.items() if name in waited_ms]


def _who(who: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in who.items())


def _readable(value: Any) -> str:
    match value:
        case dict():
            return ", ".join(f"{name}: {_readable(inner)}" for name, inner in value.items()) or "none"
        case list() | tuple():
            return ", ".join(map(_readable, value)) or "none"
        case bool():
            return "yes" if value else "no"
        case _:
            return str(value)
