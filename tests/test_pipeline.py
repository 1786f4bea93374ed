"""One event's whole journey: forwarded, dropped for a named reason, or kept as a dead letter. Always the same."""

import copy
from datetime import timedelta
from typing import Any, Final

import orjson
import pytest
from hypothesis import given

from app.config.destination import Destination
from app.config.topology import Topology
from app.counted import DropReason
from app.delivery.delivery import HORIZON, to_ms
from app.delivery.recipients import Deliver, Recipients
from app.identity.extract import IdentityRules
from app.identity.identity import Primary
from app.mapping.catalogue import CATALOGUE, Catalogue
from app.pipeline import Decision, Drop, Fail, Forward, Plan
from app.segment.placeholders import is_placeholder
from app.wiring.gateway import plan_for, plan_of
from tests.builders import (
    EMAIL,
    NOW,
    PHONE,
    USER_ID,
    Raw,
    about,
    decided,
    dropped,
    failed,
    forwarded,
    identify,
    page,
    track,
)
from tests.contracts.anything import EVENTS_OF_ANY_KIND
from tests.generated import examples

NAMED_ONLY: Final = Plan(catalogue=Catalogue(CATALOGUE, frozenset()))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        pytest.param(track("x", context={}, anonymousId="b"), DropReason.NO_IDENTITY, id="an anonymous id alone"),
        pytest.param(track("x", context={}, anonymousId="b", userId=""), DropReason.NO_IDENTITY, id="an empty user id"),
        pytest.param(track("x", context={"traits": {"phone": "n/a"}}), DropReason.UNUSABLE_IDENTITY, id="no number"),
        pytest.param(track("x", context={"traits": {"email": "ada"}}), DropReason.UNUSABLE_IDENTITY, id="no address"),
        pytest.param(track("x", context={}, userId=PHONE), DropReason.UNUSABLE_IDENTITY, id="a number as user id"),
        pytest.param(
            track("x", context={}, userId="undefined"), DropReason.UNUSABLE_IDENTITY, id="a placeholder as id"
        ),
        pytest.param(track("x", type="screen"), DropReason.NOT_FORWARDED, id="a screen"),
        pytest.param(track("x", type="group", userId="7"), DropReason.NOT_FORWARDED, id="a group"),
        pytest.param(track("x", type="alias", userId="7"), DropReason.NOT_FORWARDED, id="an alias"),
        pytest.param(identify({"email": EMAIL}), DropReason.NO_CONTENT, id="an identify with an address alone"),
        pytest.param(identify(userId="7"), DropReason.NO_CONTENT, id="an identify with a user id alone"),
        pytest.param(track("x", integrations={"All": False}), DropReason.INTEGRATIONS, id="an event for nobody"),
    ],
)
def test_is_dropped_for_a_named_reason(raw: Raw, reason: DropReason) -> None:
    assert dropped(raw).reason is reason


def test_what_occurred_too_long_ago_for_journeys_is_noted() -> None:
    old = track("x", timestamp=(NOW - timedelta(hours=13)).isoformat())
    assert forwarded(old).notes == ("stale: it occurred 13.0 h before it arrived, and starts no journey",)
    assert forwarded(track("x")).notes == ()


OFFLINE: Final = {"sources": {"tills": {"write_key": "k", "destination": "acme", "horizon_hours": 48}}}


@pytest.mark.parametrize(
    ("event", "hours", "fate"),
    [
        pytest.param("Sale Closed", 200, Forward, id="an event with a longer horizon"),
        pytest.param("Sale Closed", 721, Fail, id="longer than that"),
        pytest.param("Order Updated", 30, Forward, id="an event of a source with a longer horizon"),
        pytest.param("Order Updated", 49, Fail, id="longer than the source's"),
        pytest.param("Flash Sale Seen", 2, Fail, id="an event with a shorter horizon"),
    ],
)
def test_the_horizon_may_differ_by_event_and_by_source(event: str, hours: float, fate: type) -> None:
    events = {"Sale Closed": {"horizon_hours": 720}, "Flash Sale Seen": {"horizon_hours": 1}}
    topology = Topology.model_validate(
        OFFLINE | {"destinations": {"acme": {"api_token": "t", "mapping": {"events": events}}}}
    )
    occurred = NOW - timedelta(hours=hours)
    decision = decided(track(event, timestamp=occurred.isoformat()), plan=plan_for(topology, "acme", "tills"))
    assert type(decision) is fate
    if isinstance(decision, Forward):
        horizon = timedelta(hours=720 if event in events else 48)
        assert decision.deliveries[0].deadline_ms == to_ms(occurred + horizon)


@pytest.mark.parametrize("endpoint", ["v1", "v2"])
@pytest.mark.parametrize(
    ("primary", "identifier", "attribute"),
    [
        pytest.param("phone", {"phone": PHONE}, EMAIL, id="phone is primary"),
        pytest.param("email", {"email": EMAIL}, PHONE, id="email is primary"),
    ],
)
def test_the_contact_that_is_not_primary_can_be_an_attribute(
    primary: str, identifier: dict[str, str], attribute: str, endpoint: str
) -> None:
    identifiers = {"primary": primary, "secondary_attribute": "other_contact"}
    plan = plan_of(
        Destination.model_validate({"api_token": "t", "identifiers": identifiers, "attributes": {"endpoint": endpoint}})
    )
    traits = {"email": EMAIL, "phone": PHONE}
    call = orjson.loads(forwarded(identify(traits), plan=plan).deliveries[-1].body)
    assert (call.get("identifiers") or call["user"]) == identifier
    sent = call["properties"] if endpoint == "v1" else call["attributes"]["custom"]
    assert sent == {"other_contact": attribute}
    event = forwarded(track("x", context={"traits": traits}), plan=plan).deliveries[0]
    assert orjson.loads(event.body)["user"] == identifier


def test_a_destination_with_test_people_gets_calls_about_these_alone() -> None:
    plan = Plan(recipients=Recipients(Deliver.TEST_PEOPLE, frozenset({EMAIL})))
    assert len(forwarded(track("x"), plan=plan).deliveries) == 1
    drop = dropped(track("x", context={"traits": {"email": EMAIL, "phone": PHONE}}), plan=plan)
    assert drop.reason is DropReason.NOT_DELIVERED
    assert drop.notes[-1] == "custom-event: not sent, because the destination delivers to test people only"


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
    fail = failed(raw)
    assert fail.reason == "unmappable"
    assert detail in fail.detail


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
    assert failed(raw).reason == "too_old"


def test_who_somebody_is_does_not_age() -> None:
    raw = identify({"email": EMAIL, "vip": 1}, userId="7", timestamp=TEN_DAYS_AGO)
    assert [sent.endpoint for sent in forwarded(raw).deliveries] == ["identity", "user-attributes"]
    assert {sent.deadline for sent in forwarded(raw).deliveries} == {NOW + HORIZON}
    assert {sent.fresh_until_ms for sent in forwarded(raw).deliveries} == {None}


def test_the_horizon_is_a_day_to_the_second() -> None:
    edge = NOW - HORIZON
    assert isinstance(decided(track("x", timestamp=edge.isoformat())), Forward)
    assert isinstance(decided(track("x", timestamp=(edge - timedelta(seconds=1)).isoformat())), Fail)


def test_the_horizon_and_how_long_an_event_is_fresh_are_the_destinations() -> None:
    plan = Plan(fresh_ms=3_600_000, horizon_ms=7_200_000)
    (sent,) = forwarded(track("x", timestamp=(NOW - timedelta(minutes=90)).isoformat()), plan=plan).deliveries
    assert sent.fresh_until_ms == to_ms(NOW - timedelta(minutes=30))
    assert sent.deadline == NOW + timedelta(minutes=30)
    assert failed(track("x", timestamp=(NOW - timedelta(minutes=121)).isoformat()), plan=plan).reason == "too_old"


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


@pytest.mark.parametrize("event", ["Product Viewed", "Coupon Entered"])
def test_an_event_is_not_sent_about_a_person_whom_its_endpoint_cannot_know(event: str) -> None:
    raw = track(event, {"sku": "A", "price": 1}, anonymousId="b", context={"traits": {"shopify_id": "5551001"}})
    drop = dropped(raw)
    assert drop.reason is DropReason.UNUSABLE_IDENTITY
    assert [note for note in drop.notes if "takes no Shopify or Klaviyo ID" in note] != []


def test_attributes_are_sent_about_a_person_known_by_shopifys_id_alone() -> None:
    raw = identify({"shopify_id": "5551001", "first_name": "Ada"}, anonymousId="b")
    assert orjson.loads(forwarded(raw).deliveries[0].body)["identifiers"] == {"shopifyId": "5551001"}


@pytest.mark.parametrize(("raw", "sent"), [(track("x", timestamp="yesterday"), False), (identify({}), True)])
def test_a_time_that_cannot_be_read_keeps_events_from_starting_journeys(raw: Raw, sent: bool) -> None:
    """The event may be days old. Attributes have no age."""
    raw = raw | {"timestamp": "yesterday", "traits": {"email": EMAIL, "first_name": "Ada"}, "userId": "7"}
    decision = decided(raw)
    if sent:
        assert isinstance(decision, Forward)
    else:
        assert isinstance(decision, Fail)
        assert decision.reason == "time_unreadable"
    assert [note for note in decision.notes if note.startswith("timestamp: not a time")] != []


def test_an_operation_of_rudderstack_that_is_not_carried_out_is_noted() -> None:
    raw = identify(
        {"email": EMAIL, "first_name": "Ada"}, integrations={"Attentive": {"identifyOperation": "unsubscribe"}}
    )
    assert [note for note in forwarded(raw).notes if "identifyOperation: not carried out" in note] != []


def test_notes_say_what_was_left_out_and_name_nobody() -> None:
    raw = track("Coupon Entered", {"a|b": 1}, userId=EMAIL, timestamp="2099-01-01")
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
        return decided(raw)
    except Exception as failure:
        return type(failure).__name__


@examples(200)
@given(raw=EVENTS_OF_ANY_KIND.map(lambda raw: raw | {"messageId": raw.get("messageId") or "message-1"}))
def test_the_same_event_is_always_decided_alike_and_never_touched(raw: Raw) -> None:
    if is_placeholder(raw["messageId"]):  # one without an id is given a new one each time
        raw["messageId"] = "message-1"
    before = copy.deepcopy(raw)
    first = outcome(raw)
    assert raw == before
    assert outcome(copy.deepcopy(raw)) == first
    assert isinstance(first, Forward | Drop | Fail | str)
