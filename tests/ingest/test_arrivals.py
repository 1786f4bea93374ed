"""What one decided event becomes: its journal record is masked, its dead letter is complete."""

from typing import Any, Final

import orjson
import pytest

from app.delivery.delivery import in_full
from app.ingest.arrivals import outbox_event_of
from app.pipeline import Plan
from tests.builders import EMAIL, NOW, PHONE, Raw, decided, identify, parsed, track

NOBODY: Final = [
    pytest.param(track("Coupon Entered", userId="customer-1042"), id="an ordinary event"),
    pytest.param(track(f"Mailed {EMAIL}"), id="an event named after a person"),
    pytest.param(track(f"Called {PHONE}"), id="an event named after a number"),
    pytest.param(track("x", {f"{EMAIL}|": 1}), id="a property named after a person"),
    pytest.param(track("x", userId=EMAIL), id="a person as user id"),
    pytest.param(track("x", userId=PHONE), id="a number as user id"),
    pytest.param(identify({"email": EMAIL, "phone": PHONE, f"{EMAIL}[]": 1, f"{EMAIL}[[": 2}), id="an identify call"),
    pytest.param(track("Product Viewed", {"price": "free"}, context={"traits": {"phone": PHONE}}), id="a dead letter"),
    pytest.param(track("Product Viewed", {"price": 1, "sku": "a", "currency": EMAIL}), id="a person as currency"),
]


def record_of(raw: Raw) -> dict[str, Any]:
    arrival = outbox_event_of(parsed(raw), decided(raw), original=orjson.dumps(raw), source="shop", received_at=NOW)
    record: dict[str, Any] = orjson.loads(arrival.record)
    return record


@pytest.mark.parametrize("raw", NOBODY)
def test_the_record_names_nobody(raw: Raw) -> None:
    record = orjson.dumps(record_of(raw)).decode()
    assert EMAIL not in record
    assert PHONE.removeprefix("+1") not in record


def test_the_record_says_enough_to_find_ones_own_event() -> None:
    raw = track("Coupon Entered", userId="customer-1042", context={"traits": {"email": EMAIL, "phone": PHONE}})
    record = record_of(raw)
    assert len(record.pop("search_hashes")) == 3
    assert record == {
        "source": "shop",
        "type": "track",
        "event": "Coupon Entered",
        "who": {"email": "a***@example.com", "phone": "+1***32", "userId": "cu***42"},
        "decision": "forward",
        "calls": ["custom-event"],
    }


def test_the_record_of_a_drop_says_why() -> None:
    record = record_of(track("x", context={"traits": {"email": "ada"}}))
    assert (record["decision"], record["reason"]) == ("drop", "unusable_identity")
    assert record["notes"] == ["traits.email: not an e-mail address, left out"]


def test_a_dead_letter_keeps_the_whole_event() -> None:
    raw = track("Product Viewed", {"sku": "A", "price": "free"}, anything={"else": [1, None]})
    arrival = outbox_event_of(parsed(raw), decided(raw), original=orjson.dumps(raw), source="shop", received_at=NOW)
    assert (arrival.ending, arrival.calls) == ("dead:unmappable", ())
    assert arrival.dead_letter is not None
    dead_letter = orjson.loads(in_full(arrival.dead_letter).partition(b"\n")[2])
    assert (dead_letter["event"], dead_letter["endpoint"], dead_letter["body"]) == (raw, None, None)
    assert dead_letter["detail"] == "item_incomplete: properties.price"


def test_the_key_tells_sources_apart_that_use_the_same_message_id() -> None:
    raw = track("x")
    event, decision, original = parsed(raw), decided(raw), orjson.dumps(raw)
    keys = {
        outbox_event_of(event, decision, original=original, source=name, received_at=NOW).key
        for name in ("shop", "app")
    }
    assert len(keys) == 2


def test_an_erasure_leaves_nothing_of_the_person_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    masked: list[str] = []

    def mask(text: str) -> str:
        masked.append(text)
        return "***"

    monkeypatch.setattr("app.ingest.arrivals.mask_id", mask)
    entered, plan = track("Coupon Entered", userId="customer-7"), Plan(erasures=True)
    for raw in ({**entered, "type": "delete", "messageId": "d-1"}, entered):
        decision, original = decided(raw, plan=plan), orjson.dumps(raw)
        outbox_event_of(parsed(raw), decision, original=original, source="shop", received_at=NOW)
    assert masked == ["customer-7", "customer-7"], "masked anew, because the answer is forgotten"
