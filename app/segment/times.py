"""When an event happened, told from the four times a tracker may send.

Source: Segment's Spec on timestamps: `receivedAt - (sentAt - originalTimestamp)` corrects the tracker's clock.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from app.segment.events import SegmentEvent

CLOCK_SKEW: Final = timedelta(minutes=5)
_EPOCH_MS_FROM: Final = 1e11  # 1e11 s is the year 5138, 1e11 ms is 1973: nothing real lies between the two readings
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WRITE: Final = msgspec.json.Encoder().encode


def occurred_at(event: SegmentEvent, received_at: datetime, notes: list[str]) -> datetime:
    """The moment the event happened, UTC. What had to be mended is appended to `notes`.

    The first readable of `timestamp`, `originalTimestamp` (corrected by `sentAt`), `sentAt` and the time of receipt.
    A moment more than CLOCK_SKEW ahead of the receipt becomes the receipt.
    """
    moment = _read("timestamp", event.timestamp, notes)
    if moment is None:
        sent = _read("sentAt", event.sent_at, notes)
        moment = _read("originalTimestamp", event.original_timestamp, notes)
        if moment is not None and sent is not None:
            moment = _corrected(moment, sent, received_at, notes)
        moment = moment or sent or received_at
    if moment - received_at > CLOCK_SKEW:
        notes.append("timestamp: in the future, replaced by the time of receipt")
        moment = received_at
    return moment


def _corrected(original: datetime, sent: datetime, received_at: datetime, notes: list[str]) -> datetime | None:
    try:
        return received_at - (sent - original)
    except OverflowError:
        notes.append("originalTimestamp: thousands of years from sentAt, ignored")
        return None


def _read(name: str, value: Any, notes: list[str]) -> datetime | None:
    if value is None or value == "":
        return None
    moment = parse_time(value)
    if moment is None:
        notes.append(f"{name}: not a time, ignored")
    return moment


def parse_time(value: object) -> datetime | None:
    """ISO 8601 (no zone means UTC), or epoch seconds or milliseconds, number or text; None when it is none of these."""
    try:
        match value:
            case str():
                text = value.strip()
                if text[4:5] != "-" and text.replace(".", "", 1).isdecimal() and len(text) > len("YYYYMMDD"):
                    return parse_time(float(text))
                moment = datetime.fromisoformat(text)
                if moment.tzinfo is UTC:
                    return moment
                return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
            case bool():
                return None
            case int() | float():
                return _EPOCH + timedelta(seconds=value / 1000 if abs(value) >= _EPOCH_MS_FROM else value)
            case _:
                return None
    except (ValueError, OverflowError):
        return None


def to_wire(moment: datetime) -> str:
    """The one form Attentive's endpoints all take: UTC, milliseconds, `Z`."""
    written = _WRITE(moment if moment.tzinfo is UTC else moment.astimezone(UTC))  # a seventh of isoformat's time
    return written[1:24].decode() + "Z" if moment.microsecond else written[1:20].decode() + ".000Z"
