"""When an event happened, told from four clocks of which any may be missing, wrong or nonsense."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from app.segment.times import CLOCK_SKEW, occurred_at, parse_time, to_wire
from tests.builders import NOW, Raw, parsed, track

ZEROS: Final[list[Any]] = [
    *(0, "0", "1970-01-01T00:00:00.000Z", "1970-01-01T01:00:00+01:00", "0001-01-01T00:00:00Z", -62135596800),
    *("0000-00-00 00:00:00", "1899-12-30", "null", "Invalid Date", False, [], {}),
]
DAY: Final = timedelta(days=1)
HOUR: Final = timedelta(hours=1)
NOON: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def moment(**times: Any) -> tuple[datetime | None, tuple[str, ...]]:
    notes: list[str] = []
    return occurred_at(parsed(track("x", **({"timestamp": None} | times))), NOW, notes), tuple(notes)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("2026-03-01T12:00:00Z", NOON, id="with a Z"),
        pytest.param("2026-03-01T12:00:00+00:00", NOON, id="with an offset of zero"),
        pytest.param("2026-03-01T14:00:00+02:00", NOON, id="with another offset"),
        pytest.param("2026-03-01T12:00:00+0000", NOON, id="with an offset without a colon"),
        pytest.param("2026-03-01T12:00:00", NOON, id="with no zone, which means UTC"),
        pytest.param("2026-03-01 12:00:00", NOON, id="with a blank for the T"),
        pytest.param(" 2026-03-01T12:00:00Z ", NOON, id="with blanks around it"),
        pytest.param("2026-03-01T12:00:00.5Z", NOON.replace(microsecond=500_000), id="with one digit of a second"),
        pytest.param("2026-03-01T12:00:00.123Z", NOON.replace(microsecond=123_000), id="as JavaScript writes it"),
        pytest.param("2026-03-01T12:00:00.123456Z", NOON.replace(microsecond=123_456), id="as Python writes it"),
        pytest.param("2026-03-01T12:00:00.1234567Z", NOON.replace(microsecond=123_456), id="as .NET writes it"),
        pytest.param("2026-03-01T12:00:00.123456789Z", NOON.replace(microsecond=123_456), id="as Go writes it"),
        pytest.param("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC), id="as a date"),
        pytest.param(NOON.timestamp(), NOON, id="in seconds"),
        pytest.param(int(NOON.timestamp()), NOON, id="in whole seconds"),
        pytest.param(int(NOON.timestamp() * 1000), NOON, id="in milliseconds"),
        pytest.param(str(int(NOON.timestamp())), NOON, id="in seconds, as text"),
        pytest.param(str(int(NOON.timestamp() * 1000)), NOON, id="in milliseconds, as text"),
        pytest.param(f"{NOON.timestamp():.3f}", NOON, id="in seconds with a fraction, as text"),
        pytest.param(int(NOON.timestamp()) * 10**6, NOON, id="in microseconds"),
        pytest.param(NOON.timestamp() * 1e6, NOON, id="in microseconds, as a float"),
        pytest.param(int(NOON.timestamp()) * 10**9 + 1, NOON, id="in nanoseconds"),
        pytest.param(str(int(NOON.timestamp()) * 10**9), NOON, id="in nanoseconds, as text"),
        pytest.param("2026-03-01 12:00:00 UTC", NOON, id="as BigQuery writes it"),
        pytest.param("2026-03-01 12:00:00.5 UTC", NOON.replace(microsecond=500_000), id="as BigQuery writes a part"),
        pytest.param("2026-03-01 12:00:00.000 +0000", NOON, id="as Snowflake writes it"),
        pytest.param("2026-03-01 04:00:00.000 -0800", NOON, id="as Snowflake writes it elsewhere"),
        pytest.param("2026-03-01 12:00:00+00", NOON, id="as PostgreSQL writes it"),
        pytest.param("2026-03-01T12:00:00z", NOON, id="with a small z"),
        pytest.param("2026-03-01t12:00:00z", NOON, id="with a small t"),
        pytest.param("2026-03-01T13:00:00+01:00[Europe/Berlin]", NOON, id="as Java writes it"),
        pytest.param("2026-03-01T12:00Z[UTC]", NOON, id="as Java writes it in UTC"),
        pytest.param("2026-03-01T11:59:60Z", NOON - timedelta(seconds=1), id="with a leap second, never later"),
        pytest.param("2026-02-28T24:00:00Z", datetime(2026, 3, 1, tzinfo=UTC), id="at the end of a day"),
        pytest.param("Sun, 01 Mar 2026 12:00:00 GMT", NOON, id="as HTTP writes it"),
        pytest.param("Sun, 1 Mar 2026 13:00:00 +0100", NOON, id="as e-mail writes it"),
        pytest.param("Sun, 01 Mar 2026 12:00:00 +0000 (UTC)", NOON, id="as e-mail writes it, with a comment"),
        pytest.param(
            "Sun Mar 01 2026 13:00:00 GMT+0100 (Central European Standard Time)", NOON, id="as Date prints it"
        ),
        pytest.param("Sun Mar  1 12:00:00 UTC 2026", NOON, id="as date(1) prints it"),
        pytest.param("20260301120000", NOON, id="of 14 digits"),
        pytest.param(20260301120000, NOON, id="of 14 digits, as a number"),
        pytest.param("202603011200", NOON, id="of 12 digits"),
        pytest.param("2026030112", NOON, id="of 10 digits, which are no epoch seconds of 2034"),
        pytest.param(2026030112, NOON, id="of 10 digits, as a number"),
        pytest.param("20260301", datetime(2026, 3, 1, tzinfo=UTC), id="of 8 digits"),
    ],
)
def test_a_time_is_read(text: Any, expected: datetime) -> None:
    assert parse_time(text) == expected


@pytest.mark.parametrize(
    "nonsense",
    [
        *(
            "",
            " ",
            "yesterday",
            "2026-13-01",
            "2026-03-01T25:00:00Z",
            "12:00",
            "٣",
            "9" * 400,
            "9" * 5000,
            "NaN",
            "inf",
        ),
        *("2026-03-01T12:00:00[Europe/Berlin]", "Sun, 01 Mar 2026 12:00:00 XYZ", "03/01/2026, 12:00:00 PM"),
        *("2026-03-01T24:01:00Z", "2026-03-01T12:00:61Z", "2026-02-30 10:00:00 UTC", "2026-03-01" + " " * 100 + "Z"),
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "-1"),
        *(True, False, [], {}, None, 1e300, -1e300, float("nan"), float("inf"), 2**63, 2**64 - 1, b"2026-03-01"),
    ],
)
def test_nonsense_is_no_time(nonsense: Any) -> None:
    assert parse_time(nonsense) is None


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        pytest.param({}, NOW, id="no time at all is the time of receipt"),
        pytest.param(
            {"timestamp": "2026-03-01T11:00:00Z", "originalTimestamp": "2026-03-01T10:00:00Z", "sentAt": "2026-03-01"},
            datetime(2026, 3, 1, 11, tzinfo=UTC),
            id="timestamp wins over the others",
        ),
        pytest.param(
            {"originalTimestamp": "2026-03-01T10:00:00Z"},
            datetime(2026, 3, 1, 10, tzinfo=UTC),
            id="then originalTimestamp",
        ),
        pytest.param({"sentAt": "2026-03-01T09:00:00Z"}, datetime(2026, 3, 1, 9, tzinfo=UTC), id="then sentAt"),
        pytest.param(
            {"originalTimestamp": "2026-01-01T00:00:00Z", "sentAt": "2026-01-01T00:00:30Z"},
            NOW - timedelta(seconds=30),
            id="a clock that is wrong by months is corrected by the time of sending",
        ),
        pytest.param(
            {"timestamp": 1772362800},
            datetime(2026, 3, 1, 11, tzinfo=UTC),
            id="seconds are understood",
        ),
        pytest.param({"timestamp": NOW.isoformat()}, NOW, id="now is now"),
        pytest.param({"timestamp": (NOW + CLOCK_SKEW).isoformat()}, NOW + CLOCK_SKEW, id="a little ahead is let pass"),
        pytest.param({"timestamp": ""}, NOW, id="empty text is nothing"),
        pytest.param(
            {"timestamp": (NOW - 2 * DAY).isoformat(), "sentAt": (NOW - 2 * DAY).isoformat(), "receivedAt": "x"},
            NOW - 2 * DAY,
            id="a webhook that was corrected before stays, known by receivedAt",
        ),
        pytest.param(
            {"timestamp": (NOW - DAY).isoformat(), "originalTimestamp": NOW.isoformat(), "sentAt": "2026-01-01"},
            NOW - DAY,
            id="and by originalTimestamp",
        ),
        pytest.param(
            {"timestamp": (NOW - DAY).isoformat(), "sentAt": (NOW - CLOCK_SKEW).isoformat()},
            NOW - DAY,
            id="a retry within minutes shows no wrong clock",
        ),
        pytest.param(
            {"timestamp": (NOW - DAY).isoformat(), "sentAt": NOW.isoformat()},
            NOW - DAY,
            id="a batch that a phone kept for a day, with a right clock, stays",
        ),
        pytest.param(
            {"timestamp": (NOW - DAY).isoformat(), "sentAt": (NOW - 2 * DAY).isoformat()},
            NOW - DAY,
            id="sentAt long before timestamp is of another clock",
        ),
        pytest.param({"timestamp": NOW.isoformat(), "sentAt": "nonsense"}, NOW, id="sentAt that is no time"),
        pytest.param({"timestamp": (NOW - DAY).isoformat(), "sentAt": 0}, NOW - DAY, id="sentAt that is zero"),
        pytest.param({"timestamp": NOW.isoformat(), "sentAt": {}}, NOW, id="sentAt that is an object"),
    ],
)
def test_an_event_happened_at(times: Raw, expected: datetime) -> None:
    assert moment(**times) == (expected, ())


@pytest.mark.parametrize(
    ("off", "age"),
    [
        pytest.param(-2 * DAY, timedelta(seconds=1), id="two days slow"),
        pytest.param(-14 * HOUR, timedelta(seconds=1), id="fourteen hours slow"),
        pytest.param(3 * HOUR, timedelta(seconds=1), id="three hours fast"),
        pytest.param(-DAY, 7 * HOUR, id="a day slow, in a batch that a phone kept for hours"),
        pytest.param(-DAY, -timedelta(seconds=1), id="a day slow, and written before it happened by a second"),
    ],
)
def test_a_device_whose_clock_is_wrong_is_corrected_by_its_time_of_sending(off: timedelta, age: timedelta) -> None:
    sent = NOW + off
    when, notes = moment(timestamp=(sent - age).isoformat(), sentAt=sent.isoformat())
    assert when == min(NOW - age, NOW)
    assert [note for note in notes if note.startswith("timestamp: corrected")] != []


@pytest.mark.parametrize(
    ("times", "noted"),
    [
        pytest.param({"timestamp": "2027-01-01"}, "timestamp: in the future", id="in the future"),
        pytest.param(
            {"timestamp": (NOW + CLOCK_SKEW + timedelta(seconds=1)).isoformat()},
            "timestamp: in the future",
            id="too far",
        ),
        pytest.param({"timestamp": "2529-03-01T12:00:00Z"}, "timestamp: in the future", id="centuries ahead"),
        pytest.param({"timestamp": 17_640_000_000_000}, "timestamp: in the future", id="centuries ahead, in ms"),
        pytest.param({"originalTimestamp": "2529-03-01"}, "timestamp: in the future", id="centuries ahead, original"),
        pytest.param(
            {"sentAt": "2529-03-01T12:00:00Z"}, "timestamp: in the future", id="centuries ahead, sentAt alone"
        ),
        pytest.param(
            {"timestamp": NOW.isoformat(), "sentAt": "2529-03-01T12:00:00Z"},
            "sentAt: more than a year after",
            id="sentAt",
        ),
        pytest.param(
            {"originalTimestamp": NOW.isoformat(), "sentAt": "2529-03-01T12:00:00Z"},
            "sentAt: more than a year after originalTimestamp",
            id="sentAt beside the original time",
        ),
        pytest.param(
            {"timestamp": "2529-03-01T12:00:00Z", "sentAt": NOW.isoformat()}, "timestamp: in the future", id="timestamp"
        ),
        pytest.param({"sentAt": "now"}, "sentAt: not a time", id="nonsense in sentAt"),
        *(pytest.param({"timestamp": zero}, "timestamp: a zero", id=f"{zero!r}") for zero in ZEROS),
    ],
)
def test_a_time_that_cannot_be_is_replaced_by_the_receipt_and_noted(times: Raw, noted: str) -> None:
    when, notes = moment(**times)
    assert when == NOW
    assert [note for note in notes if note.startswith(noted)] != []


@pytest.mark.parametrize(
    ("times", "noted"),
    [
        pytest.param({"timestamp": "yesterday"}, "timestamp: not a time", id="nonsense"),
        pytest.param({"timestamp": {"date": 1}}, "timestamp: not a time", id="an object"),
        pytest.param(
            {"timestamp": "yesterday", "sentAt": NOW.isoformat()}, "timestamp: not a time", id="although sent"
        ),
        pytest.param({"originalTimestamp": "now"}, "originalTimestamp: not a time", id="nonsense in originalTimestamp"),
    ],
)
def test_a_time_that_is_stated_and_cannot_be_read_is_not_replaced(times: Raw, noted: str) -> None:
    """The event may be days old. Sent as of now, it would start a journey."""
    when, notes = moment(**times)
    assert when is None
    assert [note for note in notes if note.startswith(noted)] != []


def test_a_time_that_cannot_be_read_is_no_matter_beside_one_that_can() -> None:
    when, notes = moment(timestamp="yesterday", originalTimestamp="2026-03-01T10:00:00Z")
    assert when == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert notes != ()


def test_a_clock_that_is_off_by_ten_thousand_years_costs_nothing() -> None:
    when, _ = moment(originalTimestamp="9999-12-31", sentAt="0001-01-01")
    assert when is not None
    assert when <= NOW + CLOCK_SKEW
    when, _ = moment(timestamp="0002-01-01", sentAt="9999-12-31")
    assert when is not None
    assert when <= NOW + CLOCK_SKEW


@pytest.mark.parametrize(
    ("when", "written"),
    [
        pytest.param(NOON, "2026-03-01T12:00:00.000Z", id="whole seconds get their milliseconds"),
        pytest.param(NOON.replace(microsecond=123_999), "2026-03-01T12:00:00.123Z", id="microseconds are cut"),
        pytest.param(datetime.fromisoformat("2026-03-01T14:00:00+02:00"), "2026-03-01T12:00:00.000Z", id="UTC, always"),
    ],
)
def test_attentive_reads_one_form(when: datetime, written: str) -> None:
    assert to_wire(when) == written


@pytest.mark.parametrize(
    ("timestamp", "sent_at"),
    [
        pytest.param("2026-02-28T23:00:00Z", "2026-03-01", id="a day"),
        pytest.param("2026-02-28 23:00:00", "2026-03-01", id="a day, both without a zone"),
        pytest.param("2026-02-28 23:00:00", "20260301", id="a day in digits"),
        pytest.param("2026-03-01T03:00:00Z", "2026-03-01 21:00:00", id="a time without a zone, beside one with it"),
        pytest.param("2026-03-01 03:00:00", "2026-03-01T21:00:00+09:00", id="a time with a zone, beside one without"),
    ],
)
def test_a_sent_at_that_is_not_of_the_clock_of_the_timestamp_corrects_nothing(timestamp: str, sent_at: str) -> None:
    notes: list[str] = []
    event = parsed(track("x", timestamp=timestamp, sentAt=sent_at))
    assert occurred_at(event, NOW, notes) == parse_time(timestamp)
    assert notes == []


@pytest.mark.parametrize("timestamp", ["2026-02-27T11:00:00Z", "2026-02-27T12:00:00+01:00", 1772190000, "1772190000"])
@pytest.mark.parametrize("sent_at", ["2026-02-27T12:00:00Z", "Fri, 27 Feb 2026 12:00:00 GMT", 1772193600000])
def test_forms_with_a_zone_are_of_one_clock(timestamp: Any, sent_at: Any) -> None:
    event = parsed(track("x", timestamp=timestamp, sentAt=sent_at))
    assert occurred_at(event, NOW, []) == NOW - timedelta(hours=1)
