"""When an event happened, from the four times that a tracker may send.

Source: Segment's Spec on timestamps: `receivedAt - (sentAt - originalTimestamp)` corrects the tracker's clock.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

import msgspec

from app.segment.events import SegmentEvent
from app.segment.placeholders import is_placeholder

CLOCK_SKEW: Final = timedelta(minutes=5)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_UNITS: Final = (  # the upper bound of each unit, and the number of units in a second
    (1e11, 1),  # 1e11 s is the year 5138, 1e11 ms is 1973: no real time is ambiguous
    (1e14, 1_000),
    (1e17, 1_000_000),
    (2**63 - 1, 1_000_000_000),
)
_COMPACT: Final = {  # by the number of digits: the form, and the years in which it is read
    8: ("%Y%m%d", range(1900, 2100)),
    10: ("%Y%m%d%H", range(2000, 2033)),  # as epoch seconds, all of these are later than April 2033
    12: ("%Y%m%d%H%M", range(1900, 2100)),
    14: ("%Y%m%d%H%M%S", range(1900, 2100)),
    17: ("%Y%m%d%H%M%S%f", range(1900, 2100)),
}
_LONGEST: Final = 100  # characters of a time
_LONGEST_KEPT: Final = timedelta(days=366)  # no tracker keeps an event for longer before it sends it
_WRITE: Final = msgspec.json.Encoder().encode

# The moments that mean "no time": where programs start to count, within a day because of time zones.
_ZEROS: Final[Sequence[datetime]] = tuple(
    datetime(*date, tzinfo=UTC)
    for date in (
        (1, 1, 1),  # Go, .NET, and databases that store year 1
        (1601, 1, 1),  # Windows
        (1899, 12, 30),  # spreadsheets
        (1900, 1, 1),
        (1904, 1, 1),  # spreadsheets and files of old Macs
        (1970, 1, 1),  # Unix
        (1980, 1, 1),  # devices whose clock battery failed
    )
)
_LATEST_ZERO_YEAR: Final = 1980
_ZERO_SPAN: Final = timedelta(days=1, hours=2)

_COMMENT = re.compile(r"\s*\([^()]*\)$")  # "(Central European Standard Time)"
_ISO = re.compile(  # forms that `fromisoformat` rejects: blanks before the zone, names of zones, leap seconds, 24:00
    r"(?P<date>\d{4}-\d{2}-\d{2})[Tt ]\s*(?P<hour>\d{2}):(?P<minute>\d{2})(?::(?P<second>\d{2}))?(?P<part>[.,]\d+)?"
    r"\s*(?P<zone>[Zz]|UTC|GMT|[+-]\d{2}:?(?:\d{2})?)?\s*(?:\[(?P<name>[A-Za-z0-9_+/-]+)\])?"
)
_ZONE = re.compile(r":.*(?:[Zz]|UT|GMT|[ECMP][SD]T|[+-]\d{2}:?(?:\d{2})?)")  # after the hour
_MONTH: Final = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_DAY: Final = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_RFC_2822 = re.compile(
    rf"(?:{_DAY}, ?)?\d{{1,2}} {_MONTH} \d{{4}} \d{{2}}:\d{{2}}(?::\d{{2}})? (?:[+-]\d{{4}}|GMT|UTC?|[ECMP][SD]T)"
)
_JAVASCRIPT = re.compile(rf"{_DAY} ({_MONTH} \d{{2}} \d{{4}} \d{{2}}:\d{{2}}:\d{{2}}) GMT([+-]\d{{4}})")
_UNIX_DATE = re.compile(rf"{_DAY} ({_MONTH} [ \d]\d \d{{2}}:\d{{2}}:\d{{2}}) (?:UTC|GMT) (\d{{4}})")


def occurred_at(event: SegmentEvent, received_at: datetime, notes: list[str]) -> datetime | None:
    """The time of the event, UTC. None if it states one that cannot be read: it may be days old.

    The first readable of `timestamp`, `originalTimestamp` (corrected by `sentAt`), `sentAt` and the time of receipt.
    `timestamp` is corrected, too, if it is the device's own: see `_by_our_clock`. A time more than CLOCK_SKEW after the
    receipt becomes the time of receipt. Corrections are appended to `notes`.
    """
    noted = len(notes)
    moment = _read("timestamp", event.timestamp, notes)
    if moment is not None and event.sent_at is not None:
        moment = _by_our_clock(event, moment, received_at, notes)
    if moment is None:
        original = _read("originalTimestamp", event.original_timestamp, notes)
        if original is None and any(note.endswith(_UNREADABLE) for note in notes[noted:]):
            return None
        sent = _read("sentAt", event.sent_at, notes)
        if original is not None and sent is not None:
            original = _corrected(original, sent, received_at, notes)
        moment = original or sent or received_at
    if moment > received_at and moment - received_at > CLOCK_SKEW:  # a difference takes long to calculate
        notes.append("timestamp: in the future, replaced by the time of receipt")
        moment = received_at
    return moment


def _by_our_clock(event: SegmentEvent, moment: datetime, received_at: datetime, notes: list[str]) -> datetime:
    """`timestamp`, corrected by the difference between `sentAt`, from the same clock, and the receipt.

    It stays as it is: with `receivedAt` or `originalTimestamp` beside it, by which Segment and RudderStack state
    that they have corrected it; where the clocks differ by no more than CLOCK_SKEW, which a slow request or a retry
    explains; later than `sentAt` by more than that, before it by more than _LONGEST_KEPT, or written with a zone where
    only one of them has one, because then the two are of different clocks; and with a `sentAt` that is a day.
    """
    if event.original_timestamp is not None or event.raw.get("receivedAt") is not None:
        return moment
    sent = moment if event.sent_at == event.timestamp else _read("sentAt", event.sent_at, [])
    if sent is None or abs(received_at - sent) <= CLOCK_SKEW or moment - sent > CLOCK_SKEW:
        return moment
    if sent - moment > _LONGEST_KEPT:
        notes.append("sentAt: more than a year after timestamp, ignored")
        return moment
    if _is_day(event.sent_at) or _has_zone(event.sent_at) != _has_zone(event.timestamp):
        return moment
    try:
        corrected = min(received_at - (sent - moment), received_at)
    except OverflowError:
        return moment
    notes.append("timestamp: corrected, because sentAt shows that the sender's clock is wrong")
    return corrected


def _is_day(value: Any) -> bool:
    text = str(value).strip()
    return ":" not in text and "T" not in text and len(text) <= len("YYYY-MM-DD") and not _is_epoch(text)


def _is_epoch(text: str) -> bool:
    return text.isdecimal() and len(text) > len("YYYYMMDD")


def _has_zone(value: Any) -> bool:
    """Whether a readable time states its zone, as every epoch time does."""
    return not isinstance(value, str) or ":" not in value or _ZONE.search(value) is not None


def _corrected(original: datetime, sent: datetime, received_at: datetime, notes: list[str]) -> datetime | None:
    if sent - original > _LONGEST_KEPT:
        notes.append("sentAt: more than a year after originalTimestamp, ignored")
        return original
    try:
        return received_at - (sent - original)
    except OverflowError:
        notes.append("originalTimestamp: thousands of years from sentAt, ignored")
        return None


_UNREADABLE: Final = ": not a time that can be read"


def _read(name: str, value: Any, notes: list[str]) -> datetime | None:
    """The time that a field states. None for no statement, with a note for a zero, and for an unreadable one."""
    if value is None or value == "":
        return None
    moment = parse_time(value)
    if moment is not None and moment.year > _LATEST_ZERO_YEAR:
        return moment
    if moment is None and not _states_nothing(value):
        notes.append(f"{name}{_UNREADABLE}")
        return None
    if moment is None or _is_zero(moment):
        notes.append(f"{name}: a zero or a placeholder, not a time; ignored")
        return None
    return moment


def stated_time(value: object) -> datetime | None:
    """The time that a value states, as `parse_time` reads it. None also for a zero, which states no time."""
    moment = parse_time(value)
    return None if moment is None or _is_zero(moment) else moment


def _is_zero(moment: datetime) -> bool:
    return moment.year <= _LATEST_ZERO_YEAR and any(abs(moment - zero) <= _ZERO_SPAN for zero in _ZEROS)


def _states_nothing(value: Any) -> bool:
    return is_placeholder(value) if isinstance(value, str) else value is False or value in ([], {})


def parse_time(value: object) -> datetime | None:
    """The time in UTC. None for a value that is not a time, and for a text with an unknown zone or order of fields.

    Text: ISO 8601 and database variants of it, RFC 2822, JavaScript's `Date`. Without a zone: UTC. Numbers, also as
    text: epoch seconds, milliseconds, microseconds or nanoseconds, recognised by their size, and dates as 8, 10, 12,
    14 or 17 digits. Never later than written: a leap second becomes the last full second before it.
    """
    try:
        if type(value) is str:
            return _from_text(value.strip())
        return _from_number(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    except (ValueError, OverflowError):
        return None


def _from_text(text: str) -> datetime | None:
    if len(text) > _LONGEST:
        return None
    if text[4:5] != "-" and text.replace(".", "", 1).isdecimal():
        if len(text) < len("YYYYMMDD"):
            return None
        return _from_number(float(text) if "." in text else int(text))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = _from_other_text(text)
    if moment.tzinfo is UTC:
        return moment
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _from_other_text(text: str) -> datetime:
    """A time that is not quite ISO 8601. Raises ValueError."""
    text = _COMMENT.sub("", text)
    if iso := _ISO.fullmatch(text):
        return _from_iso(iso)
    if _RFC_2822.fullmatch(text):
        return parsedate_to_datetime(text)
    if script := _JAVASCRIPT.fullmatch(text):
        return datetime.strptime(f"{script[1]} {script[2]}", "%b %d %Y %H:%M:%S %z")
    if unix := _UNIX_DATE.fullmatch(text):
        return datetime.strptime(f"{unix[1]} {unix[2]} +0000", "%b %d %H:%M:%S %Y %z")
    raise ValueError("not a time")


def _from_iso(iso: re.Match[str]) -> datetime:
    zone, name = iso["zone"] or "", iso["name"]
    if zone in ("z", "UTC", "GMT") or (not zone and name in ("UTC", "GMT", "Z")):
        zone = "Z"
    elif not zone and name:
        raise ValueError("a zone without an offset")  # is not looked up: rules change, images lack them
    hour, second, part = iso["hour"], iso["second"] or "00", iso["part"] or ""
    if second == "60":
        second, part = "59", ""
    midnight = hour == "24" and iso["minute"] == second == "00" and not part.strip(".,0")
    moment = datetime.fromisoformat(f"{iso['date']}T{'00' if midnight else hour}:{iso['minute']}:{second}{part}{zone}")
    return moment + timedelta(days=1) if midnight else moment


def _from_number(number: float) -> datetime | None:
    if (moment := _from_digits(number)) is not None:
        return moment
    size = abs(number)
    unit = next((unit for limit, unit in _EPOCH_UNITS if size < limit), None)
    if unit is None:
        return None
    if isinstance(number, int):
        return _EPOCH + timedelta(microseconds=number * 1_000_000 // unit)
    return _EPOCH + timedelta(seconds=number / unit)


def _from_digits(number: float) -> datetime | None:
    """A date as one row of digits, such as 20261127100000."""
    digits = str(int(number)) if number == int(number) else ""
    form, years = _COMPACT.get(len(digits), ("", ()))
    if int(digits[:4] or 0) not in years:
        return None
    try:
        return datetime.strptime(digits, form).replace(tzinfo=UTC)
    except ValueError:
        return None


def to_wire(moment: datetime) -> str:
    """The form that all of Attentive's endpoints accept: UTC, milliseconds, `Z`."""
    written = _WRITE(moment if moment.tzinfo is UTC else moment.astimezone(UTC))  # a seventh of the time of isoformat
    return written[1:24].decode() + "Z" if moment.microsecond else written[1:20].decode() + ".000Z"
