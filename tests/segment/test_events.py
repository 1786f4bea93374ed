"""One event, checked against the Spec: its parsed form, or the field at fault."""

import copy
from functools import partial
from typing import Any, Final

import pytest

from app.segment.events import MESSAGE_ID_CHARS, InvalidEvent, WireEvent, internal_message_id, parse_event, usable_id
from tests.builders import EMAIL, Raw, identify, track

WHOLE: Final[Raw] = {
    "type": "track",
    "event": "Coupon Entered",
    "messageId": "message-1",
    "userId": "customer-1042",
    "anonymousId": "browser-1",
    "properties": {"code": "TRAIL10"},
    "traits": {"vip": True},
    "context": {"traits": {"email": EMAIL}},
    "integrations": {"All": True},
    "timestamp": "2026-03-01T12:00:00Z",
    "originalTimestamp": "2026-03-01T12:00:00Z",
    "sentAt": "2026-03-01T12:00:01Z",
}
MANDATORY: Final = {"type", "event"}
FIELDS: Final = list(WireEvent.model_fields)


@pytest.mark.parametrize("field", FIELDS)
def test_null_and_absent_are_the_same_for(field: str) -> None:
    without = {name: value for name, value in WHOLE.items() if name != field}
    if field in MANDATORY:
        for raw in (without, WHOLE | {field: None}):
            with pytest.raises(InvalidEvent, match=field):
                parse_event(raw)
        return
    absent, null = parse_event(without), parse_event(WHOLE | {field: None})
    seen = ("type", "name", "user_id", "anonymous_id", "properties", "traits", "timestamp", "sent_at")
    assert [getattr(null, name) for name in seen] == [getattr(absent, name) for name in seen]


def test_everything_at_once_may_be_null_but_who_and_what() -> None:
    raw = dict.fromkeys(FIELDS) | {"type": "page", "userId": "7"}
    event = parse_event(raw)
    assert (event.type, event.user_id, dict(event.properties), dict(event.traits)) == ("page", "7", {}, {})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param("customer-1042", "customer-1042", id="text stays"),
        pytest.param(" customer-1042\n", "customer-1042", id="blanks around it go"),
        pytest.param(1042, "1042", id="a number becomes text"),
        pytest.param(12345.0, "12345", id="a whole number has no fraction, whatever its type"),
        pytest.param(1.5, "1.5", id="a fraction stays"),
        pytest.param(10**30, "1" + "0" * 30, id="a number of any length keeps all its digits"),
        pytest.param(2**63 - 1, "9223372036854775807", id="a long number keeps all its digits"),
        pytest.param("", None, id="empty text is nothing"),
        pytest.param(" \t", None, id="blanks are nothing"),
        pytest.param(None, None, id="null is nothing"),
    ],
)
def test_ids_are_text_or_nothing(given: Any, expected: str | None) -> None:
    event = parse_event(track("x", userId=given, anonymousId=given))
    assert (event.user_id, event.anonymous_id) == (expected, expected)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        pytest.param("undefined", "a placeholder", id="a placeholder"),
        pytest.param(" (NULL) ", "a placeholder", id="a placeholder in another form"),
        pytest.param(0, "a placeholder", id="zero"),
        pytest.param(-1, "a placeholder", id="minus one"),
        pytest.param(1e20, "a number that has lost digits", id="a number that is no longer exact"),
        pytest.param(10**100, "a number that has lost digits", id="a number of more than 100 digits"),
    ],
)
def test_what_is_no_id_is_left_out_with_the_reason(given: Any, reason: str) -> None:
    event = parse_event(track("x", userId=given, anonymousId=given))
    assert (event.user_id, event.anonymous_id) == (None, None)
    assert [field for field, why in event.left_out if why.startswith(reason)] == ["userId", "anonymousId"]


def test_a_previous_id_may_be_a_placeholder_as_well() -> None:
    event = parse_event({"type": "alias", "userId": "7", "previousId": "guest"})
    assert (event.user_id, event.previous_id) == ("7", None)


def test_placeholders_of_ones_own_are_no_ids() -> None:
    event = parse_event(track("x", userId="KIOSK 7"), usable=partial(usable_id, placeholders=frozenset({"kiosk7"})))
    assert event.user_id is None


def test_a_message_id_that_all_events_share_is_replaced() -> None:
    first, second = (parse_event(track("x", messageId="undefined")).message_id for _ in range(2))
    assert first != second


@pytest.mark.parametrize("field", ["properties", "traits", "context"])
def test_an_empty_list_is_an_empty_object(field: str) -> None:
    """PHP writes an empty array for both."""
    event = parse_event({"type": "page", "userId": "7", field: []})
    assert (dict(event.properties), dict(event.traits)) == ({}, {})


def test_an_empty_list_of_traits_in_the_context_is_an_empty_object() -> None:
    assert dict(parse_event({"type": "page", "userId": "7", "context": {"traits": []}}).traits) == {}


@pytest.mark.parametrize("given", [None, "", "  "])
def test_an_event_without_a_message_id_gets_one_of_its_own(given: Any) -> None:
    first, second = (parse_event(track("x", messageId=given)).message_id for _ in range(2))
    assert first
    assert first != second


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param("m", True, id="one character"),
        pytest.param("m" * MESSAGE_ID_CHARS, True, id="100 characters"),
        pytest.param("m" * (MESSAGE_ID_CHARS + 1), False, id="101 characters"),
        pytest.param("ü" * MESSAGE_ID_CHARS, True, id="100 characters of two bytes"),
        pytest.param("order-jane@example.com-7", False, id="one with an e-mail address"),
        pytest.param("sms:+14155550132", False, id="one with a phone number"),
        pytest.param("+1 (415) 555-0132", False, id="one that is a phone number"),
        pytest.param("1+1", True, id="one with a plus sign"),
        pytest.param("a+b/c==", True, id="one of base 64"),
        pytest.param("20260301115958250", True, id="one of digits"),
        pytest.param("m" * 10_000, False, id="ten kilobytes"),
    ],
)
def test_a_message_id_that_is_too_long_is_known_by_its_digest(given: str, kept: bool) -> None:
    known_by = parse_event(track("x", messageId=given)).message_id
    assert len(known_by) <= MESSAGE_ID_CHARS
    assert known_by == (given if kept else internal_message_id(given))
    assert (known_by == given) is kept


def test_long_message_ids_that_begin_alike_stay_apart() -> None:
    assert internal_message_id("m" * 200 + "1") != internal_message_id("m" * 200 + "2")


def test_the_type_may_have_its_old_name() -> None:
    assert parse_event({"action": "page", "userId": "7"}).type == "page"


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        pytest.param(None, "event", id="null"),
        pytest.param([], "event", id="a list"),
        pytest.param("track", "event", id="text"),
        pytest.param({}, "type", id="an empty object"),
        pytest.param(track("x", type="purchase"), "type", id="an unknown type"),
        pytest.param({"action": [], "userId": "7"}, "type", id="an old type that is a list"),
        pytest.param({"action": {}, "userId": "7"}, "type", id="an old type that is an object"),
        pytest.param(track("x", context={"traits": "ada"}), "context.traits", id="context traits that are text"),
        pytest.param({"type": "page", "userId": "", "anonymousId": None}, "userId", id="nobody"),
        pytest.param({"type": "page", "context": {"traits": {"email": ""}}}, "userId", id="an empty address"),
    ],
)
def test_what_breaks_the_spec_is_named(raw: object, field: str) -> None:
    with pytest.raises(InvalidEvent) as invalid:
        parse_event(raw)
    assert invalid.value.field == field
    assert str(invalid.value).startswith(f"{field}: ")


def test_what_is_said_of_a_bad_field_does_not_repeat_its_value() -> None:
    with pytest.raises(InvalidEvent) as invalid:
        parse_event(track("x", userId={"email": EMAIL}))
    assert EMAIL not in str(invalid.value)


@pytest.mark.parametrize(
    ("own", "context", "expected"),
    [
        pytest.param({"a": 1}, {"b": 2}, {"a": 1, "b": 2}, id="both are seen"),
        pytest.param({"a": 1}, {"a": 2}, {"a": 1}, id="the event's own win"),
        pytest.param({"a": None}, {"a": 2}, {"a": 2}, id="a null hides nothing"),
        pytest.param(None, {"a": 2}, {"a": 2}, id="the context's alone"),
        pytest.param({"a": 1}, None, {"a": 1}, id="the event's alone"),
        pytest.param(None, None, {}, id="none at all"),
    ],
)
def test_traits_are_the_events_own_over_those_of_its_context(own: Any, context: Any, expected: Raw) -> None:
    event = parse_event(identify(traits={}, userId="7") | {"traits": own, "context": {"traits": context}})
    assert event.traits == expected


def test_the_traits_of_a_group_say_nothing_about_a_person() -> None:
    event = parse_event({"type": "group", "userId": "7", "traits": {"email": "office@example.com"}})
    assert "email" not in event.traits


def test_parsing_changes_nothing() -> None:
    before = copy.deepcopy(WHOLE)
    parse_event(WHOLE)
    assert before == WHOLE


def test_an_event_shows_no_personal_data_when_printed() -> None:
    raw = track("x", {"email": EMAIL}, userId=EMAIL, traits={"email": EMAIL})
    assert EMAIL not in repr(parse_event(raw))
