"""Attentive's own rules, one by one: each is kept before a call is sent, and the table shows where.

Source: sections 3 to 5 of Attentive's API as it is documented; the same rules stand in openapi/attentive.yaml.
"""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from app.pipeline import Decision, Drop, Fail, Forward
from app.segment.events import InvalidEvent
from tests.builders import EMAIL, NOW, PHONE, USER_ID, Raw, about, calls, decided, identify, track

ROOT: Final = Path(__file__).parents[2]
ITEM: Final = {"product_id": "A", "price": "19.99"}
FORBIDDEN: Final = "\"'(){}[]\\|,"
DAYS_OLD: Final = (NOW - timedelta(days=2)).isoformat()
AHEAD: Final = (NOW + timedelta(hours=1)).isoformat()
LONG_URL: Final = "https://shop.example/?" + "q" * 1_024


def bought(*products: Any, **properties: Any) -> Raw:
    return track("Order Completed", {"products": list(products), **properties})


def viewed(**product: Any) -> Raw:
    return track("Product Viewed", ITEM | product)


def booked(**properties: Any) -> Raw:
    return track("Boot Fitting Booked", properties)


def told(**traits: Any) -> Raw:
    return about(identify(), email=EMAIL, **traits)


def body(raw: Raw) -> Any:
    """Of the last call."""
    return calls(raw)[-1][1]


def item(raw: Raw) -> Any:
    return body(raw)["items"][0]


def user(raw: Raw) -> Any:
    return body(raw)["user"]


def properties(raw: Raw) -> Any:
    return body(raw)["properties"]


def custom(raw: Raw) -> Any:
    return body(raw)["attributes"]["custom"]


def type_of(raw: Raw) -> Any:
    return body(raw)["type"]


def when(raw: Raw) -> Any:
    return body(raw)["occurredAt"]


def price(raw: Raw) -> Any:
    return item(raw)["price"]


def keys(raw: Raw) -> set[str]:
    return set(body(raw))


def notes(raw: Raw) -> str:
    return "; ".join(decided(raw).notes)


def kind(raw: Raw) -> type[Decision]:
    return type(decided(raw))


Sees = Callable[[Raw], Any]
IDENTITY, NORMALISE = "app/identity/extract.py", "app/identity/normalise.py"
TRANSFORMS, ITEMS = "app/mapping/transforms.py", "app/mapping/items.py"
CONVERTERS: Final = "app/mapping/converters.py"
SIZE, CLEANING = "app/mapping/size.py", "app/mapping/cleaning.py"
CATALOGUE: Final = "app/mapping/catalogue.py"
TIMES, ATTRIBUTES, USERS = "app/segment/times.py", "app/mapping/attributes.py", "app/mapping/users.py"

RULES: Final[list[tuple[str, str, Raw, Sees, Any]]] = [
    # who it is (3.1, 4.1)
    ("a phone number is E.164", NORMALISE, about(booked(), phone="(415) 555-0132"), user, {"phone": PHONE}),
    ("one that is none is left out", IDENTITY, about(booked(), email=EMAIL, phone="n/a"), user, {"email": EMAIL}),
    ("an address is trimmed and lowered", NORMALISE, about(booked(), email=" ADA@Example.com"), user, {"email": EMAIL}),
    (
        "an address has at most 100 characters",
        NORMALISE,
        about(booked(), email="a" * 95 + "@b.com", phone=PHONE),
        user,
        {"phone": PHONE},
    ),
    (
        "a clientUserId has at most 100 characters",
        IDENTITY,
        about(booked(), user_id="x" * 101, email=EMAIL),
        user,
        {"email": EMAIL},
    ),
    ("a clientUserId is no address", IDENTITY, about(booked(), user_id=EMAIL, email=EMAIL), user, {"email": EMAIL}),
    ("a clientUserId is no number", IDENTITY, about(booked(), user_id=PHONE, phone=PHONE), user, {"phone": PHONE}),
    (
        "a clientUserId is no id of Shopify's",
        IDENTITY,
        about(booked(), user_id="7", email=EMAIL, shopify_id="7"),
        user,
        {"email": EMAIL},
    ),
    (
        "custom identifiers are pairs",
        USERS,
        about(booked(), email=EMAIL, username="ada"),
        user,
        {"email": EMAIL, "externalIdentifiers": {"customIdentifiers": [{"name": "username", "value": "ada"}]}},
    ),
    (
        "the second version names them by key",
        USERS,
        told(username="ada", tier="gold"),
        lambda raw: body(raw)["identifiers"]["customIdentifiers"],
        [{"key": "username", "value": "ada"}],
    ),
    ("no identifier is null or empty", IDENTITY, about(booked(), email=EMAIL, phone=" "), user, {"email": EMAIL}),
    ("a user is never empty", "app/mapping/apply.py", about(booked(), email="n/a", shopify_id="7"), kind, Drop),
    (
        "Shopify's id is no part of an event's user",
        USERS,
        about(booked(), email=EMAIL, shopify_id="7"),
        user,
        {"email": EMAIL},
    ),
    (
        "an identity link has an external id and another",
        USERS,
        about(identify(), user_id=USER_ID, email=EMAIL),
        body,
        {"email": EMAIL, "clientUserId": USER_ID},
    ),
    ("two contacts are no identity link", USERS, about(identify(), email=EMAIL, phone=PHONE), kind, Drop),
    # the type of a custom event (4.2)
    (
        "a type has none of 11 characters",
        CLEANING,
        track(f"a{FORBIDDEN}b"),
        type_of,
        "a___________b",
    ),
    ("a type is trimmed", "app/segment/events.py", track("  x "), type_of, "x"),
    ("a type has at most 200 characters", TRANSFORMS, track("x" * 300), lambda raw: len(body(raw)["type"]), 200),
    # names (4.3)
    ("a name has none of 11 characters", CLEANING, booked(**{f"a{FORBIDDEN}b": 1}), properties, {"a___________b": 1}),
    ("nor has one far inside", CLEANING, booked(a=[{"b": {"c|d": 1}}]), properties, {"a": [{"b": {"c_d": 1}}]}),
    ("two that become the same stay two", CLEANING, booked(**{"a|": 1, "a,": 2}), properties, {"a_": 1, "a__2": 2}),
    (
        "an event has at most 200 names, nested ones counted",
        SIZE,
        booked(a={f"b{number}": number for number in range(300)}),
        lambda raw: len(properties(raw)["a"]),
        199,
    ),
    ("an attribute's name has none of 11", ATTRIBUTES, told(**{f"a{FORBIDDEN}b": 1}), custom, {"a___________b": 1}),
    ("it has at most 200 characters", ATTRIBUTES, told(**{"x" * 201: 1, "tier": 1}), custom, {"tier": 1}),
    # values (4.4)
    ("no value is null", CLEANING, booked(a=None, b=[None, {"c": None}], d=0), properties, {"d": 0}),
    ("a long address passes as it is", SIZE, booked(url=LONG_URL), properties, {"url": LONG_URL}),
    ("a long address is noted", SIZE, booked(url=LONG_URL), lambda raw: "1,024" in notes(raw), True),
    ("mediaUrl is text", TRANSFORMS, booked(mediaUrl=5, a=1), properties, {"a": 1}),
    ("a call of over 256 KiB is noted", SIZE, booked(a="x" * 300_000), lambda raw: "300," in notes(raw), True),
    ("a call of over 1 MiB is not sent", SIZE, booked(a="x" * 1_100_000), kind, Fail),
    # when (4.5)
    (
        "occurredAt is UTC with milliseconds",
        TIMES,
        booked(),
        when,
        "2026-03-01T11:59:58.250Z",
    ),
    (
        "it is always sent",
        TIMES,
        {**booked(), "timestamp": None},
        when,
        "2026-03-01T12:00:00.000Z",
    ),
    (
        "it is not in the future",
        TIMES,
        {**booked(), "timestamp": AHEAD},
        when,
        "2026-03-01T12:00:00.000Z",
    ),
    ("it is at most a day old", "app/pipeline.py", {**booked(), "timestamp": DAYS_OLD}, kind, Fail),
    # the event's own id (4.6)
    ("a custom event has its message id", CATALOGUE, booked(), lambda raw: body(raw)["externalEventId"], "message-1"),
    (
        "an eCommerce event has none",
        "app/mapping/catalogue.py",
        viewed(),
        lambda raw: "externalEventId" in body(raw),
        False,
    ),
    # items (4.7)
    (
        "a price is a list of one number",
        ITEMS,
        viewed(),
        price,
        [{"value": 19.99, "currency": "USD"}],
    ),
    (
        "a currency is three capitals",
        ITEMS,
        viewed(currency="cad"),
        price,
        [{"value": 19.99, "currency": "CAD"}],
    ),
    (
        "a variant is the product where there is none",
        CATALOGUE,
        viewed(),
        lambda raw: item(raw)["productVariantId"],
        "A",
    ),
    ("a quantity is a whole number", CONVERTERS, viewed(quantity="3"), lambda raw: item(raw)["quantity"], 3),
    ("a broken quantity is left out", CONVERTERS, viewed(quantity=0.5), lambda raw: "quantity" in item(raw), False),
    ("an id is text", CONVERTERS, viewed(product_id=7), lambda raw: item(raw)["productId"], "7"),
    (
        "an item without a price is left out",
        ITEMS,
        bought(ITEM, {"sku": "B"}),
        lambda raw: len(body(raw)["items"]),
        1,
    ),
    ("an order of no items is not sent", ITEMS, bought({"sku": "B"}), kind, Fail),
    (
        "an order has its id when it is known",
        CATALOGUE,
        bought(ITEM, order_id=7),
        lambda raw: body(raw)["orderId"],
        "7",
    ),
    # attributes (5.4, 5.5)
    ("an attribute is a scalar", ATTRIBUTES, told(a={"b": [1, 2]}, c=[{"d": 1}]), custom, {"a_b": "1, 2"}),
    (
        "a call has at most 100 of them",
        ATTRIBUTES,
        told(**{f"a{number}": number for number in range(150)}),
        lambda raw: len(custom(raw)),
        100,
    ),
    (
        "named fields are no custom ones",
        "app/mapping/well_known.py",
        told(firstName="Ada", tier="gold"),
        lambda raw: body(raw)["attributes"],
        {"firstName": "Ada", "custom": {"tier": "gold"}},
    ),
    ("no call says nothing", ATTRIBUTES, told(tier=None, note=" "), kind, Drop),
]


@pytest.mark.parametrize(("kept_in", "raw", "sees", "expected"), [pytest.param(*row[1:], id=row[0]) for row in RULES])
def test_attentives_rule_is_kept(kept_in: str, raw: Raw, sees: Sees, expected: Any) -> None:
    assert sees(raw) == expected
    assert (ROOT / kept_in).is_file(), "the table names the file that keeps the rule"


def test_an_event_without_a_name_is_refused_at_the_door() -> None:
    with pytest.raises(InvalidEvent) as refused:
        decided(track("  "))
    assert refused.value.code == "event_not_defined"


def test_an_attribute_keeps_its_type() -> None:
    decision = decided(told(points="many", tier="gold"), attributes={"points": "number"})
    assert isinstance(decision, Forward)
    assert b"points" not in decision.deliveries[-1].body
    assert b"tier" in decision.deliveries[-1].body
