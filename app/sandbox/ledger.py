"""The ledger of the sandbox: every accepted call, and counts of everything.

Status codes alone prove little about this API, which accepts much that it then loses. The ledger shows what became of
each call.
"""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict

from app.sandbox.times import to_iso

RECENT_REFUSALS = 50
UNANSWERED = "unanswered"  # in place of a status, if a fault cut the connection


@dataclass(frozen=True, slots=True)
class Effect:
    """What an accepted call did, as the endpoint reports it."""

    person: str | None = None
    journey: bool | None = None  # None: not an event, so a journey was never at stake
    occurred_at: float | None = None  # Unix seconds
    message_id: str | None = None  # externalEventId
    order_id: str | None = None
    notes: tuple[str, ...] = ()
    texts: int = 0  # messages the person would have received


NO_EFFECT = Effect()


@dataclass(frozen=True, slots=True)
class Entry:
    """One accepted call."""

    sequence: int
    received_at: float
    key: str
    method: str
    path: str
    query_string: str
    status: int
    body: bytes
    effect: Effect

    def to_json(self) -> dict[str, Any]:
        """How the control endpoints show the call."""
        effect = self.effect
        return {
            "sequence": self.sequence,
            "received_at": to_iso(self.received_at),
            "key": self.key,
            "method": self.method,
            "path": self.path,
            "query": self.query_string,
            "status": self.status,
            "body": orjson.loads(self.body) if self.body else None,
            "occurred_at": None if effect.occurred_at is None else to_iso(effect.occurred_at),
            "person": effect.person,
            "journey": effect.journey,
            "notes": list(effect.notes),
        }


class Search(BaseModel):
    """Selects calls of the ledger. None selects all."""

    model_config = ConfigDict(frozen=True)

    path: str | None = None
    key: str | None = None
    message_id: str | None = None
    order_id: str | None = None
    person: str | None = None
    note: str | None = None
    contains: str | None = None  # a substring of the raw body
    since: int = 0  # only calls with a higher sequence number

    def finds(self, entry: Entry) -> bool:
        """Whether the search selects this call."""
        effect = entry.effect
        return (
            entry.sequence > self.since
            and self.path in (None, entry.path)
            and self.key in (None, entry.key)
            and self.message_id in (None, effect.message_id)
            and self.order_id in (None, effect.order_id)
            and self.person in (None, effect.person)
            and (self.note is None or self.note in effect.notes)
            and (self.contains is None or self.contains.encode() in entry.body)
        )


@dataclass(slots=True)
class Tally:
    """Counts of everything that happened, including calls that are no longer in the ledger."""

    accepted: int = 0
    texts: int = 0
    rate_limited: int = 0
    by_path: dict[str, Counter[str]] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)
    journeys: int = 0


class Ledger:
    """Accepted calls in the order they were processed, at most `most` of them; none with `summary_only`."""

    def __init__(self, most: int, *, summary_only: bool) -> None:
        """Start empty."""
        self._entries: deque[Entry] = deque(maxlen=0 if summary_only else most)
        self._sequence = count(1)
        self.tally = Tally()
        self.refusals: deque[dict[str, Any]] = deque(maxlen=RECENT_REFUSALS)

    def resize(self, most: int, *, summary_only: bool) -> None:
        """Keep at most this many calls from now on."""
        self._entries = deque(self._entries, maxlen=0 if summary_only else most)

    def record(
        self,
        *,
        now: float,
        key: str,
        method: str,
        path: str,
        query_string: str,
        status: int,
        body: bytes,
        effect: Effect,
    ) -> None:
        """Record an accepted call. `path` is the path as called."""
        tally = self.tally
        tally.accepted += 1
        if effect is not NO_EFFECT:
            tally.texts += effect.texts
            tally.journeys += effect.journey is True
            for note in effect.notes:
                tally.notes[note] += 1
        if self._entries.maxlen:
            sequence = next(self._sequence)
            self._entries.append(Entry(sequence, now, key, method, path, query_string, status, body, effect))

    def refuse(self, *, now: float, key: str | None, method: str, path: str, status: int, message: str) -> None:
        """Record why a call was refused. Only the latest are kept."""
        self.refusals.append(
            {
                "received_at": to_iso(now),
                "key": key,
                "method": method,
                "path": path,
                "status": status,
                "message": message,
            }
        )

    def answered(self, path: str, status: int | None) -> None:
        """Count the status that the caller received; None if it received no answer."""
        counts = self.tally.by_path.get(path)
        if counts is None:
            counts = self.tally.by_path[path] = Counter()
        counts[UNANSWERED if status is None else str(status)] += 1
        if status == 429:
            self.tally.rate_limited += 1

    def search(self, search: Search) -> Iterator[Entry]:
        """The calls that the search finds, the oldest first."""
        return filter(search.finds, self._entries)

    def __len__(self) -> int:
        """How many calls are kept."""
        return len(self._entries)
