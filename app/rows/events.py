"""Rows as events: decided by the pipeline that the events of trackers go through, and packed for the outbox."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import orjson

from app.counted import Dropped
from app.delivery.delivery import event_key
from app.delivery.outbox_event import OutboxEvent
from app.ingest.arrivals import outbox_event_of
from app.pipeline import Decision, Fail, Known, Plan, Reading, decide, read
from app.rows.codes import Code
from app.rows.staged import Planned
from app.segment.events import InvalidEvent

_ID_BYTES: Final = 12


def outcome_of(invalid: InvalidEvent) -> str:
    """How a row ends that makes no valid event."""
    return Dropped.prefix + ("no_identity" if invalid.code == "id_required" else Code.INVALID)


@dataclass(frozen=True, slots=True)
class Decided:
    """One row, with what becomes of it."""

    row: Planned
    reading: Reading
    decision: Decision


class RowEvents:
    """Makes events of the rows of one run. `attributes` are the types of the account's custom attributes."""

    def __init__(self, sync: str, source: str, run_id: str, plan: Plan, attributes: Mapping[str, str]) -> None:
        self._sync = sync
        self._source = source
        self._run_id = run_id
        self._plan = plan
        self._attributes = dict(attributes)

    def message_id(self, key: bytes) -> str:
        """The message ID of a row. It does not change when this run is resumed, so that a repeat is a duplicate."""
        digest = hashlib.blake2b(self._run_id.encode() + b"\0" + key, digest_size=_ID_BYTES).hexdigest()
        return f"sync-{self._sync}-{digest}"

    def event_key(self, key: bytes) -> bytes:
        """What the event of a row is known by in Redis."""
        return event_key(self._source, self.message_id(key))

    def event_key_of(self, decided: Decided) -> bytes:
        """What the event of a row that was decided is known by in Redis."""
        return event_key(self._source, decided.reading.event.message_id)

    def reading(self, row: Planned) -> Reading:
        """A row as an event that was read, and not decided. Raises InvalidEvent."""
        raw = orjson.loads(row.content)
        raw["messageId"] = self.message_id(row.key)
        return read(raw, orjson.dumps(raw), self._plan)

    def decided(self, row: Planned, received_at: datetime) -> Decided:
        """Decide what becomes of a row. Raises InvalidEvent."""
        reading = self.reading(row)
        try:
            known = Known(self._attributes)
            decision = decide(reading, self._plan, source=self._source, received_at=received_at, known=known)
        except Exception as bug:  # it costs this row alone, which is kept with the place that failed
            decision = Fail("internal_error", f"{type(bug).__name__} while the row was mapped")
        self._attributes |= getattr(decision, "attributes", {})
        return Decided(row, reading, decision)

    def all_decided(
        self, rows: Sequence[Planned], received_at: datetime
    ) -> tuple[list[Decided], list[tuple[int, str, str]]]:
        """Decide what becomes of these rows. The second part is how those end that make no valid event: the place,
        the outcome and the rule.
        """
        decided: list[Decided] = []
        ended: list[tuple[int, str, str]] = []
        for row in rows:
            try:
                decided.append(self.decided(row, received_at))
            except InvalidEvent as invalid:
                ended.append((row.place, outcome_of(invalid), invalid.rule))
        return decided, ended

    def packed(self, decided: Decided, received_at: datetime) -> OutboxEvent:
        """The event as the outbox takes it."""
        reading = decided.reading
        return outbox_event_of(
            reading.event, decided.decision, original=reading.original, source=self._source, received_at=received_at
        )
