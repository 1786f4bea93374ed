"""The stored forms: they read back as written, and unreadable bytes are reported as such."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import lz4.block
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.attentive.call import Priority
from app.delivery.dead_letter import DeadLetter, Filter, read_dead_letter
from app.delivery.delivery import HORIZON, KEY_BYTES, VERSION, Delivery, Unreadable, event_key, in_full, to_ms
from benchmarks.event import body
from tests.builders import NOW, delivery
from tests.generated import examples

ENTRY: Final = b"1772366400000-0"

TEXT: Final = st.text(st.characters(exclude_categories=["Cs"]))
MOMENTS: Final = st.integers(0, 4_102_444_800_000)
VALUES: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
JSON: Final = st.dictionaries(TEXT, VALUES, max_size=4).map(orjson.dumps)
DELIVERIES: Final = st.builds(
    Delivery,
    message_id=TEXT,
    source=TEXT,
    endpoint=TEXT,
    priority=st.sampled_from(Priority),
    body=JSON,
    event=JSON,
    received_ms=MOMENTS,
    deadline_ms=MOMENTS,
    attempt=st.integers(1, 10_000),
    calls=st.integers(1, 5),
    fresh_until_ms=st.none() | MOMENTS,
)


@pytest.mark.parametrize(
    ("received_h", "accepted_h", "cause"),
    [
        pytest.param(1, 11, None, id="in time"),
        pytest.param(1, 13, "waited", id="it waited"),
        pytest.param(13, 14, "arrived", id="its event arrived late"),
    ],
)
def test_a_call_that_is_accepted_late_starts_no_journey(received_h: int, accepted_h: int, cause: str | None) -> None:
    occurred = NOW
    call = delivery(
        received_ms=to_ms(occurred + timedelta(hours=received_h)), fresh_until_ms=to_ms(occurred + timedelta(hours=12))
    )
    assert call.missed_journey(occurred + timedelta(hours=accepted_h)) == cause
    assert delivery(fresh_until_ms=None).missed_journey(occurred + timedelta(days=9)) is None


FIELDS: Final = [list(orjson.loads(part)) for part in in_full(delivery().packed()).split(b"\n")[:2]]


def put_together(first: bytes, *rest: bytes) -> bytes:
    """Parts of a stored form, put together."""
    block: bytes = lz4.block.compress(b"\n".join(rest))
    return first + b"\n" + block


STORED: Final = {  # by version: as it lies in Redis, in base 85. What a release has written is never changed;
    # version 1 was never released.
    2: (
        b"dm?rsIx;LGW^!e7Xd*f>H#aggFgZ3bFfcGMEFxrOVPtG+Ze=1mF*i3dG&M3fFfcGMFntOZ0RRBxdm?RRb8}&5WnXDzB03EK@mDP|A}k_"
        b"vZ*_8GWg<Evb7*gHA}k_hZe(z8X>N2PIwE6rb98TQEoF9PZge6nB5-nPZ*pmLc_KP7EFyAcV`XV}Wn>~cF*i3dGd4CfFfcGMFf1ZrbaZ"
        b"8HaC9O%GAtrvVQg%33IO**b#8WLa%pC1Wn>~cTOx31Z*FBGU406BB6N9hWg<EvLvM9(Z*Cw(ZggdGWn>~OB6V|Raw0l=B4ur1X>1}oB4"
        b"K1<KxKGgZE$R5E@N+PB7Hpof^>3WV{0NTBB=lmO#lD`{Qwq8`~Xm8Eioc}"
    ),
}


class TestADelivery:
    @pytest.mark.parametrize("version", STORED)
    def test_of_every_version_there_was_is_readable(self, version: int) -> None:
        assert Delivery.unpacked(base64.b85decode(STORED[version])) == delivery(
            deadline=NOW + timedelta(hours=24),
            fresh_until=NOW + timedelta(hours=12),
            attempt=2,
            calls=2,
            unverified=("phone",),
        )

    def test_of_this_version_is_among_them(self) -> None:
        assert max(STORED) == VERSION

    @examples(100)
    @given(written=DELIVERIES)
    def test_is_read_as_it_was_written(self, written: Delivery) -> None:
        assert Delivery.unpacked(written.packed()) == written

    @examples(100)
    @given(written=DELIVERIES)
    def test_is_stored_with_what_decides_when_it_goes_in_front_and_all_else_packed(self, written: Delivery) -> None:
        first, about, body, event = in_full(written.packed()).split(b"\n")
        assert list(orjson.loads(first)) == ["v", "fresh", "deadline"]
        assert orjson.loads(first)["v"] == VERSION
        assert orjson.loads(about)["message_id"] == written.message_id
        assert (body, event) == (written.body, written.event)

    def test_takes_less_than_its_event_does_twice(self) -> None:
        shown = delivery(body=body(1)[:-1] + b"}", event=body(1))
        assert len(shown.packed()) < 1.25 * len(shown.event)

    @pytest.mark.parametrize(
        "stored",
        [
            pytest.param(b"", id="nothing"),
            pytest.param(b"{}", id="an empty object"),
            pytest.param(b"[]", id="a list"),
            pytest.param(b"null", id="null"),
            pytest.param(b"7", id="a number"),
            pytest.param(b'"v"', id="text"),
            pytest.param(b"\xff", id="bytes that are no text"),
            pytest.param(b'{"v":2', id="JSON cut short"),
            pytest.param(b"\x80\x04\x95", id="a pickle"),
            pytest.param(b'{"v":2,"fresh":null,"deadline":1}\n', id="nothing packed"),
            pytest.param(b'{"v":2,"fresh":null,"deadline":1}\n\xff\xff\xff\x7f\x00', id="2 GiB in five bytes"),
            pytest.param(delivery().packed()[:-9], id="a packed part cut short"),
            pytest.param(delivery().packed().replace(b"\n", b"\n\n"), id="a packed part that begins too late"),
        ],
    )
    def test_that_is_damaged_is_unreadable(self, stored: bytes) -> None:
        assert isinstance(in_full(stored), bytes)
        with pytest.raises(Unreadable):
            Delivery.unpacked(stored)

    @pytest.mark.parametrize("part", range(4))
    @pytest.mark.parametrize("instead", [b"", b"null", b"[]", b'{"v":', b"\xff"])
    def test_of_which_a_part_is_something_else_is_unreadable(self, part: int, instead: bytes) -> None:
        parts = in_full(delivery().packed()).split(b"\n")
        parts[part] = instead
        with pytest.raises(Unreadable):
            Delivery.unpacked(put_together(*parts))

    @pytest.mark.parametrize(("part", "field"), [(part, name) for part, fields in enumerate(FIELDS) for name in fields])
    def test_that_lacks_a_field_is_unreadable(self, part: int, field: str) -> None:
        parts = in_full(delivery().packed()).split(b"\n")
        fields = orjson.loads(parts[part])
        del fields[field]
        parts[part] = orjson.dumps(fields)
        with pytest.raises(Unreadable):
            Delivery.unpacked(put_together(*parts))

    def test_may_state_what_most_are_not(self) -> None:
        parts = in_full(delivery().packed()).split(b"\n")
        stated = {"unverified": [], "public": False, "failed": 0, "due": 0}
        parts[1] = orjson.dumps(orjson.loads(parts[1]) | stated)
        assert Delivery.unpacked(put_together(*parts)) == delivery()

    def test_of_a_retry_has_its_times(self) -> None:
        retry = delivery(attempt=2, failed_ms=1_800_000_000_000, due_ms=1_800_000_009_000)
        assert Delivery.unpacked(retry.packed()) == retry

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            pytest.param("v", 3, id="a version of the future"),
            pytest.param("v", "1", id="a version in text"),
            pytest.param("fresh", "noon", id="freshness in text"),
            pytest.param("priority", 9, id="a priority that is none"),
            pytest.param("priority", "high", id="a priority in text"),
            pytest.param("received", "noon", id="a time in text"),
            pytest.param("received", None, id="a time of null"),
            pytest.param("received", 1e30, id="a time beyond all calendars"),
            pytest.param("deadline", 10**17, id="a deadline in three million years"),
            pytest.param("message_id", 7, id="a message id that is a number"),
            pytest.param("source", None, id="a source of null"),
            pytest.param("endpoint", [], id="an endpoint in a list"),
            pytest.param("attempt", "first", id="an attempt in text"),
            pytest.param("attempt", None, id="an attempt of null"),
            pytest.param("attempt", 0, id="an attempt before the first"),
            pytest.param("calls", "two", id="calls in text"),
            pytest.param("unverified", ["fax"], id="a doubt about a fax number"),
        ],
    )
    def test_of_wrong_types_is_unreadable(self, field: str, value: Any) -> None:
        """Whoever drains the lane has to hear of it here: later, nobody would know which entry it was."""
        parts = in_full(delivery().packed()).split(b"\n")
        part = int(field not in FIELDS[0])
        parts[part] = json.dumps(orjson.loads(parts[part]) | {field: value}).encode()
        with pytest.raises(Unreadable):
            Delivery.unpacked(put_together(*parts))

    def test_says_nothing_of_its_content_when_unreadable(self) -> None:
        with pytest.raises(Unreadable) as damage:
            Delivery.unpacked(b'{"v":1,"message_id":"ada@example.com"}')
        assert "ada" not in str(damage.value)

    def test_counts_its_attempts(self) -> None:
        assert delivery().next_attempt(7, 9) == delivery(attempt=2, failed_ms=7, due_ms=9)

    def test_shows_nobody_when_printed(self) -> None:
        assert "ada@example.com" not in repr(delivery())


class TestAnEventsKey:
    def test_is_short_and_always_the_same(self) -> None:
        assert event_key("shop", "m") == event_key("shop", "m") == delivery(message_id="m").event_key
        assert len(event_key("shop" * 100, "m" * 100)) == KEY_BYTES

    def test_tells_sources_apart_and_where_their_names_end(self) -> None:
        assert len({event_key("a", "b"), event_key("b", "a"), event_key("ab", ""), event_key("", "ab")}) == 4


LETTER: Final = DeadLetter("m", "s", "r", "d", b"1", NOW)
WRITTEN: Final = in_full(LETTER.packed()).partition(b"\n")[2]


class TestADeadLetter:
    @examples(100)
    @given(written=DELIVERIES, reason=TEXT, detail=TEXT)
    def test_is_read_as_it_was_written(self, written: Delivery, reason: str, detail: str) -> None:
        dead_letter = DeadLetter.of(written, reason, detail, {"status": 400})
        read = read_dead_letter("acme", ENTRY, dead_letter.packed())
        assert (read.destination, read.id) == ("acme", ENTRY.decode())
        for name in ("message_id", "source", "reason", "detail", "event", "body", "endpoint", "priority"):
            assert getattr(read, name) == getattr(dead_letter, name)
        assert (read.attempts, read.calls, read.last_answer) == (written.attempt, written.calls, {"status": 400})
        assert read.received_at == written.received_at

    def test_of_an_event_that_became_no_call_has_neither_endpoint_nor_body(self) -> None:
        dead_letter = DeadLetter("m", "shop", "unmappable", "no price", b'{"type":"track"}', NOW)
        read = read_dead_letter("acme", ENTRY, dead_letter.packed())
        assert (read.endpoint, read.body, read.event) == (None, None, b'{"type":"track"}')
        with pytest.raises(ValueError, match="never became a call"):
            read.revived(NOW + HORIZON, calls=1)

    @pytest.mark.parametrize(
        "stored",
        [
            pytest.param(b"", id="nothing"),
            pytest.param(b"{}", id="an empty object"),
            pytest.param(b"[]", id="a list"),
            pytest.param(b"\xff", id="bytes that are no text"),
            pytest.param(delivery().packed(), id="a delivery"),
            pytest.param(
                b'{"v":2}\n' + lz4.block.compress(WRITTEN.replace(b'"received":', b'"received":99999')),
                id="a time beyond all calendars",
            ),
            pytest.param(LETTER.packed()[:-3], id="one that was cut"),
            pytest.param(LETTER.packed().replace(b'"v":2', b'"v":9'), id="one of another version"),
        ],
    )
    def test_that_is_damaged_is_shown_and_never_hidden(self, stored: bytes) -> None:
        dead_letter = read_dead_letter("acme", ENTRY, stored)
        assert (dead_letter.reason, dead_letter.id, dead_letter.destination) == ("unreadable", ENTRY.decode(), "acme")
        assert orjson.loads(dead_letter.event)["stored"] == stored.decode(errors="replace")

    def test_is_sent_afresh_with_a_new_deadline_and_all_its_attempts(self) -> None:
        dead_letter = DeadLetter.of(delivery(attempt=9), "expired", "", {})
        revived = dead_letter.revived(NOW + HORIZON, calls=1)
        assert revived == delivery(attempt=1, deadline=NOW + HORIZON)

    def test_knows_when_it_died(self) -> None:
        assert read_dead_letter("acme", ENTRY, b"").died_at == datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("wanted", "matches"),
        [
            pytest.param(Filter(), True, id="any"),
            pytest.param(Filter(destination="acme", endpoint="custom-event", reason="http_400"), True, id="just that"),
            pytest.param(Filter(destination="other"), False, id="of another destination"),
            pytest.param(Filter(endpoint="purchase"), False, id="of another endpoint"),
            pytest.param(Filter(endpoint="none"), False, id="of no endpoint"),
            pytest.param(Filter(reason="expired"), False, id="of another reason"),
            pytest.param(Filter(id=ENTRY.decode()), True, id="by its id"),
            pytest.param(Filter(id="1-0"), False, id="by another id"),
            pytest.param(Filter(older_than=timedelta(hours=1)), True, id="older than its age"),
            pytest.param(Filter(older_than=timedelta(hours=3)), False, id="older than it is"),
            pytest.param(Filter(newer_than=timedelta(hours=3)), True, id="newer than three hours"),
            pytest.param(Filter(newer_than=timedelta(hours=1)), False, id="newer than it is"),
        ],
    )
    def test_is_meant_when_asked_for(self, wanted: Filter, matches: bool) -> None:
        dead_letter = read_dead_letter("acme", ENTRY, DeadLetter.of(delivery(), "http_400", "", {}).packed())
        assert wanted.matches(dead_letter, NOW + timedelta(hours=2)) is matches
