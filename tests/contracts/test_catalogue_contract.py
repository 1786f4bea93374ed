"""Every row of the catalogue makes calls that keep Attentive's contract, with just the content the mapping promises."""

import json
from typing import Any, Final

import orjson
import pytest
from pydantic import SecretStr

from app.attentive.endpoints import BY_NAME, ENDPOINTS, SUBSCRIBE, Endpoint
from app.config.attributes import Attributes
from app.config.destination import Destination
from app.mapping.catalogue import CATALOGUE, Rule
from app.pipeline import Fail, Forward
from app.wiring.gateway import plan_of
from tests.builders import EMAIL, PHONE, USER_ID, WHEN, Raw, about, body_of, calls, decided, identify, page, track
from tests.contracts.attentive_contract import OURS, Contract

SHOP: Final = OURS.parents[1] / "examples" / "shop.ndjson"

PRODUCT: Final = {
    "product_id": "NP-3307",
    "sku": "RDG-W-75",
    "category": "Footwear",
    "name": "Ridgeline Trail Shoe",
    "brand": "Northpeak",
    "variant": "Women's 7.5",
    "price": 129.95,
    "quantity": 2,
    "url": "https://shop.example/products/ridgeline",
    "image_url": "https://cdn.shop.example/ridgeline.jpg",
}
MONEY: Final = {
    "affiliation": "Web shop",
    "coupon": "TRAIL10",
    "currency": "CAD",
    "discount": 20.99,
    "order_id": "NP-100482",
    "products": [PRODUCT],
    "revenue": 188.86,
    "shipping": 6.95,
    "tax": 16.05,
}
EVERYTHING: Final = MONEY | {
    "cart_id": "cart_7f31c0",
    "checkout_id": "chk_51c09e",
    "total": 211.86,
    "value": 188.86,
    "subtotal": 188.86,
    "query": "tent",
    "path": "/shoes",
    "referrer": "",
    "search": "?q=shoes",
    "title": "Shoes",
    "url": "https://shop.example/shoes",
    "internal_note": "not for Attentive",
}
TRAITS: Final = {"firstName": "Ada", "birthday": "1986-11-16", "address": {"city": "London", "country": "GB"}, "vip": 1}


def ours() -> Contract:
    return Contract.ours()


def event_for(rule: Rule, properties: Raw, **fields: Any) -> Raw:
    """An event that this row is meant for."""
    match rule.type:
        case "track":
            return track(rule.event or "Boot Fitting Booked", properties, **fields)
        case "page":
            return page(properties, **fields)
        case "identify":
            return identify(TRAITS, **fields)
        case other:
            pytest.fail(f"the catalogue has rows for {other} calls, which this test does not know")


FULL: Final = PRODUCT | EVERYTHING
SMALLEST: Final = {"product_id": "NP-1", "price": 0, "products": [{"sku": "A", "price": "5"}]}
EVENTS: Final = [
    pytest.param(rule, event_for(rule, properties), id=f"{rule.name}, {how}")
    for rule in CATALOGUE
    for how, properties in (("with everything", FULL), ("with the least", SMALLEST))
]
WHO: Final = [
    pytest.param({"email": EMAIL}, id="by somebody with an e-mail address alone"),
    pytest.param({"phone": PHONE}, id="by somebody with a phone number alone"),
    pytest.param({"user_id": USER_ID}, id="by somebody with a user id alone"),
    pytest.param(
        {
            "email": EMAIL,
            "phone": PHONE,
            "user_id": USER_ID,
            "username": "ada",
            "shopify_id": "1",
            "klaviyo_id": "01HX",
        },
        id="by somebody with every identifier",
    ),
]


def mistakes(contract: Contract, raw: Raw) -> list[str]:
    """What the contract finds wrong with the calls of an event."""
    decision = decided(raw)
    if not isinstance(decision, Forward):
        return []
    return [
        f"{sent.endpoint}: {mistake}"
        for sent in decision.deliveries
        for mistake in contract.errors("POST", BY_NAME[sent.endpoint].path, orjson.loads(sent.body))
    ]


class TestEveryRow:
    @pytest.mark.parametrize("who", WHO)
    @pytest.mark.parametrize(("rule", "raw"), EVENTS)
    def test_keeps_our_contract(self, rule: Rule, raw: Raw, who: dict[str, str]) -> None:
        assert mistakes(ours(), about(raw, **who) | {"traits": raw.get("traits", {}) | who}) == []

    @pytest.mark.parametrize("who", WHO)
    @pytest.mark.parametrize(("rule", "raw"), EVENTS)
    def test_keeps_the_vendors_contract(self, rule: Rule, raw: Raw, who: dict[str, str], vendor: Contract) -> None:
        assert mistakes(vendor, about(raw, **who) | {"traits": raw.get("traits", {}) | who}) == []

    @pytest.mark.parametrize(("rule", "raw"), EVENTS)
    def test_is_reached_by_the_event_it_names(self, rule: Rule, raw: Raw) -> None:
        everybody = {"email": EMAIL, "phone": PHONE, "username": "ada"}
        sent = decided(about(raw, user_id=USER_ID, **everybody) | {"traits": raw.get("traits", {}) | everybody})
        assert isinstance(sent, Forward)
        assert rule.endpoint.name in [each.endpoint for each in sent.deliveries]

    def test_rides_at_the_priority_of_the_mapping(self) -> None:
        high = {
            "Product Added → add-to-cart",
            "Order Completed → purchase",
            "Checkout Started → custom-event",
            "Order Updated → custom-event",
            "Order Refunded → custom-event",
            "Order Cancelled → custom-event",
            "Payment Info Entered → custom-event",
        }
        low = {
            "Product Viewed → product-view",
            "Product List Viewed → custom-event",
            "Products Searched → custom-event",
            "Product Clicked → custom-event",
            "Promotion Viewed → custom-event",
            "Promotion Clicked → custom-event",
            "page → custom-event",
        }
        assert {rule.name for rule in CATALOGUE if rule.priority.name == "HIGH"} == high
        assert {rule.name for rule in CATALOGUE if rule.priority.name == "LOW"} == low


SHOP_EVENTS: Final = [
    pytest.param(json.loads(line), id=f"line {number}: {json.loads(line).get('event', json.loads(line)['type'])}")
    for number, line in enumerate(SHOP.read_text(encoding="utf-8").splitlines(), start=1)
    if line.strip()
]


class TestTheExampleShop:
    @pytest.mark.parametrize("raw", SHOP_EVENTS)
    def test_keeps_our_contract(self, raw: Raw) -> None:
        assert mistakes(ours(), raw) == []

    @pytest.mark.parametrize("raw", SHOP_EVENTS)
    def test_keeps_the_vendors_contract(self, raw: Raw, vendor: Contract) -> None:
        assert mistakes(vendor, raw) == []

    def test_is_mostly_forwarded(self) -> None:
        """Otherwise the two tests above would say nothing."""
        sent = [isinstance(decided(json.loads(line)), Forward) for line in SHOP.read_text("utf-8").splitlines()]
        assert sum(sent) > len(sent) * 3 / 4

    def test_shows_the_free_map_as_a_dead_letter(self) -> None:
        lines = [json.loads(line) for line in SHOP.read_text("utf-8").splitlines()]
        (free,) = [line for line in lines if line.get("properties", {}).get("price") == "free"]
        assert isinstance(decided(free), Fail)


class TestEveryEndpoint:
    @pytest.mark.parametrize("endpoint", [pytest.param(each, id=each.name) for each in ENDPOINTS])
    def test_is_what_the_contract_says(self, endpoint: Endpoint) -> None:
        operation = ours().operation("POST", endpoint.path)
        assert operation is not None
        assert (endpoint.scope, endpoint.calls_per_second) == (" ".join(operation.scopes), operation.calls_per_second)

    @pytest.mark.parametrize("endpoint", [pytest.param(each, id=each.name) for each in ENDPOINTS])
    def test_is_dated_when_its_body_may_carry_a_time_or_it_uses_somebodys_consent(self, endpoint: Endpoint) -> None:
        body = body_with_a_time = {"user": {"email": EMAIL}, "occurredAt": WHEN}
        mistakes_in_it = ours().errors("POST", endpoint.path, body_with_a_time)
        carries_one = not any("occurredAt" in mistake for mistake in mistakes_in_it)
        assert endpoint.dated == (carries_one or endpoint is SUBSCRIBE), body

    def test_has_a_name_and_a_path_of_its_own(self) -> None:
        assert len({each.name for each in ENDPOINTS}) == len({each.path for each in ENDPOINTS}) == len(ENDPOINTS)


USER: Final = {
    "phone": "+14155550132",
    "email": "ada@example.com",
    "externalIdentifiers": {
        "clientUserId": "customer-1042",
        "customIdentifiers": [{"name": "username", "value": "ada"}],
    },
}
KNOWN: Final = {
    "userId": "customer-1042",
    "context": {"traits": {"email": " Ada@Example.com ", "phone": "(415) 555-0132", "username": "ada"}},
}


class TestProductViewed:
    def test_becomes_a_product_view(self) -> None:
        raw = track("Product Viewed", PRODUCT | {"price": "$1,299.00", "currency": "cad"}, **KNOWN)
        assert calls(raw) == [
            (
                "product-view",
                {
                    "user": USER,
                    "occurredAt": "2026-03-01T11:59:58.250Z",
                    "items": [
                        {
                            "productId": "NP-3307",
                            "productVariantId": "RDG-W-75",
                            "price": [{"value": 1299.0, "currency": "CAD"}],
                            "name": "Ridgeline Trail Shoe",
                            "productImage": "https://cdn.shop.example/ridgeline.jpg",
                            "productUrl": "https://shop.example/products/ridgeline",
                            "quantity": 2,
                        }
                    ],
                },
            )
        ]

    def test_needs_no_more_than_an_id_and_a_price(self) -> None:
        raw = track("Product Viewed", {"sku": "A-1", "price": "19.99"})
        assert calls(raw) == [
            (
                "product-view",
                {
                    "user": {"email": "ada@example.com"},
                    "occurredAt": "2026-03-01T11:59:58.250Z",
                    "items": [
                        {
                            "productId": "A-1",
                            "productVariantId": "A-1",
                            "price": [{"value": 19.99, "currency": "USD"}],
                        }
                    ],
                },
            )
        ]


class TestProductAdded:
    def test_becomes_an_addition_to_the_cart(self) -> None:
        raw = track(
            "Product Added",
            {"id": 88, "variant_id": "88-M", "price": 12, "image": "https://shop.example/a.png", "quantity": "3"},
        )
        assert calls(raw) == [
            (
                "add-to-cart",
                {
                    "user": {"email": "ada@example.com"},
                    "occurredAt": "2026-03-01T11:59:58.250Z",
                    "items": [
                        {
                            "productId": "88",
                            "productVariantId": "88-M",
                            "price": [{"value": 12, "currency": "USD"}],
                            "productImage": "https://shop.example/a.png",
                            "quantity": 3,
                        }
                    ],
                },
            )
        ]


class TestOrderCompleted:
    def test_becomes_a_purchase_of_what_can_be_sent(self) -> None:
        raw = track(
            "Order Completed",
            {
                "order_id": "NP-100482",
                "currency": "cad",
                "total": 300,
                "products": [
                    {"product_id": "A", "sku": "A-1", "price": 129.95, "quantity": 1},
                    {"product_id": "B", "sku": "B-1", "name": "no price"},
                    {"product_id": "C", "variant": "M", "price": "39.95", "currency": "usd", "quantity": 0.5},
                ],
            },
        )
        assert calls(raw) == [
            (
                "purchase",
                {
                    "user": {"email": "ada@example.com"},
                    "occurredAt": "2026-03-01T11:59:58.250Z",
                    "items": [
                        {
                            "productId": "A",
                            "productVariantId": "A-1",
                            "price": [{"value": 129.95, "currency": "CAD"}],
                            "quantity": 1,
                        },
                        {"productId": "C", "productVariantId": "M", "price": [{"value": 39.95, "currency": "USD"}]},
                    ],
                    "orderId": "NP-100482",
                },
            )
        ]
        decision = decided(raw)
        assert isinstance(decision, Forward)
        assert [note for note in decision.notes if "products[1]" in note and "price" in note] != []

    @pytest.mark.parametrize(
        "products",
        [
            pytest.param([], id="of nothing"),
            pytest.param([{"product_id": "A"}, {"price": 5}], id="of nothing that can be sent"),
            pytest.param("NP-3307", id="of products that are no list"),
            pytest.param(None, id="of products that are null"),
            pytest.param(["NP-3307", None, 7], id="of products that are no objects"),
        ],
    )
    def test_is_kept_as_a_dead_letter(self, products: Any) -> None:
        decision = decided(track("Order Completed", {"order_id": "1", "products": products}))
        assert isinstance(decision, Fail)
        assert decision.reason == "unmappable"
        assert "properties.products" in decision.detail


PICKED: Final = [
    pytest.param(
        "Checkout Started",
        "affiliation coupon currency products discount order_id revenue shipping tax value",
        id="Checkout Started",
    ),
    pytest.param(
        "Order Updated",
        "affiliation coupon currency discount order_id products revenue shipping tax total",
        id="Order Updated",
    ),
    pytest.param(
        "Order Refunded",
        "affiliation checkout_id coupon currency discount order_id products revenue shipping tax total",
        id="Order Refunded",
    ),
    pytest.param(
        "Order Cancelled",
        "affiliation order_id total revenue shipping tax discount coupon currency products",
        id="Order Cancelled",
    ),
    pytest.param(
        "Order Canceled",
        "affiliation order_id total revenue shipping tax discount coupon currency products",
        id="Order Canceled",
    ),
    pytest.param("Cart Viewed", "cart_id currency products", id="Cart Viewed"),
]
PASSED_THROUGH: Final = [
    pytest.param(name, id=name)
    for name in (
        "Payment Info Entered",
        "Product Removed",
        "Coupon Entered",
        "Product Added to Wishlist",
        "Product List Viewed",
        "Products Searched",
        "Product Clicked",
        "Promotion Viewed",
        "Promotion Clicked",
        "Boot Fitting Booked",
    )
]


class TestCustomEvents:
    @pytest.mark.parametrize(("event", "names"), PICKED)
    def test_carry_the_properties_of_their_row_alone(self, event: str, names: str) -> None:
        assert calls(track(event, EVERYTHING)) == [
            (
                "custom-event",
                {
                    "type": event,
                    "user": {"email": "ada@example.com"},
                    "occurredAt": "2026-03-01T11:59:58.250Z",
                    "externalEventId": "message-1",
                    "properties": {name: EVERYTHING[name] for name in names.split()},
                },
            )
        ]

    @pytest.mark.parametrize("event", PASSED_THROUGH)
    def test_carry_all_properties_where_the_row_picks_none(self, event: str) -> None:
        assert calls(track(event, EVERYTHING)) == [
            (
                "custom-event",
                {
                    "type": event,
                    "user": {"email": "ada@example.com"},
                    "occurredAt": "2026-03-01T11:59:58.250Z",
                    "externalEventId": "message-1",
                    "properties": {key: value for key, value in EVERYTHING.items() if key != "referrer"},  # empty
                },
            )
        ]

    def test_write_the_currency_of_a_checkout_in_capitals(self) -> None:
        assert body_of(track("Checkout Started", {"currency": "usd"}))["properties"] == {"currency": "USD"}

    def test_leave_properties_out_when_there_are_none(self) -> None:
        assert "properties" not in body_of(track("Coupon Entered", {}))


class TestPage:
    def test_becomes_a_custom_event_of_type_page(self) -> None:
        raw = page({**EVERYTHING, "name": "Shoes"}, name="Shoes")
        assert calls(raw) == [
            (
                "custom-event",
                {
                    "type": "page",
                    "user": {"email": "ada@example.com"},
                    "occurredAt": "2026-03-01T11:59:58.250Z",
                    "externalEventId": "message-1",
                    "properties": {
                        "path": "/shoes",
                        "search": "?q=shoes",
                        "title": "Shoes",
                        "url": "https://shop.example/shoes",
                    },
                },
            )
        ]


ONE_ACCOUNT: Final = Destination(api_token=SecretStr("token"), attributes=Attributes(endpoint="v1"))
FIRST_VERSION: Final = plan_of(ONE_ACCOUNT)


class TestIdentify:
    def test_becomes_an_identity_call_and_user_attributes(self) -> None:
        raw = identify(
            {
                "email": "Ada@Example.com",
                "phone": "+1 415 555 0132",
                "username": "ada",
                "shopify_id": 345678901,
                "klaviyo_id": "01HXKV",
                "firstName": "Ada",
                "last_name": "Lovelace",
                "birthday": "1986-11-16",
                "language": "en",
                "company": {"name": "Analytical Engines"},
                "address": {
                    "street": "12 St James Square",
                    "city": "London",
                    "state": "",
                    "postalCode": "SW1Y 4JH",
                    "country": "gb",
                },
                "loyalty_tier": "gold",
                "points": 24,
                "vip": True,
                "interests": ["tents", "maps"],
                "nothing": None,
            },
            userId="customer-1042",
        )
        assert calls(raw) == [
            (
                "identity",
                {
                    "phone": "+14155550132",
                    "email": "ada@example.com",
                    "shopifyId": "345678901",
                    "klaviyoId": "01HXKV",
                    "clientUserId": "customer-1042",
                    "customIdentifiers": [{"name": "username", "value": "ada"}],
                },
            ),
            (
                "user-attributes",
                {
                    "identifiers": {
                        "phone": "+14155550132",
                        "email": "ada@example.com",
                        "shopifyId": "345678901",
                        "klaviyoId": "01HXKV",
                        "clientUserId": "customer-1042",
                        "customIdentifiers": [{"key": "username", "value": "ada"}],
                    },
                    "attributes": {
                        "firstName": "Ada",
                        "lastName": "Lovelace",
                        "demographic": {
                            "dateOfBirth": "1986-11-16",
                            "language": "en",
                            "organization": "Analytical Engines",
                        },
                        "location": {
                            "address1": "12 St James Square",
                            "city": "London",
                            "zip": "SW1Y 4JH",
                            "country": "GB",
                        },
                        "custom": {
                            "loyalty_tier": "gold",
                            "points": 24,
                            "vip": True,
                            "interests": "tents, maps",
                        },
                    },
                },
            ),
        ]

    def test_becomes_custom_attributes_of_the_first_version_where_that_is_wanted(self) -> None:
        raw = identify({"email": EMAIL, "firstName": "Ada", "address": {"city": "London"}, "vip": True}, userId=USER_ID)
        assert calls(raw, plan=FIRST_VERSION)[1:] == [
            (
                "custom-attributes",
                {
                    "user": {"email": EMAIL, "externalIdentifiers": {"clientUserId": USER_ID}},
                    "properties": {"firstName": "Ada", "address_city": "London", "vip": True},
                },
            )
        ]

    @pytest.mark.parametrize("who", WHO)
    def test_keeps_the_contracts_in_the_first_version_too(self, who: dict[str, str], vendor: Contract) -> None:
        raw = about(identify(), **who)
        raw["traits"] |= TRAITS
        (sent,) = [each for each in calls(raw, plan=FIRST_VERSION) if each[0] == "custom-attributes"]
        path = BY_NAME[sent[0]].path
        assert ours().errors("POST", path, sent[1]) + vendor.errors("POST", path, sent[1]) == []

    @pytest.mark.parametrize(
        ("raw", "endpoints"),
        [
            pytest.param(identify({"email": EMAIL}, userId="7"), ["identity"], id="an e-mail address and a user id"),
            pytest.param(identify({"username": "ada"}, userId="7"), ["identity"], id="a user id and a custom id"),
            pytest.param(identify({"email": EMAIL, "vip": 1}), ["user-attributes"], id="an e-mail address and a trait"),
            pytest.param(
                identify({"email": EMAIL, "phone": PHONE, "vip": 1}), ["user-attributes"], id="no external identifier"
            ),
            pytest.param(identify({"vip": 1}, userId="7"), ["user-attributes"], id="a user id alone, and a trait"),
        ],
    )
    def test_makes_just_the_calls_that_say_something(self, raw: Raw, endpoints: list[str]) -> None:
        assert [name for name, _ in calls(raw)] == endpoints
