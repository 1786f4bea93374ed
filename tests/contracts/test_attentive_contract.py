"""The contract is sound, agrees with the documents, accepts the gateway's calls and refuses known mistakes."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.contracts.attentive_contract import OURS, Contract, Operation
from tests.documents import read_yaml

PRODUCT_VIEW = "/v1/events/ecommerce/product-view"
ADD_TO_CART = "/v1/events/ecommerce/add-to-cart"
PURCHASE = "/v1/events/ecommerce/purchase"
CUSTOM_EVENT = "/v1/events/custom"
CUSTOM_ATTRIBUTES = "/v1/attributes/custom"
USER_ATTRIBUTES = "/v2/user/attributes"
IDENTITY = "/v1/identity-resolution/user-identifiers"
SUBSCRIBE = "/v1/subscriptions"
UNSUBSCRIBE = "/v1/subscriptions/unsubscribe"
ERASE = "/v1/privacy/delete-request"
ERASURE = "/v1/privacy/delete-request/{id}"

WHEN = "2026-03-01T12:00:00.000Z"
EMAIL = {"email": "ada@example.com"}
ITEM = {"productId": "shirt", "productVariantId": "shirt-blue-m", "price": [{"value": 19.99, "currency": "USD"}]}
FULL_ITEM = ITEM | {
    "name": "Shirt",
    "productImage": "https://example.com/shirt.png",
    "productUrl": "https://example.com/shirt",
    "quantity": 2,
}
PAIRS = [{"name": "username", "value": "ada"}]
CONSENT = {"signUpSourceId": "12345", "channel": "EMAIL", "subscriptionType": "MARKETING"}

# Path, scopes, calls a second, documented statuses. Source: Attentive's API reference and its rate limits page.
E6 = "400 401 403 404 429 500"
OPERATIONS = (
    ("POST", PRODUCT_VIEW, "ecommerce:write", 150, f"200 {E6}"),
    ("POST", ADD_TO_CART, "ecommerce:write", 150, f"200 {E6}"),
    ("POST", PURCHASE, "ecommerce:write", 150, f"200 {E6}"),
    ("POST", CUSTOM_EVENT, "events:write", 150, f"200 {E6}"),
    ("POST", CUSTOM_ATTRIBUTES, "attributes:write", 150, f"200 {E6}"),
    ("GET", CUSTOM_ATTRIBUTES, "attributes:write", 150, f"200 {E6}"),
    ("POST", USER_ATTRIBUTES, "attributes:write subscriptions:write", 150, f"202 {E6}"),
    ("POST", "/v2/segments", "segments:write", 100, "201 400 401 403 429 500"),
    ("GET", "/v2/segments/external/{id}", "segments:read", 100, "200 401 403 404 429 500"),
    ("POST", "/v2/bulk/segments/members", "segments:write", 100, f"202 {E6}"),
    ("DELETE", "/v2/bulk/segments/members", "segments:write", 100, f"202 {E6}"),
    ("POST", "/v2/bulk/user/attributes", "attributes:write subscriptions:write", 100, f"202 {E6}"),
    ("GET", "/v2/bulk/job/{id}", "", 100, "200"),
    ("POST", IDENTITY, "identity:write", 10, "202 400 429"),
    ("POST", SUBSCRIBE, "subscriptions:write", 10, f"202 {E6}"),
    ("GET", SUBSCRIBE, "subscriptions:read", 10, f"200 {E6}"),
    ("POST", UNSUBSCRIBE, "subscriptions:write", 5, f"202 {E6}"),
    ("POST", ERASE, "privacy_requests:write", 150, f"200 {E6}"),
    ("GET", ERASURE, "privacy_requests:read", 150, "200 401 403 404 429 500"),
    ("GET", "/v1/me", "", 150, f"200 {E6}"),
    ("GET", "/v2/me", "", 150, f"200 {E6}"),
)


def viewed(**changes: Any) -> dict[str, Any]:
    """A product view, or any other body about items, with some of its parts changed."""
    return {"user": EMAIL, "occurredAt": WHEN, "items": [ITEM]} | changes


def item(**changes: Any) -> dict[str, Any]:
    """A product view of one changed item."""
    return viewed(items=[FULL_ITEM | changes])


def priced(**price: Any) -> dict[str, Any]:
    """A product view of one item with this price."""
    return item(price=[price])


def about(**user: Any) -> dict[str, Any]:
    """A product view by this user."""
    return viewed(user=user)


def happened(**changes: Any) -> dict[str, Any]:
    """A custom event with some of its parts changed."""
    return {"type": "Checkout Started", "user": EMAIL, "occurredAt": WHEN, "externalEventId": "message-1"} | changes


def properties(**values: Any) -> dict[str, Any]:
    """A custom event with these properties."""
    return happened(properties=values)


def attributes(values: Mapping[str, Any]) -> dict[str, Any]:
    """A v1 attributes body with these custom attributes."""
    return {"user": EMAIL, "properties": values}


def upsert(**parts: Any) -> dict[str, Any]:
    """A v2 attributes body with these well-known attributes."""
    return {"identifiers": EMAIL, "attributes": parts}


def without(body: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The same body, one key fewer."""
    return {name: value for name, value in body.items() if name != key}


GOOD = [
    pytest.param(PRODUCT_VIEW, viewed(), id="a product view"),
    pytest.param(PRODUCT_VIEW, without(viewed(), "occurredAt"), id="a product view without a time"),
    pytest.param(PRODUCT_VIEW, about(phone="+15005550006"), id="a view by a phone number"),
    pytest.param(PRODUCT_VIEW, about(externalIdentifiers={"clientUserId": "7"}), id="a view by a client user id"),
    pytest.param(PRODUCT_VIEW, about(externalIdentifiers={"customIdentifiers": PAIRS}), id="a view by a custom id"),
    pytest.param(PRODUCT_VIEW, item(), id="an item with everything"),
    pytest.param(PRODUCT_VIEW, priced(value=0), id="an item that is free"),
    pytest.param(PRODUCT_VIEW, priced(value=20), id="a price in whole units, without a currency"),
    pytest.param(ADD_TO_CART, item(), id="an addition to the cart"),
    pytest.param(PURCHASE, viewed(), id="an order without an id"),
    pytest.param(PURCHASE, viewed(items=[ITEM, FULL_ITEM], orderId="order-1001"), id="an order of two items"),
    pytest.param(PURCHASE, viewed(salesChannel={"channelType": "WEB"}), id="an order from the web"),
    pytest.param(CUSTOM_EVENT, happened(), id="a custom event without properties"),
    pytest.param(CUSTOM_EVENT, properties(), id="a custom event with no property"),
    pytest.param(CUSTOM_EVENT, happened(type="x" * 200), id="an event type of 200 characters"),
    pytest.param(CUSTOM_EVENT, happened(type="Größe: 50 % / ja?"), id="an event type with allowed signs"),
    pytest.param(
        CUSTOM_EVENT,
        properties(total=9.5, paid=True, note="", products=[{"sku": "a", "tags": [["x"], []]}], cart={}),
        id="properties nested as deep as one likes",
    ),
    pytest.param(CUSTOM_EVENT, properties(note='a {curly}, [square] "value" | ok'), id="forbidden signs in a value"),
    pytest.param(CUSTOM_EVENT, properties(mediaUrl="https://example.com/a.png"), id="a picture for the message"),
    pytest.param(CUSTOM_ATTRIBUTES, attributes({"age": 24, "VIP": True, "team": "Vikings"}), id="custom attributes"),
    pytest.param(CUSTOM_ATTRIBUTES, attributes({"n" * 200: 1}), id="an attribute name of 200 characters"),
    pytest.param(CUSTOM_ATTRIBUTES, attributes({f"n{n}": n for n in range(100)}), id="a hundred attributes"),
    pytest.param(USER_ATTRIBUTES, upsert(firstName="Ada", lastName="Lovelace"), id="a person's names"),
    pytest.param(
        USER_ATTRIBUTES,
        {
            "identifiers": {
                "email": "ada@example.com",
                "phone": "+15005550006",
                "shopifyId": "345678901",
                "klaviyoId": "a1b2",
                "clientUserId": "7",
                "customIdentifiers": [{"key": "username", "value": "ada"}],
            },
            "attributes": {
                "firstName": "Ada",
                "lastName": "Lovelace",
                "demographic": {
                    "language": "English",
                    "dateOfBirth": "1986-11-16",
                    "age": 39,
                    "organization": "Analytical Engines",
                    "title": "Countess",
                    "website": "https://example.com",
                },
                "location": {
                    "address1": "456 Elm Avenue",
                    "address2": "Suite 300",
                    "city": "Sydney",
                    "state": "NSW",
                    "zip": "2000",
                    "latitude": "-33.8688",
                    "longitude": "151.2093",
                    "country": "AU",
                    "region": "AU-NSW",
                    "timezone": "Australia/Sydney",
                },
                "locale": {"language": "en", "country": "AU"},
                "custom": {"lucky number": 6, "has pets": True},
            },
            "subscriptions": [CONSENT | {"singleOptIn": False}],
        },
        id="everything about a person",
    ),
    pytest.param(IDENTITY, EMAIL | {"clientUserId": "7"}, id="a link of e-mail and client user id"),
    pytest.param(IDENTITY, {"klaviyoId": "k", "customIdentifiers": PAIRS}, id="a link of Klaviyo id and custom id"),
    pytest.param(IDENTITY, {"clientUserId": "7", "customIdentifiers": PAIRS}, id="a link of the shop's own two ids"),
    pytest.param(
        IDENTITY, {"customIdentifiers": [*PAIRS, {"name": "card", "value": "9"}]}, id="a link of two custom ids"
    ),
    pytest.param(SUBSCRIBE, {"user": EMAIL, "signUpSourceId": "12345"}, id="a subscription by sign-up source"),
    pytest.param(
        SUBSCRIBE,
        {
            "user": {"phone": "+15005550006"},
            "locale": {"language": "en", "country": "US"},
            "subscriptionType": "MARKETING",
            "externalIdentifiers": {"clientUserId": "7", "shopifyId": "1", "customIdentifiers": PAIRS},
            "singleOptIn": False,
        },
        id="a subscription by locale and type",
    ),
    pytest.param(UNSUBSCRIBE, {"user": EMAIL}, id="an end to everything"),
    pytest.param(
        UNSUBSCRIBE,
        {
            "user": EMAIL,
            "subscriptions": [{"type": "MARKETING", "channel": "EMAIL"}],
            "notification": {"language": "fr-CA", "disabled": True},
        },
        id="a quiet end to one subscription",
    ),
    pytest.param(ERASE, {"subjectEmail": "ada@example.com", "requestMsg": "asked for"}, id="an erasure by e-mail"),
    pytest.param(ERASE, {"clientUserId": "ada@example.com"}, id="an erasure of an id that should not have been"),
]

# Path, body, and the start of the one error or of each error expected: the place, so that no other flaw passes for it.
BAD = [
    # The user
    pytest.param(PRODUCT_VIEW, about(), "user", id="nobody"),
    pytest.param(PRODUCT_VIEW, without(viewed(), "user"), "body", id="no user"),
    pytest.param(PRODUCT_VIEW, about(clientUserId="7"), "user", id="a client user id beside externalIdentifiers"),
    pytest.param(PRODUCT_VIEW, about(email="ada@example.com", shopifyId="1"), "user", id="a Shopify id on an event"),
    pytest.param(PRODUCT_VIEW, about(email=""), "user.email", id="an empty e-mail"),
    pytest.param(PRODUCT_VIEW, about(email=None), "user.email", id="an e-mail that is null"),
    pytest.param(PRODUCT_VIEW, about(email="ada"), "user.email", id="an e-mail that is none"),
    pytest.param(
        PRODUCT_VIEW, about(email="a" * 100 + "@example.com"), "user.email", id="an e-mail over 100 characters"
    ),
    pytest.param(PRODUCT_VIEW, about(phone="15005550006"), "user.phone", id="a phone number without its plus"),
    pytest.param(PRODUCT_VIEW, about(phone="+1 500 555 0006"), "user.phone", id="a phone number with blanks"),
    pytest.param(PRODUCT_VIEW, about(phone="+05005550006"), "user.phone", id="a phone number of country zero"),
    pytest.param(PRODUCT_VIEW, about(phone="+15005550006\n"), "user.phone", id="a phone number and a line feed"),
    pytest.param(PRODUCT_VIEW, about(phone=15005550006), "user.phone", id="a phone number that is a number"),
    pytest.param(PRODUCT_VIEW, about(externalIdentifiers={}), "user.externalIdentifiers", id="no external identifier"),
    pytest.param(
        PRODUCT_VIEW,
        about(externalIdentifiers={"clientUserId": " "}),
        "user.externalIdentifiers.clientUserId",
        id="a blank client user id",
    ),
    pytest.param(
        PRODUCT_VIEW,
        about(externalIdentifiers={"clientUserId": "x" * 101}),
        "user.externalIdentifiers.clientUserId",
        id="a client user id of 101 characters",
    ),
    pytest.param(
        PRODUCT_VIEW,
        about(externalIdentifiers={"clientUserId": "ada@example.com"}),
        "user.externalIdentifiers.clientUserId",
        id="an e-mail as client user id",
    ),
    pytest.param(
        PRODUCT_VIEW,
        about(externalIdentifiers={"clientUserId": "+15005550006"}),
        "user.externalIdentifiers.clientUserId",
        id="a phone number as client user id",
    ),
    pytest.param(
        PRODUCT_VIEW,
        about(externalIdentifiers={"clientUserId": 7}),
        "user.externalIdentifiers.clientUserId",
        id="a client user id that is a number",
    ),
    pytest.param(
        PRODUCT_VIEW,
        about(externalIdentifiers={"customIdentifiers": {"username": "ada"}}),
        "user.externalIdentifiers.customIdentifiers",
        id="custom ids as a map",
    ),
    pytest.param(
        PRODUCT_VIEW,
        about(externalIdentifiers={"customIdentifiers": []}),
        "user.externalIdentifiers.customIdentifiers",
        id="an empty list of custom ids",
    ),
    pytest.param(
        PRODUCT_VIEW,
        about(externalIdentifiers={"customIdentifiers": [{"name": "username", "value": ""}]}),
        "user.externalIdentifiers.customIdentifiers[0].value",
        id="a custom id without a value",
    ),
    pytest.param(
        PRODUCT_VIEW,
        about(externalIdentifiers={"customIdentifiers": [{"key": "username", "value": "ada"}]}),
        "user.externalIdentifiers.customIdentifiers[0]",
        id="a custom id in the form of the second version",
    ),
    # Items
    pytest.param(PRODUCT_VIEW, viewed(items=[]), "items", id="no items"),
    pytest.param(PRODUCT_VIEW, viewed(items=ITEM), "items", id="one item outside a list"),
    pytest.param(PRODUCT_VIEW, without(viewed(), "items"), "body", id="items left out"),
    pytest.param(PRODUCT_VIEW, viewed(items=[without(ITEM, "productId")]), "items[0]", id="a missing product id"),
    pytest.param(
        PRODUCT_VIEW, viewed(items=[without(ITEM, "productVariantId")]), "items[0]", id="a missing variant id"
    ),
    pytest.param(PRODUCT_VIEW, viewed(items=[without(ITEM, "price")]), "items[0]", id="a missing price"),
    pytest.param(PRODUCT_VIEW, item(productVariantId=""), "items[0].productVariantId", id="an empty variant id"),
    pytest.param(PRODUCT_VIEW, item(productId=7), "items[0].productId", id="a product id that is a number"),
    pytest.param(PRODUCT_VIEW, item(productName="Shirt"), "items[0]", id="an item key that is not known"),
    pytest.param(PRODUCT_VIEW, item(name=None), "items[0].name", id="a name that is null"),
    pytest.param(PRODUCT_VIEW, item(price=[]), "items[0].price", id="an empty list of prices"),
    pytest.param(PRODUCT_VIEW, item(price={"value": 19.99}), "items[0].price", id="a price outside a list"),
    pytest.param(PRODUCT_VIEW, priced(value="19"), "items[0].price[0].value", id="a price of whole units as text"),
    pytest.param(PRODUCT_VIEW, priced(value="19.99"), "items[0].price[0].value", id="a price as text"),
    pytest.param(PRODUCT_VIEW, priced(value=-1), "items[0].price[0].value", id="a price below zero"),
    pytest.param(PRODUCT_VIEW, priced(value=True), "items[0].price[0].value", id="a price that is true"),
    pytest.param(PRODUCT_VIEW, priced(value=float("nan")), "body", id="a price that is not a number"),
    pytest.param(PRODUCT_VIEW, priced(currency="USD"), "items[0].price[0]", id="a currency without a price"),
    pytest.param(PRODUCT_VIEW, priced(value=1, currency="usd"), "items[0].price[0].currency", id="a small currency"),
    pytest.param(PRODUCT_VIEW, priced(value=1, amount=1), "items[0].price[0]", id="a price key that is not known"),
    pytest.param(PRODUCT_VIEW, item(quantity=0), "items[0].quantity", id="a quantity of nothing"),
    pytest.param(PRODUCT_VIEW, item(quantity=1.5), "items[0].quantity", id="a quantity with a fraction"),
    pytest.param(PRODUCT_VIEW, item(quantity="2"), "items[0].quantity", id="a quantity as text"),
    # The rest of an eCommerce event
    pytest.param(PRODUCT_VIEW, viewed(occuredAt=WHEN), "body", id="occurredAt misspelt"),
    pytest.param(PRODUCT_VIEW, viewed(externalEventId="1"), "body", id="an event id on an eCommerce event"),
    pytest.param(PRODUCT_VIEW, viewed(orderId="1"), "body", id="an order id on a view"),
    pytest.param(ADD_TO_CART, viewed(orderId="1"), "body", id="an order id on a cart"),
    pytest.param(PURCHASE, viewed(orderId=""), "orderId", id="an empty order id"),
    pytest.param(PURCHASE, viewed(orderId=1001), "orderId", id="an order id that is a number"),
    pytest.param(PURCHASE, viewed(total=19.99), "body", id="an order total"),
    pytest.param(
        PURCHASE, viewed(salesChannel={"channelType": "web"}), "salesChannel.channelType", id="a small channel"
    ),
    # The time
    pytest.param(PRODUCT_VIEW, viewed(occurredAt="2026-03-01T12:00:00Z"), "occurredAt", id="a time to the second"),
    pytest.param(PRODUCT_VIEW, viewed(occurredAt="2026-03-01T12:00:00.000"), "occurredAt", id="a time without a zone"),
    pytest.param(
        PRODUCT_VIEW, viewed(occurredAt="2026-03-01T12:00:00.000+01:00"), "occurredAt", id="a time in another zone"
    ),
    pytest.param(PRODUCT_VIEW, viewed(occurredAt="2026-13-01T12:00:00.000Z"), "occurredAt", id="a thirteenth month"),
    pytest.param(PRODUCT_VIEW, viewed(occurredAt=1772366400), "occurredAt", id="a time in seconds"),
    pytest.param(PRODUCT_VIEW, viewed(occurredAt=None), "occurredAt", id="a time that is null"),
    # Custom events
    pytest.param(CUSTOM_EVENT, without(happened(), "type"), "body", id="no event type"),
    pytest.param(CUSTOM_EVENT, happened(type=""), "type", id="an empty event type"),
    pytest.param(CUSTOM_EVENT, happened(type="  "), "type", id="a blank event type"),
    pytest.param(CUSTOM_EVENT, happened(type="x" * 201), "type", id="an event type of 201 characters"),
    pytest.param(CUSTOM_EVENT, happened(externalEventId=""), "externalEventId", id="an empty event id"),
    pytest.param(CUSTOM_EVENT, happened(event="Checkout Started"), "body", id="an event key that is not known"),
    pytest.param(CUSTOM_EVENT, happened(items=[ITEM]), "body", id="items on a custom event"),
    pytest.param(CUSTOM_EVENT, happened(properties=[]), "properties", id="properties as a list"),
    pytest.param(CUSTOM_EVENT, happened(properties=None), "properties", id="properties that are null"),
    pytest.param(CUSTOM_EVENT, properties(coupon=None), "properties.coupon", id="a property that is null"),
    pytest.param(
        CUSTOM_EVENT, properties(a=[{"b": [1, None]}]), "properties.a[0].b[1]", id="a null deep in properties"
    ),
    pytest.param(
        CUSTOM_EVENT, properties(a=[{"b": {"c[0]": 1}}]), "properties.a[0].b", id="a forbidden sign deep in properties"
    ),
    pytest.param(CUSTOM_EVENT, properties(a=[[{"": 1}]]), "properties.a[0][0]", id="an empty key deep in properties"),
    pytest.param(CUSTOM_EVENT, properties(mediaUrl=1), "properties.mediaUrl", id="a picture that is a number"),
    # Attributes, first version
    pytest.param(CUSTOM_ATTRIBUTES, attributes({}), "properties", id="no attribute"),
    pytest.param(CUSTOM_ATTRIBUTES, {"user": EMAIL}, "body", id="attributes left out"),
    pytest.param(CUSTOM_ATTRIBUTES, attributes({"a": None}), "properties.a", id="an attribute that is null"),
    pytest.param(CUSTOM_ATTRIBUTES, attributes({"a": [1]}), "properties.a", id="an attribute that is a list"),
    pytest.param(CUSTOM_ATTRIBUTES, attributes({"a": {"b": 1}}), "properties.a", id="an attribute that is an object"),
    pytest.param(CUSTOM_ATTRIBUTES, attributes({"n" * 201: 1}), "properties", id="an attribute name of 201 characters"),
    pytest.param(CUSTOM_ATTRIBUTES, attributes({"a,b": 1}), "properties", id="a comma in an attribute name"),
    pytest.param(CUSTOM_ATTRIBUTES, attributes({f"n{n}": n for n in range(101)}), "properties", id="101 attributes"),
    pytest.param(
        CUSTOM_ATTRIBUTES, attributes({"a": 1}) | {"occurredAt": WHEN}, "body", id="a time on the first attributes call"
    ),
    # Attributes, second version
    pytest.param(USER_ATTRIBUTES, {"attributes": {"firstName": "Ada"}}, "body", id="attributes of nobody"),
    pytest.param(USER_ATTRIBUTES, {"identifiers": {}}, "identifiers", id="no identifier"),
    pytest.param(USER_ATTRIBUTES, {"identifiers": {"phone": "500"}}, "identifiers.phone", id="a v2 phone out of form"),
    pytest.param(
        USER_ATTRIBUTES,
        {"identifiers": {"customIdentifiers": PAIRS}},
        "identifiers.customIdentifiers[0]",
        id="a custom id in the form of the first version",
    ),
    pytest.param(USER_ATTRIBUTES, {"user": EMAIL, "identifiers": EMAIL}, "body", id="a user on the second version"),
    pytest.param(USER_ATTRIBUTES, upsert(email="ada@example.com"), "attributes", id="an e-mail among the attributes"),
    pytest.param(USER_ATTRIBUTES, upsert(firstName=""), "attributes.firstName", id="an empty first name"),
    pytest.param(USER_ATTRIBUTES, upsert(custom={}), "attributes.custom", id="an object with nothing in it"),
    pytest.param(USER_ATTRIBUTES, upsert(custom={"a": []}), "attributes.custom.a", id="a v2 attribute that is a list"),
    pytest.param(USER_ATTRIBUTES, upsert(custom={"a|b": 1}), "attributes.custom", id="a bar in a v2 attribute name"),
    pytest.param(
        USER_ATTRIBUTES,
        upsert(demographic={"dateOfBirth": "16.11.1986"}),
        "attributes.demographic.dateOfBirth",
        id="a birthday in another form",
    ),
    pytest.param(
        USER_ATTRIBUTES,
        upsert(demographic={"dateOfBirth": "1986-02-30"}),
        "attributes.demographic.dateOfBirth",
        id="a birthday that is no day",
    ),
    pytest.param(
        USER_ATTRIBUTES, upsert(demographic={"age": "39"}), "attributes.demographic.age", id="an age that is text"
    ),
    pytest.param(
        USER_ATTRIBUTES,
        upsert(location={"latitude": 40.7}),
        "attributes.location.latitude",
        id="a latitude as a number",
    ),
    pytest.param(
        USER_ATTRIBUTES,
        upsert(location={"country": "Norway"}),
        "attributes.location.country",
        id="a country's full name",
    ),
    pytest.param(
        USER_ATTRIBUTES,
        {"identifiers": EMAIL, "subscriptions": [CONSENT | {"channel": "PUSH"}]},
        "subscriptions[0].channel",
        id="a channel that is not known",
    ),
    # Identity
    pytest.param(IDENTITY, {}, "body", id="a link of nothing"),
    pytest.param(IDENTITY, {"clientUserId": "7"}, "body", id="a client user id alone"),
    pytest.param(IDENTITY, {"customIdentifiers": PAIRS}, "body", id="one custom id alone"),
    pytest.param(IDENTITY, EMAIL | {"phone": "+15005550006"}, "body", id="an e-mail and a phone number alone"),
    pytest.param(IDENTITY, EMAIL | {"userId": "7", "clientUserId": "7"}, "body", id="a link key that is not known"),
    pytest.param(IDENTITY, {"user": EMAIL, "clientUserId": "7"}, "body", id="a link with a nested user"),
    pytest.param(IDENTITY, {"clientUserId": "7", "shopifyId": 1}, "shopifyId", id="a Shopify id that is a number"),
    # Consent
    pytest.param(SUBSCRIBE, {"user": EMAIL}, "body", id="no sign-up source"),
    pytest.param(
        SUBSCRIBE,
        {"user": EMAIL, "signUpSourceId": "1", "locale": {"language": "en", "country": "US"}},
        "body",
        id="a sign-up source named in two ways",
    ),
    pytest.param(
        SUBSCRIBE, {"user": EMAIL, "locale": {"language": "en", "country": "US"}}, "body", id="a locale without a type"
    ),
    pytest.param(SUBSCRIBE, {"user": {}, "signUpSourceId": "1"}, "user", id="consent of nobody"),
    pytest.param(
        SUBSCRIBE,
        {"user": EMAIL | {"externalIdentifiers": {"clientUserId": "7"}}, "signUpSourceId": "1"},
        "user",
        id="external identifiers inside a subscriber",
    ),
    pytest.param(
        SUBSCRIBE, {"user": EMAIL, "signUpSourceId": "1", "occurredAt": WHEN}, "body", id="a time on a subscription"
    ),
    pytest.param(UNSUBSCRIBE, {"user": EMAIL, "subscriptions": []}, "subscriptions", id="an end to an empty list"),
    pytest.param(
        UNSUBSCRIBE,
        {"user": EMAIL, "notification": {"language": "en-GB"}},
        "notification.language",
        id="a language that is not spoken",
    ),
    # Erasure
    pytest.param(ERASE, {"requestMsg": "asked for"}, "body", id="an erasure of nobody"),
    pytest.param(ERASE, {"subscriberEmail": "ada@example.com"}, "body", id="an erasure by a field of the sample text"),
    pytest.param(ERASE, {"subjectPhone": "5005550006"}, "subjectPhone", id="an erasure by a phone out of form"),
]


@pytest.fixture(scope="module")
def ours() -> Contract:
    return Contract.ours()


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded = read_yaml(OURS)
    assert isinstance(loaded, dict)
    return loaded


class TestTheDocument:
    def test_is_valid_openapi_3_1(self, document: dict[str, Any]) -> None:
        assert document["openapi"] == "3.1.0"
        assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []

    def test_has_the_operations_that_the_gateway_calls_and_no_others(self, ours: Contract) -> None:
        assert {(o.method, o.path) for o in ours.operations} == {(method, path) for method, path, *_ in OPERATIONS}

    @pytest.mark.parametrize(
        ("method", "path", "scopes", "calls_per_second", "statuses"),
        [pytest.param(*row, id=f"{row[0]} {row[1]}") for row in OPERATIONS],
    )
    def test_names_scopes_limit_and_statuses_of_every_operation(
        self, ours: Contract, method: str, path: str, scopes: str, calls_per_second: int, statuses: str
    ) -> None:
        operation = the(ours, method, path)
        assert operation.scopes == tuple(scopes.split())
        assert operation.calls_per_second == calls_per_second
        assert sorted(operation.spec["responses"]) == statuses.split()

    def test_wants_a_bearer_key_for_every_operation(self, ours: Contract, document: dict[str, Any]) -> None:
        assert document["security"] == [{"apiKey": []}]
        assert document["components"]["securitySchemes"]["apiKey"]["scheme"] == "bearer"
        assert [o.path for o in ours.operations if "security" in o.spec] == []

    def test_gives_every_answer_both_rate_limit_headers(self, ours: Contract, document: dict[str, Any]) -> None:
        for operation in ours.operations:
            for status, answer in operation.spec["responses"].items():
                headers = resolved(answer, document)["headers"]
                assert set(headers) == {"x-ratelimit-limit", "x-ratelimit-remaining"}, (operation.path, status)

    def test_closes_every_request_object(self, ours: Contract, document: dict[str, Any]) -> None:
        found = 0
        for operation in ours.operations:
            if operation.body is None:
                continue
            for schema in objects(operation.spec["requestBody"]["content"]["application/json"]["schema"], document):
                found += 1
                # A bag of free keys is no open object: what its values may be is said.
                assert schema["additionalProperties"] is False or schema["additionalProperties"], schema
        assert found > 20

    def test_gives_examples_that_are_valid(self, ours: Contract) -> None:
        posts = [o for o in ours.operations if o.body is not None]
        assert len(posts) == 14
        for post in posts:
            example = post.spec["requestBody"]["content"]["application/json"]["example"]
            assert ours.errors(post.method, post.path, example) == [], post.path


class TestBodies:
    @pytest.mark.parametrize(("path", "body"), GOOD)
    def test_what_we_mean_to_send_is_valid(self, ours: Contract, path: str, body: Mapping[str, Any]) -> None:
        assert ours.errors("POST", path, body) == []

    @pytest.mark.parametrize(("path", "body", "place"), BAD)
    def test_a_known_mistake_is_refused_at_its_place(
        self, ours: Contract, path: str, body: Mapping[str, Any], place: str
    ) -> None:
        assert {error.split(": ")[0] for error in ours.errors("POST", path, body)} == {place}

    @pytest.mark.parametrize("sign", list("\"'(){}[]\\|,"))
    @pytest.mark.parametrize(
        ("path", "named"),
        [
            pytest.param(CUSTOM_EVENT, lambda name: happened(type=name), id="event type"),
            pytest.param(CUSTOM_EVENT, lambda name: happened(properties={name: 1}), id="property key"),
            pytest.param(CUSTOM_EVENT, lambda name: properties(a=[{"b": {name: 1}}]), id="nested property key"),
            pytest.param(CUSTOM_ATTRIBUTES, lambda name: attributes({name: 1}), id="attribute name"),
            pytest.param(USER_ATTRIBUTES, lambda name: upsert(custom={name: 1}), id="attribute name of v2"),
        ],
    )
    def test_a_name_with_a_forbidden_sign_is_refused(self, ours: Contract, path: str, named: Any, sign: str) -> None:
        assert ours.errors("POST", path, named("order id")) == []
        assert len(ours.errors("POST", path, named(f"order{sign}id"))) == 1

    @pytest.mark.parametrize("path", [path for method, path, *_ in OPERATIONS if method == "POST"])
    @pytest.mark.parametrize("body", [None, [], "{}", 1], ids=["null", "a list", "text", "a number"])
    def test_a_body_that_is_no_object_is_refused(self, ours: Contract, path: str, body: object) -> None:
        assert any("is not of type 'object'" in error for error in ours.errors("POST", path, body))


class TestErrors:
    def test_name_the_place_and_the_rule(self, ours: Contract) -> None:
        errors = ours.errors("POST", PRODUCT_VIEW, about(email=" ") | {"items": [without(ITEM, "productVariantId")]})
        assert errors == [
            "items[0]: 'productVariantId' is a required property",
            r"user.email: ' ' does not match '^[^\\s@]+@[^\\s@]+$'",
        ]

    def test_say_which_rule_when_there_were_alternatives(self, ours: Contract) -> None:
        assert ours.errors("POST", IDENTITY, {"clientUserId": "7"}) == [
            "body: breaks the rule: at least two identifiers are given"
        ]

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            pytest.param("POST", "/v1/events/ecommerce/view-item", id="a path that a peer got wrong"),
            pytest.param("POST", "/v2/v2/user/attributes", id="a path that an old page got wrong"),
            pytest.param("POST", "/events/custom", id="a path without its version"),
            pytest.param("PUT", CUSTOM_EVENT, id="a known path and another method"),
        ],
    )
    def test_tell_of_an_operation_that_does_not_exist(self, ours: Contract, method: str, path: str) -> None:
        assert ours.errors(method, path, {}) == [f"{method} {path}: the contract has no such operation"]

    def test_tell_of_a_body_where_none_is_taken(self, ours: Contract) -> None:
        assert ours.errors("GET", "/v1/me", None) == []
        assert ours.errors("GET", "/v1/me", {}) == ["GET /v1/me: takes no body"]

    def test_find_an_operation_by_a_filled_in_path(self, ours: Contract) -> None:
        assert ours.errors("get", "/v1/privacy/delete-request/123abc", None) == []
        assert ours.errors("get", "/v1/privacy/delete-request/123abc/more", None) != []


class TestTheVendorsOwnSchemas:
    @pytest.mark.parametrize(("path", "body"), GOOD)
    def test_take_what_we_mean_to_send(self, vendor: Contract, path: str, body: Mapping[str, Any]) -> None:
        assert vendor.errors("POST", path, body) == []

    def test_are_really_asked(self, vendor: Contract) -> None:
        assert vendor.errors("POST", PRODUCT_VIEW, about(clientUserId="7")) != []
        assert vendor.errors("POST", PRODUCT_VIEW, viewed(items=[without(ITEM, "productVariantId")])) != []

    @pytest.mark.parametrize(
        ("method", "path"), [pytest.param(method, path, id=f"{method} {path}") for method, path, *_ in OPERATIONS]
    )
    def test_know_our_operations_by_the_same_scopes_and_statuses(
        self, ours: Contract, vendor: Contract, method: str, path: str
    ) -> None:
        mine, theirs = the(ours, method, path), the(vendor, method, path)
        demands = [scope for way in theirs.spec.get("security", []) for scope in way.get("OAuthFlow", [])]
        assert list(mine.scopes) == demands
        assert sorted(mine.spec["responses"]) == sorted(theirs.spec["responses"])


def the(contract: Contract, method: str, path: str) -> Operation:
    """The operation that has to be there."""
    operation = contract.operation(method, path)
    assert operation is not None, f"{method} {path}"
    return operation


def resolved(node: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The node itself, or what its `$ref` points to."""
    if "$ref" not in node:
        return node
    found: Any = document
    for step in node["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return resolved(found, document)


def objects(schema: Any, document: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[Mapping[str, Any]]:
    """Every schema of an object that a body can hold, found through properties, lists and references."""
    if not isinstance(schema, Mapping):
        return
    reference = schema.get("$ref")
    if reference in above:
        return  # a value within a value of the same kind
    inside = (*above, reference) if reference else above
    schema = resolved(schema, document)
    if "object" in schema.get("type", ()):
        yield schema
    for part in (*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")):
        yield from objects(part, document, inside)
