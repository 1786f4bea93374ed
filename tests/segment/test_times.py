"""When an event happened, told from four clocks of which any may be missing, wrong or nonsense."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from app.segment.times import CLOCK_SKEW, occurred_at, parse_time, to_wire
from tests.builders import NOW, Raw, parsed, track

NOON: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def moment(**times: Any) -> tuple[datetime, tuple[str, ...]]:
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
    ],
)
def test_an_event_happened_at(times: Raw, expected: datetime) -> None:
    assert moment(**times) == (expected, ())


@pytest.mark.parametrize(
    ("times", "noted"),
    [
        pytest.param({"timestamp": "2027-01-01"}, "timestamp: in the future", id="in the future"),
        pytest.param(
            {"timestamp": (NOW + CLOCK_SKEW + timedelta(seconds=1)).isoformat()},
            "timestamp: in the future",
            id="too far",
        ),
        pytest.param({"timestamp": "yesterday"}, "timestamp: not a time", id="nonsense"),
        pytest.param({"timestamp": {"date": 1}}, "timestamp: not a time", id="an object"),
        pytest.param({"sentAt": "now"}, "sentAt: not a time", id="nonsense in sentAt"),
        pytest.param({"originalTimestamp": "now"}, "originalTimestamp: not a time", id="nonsense in originalTimestamp"),
    ],
)
def test_a_time_that_cannot_be_is_replaced_by_the_receipt_and_noted(times: Raw, noted: str) -> None:
    when, notes = moment(**times)
    assert when == NOW
    assert [note for note in notes if note.startswith(noted)] != []


def test_a_clock_that_is_off_by_ten_thousand_years_costs_nothing() -> None:
    when, _ = moment(originalTimestamp="9999-12-31", sentAt="0001-01-01")
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
