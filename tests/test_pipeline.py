"""One event's whole journey: forwarded, dropped for a named reason, or kept as a dead letter. Always the same."""

import copy
from datetime import timedelta
from typing import Any, Final

import orjson
import pytest
from hypothesis import HealthCheck, given, settings

from app.delivery.delivery import HORIZON, to_ms
from app.identity.extract import IdentityRules
from app.identity.identity import Primary
from app.mapping.catalogue import CATALOGUE, Catalogue
from app.pipeline import Bury, Decision, Drop, DropReason, Forward, Plan, decide
from app.segment.events import parse_event
from tests.builders import (
    EMAIL,
    NOW,
    PHONE,
    USER_ID,
    Raw,
    about,
    buried,
    decided,
    dropped,
    forwarded,
    identify,
    page,
    track,
)
from tests.contracts.anything import EVENTS_OF_ANY_KIND

NAMED_ONLY: Final = Plan(catalogue=Catalogue(CATALOGUE, frozenset()))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        pytest.param(track("x", context={}, anonymousId="b"), DropReason.NO_IDENTITY, id="an anonymous id alone"),
        pytest.param(track("x", context={}, anonymousId="b", userId=""), DropReason.NO_IDENTITY, id="an empty user id"),
        pytest.param(track("x", context={"traits": {"phone": "n/a"}}), DropReason.UNUSABLE_IDENTITY, id="no number"),
        pytest.param(track("x", context={"traits": {"email": "ada"}}), DropReason.UNUSABLE_IDENTITY, id="no address"),
        pytest.param(track("x", context={}, userId=EMAIL), DropReason.UNUSABLE_IDENTITY, id="an address as user id"),
        pytest.param(track("x", type="screen"), DropReason.NOT_FORWARDED, id="a screen"),
        pytest.param(track("x", type="group", userId="7"), DropReason.NOT_FORWARDED, id="a group"),
        pytest.param(track("x", type="alias", userId="7"), DropReason.NOT_FORWARDED, id="an alias"),
        pytest.param(identify({"email": EMAIL}), DropReason.NOTHING_TO_SAY, id="an identify with an address alone"),
        pytest.param(identify(userId="7"), DropReason.NOTHING_TO_SAY, id="an identify with a user id alone"),
        pytest.param(track("x", integrations={"All": False}), DropReason.INTEGRATIONS, id="an event for nobody"),
    ],
)
def test_is_dropped_for_a_named_reason(raw: Raw, reason: DropReason) -> None:
    assert dropped(raw).reason is reason


@pytest.mark.parametrize(
    ("integrations", "wanted"),
    [
        pytest.param(None, True, id="nothing said"),
        pytest.param({}, True, id="nothing in particular said"),
        pytest.param({"All": True}, True, id="for all"),
        pytest.param({"All": False}, False, id="for nobody"),
        pytest.param({"All": False, "Attentive": True}, True, id="for us alone"),
        pytest.param({"Attentive": False}, False, id="for all but us"),
        pytest.param({"All": True, "attentive": False}, False, id="for all but us, in small letters"),
        pytest.param({"Attentive": {"region": "US"}}, True, id="for us, with options"),
        pytest.param({"All": False, "Attentive": {}}, True, id="for us alone, with empty options"),
        pytest.param({"Segment.io": True}, True, id="as browsers mark every event"),
        pytest.param("none", True, id="something that is no object"),
    ],
)
def test_the_senders_say_decides(integrations: Any, wanted: bool) -> None:
    assert isinstance(decided(track("x", integrations=integrations)), Forward) is wanted


def test_other_events_pass_only_where_they_are_let_through() -> None:
    assert dropped(track("Fitting Booked"), plan=NAMED_ONLY).reason is DropReason.EVENT_NOT_ALLOWED
    assert forwarded(track("Coupon Entered"), plan=NAMED_ONLY)


@pytest.mark.parametrize(
    ("raw", "detail"),
    [
        pytest.param(track("Product Viewed", {"sku": "A", "price": "free"}), "properties.price", id="a price in words"),
        pytest.param(track("Product Added", {"price": 1}), "properties.product_id", id="an item without an id"),
        pytest.param(track("Order Completed", {"products": {"A": 1}}), "properties.products", id="products in no list"),
        pytest.param(track("Order Completed", {}), "properties.products", id="no products"),
    ],
)
def test_what_cannot_be_mapped_is_kept(raw: Raw, detail: str) -> None:
    bury = buried(raw)
    assert bury.reason == "unmappable"
    assert detail in bury.detail


TEN_DAYS_AGO: Final = (NOW - timedelta(days=10)).isoformat()


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(track("Coupon Entered", timestamp=TEN_DAYS_AGO), id="a track call"),
        pytest.param(track("Product Viewed", {"sku": "A", "price": 1}, timestamp=TEN_DAYS_AGO), id="a product view"),
        pytest.param(page(timestamp=TEN_DAYS_AGO), id="a page call"),
        pytest.param(
            track("Coupon Entered", timestamp=(NOW - timedelta(days=10)).timestamp()), id="a track call in seconds"
        ),
    ],
)
def test_what_happened_ten_days_ago_is_kept_but_not_sent(raw: Raw) -> None:
    assert buried(raw).reason == "too_old"


def test_who_somebody_is_does_not_age() -> None:
    raw = identify({"email": EMAIL, "vip": 1}, userId="7", timestamp=TEN_DAYS_AGO)
    assert [sent.endpoint for sent in forwarded(raw).deliveries] == ["identity", "user-attributes"]
    assert {sent.deadline for sent in forwarded(raw).deliveries} == {NOW + HORIZON}
    assert {sent.fresh_until_ms for sent in forwarded(raw).deliveries} == {None}


def test_the_horizon_is_a_day_to_the_second() -> None:
    edge = NOW - HORIZON
    assert isinstance(decided(track("x", timestamp=edge.isoformat())), Forward)
    assert isinstance(decided(track("x", timestamp=(edge - timedelta(seconds=1)).isoformat())), Bury)


def test_the_horizon_and_how_long_an_event_is_fresh_are_the_destinations() -> None:
    plan = Plan(fresh_ms=3_600_000, horizon_ms=7_200_000)
    (sent,) = forwarded(track("x", timestamp=(NOW - timedelta(minutes=90)).isoformat()), plan=plan).deliveries
    assert sent.fresh_until_ms == to_ms(NOW - timedelta(minutes=30))
    assert sent.deadline == NOW + timedelta(minutes=30)
    assert buried(track("x", timestamp=(NOW - timedelta(minutes=121)).isoformat()), plan=plan).reason == "too_old"


def test_an_event_is_fresh_for_half_a_day_after_it_happened() -> None:
    (sent,) = forwarded(track("x", timestamp=(NOW - timedelta(hours=3)).isoformat())).deliveries
    assert sent.fresh_until_ms == to_ms(NOW + timedelta(hours=9))


def test_an_event_is_worth_sending_for_a_day_after_it_happened() -> None:
    (sent,) = forwarded(track("x", timestamp=(NOW - timedelta(hours=3)).isoformat())).deliveries
    assert (sent.received_at, sent.deadline) == (NOW, NOW + timedelta(hours=21))


def test_a_delivery_carries_all_that_is_needed_to_tell_its_story() -> None:
    raw = identify({"email": EMAIL, "phone": PHONE, "vip": 1}, userId=USER_ID, anything=["else", None])
    first, second = forwarded(raw).deliveries
    for sent in (first, second):
        assert (sent.message_id, sent.source, sent.attempt, sent.calls) == ("message-1", "shop", 1, 2)
        assert orjson.loads(sent.event) == raw
    assert first.event_key == second.event_key


def test_notes_say_what_was_left_out_and_name_nobody() -> None:
    raw = track("Coupon Entered", {"a|b": 1}, userId=EMAIL, timestamp="yesterday")
    raw["context"]["traits"]["phone"] = "+1 415 555 013"
    notes = forwarded(raw).notes
    assert [note.partition(":")[0] for note in notes] == ["traits.phone", "userId", "timestamp", "properties"]
    assert EMAIL not in " ".join(notes)
    assert "555" not in " ".join(notes)


@pytest.mark.parametrize(
    ("primary", "traits", "sent"),
    [
        pytest.param("any", {"email": EMAIL}, True, id="any, with an address"),
        pytest.param("email", {"email": EMAIL}, True, id="the address, which is there"),
        pytest.param("email", {"phone": PHONE}, False, id="the address, which is not"),
        pytest.param("email", {"phone": PHONE, "email": "n/a"}, False, id="the address, which is none"),
        pytest.param("phone", {"phone": PHONE}, True, id="the number, which is there"),
        pytest.param("phone", {"email": EMAIL}, False, id="the number, which is not"),
    ],
)
def test_what_comes_without_the_primary_identifier_is_not_sent(
    primary: Primary, traits: dict[str, str], sent: bool
) -> None:
    plan = Plan(identity=IdentityRules(primary=primary))
    for raw in (about(track("x"), user_id=USER_ID, **traits), about(identify(), user_id=USER_ID, **traits, vip="yes")):
        decision = decided(raw, plan=plan)
        if sent:
            assert isinstance(decision, Forward)
        else:
            assert isinstance(decision, Drop)
            assert decision.reason is DropReason.NO_PRIMARY_IDENTIFIER


def test_somebody_known_by_shopifys_id_alone_has_attributes_but_no_events() -> None:
    nobody = {"email": "n/a", "shopify_id": "5551001"}
    assert dropped(about(track("Coupon Entered"), **nobody)).reason is DropReason.UNUSABLE_IDENTITY
    (sent,) = forwarded(about(identify(), **nobody, tier="gold")).deliveries
    assert orjson.loads(sent.body)["identifiers"] == {"shopifyId": "5551001"}


def test_phone_numbers_are_read_as_the_destination_says() -> None:
    raw = track("x", context={"traits": {"phone": "020 7183 8750"}})
    plan = Plan(identity=IdentityRules(default_region="GB"))
    (sent,) = forwarded(raw, plan=plan).deliveries
    assert orjson.loads(sent.body)["user"] == {"phone": "+442071838750"}


def outcome(raw: Raw) -> Decision | str:
    """The decision, or the name of what was raised: that nothing is raised, another test makes sure."""
    try:
        return decide(parse_event(raw), Plan(), original=orjson.dumps(raw), source="shop", received_at=NOW)
    except Exception as failure:
        return type(failure).__name__


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(raw=EVENTS_OF_ANY_KIND.map(lambda raw: raw | {"messageId": raw.get("messageId") or "message-1"}))
def test_the_same_event_is_always_decided_alike_and_never_touched(raw: Raw) -> None:
    raw["messageId"] = raw["messageId"].strip() or "message-1"  # one without an id is given a new one each time
    before = copy.deepcopy(raw)
    first = outcome(raw)
    assert raw == before
    assert outcome(copy.deepcopy(raw)) == first
    assert isinstance(first, Forward | Drop | Bury | str)
