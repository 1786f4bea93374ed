"""The events and calls of each minute, and how long delivery took, as the index of the journal has them.

Each row of the index has an outcome and the hash of a message ID. So the arrival and the delivery of an event are
matched without reading the journal itself. Pure.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from app.delivery.delivery import to_ms
from app.delivery.journal.event_rows import RowOutcome
from app.delivery.journal.row_index import RowIndex

SPAN: Final = timedelta(hours=1)
BUCKET: Final = timedelta(minutes=1)
_FAILED: Final = (RowOutcome.RETRY, RowOutcome.DEAD_LETTER, RowOutcome.UNKNOWN, RowOutcome.HELD)


@dataclass(frozen=True, slots=True)
class Bucket:
    """One minute. The delays are those of its deliveries, from the arrival of the event; None where there were none."""

    begin: datetime
    received: int = 0  # events that were accepted, dropped or kept as dead letters
    delivered: int = 0  # calls
    failed: int = 0  # attempts that were not delivered
    median: timedelta | None = None
    slowest: timedelta | None = None  # 95 of 100 were faster


@dataclass(frozen=True, slots=True)
class Rates:
    """The last hour, or as much of it as the journal goes back."""

    destination: str
    buckets: Sequence[Bucket]
    complete: bool  # False: the journal does not go back an hour


@dataclass(slots=True)
class _Minute:
    outcomes: Counter[RowOutcome] = field(default_factory=Counter)
    delays_ms: list[int] = field(default_factory=list)


def rates_of(destination: str, index: RowIndex, now: datetime) -> Rates:
    """The rates, by the index of the journal."""
    begin = now - SPAN
    begin_ms, bucket_ms = to_ms(begin), int(BUCKET.total_seconds() * 1000)
    minutes = [_Minute() for _ in range(SPAN // BUCKET + 1)]
    arrived: dict[int, int] = {}  # by the hash of the message ID, when
    first = index.until(f"{begin_ms}-0")
    for at_ms, outcome, message in index.entries(first):
        minute = minutes[min((at_ms - begin_ms) // bucket_ms, len(minutes) - 1)]
        minute.outcomes[outcome] += 1
        if outcome is RowOutcome.ACCEPTED:
            arrived.setdefault(message, at_ms)
        elif outcome is RowOutcome.DELIVERED and message in arrived:
            minute.delays_ms.append(at_ms - arrived[message])
    buckets = [_bucket(begin + number * BUCKET, minute) for number, minute in enumerate(minutes)]
    return Rates(destination, buckets, complete=first > 0)


def _bucket(begin: datetime, minute: _Minute) -> Bucket:
    arrivals = (RowOutcome.ACCEPTED, RowOutcome.DROPPED, RowOutcome.ERASURE)
    delays = sorted(minute.delays_ms)
    return Bucket(
        begin,
        received=sum(minute.outcomes[outcome] for outcome in arrivals),
        delivered=minute.outcomes[RowOutcome.DELIVERED],
        failed=sum(minute.outcomes[outcome] for outcome in _FAILED),
        median=_at(delays, 0.5),
        slowest=_at(delays, 0.95),
    )


def _at(delays: Sequence[int], share: float) -> timedelta | None:
    return timedelta(milliseconds=delays[int(share * (len(delays) - 1))]) if delays else None
